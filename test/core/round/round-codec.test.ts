// Goal: a round comes back from its bytes exactly, and bytes that are not a round give an error and never a crash or a
// wrong reading. Method: pinned examples, then fast-check over readings, truncations, bit flips and garbage.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RoundBuilder } from "../../../src/core/round/round-builder.ts";
import { decodeRound, type RoundHeader } from "../../../src/core/round/round-codec.ts";
import { deviceId, gatewayId, sessionId } from "../../../src/lib/ids.ts";
import type { ReadingValue } from "../../../src/lib/reading.ts";
import { type ReadingColumns, valueAt } from "../../../src/lib/reading-columns.ts";

const names = Array.from({ length: 40 }, (_, i) => ({
  device: deviceId(i === 7 ? "gerät-𝄞" : `dev-${i}`),
  metric: i % 2 === 0 ? "temperature" : "h",
}));
const nameOf = (ref: number) => names[ref % names.length] as (typeof names)[number];
const header: RoundHeader = { coordinator: gatewayId("gw-a"), session: sessionId("00ff"), round: 12, epoch: 3, clockSynchronised: true };

interface Row {
  ref: number;
  timeUs: number;
  value: ReadingValue;
}

const anyRow: fc.Arbitrary<Row> = fc.record({
  ref: fc.nat(39),
  timeUs: fc.maxSafeInteger(),
  value: fc.oneof(fc.double(), fc.boolean(), fc.string({ unit: "grapheme" })),
});

function build(rows: readonly Row[], builder = new RoundBuilder(nameOf)): RoundBuilder {
  for (const row of rows) builder.appendValue(row.ref, row.timeUs, row.value);
  return builder;
}

function rowsOf(columns: ReadingColumns) {
  return Array.from({ length: columns.count }, (_, i) => {
    const name = columns.seriesTable[columns.series[i] as number];
    return { device: name?.device, metric: name?.metric, timeUs: (columns.times[i] as number) + 0, value: valueAt(columns, i) };
  });
}

const expected = (rows: readonly Row[]) => rows.map((row) => ({ ...nameOf(row.ref), timeUs: row.timeUs + 0, value: row.value }));

function decoded(bytes: Uint8Array) {
  const result = decodeRound(bytes);
  if (!result.ok) throw new Error(result.message);
  return result.value;
}

const round = suite("round codec");

round("gives back what was appended", () => {
  const builder = new RoundBuilder(nameOf);
  fc.assert(
    fc.property(fc.array(anyRow, { maxLength: 300 }), fc.boolean(), (rows, clockSynchronised) => {
      builder.reset();
      build(rows, builder);
      const result = decoded(builder.encode({ ...header, clockSynchronised }));
      assert.equal(result.header, { ...header, clockSynchronised });
      assert.equal(rowsOf(result.columns), expected(rows));
      assert.equal(rowsOf(builder.columns()), expected(rows));
    }),
    { numRuns: 100 },
  );
});

round("numeric columns are views when aligned and right when not", () => {
  const rows = Array.from({ length: 50 }, (_, i) => ({ ref: i, timeUs: i * 1000, value: i / 7 }));
  const bytes = build(rows).encode(header);
  assert.is(decoded(bytes).columns.times.buffer, bytes.buffer);
  for (let shift = 1; shift <= 8; shift++) {
    const shifted = new Uint8Array(bytes.length + shift);
    shifted.set(bytes, shift);
    assert.equal(rowsOf(decoded(shifted.subarray(shift)).columns), expected(rows), `shifted by ${shift}`);
  }
});

round("names a series once, also after many rounds of reuse", () => {
  const builder = new RoundBuilder(nameOf);
  for (let i = 0; i < 100; i++) {
    builder.reset();
    build(
      [
        { ref: i, timeUs: 1, value: 1 },
        { ref: i, timeUs: 2, value: 2 },
        { ref: i + 1, timeUs: 3, value: 3 },
      ],
      builder,
    );
    assert.equal(builder.columns().seriesTable, [nameOf(i), nameOf(i + 1)]);
  }
});

