// Goal: at level `any` a gateway that is cut off acknowledges what it keeps alone, across SIGKILL, and delivers it when the link is back.
// Method: three real processes with proxies on their links, two profiles of which one has the level; cut one off, publish to
// it, kill and start it while it is still cut off, publish again, mend; what `status` and /metrics say at each step, and every
// acknowledged reading asked back from every gateway and from each owner alone.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Device } from "../../e2e/support/device.ts";
import { Ledger, ledgerProfile } from "../../e2e/support/ledger.ts";
import { type LinkedSite, startLinkedSite } from "../../e2e/support/linked-site.ts";
import { must, type SiteOptions, type TestGateway } from "../../e2e/support/site.ts";
import { until } from "../../e2e/support/until.ts";

const test = suite("a gateway that is cut off");

const settleMs = 45_000;
const quorumProfile = `profile: strict
topic: strict/{device}
payload: number
metrics:
  s: {}
`;

function isolate({ site, links }: LinkedSite, gateway: TestGateway): void {
  const others = site.gateways.filter((other) => other !== gateway);
  links.cut(others.flatMap((other) => [[gateway.id, other.id] as const, [other.id, gateway.id] as const]));
}

async function holds(gateway: TestGateway, readings: number): Promise<void> {
  await until(
    `${gateway.id} holds ${readings} readings`,
    async () => ((await gateway.metric("fogbank_held_readings")) === readings ? true : undefined),
    { withinMs: settleMs, explain: () => gateway.process.tail() },
  );
}

/** `strict`: a device at level quorum publishes to the gateway that is cut off as well. */
async function cutOff(options: SiteOptions & { readonly strict: boolean }): Promise<void> {
  const linked = await startLinkedSite(options);
  const { site, links } = linked;
  const [a, b, c] = site.gateways as [TestGateway, TestGateway, TestGateway];
  const ledger = new Ledger();
  const strict = new Device({ clientId: "strict", ports: [b.ports.mqtt], windowMax: 10 });
  try {
    await ledger.publish("before", b, 20);
    assert.is(must(await b.client.status()).hints?.held.rounds, 0);
    isolate(linked, b);
    if (options.strict) strict.publish([{ topic: "strict/strict", payload: "1" }]);
    await ledger.publish("alone", b, 50);
    await holds(b, 50);
    assert.match(await b.statusText(), /^held +cut off: holding 50 readings in \d+ rounds?, the oldest for/m);
    assert.match(await b.statusText(), /warning: cut off: holding 50 readings in .* this disk has the only copy/);
    assert.ok((await b.metric("fogbank_held_rounds")) > 0);
    // Others go on, and know nothing of it.
    await ledger.publish("meanwhile", a, 20);
    assert.is(must(await a.client.readings({ metric: "v", device: "alone" })).series.length, 0);
    assert.is(must(await b.client.readings({ metric: "v", device: "alone" })).complete, false);
    if (options.strict) {
      const closed = async () => (await b.metric("fogbank_connections_closed_total", { reason: "ack-timeout" })) > 0 || undefined;
      await until("the other profile's device is closed", closed, { withinMs: settleMs });
      assert.is(strict.acknowledgedCount, 0);
    }

    await b.kill();
    b.start();
    // It serves devices without knowing anybody.
    await ledger.publish("again", b, 30);
    await holds(b, 80);

    links.mend();
    await b.ready();
    await holds(b, 0);
    assert.not.match(await b.statusText(), /^held|cut off/m);
    await ledger.check([a, b, c]);
    await until("nothing waits for its copies", async () => ((await b.metric("fogbank_readings_pending")) === 0 ? true : undefined), {
      withinMs: settleMs,
    });
    await ledger.check([a, b, c], { consistency: "one" });
    await strict.drained(settleMs);
  } finally {
    await strict.close();
    await linked.end();
  }
}

test("write: any of the site", async () => {
  await cutOff({ strict: false, settings: "replication: { write: any }\n", files: { "devices/counter.yaml": ledgerProfile } });
});

test("write: any of a profile; another profile's readings are not acknowledged meanwhile", async () => {
  const files = { "devices/counter.yaml": `${ledgerProfile}write: any\n`, "devices/strict.yaml": quorumProfile };
  await cutOff({ strict: true, settings: "replication: { ackTimeout: 2s }\n", files });
});

test.run();
