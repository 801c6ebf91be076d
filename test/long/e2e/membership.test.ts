// Goal: gateways are added, replaced and removed by the command line while devices publish and clients write keys, with the
// leader killed in between, and nothing that was acknowledged is lost. Method: three real processes and a fourth; each change
// is asked for while the leader is killed and started again; at the end every reading is asked back from every gateway,
// and what the kv clients saw is judged as histories.
import { rmSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Gateway } from "../../../src/client/schema.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { type CommandResult, runFogbank } from "../../e2e/support/fogbank.ts";
import { judgeHistories, KvClients } from "../../e2e/support/kv-clients.ts";
import { Ledger, ledgerProfile } from "../../e2e/support/ledger.ts";
import { Load } from "../../e2e/support/load.ts";
import { readAll } from "../../e2e/support/readings.ts";
import { must, siteYaml, type TestGateway, TestSite } from "../../e2e/support/site.ts";
import { until } from "../../e2e/support/until.ts";

const test = suite("members come and go under load");

const kvClients = 3;
const settleMs = 30_000;

function command(site: TestSite, via: TestGateway, ...args: readonly string[]): Promise<CommandResult> {
  return runFogbank(["gateway", ...args, "--url", via.url], { cwd: site.folder });
}

/**
 * A change that must come about, asked for while the leader dies: as the manual says, it is said again after an answer of
 * status 3 (no leader, or an unknown outcome), after which `gone` may be the first one's doing.
 */
async function insist(site: TestSite, via: TestGateway, args: readonly string[], gone?: RegExp): Promise<void> {
  for (let asked = 0; asked < 10; asked++) {
    const result = await command(site, via, ...args);
    if (result.code === 0 || (asked > 0 && gone?.test(result.stderr) === true)) return;
    assert.is(result.code, 3, `fogbank gateway ${args.join(" ")}: ${result.stdout}${result.stderr}`);
  }
  assert.unreachable(`fogbank gateway ${args.join(" ")} had no answer ten times`);
}

/** Somebody who is not about to be killed, wiped or removed. */
function other(site: TestSite, not: readonly TestGateway[]): TestGateway {
  const found = site.gateways.find((gateway) => gateway.isRunning && !not.includes(gateway));
  assert.ok(found, "another gateway runs");
  return found as TestGateway;
}

/** SIGKILL to whoever leads while `change` is under way, and its return. */
async function withDeadLeader(site: TestSite, siteFile: string, change: (leader: TestGateway) => Promise<void>): Promise<void> {
  const running = site.gateways.filter((gateway) => gateway.isRunning);
  // One that is gone leads in the others' eyes until they notice.
  const leader = await until(
    "a gateway that runs leads",
    async () => {
      const named = await site.leader(running);
      return named.isRunning ? named : undefined;
    },
    { withinMs: settleMs },
  );
  const changed = change(leader);
  await leader.kill();
  leader.start(siteFile);
  await changed;
  await leader.ready();
}

async function listed(site: TestSite, via: TestGateway): Promise<ReadonlyMap<string, Gateway>> {
  const result = await command(site, via, "list", "-o", "json");
  assert.is(result.code, 0, result.stderr);
  const { gateways } = JSON.parse(result.stdout) as { readonly gateways: readonly Gateway[] };
  return new Map(gateways.map((gateway) => [gateway.id, gateway]));
}

/** These gateways are the members, run, and have all readings of the partitions that they own. */
function allWhole(site: TestSite, via: TestGateway, gateways: readonly TestGateway[]): Promise<readonly Gateway[]> {
  const ids = gateways.map((gateway) => gateway.id).join();
  return until(
    `the members are ${ids}, and whole`,
    async () => {
      const members = [...(await listed(site, via)).values()];
      const whole = members.every(
        ({ up, membership, filling }) => up && filling === 0 && (membership === "voter" || membership === "learner"),
      );
      return (whole && members.map((member) => member.id).join() === ids) || undefined ? members : undefined;
    },
    { withinMs: settleMs },
  );
}

/** A gateway that left the site is told so, and says it to whoever looks at its last words. */
async function endedByItself(gateway: TestGateway): Promise<void> {
  const exit = await gateway.process.ended(settleMs);
  assert.equal(exit, { code: 1, signal: undefined }, gateway.process.tail());
  assert.match(gateway.process.stderr, new RegExp(`error: ${gateway.id} was removed from site e2e`));
  assert.not.match(gateway.process.stderr, /^\s+at /m, "no stack trace");
}

