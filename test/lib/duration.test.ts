// Goal: durations read as people write them, and nothing else does. Method: tables, and a round trip.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { formatDuration, parseDuration } from "../../src/lib/duration.ts";

const test = suite("lib: durations");
test("what is one, and what is none", () => {
  assert.equal(
    ["500ms", "30s", "5m", "1h", "90d", "2w", "2y", "0s"].map(parseDuration),
    [500, 30_000, 300_000, 3_600_000, 7_776_000_000, 1_209_600_000, 63_072_000_000, 0],
  );
  for (const bad of ["", "5", "s", "1.5h", "-1h", "1 h", "1H", "1h30m", "1Y", "1M", "9999999999999s", "999999999999w"])
    assert.is(parseDuration(bad), undefined, bad);
});
test("formatting is read back", () => {
  assert.equal([0, 1, 1_000, 90_000, 5_400_000, 172_800_000].map(formatDuration), ["0ms", "1ms", "1s", "90s", "90m", "2d"]);
  fc.assert(
    fc.property(fc.nat({ max: 1e12 }), (ms) => parseDuration(formatDuration(ms)) === ms),
    { seed: 1 },
  );
});
test.run();
