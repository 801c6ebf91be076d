// Goal: the checker of horizons objects to what it is there for, and to nothing else. Method: a gateway that is no more than what
// the checker reads, with horizons that go forward, back, and into the future.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { partitionCount } from "../../src/lib/ids.ts";
import { HorizonChecker } from "../../src/sim/horizon-checker.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";

const test = suite("sim: horizons");
const nowMs = 1_000_000_000;

function watched() {
  const checker = new HorizonChecker();
  const horizons = { raw: new Float64Array(partitionCount), rollup: new Float64Array(partitionCount) };
  let applied = 0;
  let process = {};
  const gateway = {
    id: "gw-a",
    running: () => ({
      process,
      gateway: { serving: () => ({ state: { appliedIndex: () => applied, horizons: (level: "raw" | "rollup") => horizons[level] } }) },
    }),
  };
  const look = (partition: number, horizonMs: number, level: "raw" | "rollup" = "raw"): string => {
    horizons[level][partition] = horizonMs * 1_000;
    applied++;
    try {
      // Of a gateway the checker uses no more than this.
      checker.observe(gateway as unknown as SimulatedGateway, nowMs);
      return "";
    } catch (error) {
      return String(error);
    }
  };
  const restart = (): void => {
    process = {};
  };
  return { look, restart };
}

test("forward is fine, back is not, of whichever level and partition", () => {
  for (const level of ["raw", "rollup"] as const) {
    const { look } = watched();
    assert.is(look(1_023, 100, level), "");
    assert.is(look(1_023, 100, level), "");
    assert.match(look(1_023, 99, level), /the horizon of partition 1023 goes back to 99000/);
  }
});

test("a process that has just started replays what it knew", () => {
  const { look, restart } = watched();
  assert.is(look(5, 100), "");
  restart();
  assert.is(look(5, 50), "");
  assert.match(look(5, 40), /goes back/);
});

test("a horizon of a wrong clock is in the future", () => {
  const { look } = watched();
  assert.is(look(5, nowMs + 60_000), "");
  assert.match(look(5, nowMs + 600_000), /the horizon of partition 5 is in the future/);
});

test.run();
