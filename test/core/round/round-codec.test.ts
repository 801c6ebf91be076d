// Goal: a round comes back from its bytes exactly, and bytes that are not a round give an error and never a crash or a
// wrong reading. Method: pinned examples, then fast-check over readings, truncations, bit flips and garbage.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RoundBuilder } from "../../../src/core/round/round-builder.ts";
import { decodeRound, type RoundVersion } from "../../../src/core/round/round-codec.ts";
import type { RoundHeader } from "../../../src/core/round/round-format.ts";
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

const versions = [1, 2] as const satisfies readonly RoundVersion[];

const round = suite("round codec");

round("gives back what was appended", () => {
  const builder = new RoundBuilder(nameOf);
  fc.assert(
    fc.property(fc.array(anyRow, { maxLength: 300 }), fc.boolean(), (rows, clockSynchronised) => {
      builder.reset();
      build(rows, builder);
      for (const version of versions) {
        const result = decoded(builder.encode({ ...header, clockSynchronised }, version));
        assert.equal(result.header, { ...header, clockSynchronised });
        assert.equal(rowsOf(result.columns), expected(rows));
      }
      assert.equal(rowsOf(builder.columns()), expected(rows));
      assert.equal(rowsOf(builder.copyColumns()), expected(rows));
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
  for (const version of versions) {
    // Alone, and as exceptions among numbers of a few decimals.
    for (const among of [0, 40]) {
      const all = [...values, ...Array.from({ length: among }, (_, i) => i / 8)];
      const { columns } = decoded(build(all.map((value, i) => ({ ref: i % 3, timeUs: i, value }))).encode(header, version));
      assert.ok(all.every((value, i) => Object.is(columns.numbers[i], value)));
    }
  }
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
  for (const version of versions) {
    assert.equal(
      rowsOf(decoded(builder.encode(header, version)).columns).map((row) => row.value),
      ["a\ufffd", "\ufffdb", "𝄞"],
    );
  }
});

round("the estimate is close to the real size", () => {
  const builder = build(Array.from({ length: 1000 }, (_, i) => ({ ref: i % 40, timeUs: i, value: i % 3 === 0 ? `text ${i}` : i })));
  const size = builder.encode(header).length;
  assert.ok(Math.abs(builder.byteEstimate - size) < size * 0.05, `${builder.byteEstimate} against ${size}`);
});

round("every truncation is an error", () => {
  for (const version of versions) truncations(version);
});

function truncations(version: RoundVersion): void {
  const bytes = build([
    { ref: 7, timeUs: 5, value: "x" },
    { ref: 1, timeUs: 6, value: true },
    { ref: 2, timeUs: 7, value: 1.5 },
  ]).encode(header, version);
  for (let length = 0; length < bytes.length; length++) assert.not.ok(decodeRound(bytes.subarray(0, length)).ok, `${length} bytes`);
}

round("a flipped bit or garbage never crashes, and what decodes is valid", () => {
  for (const version of versions) damages(version);
});

function damages(version: RoundVersion): void {
  const bytes = build([
    { ref: 7, timeUs: 5, value: "x𝄞" },
    { ref: 1, timeUs: 6, value: true },
    { ref: 2, timeUs: 7, value: 1.5 },
    { ref: 7, timeUs: 1_005, value: Math.PI },
  ]).encode(header, version);
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
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (garbage, framed) =>
      check(framed ? Uint8Array.from([...bytes.subarray(0, 5), 2, ...garbage]) : garbage),
    ),
    { numRuns: 500 },
  );
}

round("version 2: what devices send takes a few bytes, and comes back exactly", () => {
  const nowUs = Date.UTC(2026, 10, 27) * 1_000 + 17;
  const device = (i: number) => ({ device: deviceId(`sensor-${i}`), metric: "temperature" });
  const builder = new RoundBuilder(device);
  const rows = Array.from({ length: 200 }, (_, i) => ({
    ref: i % 100,
    timeUs: nowUs + (i - (i % 3)) * 1_000,
    value: Math.round(2_000 + 700 * Math.sin(i)) / (i % 2 === 0 ? 100 : 1_000),
  }));
  for (const { ref, timeUs, value } of rows) builder.appendValue(ref, timeUs, value);
  const bytes = builder.encode(header, 2);
  assert.ok(bytes.length / rows.length <= 8, `${bytes.length / rows.length} bytes a reading, names included`);
  const { columns } = decoded(bytes);
  assert.equal(
    rowsOf(columns),
    rows.map(({ ref, timeUs, value }) => ({ ...device(ref), timeUs, value })),
  );
});

round("version 2: many series, names that part within a surrogate pair, long names, far times", () => {
  const tableNames = [
    { device: deviceId("a𝄞"), metric: "m" },
    { device: deviceId("a𝄟"), metric: "m" },
    { device: deviceId("x".repeat(128)), metric: "temperature-of-the-outer-wall" },
    { device: deviceId(`${"x".repeat(127)}y`), metric: "temperature-of-the-inner-wall" },
    ...Array.from({ length: 400 }, (_, i) => ({ device: deviceId(`d${i * 7}`), metric: `m${i % 5}` })),
  ];
  const nameAt = (ref: number) => tableNames[ref] as (typeof tableNames)[number];
  const builder = new RoundBuilder(nameAt);
  const far = [0, -5, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 4.4e15];
  for (const times of [far, [1_764_000_000_000_123, 1_764_000_000_001_123]]) {
    builder.reset();
    const rows = Array.from({ length: 1_000 }, (_, i) => ({
      ref: (i * 31) % tableNames.length,
      timeUs: times[i % times.length] as number,
    }));
    for (const { ref, timeUs } of rows) builder.appendValue(ref, timeUs, 1);
    const { columns } = decoded(builder.encode(header, 2));
    assert.equal(
      rowsOf(columns),
      rows.map(({ ref, timeUs }) => ({ ...nameAt(ref), timeUs, value: 1 })),
    );
  }
});

round("version 2: counts that the bytes cannot hold are refused before anything is allocated for them", () => {
  const bytes = build([{ ref: 0, timeUs: 5, value: 1 }]).encode(header, 2);
  // Behind magic, version, flags, round and epoch: readings, series, texts.
  for (const at of [8, 9, 10]) {
    const huge = Uint8Array.from([...bytes.subarray(0, at), 0xff, 0xff, 0x3f, ...bytes.subarray(at + 1)]);
    const result = decodeRound(huge);
    assert.not.ok(result.ok);
  }
});

round("version 2: a few bytes that claim gigabytes of names are refused", () => {
  const builder = new RoundBuilder((ref) => ({ device: deviceId(`${"n".repeat(60_000)}${ref}`), metric: "m" }));
  for (let i = 0; i < 400; i++) builder.appendValue(i, i, 1);
  const bytes = builder.encode(header, 2);
  assert.ok(bytes.length < 100_000);
  assert.not.ok(decodeRound(bytes).ok);
});

round("a gateway that knows version 1 only refuses version 2", () => {
  const result = decodeRound(build([{ ref: 0, timeUs: 5, value: 1 }]).encode(header, 2), 1);
  assert.is(result.ok ? "" : result.code, "unsupported-version");
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
  bytes[4] = 3;
  const result = decodeRound(bytes);
  assert.is(result.ok ? "" : result.code, "unsupported-version");
});

round.run();
