// Goal: what is left of given-up readings gets to another gateway whole, whatever a page holds, and also while more of it becomes
// blocks; what a page cannot be is refused. Method: two real stores on simulated disks, and questions that are handed over by hand.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RolledPages } from "../../src/gateway/rolled-pages.ts";
import { Rollups } from "../../src/gateway/series/rollups.ts";
import type { Series } from "../../src/gateway/series/series-index.ts";
import { SeriesReader } from "../../src/gateway/series/series-reader.ts";
import { failure, type Result, success } from "../../src/lib/errors.ts";
import { gatewayId, type Partition, partition, partitionCount } from "../../src/lib/ids.ts";
import { encodeRollup, type Rollup } from "../../src/series/rollup.ts";
import { testHash64 } from "../core/ring/test-hash.ts";
import { type OpenSeries, SeriesSite } from "./series/series-fixture.ts";

const test = suite("gateway: pages of rollups");

const owner = gatewayId("gw-a");
const hourUs = 3_600_000_000;
const everywhere = { epoch: 1, partitions: Array.from({ length: partitionCount }, (_, at) => at) };
const all = new Set<Partition>(everywhere.partitions.map(partition));

interface Side {
  readonly site: SeriesSite;
  readonly open: OpenSeries;
  rawUs: number;
}

async function sideOf(seed: number): Promise<Side> {
  const site = new SeriesSite(seed);
  const open = await site.open();
  if (!open.ok) throw new Error(open.message);
  const side = { site, open: open.value, rawUs: 0 };
  open.value.store.retain(
    () => side.rawUs,
    () => 0,
  );
  return side;
}

type Handler = (body: unknown) => Promise<Result<unknown>>;

/** `asked`: what the question is answered with; as the other side serves it when absent. */
function pagesOf(side: Side, { pageBytes = 1, asked }: { readonly pageBytes?: number; readonly asked?: Handler } = {}) {
  let serve: Handler = () => Promise.resolve(failure("not-found", "nobody serves"));
  const { store } = side.open;
  const pages = new RolledPages({
    index: store.index,
    reader: new SeriesReader(store),
    blocks: new Rollups({ store: side.open.raw, damaged: () => undefined }),
    requests: {
      serve: (_type, handler) => {
        serve = (body) => handler(owner, body);
      },
      call: (_to, _type, body) => (asked ?? serve)(body),
    },
    hash64: testHash64,
    horizonUs: () => side.rawUs,
    checked: () => success(all),
    adopt: (series, rollups) => store.adoptBlocks(series, rollups),
    pageBytes,
  });
  return { pages, serve: (body: unknown) => serve(body) };
}

async function fill(side: Side, device: string, hours: number): Promise<void> {
  const readings = Array.from({ length: hours * 6 }, (_, i) => ({ device, us: i * (hourUs / 6), value: (i * 7) % 13 }));
  for (let from = 0; from < readings.length; from += 300) {
    await side.site.appendDurably(side.open, readings.slice(from, from + 300));
    await side.site.settle(side.open.store.checkpoint());
  }
}

async function roll(side: Side, rawUs: number, lagUs = 0): Promise<void> {
  side.rawUs = rawUs;
  for (;;) {
    const dropped = await side.site.settle(side.open.store.dropBefore(100, lagUs));
    if (!dropped.ok) throw new Error(dropped.message);
    if (dropped.value.chunks === 0) return;
  }
}

