// Goal: horizons move in steps, never beyond what jobs need nor the newest readings, and free what is missing, no more. Method: the
// pure rules on tables, and on a stock of readings that the test makes up.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { freeBytesWanted, parseFreeSpace } from "../../../src/config/free-space.ts";
import { ageHorizonUs, heldHorizon, SpacePressure, type Stock, spaceHorizonUs } from "../../../src/gateway/retention/policy.ts";

const hour = 3_600_000;
const day = 24 * hour;
const mebibyte = 1 << 20;

const test = suite("gateway/retention: rules");

test("by age: rounded down to the hour, short ones to a hundredth, and never below zero", () => {
  const nowMs = 1_000 * day + 17 * 60_000;
  assert.is(ageHorizonUs(nowMs, 90 * day), 910 * day * 1_000);
  assert.is(ageHorizonUs(nowMs, 20_000), (nowMs - 20_000) * 1_000, "a step of 200 ms");
  assert.is(ageHorizonUs(nowMs + 199, 20_000), (nowMs - 20_000) * 1_000);
  assert.is(ageHorizonUs(nowMs, 10), (nowMs - 10) * 1_000);
  assert.is(ageHorizonUs(5 * day, 90 * day), 0);
});

test("a window that is to be committed holds it back to its start, the oldest of them counts", () => {
  const windows = [
    { job: "late", fromMs: 50, toMs: 60 },
    { job: "later", fromMs: 40, toMs: 60 },
    { job: "open", fromMs: 900, toMs: 1_000 },
  ];
  assert.equal(heldHorizon(100_000, windows, day), { horizonUs: 40_000, by: windows[1] });
  assert.equal(heldHorizon(40_000, windows, day), { horizonUs: 40_000, by: undefined }, "it does not stand in the way yet");
  assert.equal(heldHorizon(100_000, [], day), { horizonUs: 100_000, by: undefined });
});

test("but not for ever", () => {
  const stuck = { job: "stuck", fromMs: 10, toMs: 20 };
  assert.equal(heldHorizon(100_000, [stuck], 30), { horizonUs: 70_000, by: stuck });
  assert.equal(heldHorizon(100_000, [stuck], Number.POSITIVE_INFINITY), { horizonUs: 10_000, by: stuck });
});

/** Chunks that end at these instants, with so many bytes each. */
function stockOf(chunks: readonly { readonly toUs: number; readonly bytes: number }[]): Stock {
  return {
    oldestUs: () => (chunks.length === 0 ? undefined : Math.min(...chunks.map(({ toUs }) => toUs - 10))),
    bytesBefore: (us) => chunks.filter(({ toUs }) => toUs < us).reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

test("for space: what is missing, oldest first, and nothing that is newer than the limit", () => {
  const stock = stockOf(Array.from({ length: 100 }, (_, at) => ({ toUs: (at + 1) * 1_000, bytes: 10 })));
  const some = spaceHorizonUs(stock, { missingBytes: 95, limitUs: 100_000 }) ?? 0;
  assert.ok(some > 10_000 && some <= 10_100, String(some));
  assert.is(spaceHorizonUs(stock, { missingBytes: 1e9, limitUs: 50_000 }), 50_000, "all that may go");
  assert.is(spaceHorizonUs(stock, { missingBytes: 1, limitUs: 900 }), undefined, "the first chunk is newer");
  assert.is(spaceHorizonUs(stockOf([]), { missingBytes: 1, limitUs: 900 }), undefined);
});

test("for space: always progress, within the limit, for any stock", () => {
  const chunk = fc.record({ toUs: fc.integer({ min: 11, max: 1e15 }), bytes: fc.integer({ min: 1, max: 1e9 }) });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 20 }), fc.nat({ max: 1e9 }), fc.nat({ max: 1e15 }), (chunks, missingBytes, limitUs) => {
      const stock = stockOf(chunks);
      const horizonUs = spaceHorizonUs(stock, { missingBytes, limitUs });
      if (horizonUs === undefined) return stock.bytesBefore(limitUs) === 0;
      const freed = stock.bytesBefore(horizonUs);
      return Number.isSafeInteger(horizonUs) && horizonUs <= limitUs && (freed >= missingBytes || freed === stock.bytesBefore(limitUs));
    }),
  );
});

test("a disk that is low stays low until there is a little more; no wish, or no answer, is never low", () => {
  const pressure = new SpacePressure();
  const space = (freeBytes: number) => ({ freeBytes, totalBytes: 1_000 });
  assert.equal(pressure.look(space(100), 100), { low: false, missingBytes: 0 });
  assert.equal(pressure.look(space(99), 100), { low: true, missingBytes: 6 });
  assert.ok(pressure.look(space(104), 100).low);
  assert.not(pressure.look(space(105), 100).low);
  assert.not(pressure.look(space(104), 100).low);
  assert.not(pressure.look(undefined, 100).low);
  assert.not(pressure.look(space(0), 0).low);
});

test("what is to stay free: a share or bytes, and nothing else", () => {
  const wanted = (text: string) => {
    const parsed = parseFreeSpace(text);
    return parsed === undefined ? undefined : freeBytesWanted(parsed, 200 * mebibyte);
  };
  assert.equal(["10%", "0%", "2.5%", "90%"].map(wanted), [20 * mebibyte, 0, 5 * mebibyte, 180 * mebibyte]);
  assert.equal(
    ["500MiB", "2GiB", "1.5GiB", "1TiB", "8KiB"].map(wanted),
    [500, 2_048, 1_536, 1 << 20, 1 / 128].map((mib) => mib * mebibyte),
  );
  for (const bad of ["", "10", "91%", "100%", "-1%", "1e2%", "2GB", "2 GiB", "GiB", "2gib", "% 10", "10%%"])
    assert.is(wanted(bad), undefined, bad);
});

test.run();
