// Goal: a chunk gives back exactly what was sealed, and damage of any kind is an error, never a wrong reading. Method:
// fast-check round trips, every truncation, every single bit flipped, random damage with a made-up checksum, pinned bytes, sizes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { crc32c } from "../../src/lib/crc32c.ts";
import { chunkReadingsMax, decodeChunk, decodeChunkStats, encodeChunk } from "../../src/series/chunk.ts";
import { digestRun, seriesHashOf } from "../../src/series/digest.ts";
import { type SeriesRun, sliceRows } from "../../src/series/run.ts";
import { pinsOfVersion1, pinsOfVersion2 } from "./chunk-pins.ts";
import { anyReadings, numberReadings, type Reading, readingsOf, runOf, sameReadings, uniqueOf } from "./readings.ts";

const series = seriesHashOf("dev-1", "temperature");
const unique = (readings: readonly Reading[]) => uniqueOf(readings).readings;

function decoded(bytes: Uint8Array) {
  const chunk = decodeChunk(series, bytes);
  if (!chunk.ok) throw new Error(chunk.message);
  return chunk.value;
}

const oneKind = (values: fc.Arbitrary<Reading[1]>) => fc.array(fc.tuple(fc.integer(), values), { minLength: 1, maxLength: 60 });
const anyChunk = fc
  .oneof(anyReadings, numberReadings, oneKind(fc.boolean()), oneKind(fc.constantFrom("open", "closed", "")))
  .map(unique)
  .filter((readings) => readings.length > 0);

const bytesOf = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));

const chunk = suite("series chunk");

chunk("round trip, at any offset in a larger buffer", () => {
  fc.assert(
    fc.property(anyChunk, fc.nat(9), (readings, shift) => {
      const run = runOf(readings);
      const bytes = encodeChunk(series, run);
      const shifted = new Uint8Array(bytes.length + shift);
      shifted.set(bytes, shift);
      const { run: back, stats } = decoded(shifted.subarray(shift));
      assert.ok(sameReadings(readingsOf(back), readings));
      assert.equal(stats.digest, digestRun(series, run));
      assert.equal([stats.count, stats.minTimeUs, stats.maxTimeUs], [readings.length, readings[0]?.[0], readings.at(-1)?.[0]]);
      assert.equal(decodeChunkStats(series, bytes), { ok: true, value: stats });
    }),
  );
});

chunk("encoding a slice is encoding its rows", () => {
  const run = runOf([
    [1, "a"],
    [2, 2],
    [3, "c"],
    [4, true],
    [5, "a"],
  ]);
  assert.equal(readingsOf(decoded(encodeChunk(series, sliceRows(run, 1, 4))).run), readingsOf(run).slice(1, 4));
});

chunk("says count, min, max, sum, first and last of the numeric values", () => {
  const readings: Reading[] = [
    [1, "x"],
    [2, 0.1],
    [3, true],
    [4, -5],
    [5, Number.NaN],
    [6, 0.2],
  ];
  assert.equal(decoded(encodeChunk(series, runOf(readings))).stats.numeric, {
    count: 4,
    min: -5,
    max: 1,
    sum: -3.7,
    first: 0.1,
    last: 0.2,
  });
  assert.is(decoded(encodeChunk(series, runOf([[1, "x"]]))).stats.numeric, undefined);
  assert.is(
    decoded(
      encodeChunk(
        series,
        runOf([
          [1, Number.POSITIVE_INFINITY],
          [2, 1],
        ]),
      ),
    ).stats.numeric?.sum,
    Number.POSITIVE_INFINITY,
  );
});

const regular = (count: number, each: (i: number) => Reading[1]) =>
  runOf(Array.from({ length: count }, (_, i): Reading => [1.7e15 + i * 1_000_000, each(i)]));
/** Whole numbers below `bound` in no order. */
const scattered = (i: number, bound: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) % bound;

chunk("regular times take no bytes, and what a chunk says of itself takes few", () => {
  assert.ok(
    encodeChunk(
      series,
      regular(chunkReadingsMax, () => 21.5),
    ).length < 70,
  );
  const values = regular(4096, (i) => scattered(i, 1024) / 10);
  const { length } = encodeChunk(series, values);
  assert.ok(length < (4096 * 10) / 8 + 170, `${length} bytes`);
  const gaps: SeriesRun = { ...values, times: values.times.map((time, i) => time + Math.floor(i / 1000) * 3_600_000_000) };
  assert.ok(encodeChunk(series, gaps).length < length + 40);
  const jitter: SeriesRun = { ...values, times: values.times.map((time, i) => time + scattered(i, 256) * 1000) };
  assert.ok(encodeChunk(series, jitter).length < length + (4096 * 9) / 8 + 200);
});

chunk("says the distance of regular times", () => {
  assert.is(
    decoded(
      encodeChunk(
        series,
        regular(100, (i) => i),
      ),
    ).run.stride,
    1_000_000,
  );
  assert.is(
    decoded(
      encodeChunk(
        series,
        regular(1, (i) => i),
      ),
    ).run.stride,
    undefined,
  );
  assert.is(
    decoded(
      encodeChunk(
        series,
        runOf([
          [1, 1],
          [2, 1],
          [4, 1],
        ]),
      ),
    ).run.stride,
    undefined,
  );
});

