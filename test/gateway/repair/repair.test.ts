// Goal: repair takes a tenth of a gateway's time, but says soon that all is well where it has just mended something. Method: its passes
// against an owner whose answers take a while of a clock in the test's hands. What it mends stands in `test/scenarios/repair.test.ts`.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { foundRing } from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import type { Compared, CompareRequest } from "../../../src/gateway/repair/comparison.ts";
import { Repair, type RepairOptions } from "../../../src/gateway/repair/repair.ts";
import { success } from "../../../src/lib/errors.ts";
import { gatewayId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";

const [self, other] = [gatewayId("gw-a"), gatewayId("gw-b")];
const repairPauseMinMs = 1_000;
const repairPauseMaxMs = 600_000;

/** What passes find: nothing, an hour that differs and of which the other one lacks something, or readings to fetch. */
type Found = "equal" | "differs" | number;

/** When the passes begin, monotonic ms, if each takes `passMs` and finds what is said. */
async function beginningsOf(passMs: number, found: readonly Found[]): Promise<number[]> {
  const gateways = [self, other].map((id) => ({ id, weight: 1, zone: undefined }));
  const ring = foundRing(encodeOwnerTable(planOwners({ gateways, factor: 2, epoch: 1, hash64: () => 1n })));
  if (!ring.ok) throw new Error(ring.message);
  let nowMs = 0;
  const beganMs: number[] = [];
  const repair: Repair = new Repair({
    context: {
      self,
      inbox: { closed: () => false },
      tuning: { repairPauseMinMs, repairPauseMaxMs },
      random: new SeededRandom(1),
      diagnostics: { error: (what: string, detail: object) => assert.unreachable(`${what} ${JSON.stringify(detail)}`) },
      clock: {
        monotonicMs: () => nowMs,
        schedule: (ms: number, fire: () => void) => {
          setImmediate(() => {
            nowMs += ms;
            fire();
          });
        },
      },
    } as unknown as RepairOptions["context"],
    comparison: {
      waitedMs: 0,
      compare: (_owner, { partitions }: CompareRequest) => {
        beganMs.push(nowMs);
        nowMs += passMs;
        if (beganMs.length === found.length) repair.stop();
        const here = found[beganMs.length - 1];
        const equal = new Set(here === "equal" ? partitions : partitions.slice(1));
        const readings = typeof here === "number" ? here : 0;
        const compared: Compared = { equal, hours: here === "equal" ? 0 : 1, readings, unknown: false };
        return Promise.resolve(success(compared));
      },
    },
    fetcher: { waitedMs: 0 },
    restorer: { run: () => Promise.resolve(0), restored: 0, readings: 0 },
    ring: () => ring.value,
    reachable: () => true,
    isOn: () => true,
  });
  repair.start();
  for (let turn = 0; turn < 5_000 && beganMs.length < found.length; turn++) await new Promise((resolve) => setImmediate(resolve));
  return beganMs;
}

const test = suite("gateway/repair: its pauses");

for (const [what, passMs, found, pausesMs] of [
  ["ten times as long as the pass", 6_000, ["equal", "equal", "equal"], [60_000, 60_000]],
  ["as long as the pass where it fetched something", 6_000, [500, 20, "equal", "equal"], [6_000, 6_000, 60_000]],
  [
    "as long as the pass where it found a difference, and then longer, until it is as usual",
    2_000,
    ["differs", "differs", "differs", "differs", "differs", "differs", 5, "differs", "equal", "equal"],
    [2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 2_000, 2_000, 20_000],
  ],
  ["a moment at least", 5, [500, "equal", "equal"], [1_000, 1_000]],
  ["ten minutes at most", 100_000, ["equal", "equal"], [600_000]],
] as const) {
  test(`a pause is ${what}`, async () => {
    const beganMs = await beginningsOf(passMs, found);
    assert.equal(
      beganMs.slice(1).map((ms, at) => ms - (beganMs[at] as number) - passMs),
      pausesMs,
    );
  });
}

test.run();
