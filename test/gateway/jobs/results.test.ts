// Goal: every gateway stores the rows of every commit and each sink's copy gets each of them once, also on a gateway that comes
// when the commits are forgotten, whatever crashes, lies or is cut off in between. Method: gateways with nothing but results on
// simulated disks, one log of commits, and links that the test cuts.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { failure, success } from "../../../src/lib/errors.ts";
import { a, address, b, c, d, incarnationOf } from "../../core/site/site-fixture.ts";
import { settle } from "../../sim/virtual-time.ts";
import { type ResultsGateway, ResultsSite, sinkName, stepMs } from "./results-fixture.ts";

/** What a complete copy holds, in commit order. */
function everything(site: ResultsSite): string[] {
  const revisions = new Map<number, number>();
  const lines: string[] = [];
  for (const command of site.log) {
    if (command?.t !== "run-commit" || !command.sinks.includes(sinkName)) continue;
    for (const { fromMs, baseRevision } of command.windows) {
      revisions.set(fromMs, baseRevision + 1);
      lines.push(`${command.job}@${new Date(fromMs).toISOString()} ${baseRevision + 1}`);
    }
  }
  return lines;
}

function hasEachOnce(gateway: ResultsGateway, site: ResultsSite): void {
  const lines = gateway.lines();
  assert.is(new Set(lines).size, lines.length, `${gateway.id}: nothing twice`);
  assert.equal(lines.toSorted(), everything(site).toSorted(), `${gateway.id}: nothing lost`);
}

const firstOrdinalOf = (gateway: ResultsGateway) => gateway.state.outbox().firstOrdinal;

/** A site whose commits so far are stored everywhere and forgotten. */
async function forgetful(runs: number): Promise<ResultsSite> {
  const site = await new ResultsSite([a, b, c], { factor: 3 }).start();
  site.commitMany(0, runs);
  await site.allStored();
  await site.reported();
  assert.is(site.state.outbox().firstOrdinal, runs, "all is forgotten");
  return site;
}

async function addGateway(site: ResultsSite): Promise<ResultsGateway> {
  const gateway = site.newGateway(d);
  site.append({ t: "gateway-add", gateway: d, role: "full", weight: 1, address });
  site.append({ t: "gateway-admit", gateway: d, incarnation: incarnationOf("4") });
  await gateway.start(site.state);
  return gateway;
}

const test = suite("gateway/jobs: results");

test("every gateway stores every commit's rows, kept or fetched, and its sink's copy is in commit order", async () => {
  const site = await new ResultsSite([a, b, c]).start();
  for (let at = 0; at < 70; at++) site.commit((at % 50) * stepMs, { keepers: at % 2 === 0 ? [a] : [a, b] });
  await site.allStored();
  for (const gateway of site.gateways.values()) {
    assert.equal(gateway.lines(), everything(site));
    const rows = await gateway.latest();
    assert.is(rows.length, 50);
    assert.is(rows[0]?.revision, 2);
    assert.is(gateway.emitted.length, 70);
  }
  assert.equal(site.of(c).results?.sinks[0]?.view().delivered, 70);
});

test("progress is reported every half a minute where there is some, and what all have is forgotten", async () => {
  const site = await new ResultsSite([a, b, c]).start();
  site.commitMany(0, 5);
  await site.allStored();
  assert.equal(site.of(a).proposed, []);
  await site.reported();
  for (const gateway of site.gateways.values()) assert.equal(gateway.proposed, [5]);
  assert.is(site.state.outbox().firstOrdinal, 5);
  await site.run(120_000);
  for (const gateway of site.gateways.values()) assert.equal(gateway.proposed, [5], "nothing new, nothing said");
  site.commitMany(5, 1);
  await site.reported();
  assert.equal(site.of(b).proposed, [5, 6]);
});