chunk("decodes into columns that are there", () => {
  const columns = { times: new Float64Array(chunkReadingsMax).fill(7), numbers: new Float64Array(chunkReadingsMax).fill(7) };
  fc.assert(
    fc.property(anyChunk, (readings) => {
      const chunk = decodeChunk(series, encodeChunk(series, runOf(readings)), columns);
      assert.ok(chunk.ok && chunk.value.run.times.buffer === columns.times.buffer);
      assert.ok(chunk.ok && sameReadings(readingsOf(chunk.value.run), readings));
    }),
  );
});

chunk("reads what was written once, of both versions", () => {
  for (const { name, readings, bytes } of [...pinsOfVersion1, ...pinsOfVersion2]) {
    const pinned = bytesOf(bytes);
    const { run, stats } = decoded(pinned);
    assert.ok(sameReadings(readingsOf(run), readings), name);
    assert.equal(stats.digest, digestRun(series, runOf(readings)), name);
    assert.equal(decodeChunkStats(series, pinned), { ok: true, value: stats });
    assert.equal(decoded(encodeChunk(series, runOf(readings))).stats, stats, name);
  }
});

chunk("texts come back unit for unit", () => {
  const texts: Reading[] = ["\ud800", "", "a\udc00", "\ufeff", "öffen", "x".repeat(5000)].map((text, i) => [i * i, text]);
  assert.equal(readingsOf(decoded(encodeChunk(series, runOf(texts))).run), texts);
});

chunk("takes the largest count and the widest range of times", () => {
  const most = runOf(Array.from({ length: chunkReadingsMax }, (_, i): Reading => [i * 7, i]));
  assert.is(decoded(encodeChunk(series, most)).run.count, chunkReadingsMax);
  const widest: Reading[] = [
    [-Number.MAX_SAFE_INTEGER, 1],
    [0, -0],
    [Number.MAX_SAFE_INTEGER, Number.NaN],
  ];
  assert.ok(sameReadings(readingsOf(decoded(encodeChunk(series, runOf(widest))).run), widest));
});

chunk("a caller's mistake is a bug", () => {
  assert.throws(() => encodeChunk(series, runOf([])));
  assert.throws(() =>
    encodeChunk(
      series,
      runOf([
        [2, 1],
        [1, 1],
      ]),
    ),
  );
  assert.throws(() =>
    encodeChunk(
      series,
      runOf([
        [1, 1],
        [1, 1],
      ]),
    ),
  );
});

const pins = [...pinsOfVersion1, ...pinsOfVersion2].map((pin) => bytesOf(pin.bytes));

chunk("every truncation and every single bit flipped is an error", () => {
  for (const bytes of pins) {
    for (let length = 0; length < bytes.length; length++) assert.not.ok(decodeChunk(series, bytes.subarray(0, length)).ok);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.not.ok(decodeChunk(series, flipped).ok, `bit ${bit}`);
      assert.not.ok(decodeChunkStats(series, flipped).ok, `bit ${bit}`);
    }
  }
});

/** What is decoded from bytes of any origin: an error, or readings with ascending times and a value each. */
function isErrorOrReadings(body: Uint8Array): boolean {
  const sealed = new Uint8Array(body.length + 4);
  sealed.set(body);
  new DataView(sealed.buffer).setUint32(body.length, crc32c(body), true);
  const result = decodeChunk(series, sealed);
  if (!result.ok) return ["truncated", "damaged", "unsupported-version"].includes(result.code);
  const rows = readingsOf(result.value.run);
  return rows.every(
    ([time, value], i) => Number.isSafeInteger(time) && value !== undefined && (i === 0 || time > (rows[i - 1]?.[0] as number)),
  );
}

chunk("every bit flipped behind a checksum that fits gives an error or a well-formed run, and never throws", () => {
  for (const bytes of pins) {
    const body = bytes.slice(0, bytes.length - 4);
    for (let bit = 0; bit < body.length * 8; bit++) {
      const flip = () => {
        body[bit >> 3] = (body[bit >> 3] as number) ^ (1 << (bit & 7));
      };
      flip();
      assert.ok(isErrorOrReadings(body), `bit ${bit}`);
      flip();
    }
  }
});

chunk("damage behind a checksum that fits gives an error or a well-formed run, and never throws", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...pins),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.nat(20),
      (bytes, damage, cut) => {
        const body = bytes.slice(0, bytes.length - 4 - (cut > 15 ? cut - 15 : 0));
        for (const [at, value] of damage) body[at % body.length] = value;
        assert.ok(isErrorOrReadings(body));
      },
    ),
    { numRuns: 3000 },
  );
});

chunk("garbage is an error", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => assert.not.ok(decodeChunk(series, bytes).ok)));
});

chunk("a chunk of another series, or of a later version, is refused as such", () => {
  const bytes = encodeChunk(series, runOf([[1, 1]]));
  const misplaced = decodeChunk(seriesHashOf("dev-2", "temperature"), bytes);
  assert.match(misplaced.ok ? "" : misplaced.message, "another series");
  bytes[4] = 3;
  new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32c(bytes, 0, 0, bytes.length - 4), true);
  const later = decodeChunk(series, bytes);
  assert.is(later.ok ? "" : later.code, "unsupported-version");
});

chunk.run();