test("add, replace and remove, the leader killed each time: everything acknowledged is answered, keys stay linearizable", async () => {
  const site = await TestSite.create({ gateways: 4, files: { "devices/counter.yaml": ledgerProfile } });
  const four = site.write("site-of-four.yaml", siteYaml("e2e", site.portsById));
  const three = site.write("site.yaml", siteYaml("e2e", new Map([...site.portsById].slice(0, 3))));
  const [a, b, c, d] = ["gw-a", "gw-b", "gw-c", "gw-d"].map((id) => site.gateway(id)) as [
    TestGateway,
    TestGateway,
    TestGateway,
    TestGateway,
  ];
  const ledger = new Ledger();
  let load: Load | undefined;
  let keys: KvClients | undefined;
  try {
    for (const gateway of [a, b, c]) gateway.start(three);
    await Promise.all([a, b, c].map((gateway) => gateway.ready()));
    load = new Load(ledger, [a, c, d]);
    keys = new KvClients({ gateways: site.gateways, clients: kvClients, random: new SeededRandom(7) });
    await load.more(200);

    await withDeadLeader(site, three, async (leader) => {
      await insist(site, other(site, [leader]), ["add", d.id, "--site", four]);
      d.start(four);
    });
    await d.ready();
    await load.more(200);

    await c.kill();
    rmSync(c.dataFolder, { recursive: true });
    await withDeadLeader(site, three, async (leader) => {
      await insist(site, other(site, [leader]), ["replace", c.id, "--yes"]);
      c.start(three);
    });
    await c.ready();
    await load.more(200);

    // Whoever takes its places has to fill them, and nobody may be filling when it goes: a reading could be on it alone.
    const members = await allWhole(site, a, [a, b, c, d]);
    // Three of the four vote; the one that is to be removed must not lead, or it would be the one that is killed.
    const heir = members.find(({ id, membership }) => membership === "voter" && id !== b.id && id !== a.id)?.id ?? a.id;
    const moved = await command(site, a, "transfer", heir);
    assert.is(moved.code, 0, moved.stderr);
    await withDeadLeader(site, four, async (leader) => {
      await insist(site, other(site, [leader, b]), ["remove", b.id, "--yes"], /there is no gateway "gw-b"/);
    });
    await endedByItself(b);
    await load.more(200);

    const left = await allWhole(site, d, [a, c, d]);
    assert.equal(
      left.map(({ partitions }) => partitions),
      [1024, 1024, 1024],
    );
    await until(
      "the one that was replaced votes again, as all three do",
      async () => [...(await listed(site, d)).values()].every(({ membership }) => membership === "voter") || undefined,
      { withinMs: settleMs },
    );
    await load.drain();
    await keys.end();
    await ledger.check([a, c, d]);
    assert.is(judgeHistories(keys.histories), undefined);
  } finally {
    await Promise.all([load?.close(), keys?.end().catch(() => undefined)]);
    await site.end();
  }
});

/** One of two voters loses its disk: the other is made the whole site, and the first one added anew. */
async function recovered(site: TestSite, survivor: TestGateway, lost: TestGateway): Promise<void> {
  const { revision } = must(await survivor.client.kvPut("before", new TextEncoder().encode("the loss"), {}));
  // Acknowledged with both of them: the survivor has all of these.
  await new Ledger().publish("both", survivor, 20);
  await lost.kill();
  rmSync(lost.dataFolder, { recursive: true });
  const recover = ["gateway", "recover", "--gateway", survivor.id, "--data", survivor.dataFolder, "--yes", "-o", "json"];
  const running = await runFogbank(recover, { cwd: site.folder });
  assert.is(running.code, 1, running.stdout);
  assert.match(running.stderr, /in use by process/);
  await survivor.stop();
  const done = await runFogbank(recover, { cwd: site.folder });
  assert.is(done.code, 0, done.stderr);
  assert.match(done.stderr, /LOST FOR GOOD/);
  const { gateway, removed } = JSON.parse(done.stdout) as { readonly gateway: string; readonly removed: readonly string[] };
  assert.equal([gateway, removed], [survivor.id, [lost.id]]);
  survivor.start();
  await survivor.ready();
  assert.equal([...(await listed(site, survivor)).keys()], [survivor.id]);
  const kept = must(await survivor.client.kvGet("before"));
  assert.equal([kept?.revision, new TextDecoder().decode(kept?.value)], [revision, "the loss"]);
  assert.is((await readAll(survivor.client, { metric: "v", device: "both" })).get("both")?.length, 20);
  await new Ledger().publish("alone", survivor, 5);
  const added = command(site, survivor, "add", lost.id, "--wait", "30s");
  await until("it is expected", async () => ((await listed(site, survivor)).has(lost.id) ? true : undefined), { withinMs: settleMs });
  lost.start();
  assert.is((await added).code, 0, (await added).stderr);
  await lost.ready();
  must(await lost.client.kvPut("after", new Uint8Array(1), {}));
}

test("a leader that owns readings is removed; a second loss is refused; with the majority lost, one gateway goes on alone", async () => {
  const site = await TestSite.start({ files: { "devices/counter.yaml": ledgerProfile } });
  const ledger = new Ledger();
  let load: Load | undefined;
  try {
    const leader = await site.leader();
    const [first, second] = site.gateways.filter((gateway) => gateway !== leader) as [TestGateway, TestGateway];
    load = new Load(ledger, [leader, first, second]);
    await load.more(200);
    const removed = await command(site, first, "remove", leader.id, "--yes");
    assert.is(removed.code, 0, removed.stderr);
    await endedByItself(leader);
    await load.more(200);
    const moved = await command(site, first, "transfer", second.id, "-o", "json");
    assert.equal([moved.code, JSON.parse(moved.stdout)], [0, { leader: second.id }], moved.stderr);
    // A reading may be on one of the removed and of these two only: its last copy may not go.
    const refused = await command(site, first, "replace", second.id, "--yes");
    assert.is(refused.code, 1, refused.stdout);
    assert.match(refused.stderr, /restored|--force/);
    await load.drain();
    await ledger.check([first, second]);
    await recovered(site, first, second);
    // Its folder is of no use any more.
    assert.is((await leader.start().ended(20_000)).code, 1);
    await endedByItself(leader);
  } finally {
    await load?.close();
    await site.end();
  }
});

test.run();