test("a report that was lost is made again", async () => {
  const site = await new ResultsSite([a, b, c]).start();
  site.of(b).reports = false;
  site.commitMany(0, 3);
  await site.run(62_000);
  assert.equal(site.of(b).proposed, [3, 3]);
  assert.is(site.state.outbox().firstOrdinal, 0);
});

test("at feature level 1 nothing is reported, and what is stored can be read by an older version", async () => {
  const site = await new ResultsSite([a, b], { level: 1, factor: 2 }).start();
  site.commitMany(0, 3);
  await site.run(90_000);
  assert.equal(site.of(a).proposed, []);
  const position = site.of(a).disk.document(`sink-${sinkName}`) as { readonly runs: number; readonly rows: number };
  assert.is(position.runs, 3);
});

test("a new gateway fetches what the site has forgotten, page by page, and goes on with the commits", async () => {
  const site = await forgetful(150);
  site.commitMany(150, 5);
  const fresh = await addGateway(site);
  assert.is(fresh.state.outbox().firstOrdinal, 150);
  site.commitMany(155, 5);
  await site.allStored();
  assert.equal(fresh.lines(), everything(site), "the windows are in the order of their keys, the newer commits behind");
  assert.equal(await fresh.latest(), await site.of(a).latest());
  assert.ok(fresh.emitted.length > 0 && fresh.emitted.every((row) => row.from >= 150 * stepMs), "old rows are no news");
  await site.reported();
  assert.is(site.state.outbox().firstOrdinal, 160);
});

test("until it has fetched everything a new gateway answers no question about results, and holds the commits", async () => {
  const site = await forgetful(10);
  const fresh = site.newGateway(d);
  for (const peer of [a, b, c]) fresh.cutFrom.add(peer);
  site.append({ t: "gateway-add", gateway: d, role: "full", weight: 1, address });
  site.append({ t: "gateway-admit", gateway: d, incarnation: incarnationOf("4") });
  await fresh.start(site.state);
  site.commitMany(10, 3);
  const early = fresh.results?.caughtUp(1_000);
  await site.run(40_000);
  assert.ok((await early)?.ok === false);
  assert.is(fresh.results?.pending(), 13);
  assert.equal(fresh.lines(), []);
  assert.is(site.state.outbox().firstOrdinal, 10);
  fresh.cutFrom.clear();
  await site.allStored();
  hasEachOnce(fresh, site);
});

test("a gateway that was away for long fetches what it missed and makes its sink's copy again", async () => {
  const site = await new ResultsSite([a, b, c]).start();
  site.commitMany(0, 5);
  await site.allStored();
  site.of(c).crash();
  // As if the bound of the outbox had been reached.
  site.commitMany(5, 20);
  await site.allStored();
  site.append({ t: "results-stored", gateway: c, ordinal: 25 });
  await site.reported();
  assert.is(site.state.outbox().firstOrdinal, 25);
  await site.of(c).start();
  site.of(c).restore(site.state);
  site.commitMany(25, 2);
  await site.allStored();
  hasEachOnce(site.of(c), site);
});

test("another peer goes on where one broke off; a damaged page and a foreign key are refused", async () => {
  const site = await forgetful(200);
  let pages = 0;
  site.of(a).answering = (type, answer) => {
    if (type !== "results-page" || !answer.ok) return answer;
    pages++;
    if (pages === 2) site.of(d).cutFrom.add(a);
    return answer;
  };
  site.of(b).answering = (type, answer) => {
    if (type !== "results-page" || !(answer.ok && answer.value instanceof Uint8Array)) return answer;
    const flipped = Uint8Array.from(answer.value);
    flipped[100] = (flipped[100] as number) ^ 4;
    return success(flipped);
  };
  const fresh = await addGateway(site);
  await site.allStored();
  assert.is(pages, 2);
  assert.equal(fresh.lines(), everything(site));
  assert.ok(fresh.said.some((text) => text.startsWith("results-page-awaited") && text.includes("checksum")));
});

