// Goal: `fogbank gateway recover` makes one stopped gateway the whole site, refuses one that cannot be it, and ends when the disk does
// not. Method: three real gateways that stop for good, and the last of them, recovered on its simulated disk.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { featureLevels } from "../../src/core/site/features.ts";
import { type RecoveredSite, type RecoverPorts, recoverAlone } from "../../src/gateway/recover.ts";
import type { Result } from "../../src/lib/errors.ts";
import type { Log } from "../../src/ports/log.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { foundedSite } from "./harness.ts";

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function portsOf(site: SimulatedSite, gateway: SimulatedGateway, changes: Partial<RecoverPorts> = {}): RecoverPorts {
  const { documents, logs, snapshots } = gateway.disk.ports();
  let fired = 0;
  const clock = {
    wallMs: () => site.wallMs(),
    monotonicMs: () => site.nowMs(),
    ntpState: () => "synchronised" as const,
    synchronised: () => true,
    schedule: (delayMs: number, fire: () => void) => {
      site.scheduler.schedule(delayMs, "recover", fire);
      return { id: ++fired };
    },
    cancel: () => undefined,
  };
  return { clock, documents, logs, snapshots, entropy: { hex: (bytes: number) => "0".repeat(bytes * 2) }, diagnostics: quiet, ...changes };
}

const recovered = (site: SimulatedSite, gateway: SimulatedGateway, changes?: Partial<RecoverPorts>): Promise<Result<RecoveredSite>> =>
  site.answer(recoverAlone(portsOf(site, gateway, changes), { site: "simulated", self: gateway.id }));

const put = (site: SimulatedSite, gateway: SimulatedGateway, key: string) =>
  site.answer(gateway.running()?.service.kvPut(key, new Uint8Array([1]), { kind: "any" }) ?? Promise.reject(new Error("gone")));

async function lostSite(seed: number): Promise<SimulatedSite> {
  const site = await foundedSite(seed);
  assert.ok((await put(site, site.gateway("gw-a"), "before")).ok);
  await site.until(
    () => site.gateways.every((gateway) => gateway.running()?.gateway.serving()?.state.featureLevel() === featureLevels.max),
    {
      withinMs: 20_000,
    },
  );
  return site;
}

const test = suite("gateway recover");

test("the last one goes on alone with what it has, and is told again without harm", async () => {
  const site = await lostSite(1);
  for (const gateway of site.gateways) gateway.crash({ power: false });
  const last = site.gateway("gw-b");
  for (let time = 0; time < 2; time++) {
    const report = await recovered(site, last);
    assert.ok(report.ok, report.ok ? "" : report.message);
    assert.equal(report.value.removed, time === 0 ? ["gw-a", "gw-c"] : []);
  }
  last.start();
  await site.until(() => last.running()?.service.readiness().ready === true, { withinMs: 20_000 });
  const state = last.running()?.gateway.serving()?.state;
  assert.ok(state?.kv("before"));
  assert.ok((await put(site, last, "after")).ok);
  // A folder of the old site that is started all the same is told to go.
  site.gateway("gw-a").start();
  await site.until(() => site.gateway("gw-a").stoppedItself() !== undefined, { withinMs: 20_000 });
});

test("one that its own log says to be given up is refused", async () => {
  const site = await lostSite(2);
  const gone = site.gateway("gw-c");
  const removed = site.gateway("gw-a").running()?.service.removeGateway("gw-c", { force: false });
  assert.ok((await site.answer(removed ?? Promise.reject(new Error("gone")))).ok);
  await site.until(() => gone.stoppedItself() !== undefined, { withinMs: 20_000, what: "gw-c is told to go" });
  for (const id of ["gw-a", "gw-b"]) site.gateway(id).crash({ power: false });
  const report = await recovered(site, gone);
  assert.is(report.ok ? "" : report.code, "member-unknown");
});

test("a witness is refused: it keeps no readings", async () => {
  const site = await lostSite(4);
  const witness = site.gateway("gw-c");
  const asked = () => site.gateway("gw-a").running()?.service ?? Promise.reject(new Error("gone"));
  assert.ok((await site.answer((await asked()).removeGateway("gw-c", { force: false }))).ok);
  await site.until(() => witness.stoppedItself() !== undefined, { withinMs: 20_000 });
  witness.disk.wipe();
  const address = { host: "127.0.0.1", mqtt: 1_020, mesh: 1_021, http: 1_022 };
  const request = { id: "gw-c", role: "witness" as const, zone: undefined, weight: 1, address };
  assert.ok((await site.answer((await asked()).addGateway(request))).ok);
  witness.start();
  await site.until(() => witness.running()?.gateway.phase() === "serving", { withinMs: 20_000 });
  for (const gateway of site.gateways) gateway.crash({ power: false });
  const report = await recovered(site, witness);
  assert.is(report.ok ? "" : report.code, "member-needed");
});

test("an epoch that it acted under and that its log had not yet on disk keeps it from nothing", async () => {
  const site = await lostSite(5);
  for (const gateway of site.gateways) gateway.crash({ power: false });
  const last = site.gateway("gw-b");
  assert.ok((await site.answer(last.disk.ports().documents.write("ring", { epoch: 50 }))).ok);
  assert.ok((await recovered(site, last)).ok);
  last.start();
  await site.until(() => last.running()?.service.readiness().ready === true, { withinMs: 20_000 });
});

test("a disk that takes nothing any more ends it in a bounded time, with the reason", async () => {
  const site = await lostSite(3);
  for (const gateway of site.gateways) gateway.crash({ power: false });
  const last = site.gateway("gw-b");
  const { logs } = last.disk.ports();
  const failing = {
    open: async (...asked: Parameters<typeof logs.open>) => {
      const opened = await logs.open(...asked);
      if (!opened.ok) return opened;
      const { value } = opened;
      const log: Log = {
        append: () => value.nextSequence(),
        trim: (before) => value.trim(before),
        nextSequence: () => value.nextSequence(),
        durableSequence: () => value.durableSequence(),
        health: () => ({ ok: false, code: "EIO", message: "i/o error" }),
        damage: () => value.damage(),
        stats: () => value.stats(),
        takeLongestFsyncMs: () => value.takeLongestFsyncMs(),
        close: () => value.close(),
      };
      return { ok: true as const, value: log };
    },
  };
  const report = await recovered(site, last, { logs: failing });
  assert.is(report.ok ? "" : report.code, "store-failed");
  assert.match(report.ok ? "" : report.message, /i\/o error/);
  assert.ok((await recovered(site, last)).ok, "with a disk that works it can be done again");
});

test.run();
