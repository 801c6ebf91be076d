// Goal: an owner that lies, or is confused, neither fills this gateway's disk with what nobody asked for, nor keeps it busy for
// ever, nor stops it. Method: answers that cannot be, one by one, to what a comparison asks; then an owner that always says that it
// has more, and never has.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../../src/core/ring/owner-changes.ts";
import { defaultTuning, type GatewayContext } from "../../../src/gateway/context.ts";
import type { Page } from "../../../src/gateway/query/wire.ts";
import { packPage } from "../../../src/gateway/query/wire.ts";
import { Comparison } from "../../../src/gateway/repair/comparison.ts";
import { readDigests, readSeriesDigests } from "../../../src/gateway/repair/digest-wire.ts";
import { PageFetcher, type PageFetcherOptions } from "../../../src/gateway/repair/page-fetcher.ts";
import type { PartitionDigests } from "../../../src/gateway/repair/partition-digests.ts";
import { type Result, success } from "../../../src/lib/errors.ts";
import { deviceId, gatewayId, type Partition, partitionOf } from "../../../src/lib/ids.ts";
import { emptyDigest, sameDigest } from "../../../src/series/digest.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";
import { runOf } from "../page-fixtures.ts";

const test = suite("gateway/repair: lying owners");
const owner = gatewayId("gw-b");
const device = deviceId("d1");
const at: Partition = partitionOf(device, testHash64);
const elsewhere = Array.from({ length: 50 }, (_, i) => deviceId(`e${i}`)).find((each) => partitionOf(each, testHash64) !== at) ?? device;

/** Of a gateway's world, repair uses no more than this. */
const context = {
  self: gatewayId("gw-a"),
  tuning: { ...defaultTuning, repairSettleMs: 1 },
  inbox: { closed: () => false },
  ports: { hash64: testHash64 },
  clock: { monotonicMs: () => 0, schedule: (_ms: number, fire: () => void) => setImmediate(fire) },
} as unknown as GatewayContext;
const ring = { table: { epoch: 7 }, filling: new Map() } as unknown as RingState;

test("digests that were not asked for, go back or say what cannot be", () => {
  const spans = { of: "span", partition: at, range: { from: 0, to: 10 } } as const;
  const roots = { of: "partition", partitions: [at] } as const;
  const fits = (nodes: unknown, end: unknown = true): boolean => readDigests({ nodes, end }, spans).ok;
  assert.ok(fits([]));
  assert.ok(
    fits([
      [0, 3, 1, 2],
      [9, -1, 0, 0],
    ]),
  );
  const lies: readonly unknown[] = [
    undefined,
    "all",
    [[10, 1, 1, 1]],
    [[-1, 1, 1, 1]],
    [
      [3, 1, 1, 1],
      [3, 1, 1, 1],
    ],
    [[3, -2, 1, 1]],
    [[3, 1.5, 1, 1]],
    [[3, 1, 2 ** 32, 1]],
    [[3, 1, 1]],
    [[3, "1", 1, 1]],
    [null],
    Array.from({ length: 5_000 }, (_, i) => [i, 1, 1, 1]),
  ];
  for (const nodes of lies) assert.not(fits(nodes), JSON.stringify(nodes)?.slice(0, 60));
  assert.not(fits([], false), "it stops early and has come nowhere");
  assert.not(fits([], "yes"));
  assert.ok(readDigests({ nodes: [[at, 1, 1, 1]], end: true }, roots).ok);
  for (const nodes of [
    [[at + 1, 1, 1, 1]],
    [
      [at, 1, 1, 1],
      [at, 1, 1, 1],
    ],
  ])
    assert.not(readDigests({ nodes, end: true }, roots).ok, JSON.stringify(nodes));
  for (const value of [undefined, null, 7, {}]) assert.not(readDigests(value, roots).ok);
});

test("series of other partitions and other hours, in another order, or from before the place asked for", () => {
  const wanted = { of: "series", partition: at, hours: [4, 5], after: undefined } as const;
  const fits = (nodes: readonly unknown[], after?: { readonly device: string; readonly metric: string }): boolean =>
    readSeriesDigests({ nodes, end: true }, { ...wanted, after }, testHash64).ok;
  assert.ok(
    fits([
      [device, "a", 4, 1, 1, 1],
      [device, "a", 5, 1, 1, 1],
      [device, "b", 4, -1, 0, 0],
    ]),
  );
  const lies: readonly (readonly unknown[])[] = [
    [[elsewhere, "a", 4, 1, 1, 1]],
    [[device, "a", 6, 1, 1, 1]],
    [
      [device, "b", 4, 1, 1, 1],
      [device, "a", 4, 1, 1, 1],
    ],
    [
      [device, "a", 5, 1, 1, 1],
      [device, "a", 4, 1, 1, 1],
    ],
    [[device, 7, 4, 1, 1, 1]],
    [[device, "x".repeat(70_000), 4, 1, 1, 1]],
    [[device, "a", 4, 1]],
  ];
  for (const nodes of lies) assert.not(fits(nodes), JSON.stringify(nodes).slice(0, 60));
  assert.not(fits([[device, "a", 4, 1, 1, 1]], { device, metric: "a" }));
  assert.ok(fits([[device, "b", 4, 1, 1, 1]], { device, metric: "a" }));
});