test("a commit that a peer stores while its pages are fetched is in a sink's copy once, however late its neighbours come", async () => {
  const site = await forgetful(150);
  const fresh = site.newGateway(d);
  for (const peer of [b, c]) fresh.cutFrom.add(peer);
  let withholdsRows = true;
  let asked = false;
  site.of(a).answering = (type, answer) => {
    if (type === "rows" && withholdsRows) return failure("busy", "later");
    if (type !== "results-page" || asked) return answer;
    asked = true;
    site.scheduler.schedule(0.1, "cut", () => {
      fresh.cutFrom.add(a);
      // One that the pages have passed already, and one that is still to come.
      site.commit(0, { keepers: [a] });
      site.commit(160 * stepMs, { keepers: [a] });
    });
    return answer;
  };
  site.append({ t: "gateway-add", gateway: d, role: "full", weight: 1, address });
  site.append({ t: "gateway-admit", gateway: d, incarnation: incarnationOf("4") });
  await fresh.start(site.state);
  await site.until(() => site.state.outbox().runs.length === 2 && site.of(a).isDone(), 10_000, "the peer has the new ones");
  fresh.cutFrom.delete(a);
  await site.until(() => fresh.lines().length >= 150, 20_000, "the copy is made");
  await site.run(2_000);
  assert.is(fresh.results?.pending(), 2);
  withholdsRows = false;
  await site.allStored();
  assert.equal(fresh.lines(), everything(site));
});

test("a peer that is behind itself is not enough; if nobody has it all, what there is is taken, loudly", async () => {
  const site = await forgetful(20);
  for (const peer of [a, b, c]) {
    const told = site.of(peer);
    told.answering = (type, answer) => (type === "results-page" && peer !== c ? failure("not-ready", "later") : answer);
  }
  site.of(c).crash();
  site.of(c).disk.wipe();
  const fresh = site.newGateway(d);
  site.append({ t: "gateway-add", gateway: d, role: "full", weight: 1, address });
  site.append({ t: "gateway-admit", gateway: d, incarnation: incarnationOf("4") });
  await site.of(c).start(site.state);
  await fresh.start(site.state);
  await site.run(5_000);
  assert.is(fresh.results?.pending(), 20, "c has nothing, a and b do not answer yet");
  for (const peer of [a, b]) {
    site.append({ t: "gateway-remove", gateway: peer, force: true });
    site.of(peer).crash();
    site.gateways.delete(peer);
  }
  await site.until(() => fresh.isDone() && site.of(c).isDone(), 20_000, "both give up waiting");
  assert.ok(fresh.said.some((text) => text.startsWith("results-missing")));
  site.commit(20 * stepMs);
  await site.allStored();
  assert.is(fresh.lines().length, 1);
});

test("a sink's file that vanished is made again from what is stored, newer commits behind it", async () => {
  const site = await forgetful(150);
  site.commitMany(150, 3);
  await site.allStored();
  const gateway = site.of(b);
  gateway.crash();
  const file = await settle(site.scheduler, gateway.disk.ports().results.open(`${sinkName}.ndjson`));
  assert.ok(file.ok && (await settle(site.scheduler, file.value.truncate(10))).ok);
  await gateway.start(site.state);
  site.commitMany(153, 3);
  await site.allStored();
  hasEachOnce(gateway, site);
  assert.is(gateway.results?.sinks[0]?.view().delivered, 156);
});

test("results for other sinks are left out, those of older versions go where their job's go now", async () => {
  const site = await new ResultsSite([a, b, c], { level: 1 }).start();
  site.commitMany(0, 3);
  site.commit(0, { job: "forgotten", sinks: [sinkName] });
  await site.allStored();
  site.append({ t: "feature-level", level: 2 });
  site.commit(30_000, { sinks: ["elsewhere"] });
  site.commit(40_000);
  site.commit(0, { job: "other", sinks: [sinkName] });
  await site.allStored();
  await site.reported();
  const fresh = await addGateway(site);
  await site.allStored();
  const ids = fresh.lines().map((line) => line.split(" ")[0]);
  assert.equal(
    ids,
    [0, 10_000, 20_000, 40_000].map((ms) => `mean@${new Date(ms).toISOString()}`).concat(`other@${new Date(0).toISOString()}`),
  );
});

