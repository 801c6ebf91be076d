/** A founded site of three gateways, commands to write logs with, and logs at random. */

import fc from "fast-check";
import { encodeOwnerTable } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import type { BootstrapCommand, PlainCommand, SiteCommand } from "../../../src/core/site/commands.ts";
import { partitionSet } from "../../../src/core/site/retention.ts";
import { SiteState, type SiteStateOptions } from "../../../src/core/site/site-state.ts";
import { clusterId, deviceId, type GatewayId, gatewayId, incarnation, type SessionId, sessionId } from "../../../src/lib/ids.ts";
import { testHash64 } from "../ring/test-hash.ts";

export const [a, b, c, d] = ["gw-a", "gw-b", "gw-c", "gw-d"].map(gatewayId) as [GatewayId, GatewayId, GatewayId, GatewayId];
export const address = { host: "127.0.0.1", mqtt: 1883, mesh: 7883, http: 8080 };
export const incarnationOf = (digit: string) => incarnation(digit.repeat(32));

export function bootstrap(ids: readonly GatewayId[], factor: number): BootstrapCommand {
  const gateways = ids.map((id) => ({ id, weight: 1, zone: undefined }));
  return {
    t: "bootstrap",
    clusterId: clusterId("c1"),
    site: "test",
    gateways: ids.map((id, slot) => ({ id, slot, incarnation: incarnation(`${id}-first`) })),
    factor,
    owners: encodeOwnerTable(planOwners({ gateways, factor, epoch: 1, hash64: testHash64 })),
  };
}

/** A log under construction: each command at the next index. */
export class LoggedSite {
  readonly state: SiteState;
  index = 0;

  constructor(options: SiteStateOptions = {}) {
    this.state = new SiteState(options);
  }

  static founded(ids: readonly GatewayId[] = [a, b, c], factor = 3, options: SiteStateOptions = {}): LoggedSite {
    const site = new LoggedSite(options);
    site.apply(bootstrap(ids, factor));
    site.apply({ t: "feature-level", level: 3 });
    return site;
  }

  apply(command: SiteCommand | undefined) {
    return this.state.apply(++this.index, command);
  }

  add(gateway: GatewayId, role: "full" | "witness" = "full") {
    return this.apply({ t: "gateway-add", gateway, role, weight: 1, address });
  }

  admit(gateway: GatewayId, digit: string) {
    return this.apply({ t: "gateway-admit", gateway, incarnation: incarnationOf(digit) });
  }

  replace(gateway: GatewayId, force = false) {
    return this.apply({ t: "gateway-replace", gateway, force });
  }

  remove(gateway: GatewayId, force = false) {
    return this.apply({ t: "gateway-remove", gateway, force });
  }

  /** Claims and commits a window of ten seconds, for the sinks. */
  commit(job: string, fromMs: number, sinks: readonly string[] = []) {
    const claimed = this.apply({ t: "run-claim", job, gateway: a, windows: [{ fromMs, toMs: fromMs + 10_000 }] });
    const claim = claimed.t === "claim" ? claimed.claims[0] : undefined;
    if (claim === undefined) throw new Error("a claim is answered with a claim");
    const window = { fromMs, toMs: fromMs + 10_000, rows: 1, digest: `d${fromMs}`, ...claim };
    return this.apply({ t: "run-commit", job, sinks, windows: [window] });
  }
}

const gateway = fc.constantFrom(a, b, c, d);
const session = fc.constantFrom("s1", "s2", "s3").map((text): SessionId => sessionId(text));
const window = fc.integer({ min: 0, max: 30 });
const expect = fc.oneof(fc.constantFrom(-1, -2, 0), fc.integer({ min: 1, max: 60 }));
const key = fc.constantFrom("x", "y", "\u{1f600}");
const force = fc.boolean();
const digit = fc.constantFrom("1", "2", "3", "4", "5");

export const plainCommand: fc.Arbitrary<PlainCommand> = fc.oneof(
  fc.record({ t: fc.constant("kv-put" as const), key, value: fc.uint8Array({ maxLength: 40 }), expect }),
  fc.record({ t: fc.constant("kv-delete" as const), key, expect }),
  fc.record({
    t: fc.constant("gateway-started" as const),
    gateway,
    startCount: fc.integer({ min: 1, max: 9 }),
    session,
    incarnation: digit.map(incarnationOf),
  }),
  fc.record({
    t: fc.constant("register-devices" as const),
    devices: fc.array(
      fc.record({
        id: fc.constantFrom("d1", "d2", "d3").map(deviceId),
        profile: fc.constant("p"),
        metrics: fc.subarray(["t", "h"]),
        firstSeenMs: fc.nat(),
      }),
    ),
  }),
  fc.record({ t: fc.constant("job-seen" as const), job: fc.constantFrom("mean", "max"), sinceMs: fc.integer() }),
  fc.record({
    t: fc.constant("run-claim" as const),
    job: fc.constantFrom("mean", "max"),
    gateway,
    windows: fc.array(
      window.map((at) => ({ fromMs: at * 10, toMs: at * 10 + 10 })),
      { maxLength: 4 },
    ),
  }),
  fc.record({
    t: fc.constant("run-commit" as const),
    job: fc.constantFrom("mean", "max"),
    sinks: fc.subarray(["archive", "cloud"]),
    windows: fc.array(
      fc.record({
        fromMs: window.map((at) => at * 10),
        toMs: fc.nat(),
        attempt: fc.integer({ min: 1, max: 3 }),
        baseRevision: fc.integer({ min: 0, max: 2 }),
        rows: fc.nat(),
        digest: fc.string(),
      }),
      { maxLength: 4 },
    ),
  }),
  fc.record({
    t: fc.constant("gateway-add" as const),
    gateway,
    role: fc.constantFrom("full" as const, "witness" as const),
    weight: fc.constant(1),
    address: fc.constant(address),
  }),
  fc.record({ t: fc.constant("gateway-admit" as const), gateway, incarnation: digit.map(incarnationOf) }),
  fc.record({ t: fc.constant("gateway-replace" as const), gateway, force }),
  fc.record({ t: fc.constant("gateway-remove" as const), gateway, force }),
  fc.record({
    t: fc.constant("retention-advance" as const),
    level: fc.constantFrom("raw" as const, "rollup" as const),
    partitions: fc.array(fc.integer({ min: 0, max: 1_023 }), { maxLength: 5 }).map(partitionSet),
    horizonUs: fc.integer({ min: 0, max: 9 }),
    unprocessedWindows: fc.integer({ min: 0, max: 2 }),
  }),
  fc.record({ t: fc.constant("results-stored" as const), gateway, ordinal: fc.integer({ min: 0, max: 20 }) }),
);

export const anyCommand: fc.Arbitrary<SiteCommand | undefined> = fc.oneof(
  { weight: 6, arbitrary: plainCommand },
  { weight: 1, arbitrary: fc.record({ t: fc.constant("session-open" as const), gateway, session }) },
  {
    weight: 4,
    arbitrary: fc.record({
      t: fc.constant("once" as const),
      session,
      sequence: fc.integer({ min: 0, max: 6 }),
      floor: fc.integer({ min: 0, max: 4 }),
      command: plainCommand,
    }),
  },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

/** Bounds so small that what is rare happens in a log of fifty entries. */
export const smallBounds: SiteStateOptions = { sessionEntriesMax: 9, outboxRunsMax: 6 };