/** Both disks at once, as long as it takes. */
async function settleBoth<T>(one: Side, other: Side, promise: Promise<T>): Promise<T> {
  let done = false;
  const ended = promise.finally(() => {
    done = true;
  });
  ended.catch(() => undefined);
  for (let turns = 0; !done && turns < 100_000; turns++) {
    one.site.scheduler.step();
    other.site.scheduler.step();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return ended;
}

const readingsIn = (series: Series | undefined): number => (series?.blocks ?? []).reduce((sum, { count }) => sum + count, 0);

test("series and blocks come in as many pages as it takes, with what is in no block yet", async () => {
  const from = await sideOf(1);
  for (const device of ["d1", "d2", "d3"]) await fill(from, device, 1_000);
  await roll(from, 300 * hourUs);
  await roll(from, 700 * hourUs);
  from.rawUs = 900 * hourUs + 1;
  const to = await sideOf(2);
  to.rawUs = from.rawUs;
  const source = pagesOf(from);
  let questions = 0;
  const { pages } = pagesOf(to, {
    asked: (body) => {
      questions++;
      return source.serve(body);
    },
  });
  assert.equal(await settleBoth(from, to, pages.fetchAll(owner, everywhere)), { ok: true, value: undefined });
  const blocks = from.open.store.index.all().reduce((sum, series) => sum + series.blocks.length, 0);
  assert.ok(blocks >= 6 && questions > blocks, `${questions} questions for ${blocks} blocks`);
  for (const device of ["d1", "d2", "d3"]) {
    const series = to.open.store.index.all().find((each) => each.device === device);
    assert.is(readingsIn(series), 900 * 6 + 1, "what is below the horizon, and nothing else");
  }
  assert.equal(await settleBoth(from, to, pages.fetchAll(owner, everywhere)), { ok: true, value: undefined });
  assert.is(readingsIn(to.open.store.index.all()[0]), 900 * 6 + 1, "again, and nothing has changed");
});

test("a block that grows between two pages takes the place of what came of it", async () => {
  const from = await sideOf(3);
  await fill(from, "d1", 900);
  await roll(from, 400 * hourUs);
  await roll(from, 500 * hourUs);
  from.rawUs = 800 * hourUs;
  const to = await sideOf(4);
  to.rawUs = from.rawUs;
  const source = pagesOf(from);
  let questions = 0;
  const { pages } = pagesOf(to, {
    asked: async (body) => {
      // The first page ends with the first block; then the last one is joined with what follows it.
      if (++questions === 3) void from.open.store.dropBefore(100, 0);
      return source.serve(body);
    },
  });
  assert.equal(await settleBoth(from, to, pages.fetchAll(owner, everywhere)), { ok: true, value: undefined });
  assert.is(readingsIn(to.open.store.index.all()[0]), 800 * 6);
});

test("an owner that knows no rollups has none; one that answers with something else is refused, and nothing is kept", async () => {
  const from = await sideOf(5);
  await fill(from, "d1", 100);
  await roll(from, 60 * hourUs);
  const [series] = from.open.store.index.all();
  if (series === undefined) throw new Error("no series");
  const rollups: Rollup[] = [];
  await settleBoth(
    from,
    from,
    new Rollups({ store: from.open.raw, damaged: () => undefined }).blocksOf(series, series.blocks).then((found) => rollups.push(...found)),
  );
  const bytes = encodeRollup(series.hash, rollups[0] as Rollup);
  const item = { d: "d1", m: "value", b: [bytes] };
  const to = await sideOf(6);
  to.rawUs = from.rawUs;
  const answerOf = async (answer: Result<unknown>) => {
    const { pages } = pagesOf(to, { asked: () => Promise.resolve(answer) });
    const fetched = await settleBoth(to, to, pages.fetchAll(owner, everywhere));
    return fetched.ok ? "" : fetched.code;
  };
  assert.is(await answerOf(failure("not-found", "gw-a does not know the question")), "");
  assert.is(await answerOf(failure("busy", "later")), "busy");
  for (const strange of [
    null,
    {},
    { series: [null], end: true },
    { series: [{ d: 1, m: "value", b: [bytes] }], end: true },
    { series: [{ ...item, d: "d2" }], end: true },
    { series: [{ ...item, b: [] }], end: true },
    { series: [{ ...item, b: [bytes.subarray(1)] }], end: true },
    { series: [{ ...item, b: ["text"] }], end: true },
    { series: [item, item], end: true },
    { series: [{ ...item, d: "d1", m: "z" }, item], end: true },
  ])
    assert.is(await answerOf(success(strange)), "internal", JSON.stringify(strange)?.slice(0, 60));
  assert.is(
    to.open.store.index.all().reduce((sum, each) => sum + each.blocks.length, 0),
    0,
  );
  // The same page for ever ends as well.
  assert.is(await answerOf(success({ series: [item], end: false })), "internal");
  to.rawUs = 10 * hourUs;
  assert.is(await answerOf(success({ series: [item], end: true })), "not-ready", "what is kept here is not given up by others");
  to.rawUs = from.rawUs;
  assert.is(await answerOf(success({ series: [item], end: true })), "");
  assert.is(readingsIn(to.open.store.index.all()[0]), readingsIn(series));
});

test.run();