test("positions of an older version are understood: nothing is stored or written twice", async () => {
  const site = await new ResultsSite([a, b], { level: 1, factor: 2 }).start();
  site.commitMany(0, 4);
  site.commit(4 * stepMs, { sinks: [] });
  site.commitMany(5, 2);
  await site.allStored();
  const gateway = site.of(b);
  gateway.crash();
  const { runs, rows, bytes } = gateway.disk.document(`sink-${sinkName}`) as Record<string, number>;
  await settle(site.scheduler, gateway.disk.ports().documents.write(`sink-${sinkName}`, { runs, rows, bytes }));
  await gateway.start();
  site.commitMany(7, 2);
  await site.allStored();
  assert.equal(gateway.lines(), everything(site));
  site.append({ t: "feature-level", level: 2 });
  await site.reported();
  assert.is(firstOrdinalOf(gateway), 9);
});

test("a sink that cannot be written holds the commits back, and the other gateways go on", async () => {
  const site = await new ResultsSite([a, b, c]).start();
  await site.run(100);
  site.of(b).disk.setIoErrors(1);
  site.commitMany(0, 4);
  await site.run(40_000);
  assert.is(site.state.outbox().firstOrdinal, 0);
  assert.equal(site.of(a).proposed, [4]);
  site.of(b).disk.setIoErrors(0);
  await site.allStored();
  await site.reported();
  assert.is(site.state.outbox().firstOrdinal, 4);
  hasEachOnce(site.of(b), site);
});

test("whatever is committed, reported, crashed and cut, each copy ends with each revision once", async () => {
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ what: fc.constant("commit" as const), at: fc.nat({ max: 40 }), count: fc.integer({ min: 1, max: 30 }) }),
    },
    { weight: 2, arbitrary: fc.record({ what: fc.constant("run" as const), ms: fc.constantFrom(5, 60, 700, 31_000) }) },
    {
      weight: 2,
      arbitrary: fc.record({ what: fc.constant("restart" as const), gateway: fc.constantFrom(a, b, c), snapshot: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("add" as const) }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("errors" as const), gateway: fc.constantFrom(a, b, c), on: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({ what: fc.constant("cut" as const), from: fc.constantFrom(a, b, c), to: fc.constantFrom(a, b, c) }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      const site = await new ResultsSite([a, b, c]).start();
      site.commitMany(0, 80);
      await site.reported();
      for (const one of steps) {
        if (one.what === "commit") site.commitMany(one.at, one.count);
        else if (one.what === "run") await site.run(one.ms);
        else if (one.what === "errors") site.of(one.gateway).disk.setIoErrors(one.on ? 0.3 : 0);
        else if (one.what === "cut") site.of(one.from).cutFrom.add(one.to);
        else if (one.what === "restart") {
          const gateway = site.of(one.gateway);
          gateway.crash();
          gateway.disk.setIoErrors(0);
          await gateway.start(one.snapshot ? site.state : undefined);
        } else if (!site.gateways.has(d)) await addGateway(site);
      }
      for (const gateway of site.gateways.values()) {
        gateway.cutFrom.clear();
        gateway.disk.setIoErrors(0);
      }
      await site.allStored(120_000);
      const rows = await site.of(a).latest();
      for (const gateway of site.gateways.values()) {
        hasEachOnce(gateway, site);
        assert.equal(await gateway.latest(), rows);
      }
    }),
    { numRuns: 25, seed: 7 },
  );
});

test.run();
