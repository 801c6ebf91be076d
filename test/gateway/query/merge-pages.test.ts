// Goal: a page merged from several owners' pages is a page of their union: nothing before its end is missing, nothing is
// twice, the greater value stands (section 5), and paging through ends with everything. Method: random replicas that each
// hold a part, paged like real owners with limits of their own, against a naive union.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeCursor, encodeCursor } from "../../../src/gateway/query/cursor.ts";
import { mergePages } from "../../../src/gateway/query/queries.ts";
import { type Page, type PagePosition, packPage, unpackPage } from "../../../src/gateway/query/wire.ts";
import { toHex } from "../../../src/lib/hex.ts";
import { deviceId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { runOf } from "../page-fixtures.ts";

interface Row {
  readonly device: string;
  readonly metric: string;
  readonly us: number;
  readonly value: number;
}

const positionOf = (row: Row | PagePosition) => [row.device, row.metric, String(row.us).padStart(8, "0")].join(" ");
const ascending = (a: Row, b: Row) => (positionOf(a) < positionOf(b) ? -1 : 1);

/** What an owner with these rows (in order, each identity once) answers. */
function pageOf(rows: readonly Row[], after: PagePosition | undefined, limit: number): Page {
  const behind = rows.filter((row) => after === undefined || positionOf(row) > positionOf(after));
  const taken = behind.slice(0, limit);
  const series: Page["series"][number][] = [];
  for (let from = 0; from < taken.length; ) {
    const first = taken[from] as Row;
    let to = from;
    while (taken[to]?.device === first.device && taken[to]?.metric === first.metric) to++;
    series.push({
      device: deviceId(first.device),
      metric: first.metric,
      run: runOf(taken.slice(from, to).map((row) => [row.us, row.value])),
    });
    from = to;
  }
  return { series, end: taken.length < limit };
}

/** One value for each identity: the greatest. */
function unionOf(all: readonly Row[]): Row[] {
  const byPosition = new Map<string, Row>();
  for (const row of all) {
    const known = byPosition.get(positionOf(row));
    if (known === undefined || known.value < row.value) byPosition.set(positionOf(row), row);
  }
  return [...byPosition.values()].sort(ascending);
}

function rowsOf(series: Page["series"]): Row[] {
  return series.flatMap(({ device, metric, run }) =>
    Array.from({ length: run.count }, (_, i) => ({ device, metric, us: run.times[i] as number, value: run.numbers[i] as number })),
  );
}

const row = fc.record<Row>(
  {
    device: fc.constantFrom("d1", "d2", "d3"),
    metric: fc.constantFrom("m", "n"),
    us: fc.integer({ min: 0, max: 12 }),
    value: fc.integer({ min: 0, max: 3 }),
  },
  { noNullPrototype: true },
);
const replicas = fc.array(fc.array(row, { maxLength: 40 }).map(unionOf), { minLength: 1, maxLength: 3 });

const test = suite("gateway/query: merged pages");

test("one merged page is the beginning of the union, up to where it says that the next begins", () => {
  const limits = fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(replicas, limits, fc.integer({ min: 1, max: 20 }), (owners, pageLimits, limit) => {
      const pages = owners.map((rows, at) => pageOf(rows, undefined, pageLimits[at] as number));
      const merged = mergePages(pages, { limit, complete: true });
      const union = unionOf(owners.flat());
      const found = rowsOf(merged.series);
      assert.ok(found.length <= limit);
      assert.equal(found, union.slice(0, found.length));
      if (merged.next === undefined) assert.is(found.length, union.length);
      else {
        const { next } = merged;
        assert.equal(
          found,
          union.filter((candidate) => positionOf(candidate) <= positionOf(next)),
        );
        assert.ok(found.length > 0, "each page gets further");
      }
    }),
    { numRuns: 500 },
  );
});

test("paging to the end gives the union, each identity once, whatever the page size", () => {
  fc.assert(
    fc.property(replicas, fc.integer({ min: 1, max: 9 }), (owners, limit) => {
      const found: Row[] = [];
      let after: PagePosition | undefined;
      do {
        const pages = owners.map((rows) => pageOf(rows, after, limit));
        const merged = mergePages(pages, { limit, complete: true });
        found.push(...rowsOf(merged.series));
        after = merged.next;
        assert.ok(found.length <= 200);
      } while (after !== undefined);
      assert.equal(found, unionOf(owners.flat()));
    }),
    { numRuns: 200 },
  );
});

test("whether all owners answered is passed on, not guessed", () => {
  for (const complete of [true, false]) assert.is(mergePages([pageOf([], undefined, 5)], { limit: 5, complete }).complete, complete);
});

test("a page survives its journey, texts and booleans included", () => {
  const packing = new Packing();
  const run = {
    count: 3,
    times: Float64Array.of(1, 2, 3),
    types: Uint8Array.of(2, 3, 1),
    numbers: Float64Array.of(-0, 1, 1),
    texts: ["unused", "é"],
  };
  const page: Page = { series: [{ device: deviceId("d"), metric: "m", run }], end: false };
  const unpacked = packing.unpack(packing.pack(packPage(page)));
  const back = unpacked.ok ? unpackPage(unpacked.value) : unpacked;
  assert.ok(back.ok);
  if (!back.ok) return;
  assert.is(back.value.end, false);
  const received = back.value.series[0]?.run;
  assert.equal([...(received?.times ?? [])], [1, 2, 3]);
  assert.ok(Object.is(received?.numbers[0], -0));
  assert.is(received?.texts[received.numbers[1] as number], "é");
});

test("a malformed page is an error, never rows", () => {
  const packing = new Packing();
  const good = packing.unpack(packing.pack(packPage(pageOf([{ device: "d", metric: "m", us: 1, value: 1 }], undefined, 5))));
  assert.ok(good.ok);
  const series = good.ok ? (good.value as { series: Record<string, unknown>[] }).series[0] : undefined;
  assert.ok(unpackPage({ end: true, series: [series] }).ok);
  const broken: unknown[] = [
    undefined,
    null,
    {},
    { end: true },
    { end: "yes", series: [] },
    { end: true, series: [{ ...series, t: new Uint8Array(7) }] },
    { end: true, series: [{ ...series, v: new Uint8Array(16) }] },
    { end: true, series: [{ ...series, y: new Uint8Array(2) }] },
    { end: true, series: [{ ...series, d: 7 }] },
    { end: true, series: [{ ...series, x: undefined }] },
    { end: true, series: [null] },
  ];
  for (const value of broken) assert.not(unpackPage(value).ok, JSON.stringify(value));
});

test("a cursor comes back as it was given out, and anything else is a bad request", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), fc.nat(), (device, metric, us) => {
      assert.equal(decodeCursor(encodeCursor({ device, metric, us })), { ok: true, value: { device, metric, us } });
    }),
  );
  const hex = (text: string) => toHex(new TextEncoder().encode(text));
  for (const cursor of ["", "zz", "abc", "ff", hex("{}"), hex("[1,2,3]"), hex('["d","m","1"]'), hex('["d","m"]')]) {
    const decoded = decodeCursor(cursor);
    assert.ok(!decoded.ok && decoded.code === "bad-request", cursor);
  }
});

test.run();