round("numbers keep their bits: minus zero, infinities, NaN", () => {
  const values = [-0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 5e-324, 1.7976931348623157e308];
  const { columns } = decoded(build(values.map((value, i) => ({ ref: 0, timeUs: i, value }))).encode(header));
  assert.ok(values.every((value, i) => Object.is(columns.numbers[i], value)));
});

round("a lone surrogate becomes U+FFFD before anyone sees it", () => {
  const builder = build([
    { ref: 0, timeUs: 1, value: "a\ud800" },
    { ref: 0, timeUs: 2, value: "\udc00b" },
    { ref: 0, timeUs: 3, value: "𝄞" },
  ]);
  assert.equal(
    rowsOf(builder.columns()).map((row) => row.value),
    ["a\ufffd", "\ufffdb", "𝄞"],
  );
  assert.equal(
    rowsOf(decoded(builder.encode(header)).columns).map((row) => row.value),
    ["a\ufffd", "\ufffdb", "𝄞"],
  );
});

round("the estimate is close to the real size", () => {
  const builder = build(Array.from({ length: 1000 }, (_, i) => ({ ref: i % 40, timeUs: i, value: i % 3 === 0 ? `text ${i}` : i })));
  const size = builder.encode(header).length;
  assert.ok(Math.abs(builder.byteEstimate - size) < size * 0.05, `${builder.byteEstimate} against ${size}`);
});

round("every truncation is an error", () => {
  const bytes = build([
    { ref: 7, timeUs: 5, value: "x" },
    { ref: 1, timeUs: 6, value: true },
    { ref: 2, timeUs: 7, value: 1.5 },
  ]).encode(header);
  for (let length = 0; length < bytes.length; length++) assert.not.ok(decodeRound(bytes.subarray(0, length)).ok, `${length} bytes`);
});

round("a flipped bit or garbage never crashes, and what decodes is valid", () => {
  const bytes = build([
    { ref: 7, timeUs: 5, value: "x𝄞" },
    { ref: 1, timeUs: 6, value: true },
    { ref: 2, timeUs: 7, value: 1.5 },
  ]).encode(header);
  const check = (candidate: Uint8Array) => {
    const result = decodeRound(candidate);
    if (!result.ok) return assert.type(result.message, "string");
    for (const row of rowsOf(result.value.columns)) {
      assert.ok(Number.isSafeInteger(row.timeUs));
      assert.ok(row.value !== undefined && row.device !== undefined);
    }
  };
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    check(flipped);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 200 });
});

const breakages: readonly [string, (view: DataView, bytes: Uint8Array) => void][] = [
  ["a fraction of a µs", (view) => view.setFloat64(48, 1.5, true)],
  ["a time of NaN", (view) => view.setFloat64(48, Number.NaN, true)],
  ["a time beyond 2^53", (view) => view.setFloat64(48, 2 ** 60, true)],
  ["a boolean of 2", (view) => view.setFloat64(48 + 24 + 8, 2, true)],
  ["a text that is not there", (view) => view.setFloat64(48 + 24, 1, true)],
  ["a series that is not there", (view) => view.setUint32(48 + 48, 3, true)],
  ["a round number that is a fraction", (view) => view.setFloat64(24, 0.5, true)],
  ["a count of four billion", (view) => view.setUint32(12, 0xffffffff, true)],
  ["texts that are not UTF-8", (_view, bytes) => bytes.fill(0xff, bytes.length - 1)],
];

for (const [what, spoil] of breakages) {
  round(`refuses ${what}`, () => {
    const bytes = build([
      { ref: 0, timeUs: 5, value: "x" },
      { ref: 1, timeUs: 6, value: true },
      { ref: 2, timeUs: 7, value: 1.5 },
    ]).encode(header);
    assert.ok(decodeRound(bytes).ok);
    spoil(new DataView(bytes.buffer), bytes);
    assert.not.ok(decodeRound(bytes).ok);
  });
}

round("another format version is named as such", () => {
  const bytes = build([]).encode(header);
  bytes[4] = 2;
  const result = decodeRound(bytes);
  assert.is(result.ok ? "" : result.code, "unsupported-version");
});

round.run();