const page = (series: Page["series"], end = true): Page => ({ series, end });
const runAt = (...us: readonly number[]) => runOf(us.map((each) => [each, 1]));

function fetcherOf(answer: () => unknown) {
  const kept: number[] = [];
  const options: PageFetcherOptions = {
    context,
    requests: { call: () => Promise.resolve(success(answer())) },
    keeper: {
      encode: (series) => new Uint8Array(series.reduce((sum, { run }) => sum + run.count, 0)),
      keep: (round) => {
        kept.push(round.length);
        return Promise.resolve(success({ readings: round.length, bytes: round.length }));
      },
    },
    index: { find: () => undefined },
    reader: { scan: () => Promise.resolve(success(undefined)) },
    ring: () => ring,
    rawHorizonUs: () => 0,
    pendingReadings: () => 0,
  };
  return { fetcher: new PageFetcher(options), kept };
}

test("pages with other things than were asked for are kept from the disk", async () => {
  const wanted = { partitions: [at], names: { device, metric: "a" }, fromUs: 100, toUs: 200 };
  const metric = "a";
  const honest = fetcherOf(() => packPage(page([{ device, metric, run: runAt(100, 199) }])));
  assert.equal(await honest.fetcher.fetch(owner, 7, wanted), success({ readings: 2 }));
  const lies: readonly (readonly [string, unknown])[] = [
    ["another device", packPage(page([{ device: elsewhere, metric, run: runAt(100) }]))],
    ["another metric", packPage(page([{ device, metric: "b", run: runAt(100) }]))],
    ["before", packPage(page([{ device, metric, run: runAt(99) }]))],
    ["after", packPage(page([{ device, metric, run: runAt(200) }]))],
    ["not ascending", packPage(page([{ device, metric, run: runAt(150, 150) }]))],
    ["half a microsecond", packPage(page([{ device, metric, run: runAt(150.5) }]))],
    ["nothing, and more to come", packPage(page([], false))],
    ["a series without readings", packPage(page([{ device, metric, run: runAt() }]))],
    [
      "going back",
      packPage(
        page([
          { device, metric, run: runAt(150) },
          { device, metric, run: runAt(140) },
        ]),
      ),
    ],
    ["a text that is not there", packPage(page([{ device, metric, run: { ...runAt(150), types: Uint8Array.of(3) } }]))],
    ["too many", packPage(page([{ device, metric, run: runOf(Array.from({ length: 20_001 }, (_, i) => [100 + i / 1_000, 1])) }]))],
    ["no page", { pages: 1 }],
  ];
  for (const [what, lie] of lies) {
    const { fetcher, kept } = fetcherOf(() => lie);
    const fetched = await fetcher.fetch(owner, 7, wanted);
    assert.ok(!fetched.ok && fetched.code === "internal", what);
    assert.equal(kept, [], what);
  }
  const endless = fetcherOf(() => packPage(page([{ device, metric, run: runAt(150) }], false)));
  assert.not((await endless.fetcher.fetch(owner, 7, wanted)).ok, "the same page again and again");
  assert.equal(endless.kept, [1]);
  assert.not((await honest.fetcher.fetch(owner, 6, wanted)).ok, "another epoch");
});

test("an owner that always says that it has more, and never has, is let go of", async () => {
  let asked = 0;
  const call = (_to: unknown, type: unknown, body: unknown): Promise<Result<unknown>> => {
    asked++;
    const request = body as { of: string; from: number; to: number; partitions: number[]; hours: number[] };
    if (type === "page") return Promise.resolve(success(packPage(page([]))));
    const lie = (number: number) => [number, 5, 1, asked];
    if (request.of === "partition") return Promise.resolve(success({ nodes: request.partitions.map(lie), end: true }));
    if (request.of === "series")
      return Promise.resolve(success({ nodes: request.hours.map((hour) => [device, "a", ...lie(hour)]), end: true }));
    const count = Math.min(4_096, request.to - request.from);
    return Promise.resolve(success({ nodes: Array.from({ length: count }, (_, i) => lie(request.from + i)), end: count < 4_096 }));
  };
  const { fetcher } = fetcherOf(() => packPage(page([])));
  const nothing = {
    // This gateway has one reading, so that the way down the tree is taken.
    root: () => Promise.resolve(success({ at, digest: { ...emptyDigest, count: 1 } })),
    nodes: () => Promise.resolve(success([])),
    bySeries: () => Promise.resolve(success({ nodes: [], end: true })),
  };
  const comparison = new Comparison({
    context,
    requests: { call },
    digests: nothing as unknown as PartitionDigests,
    fetcher,
    ring: () => ring,
    rawHorizonUs: () => 0,
    isSettled: sameDigest,
  });
  const compared = await comparison.compare(owner, { epoch: 7, partitions: [at] }, { settled: false });
  assert.ok(!compared.ok && compared.code === "internal");
  assert.ok(asked < 1_000, `it asked ${asked} times`);
});

test.run();
