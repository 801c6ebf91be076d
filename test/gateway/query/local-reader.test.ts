// Goal: what an owner answers about a partition is all of it, or a refusal, also when the partition goes to others while it reads. Method:
// the real store on a simulated disk; the table changes behind the first series that is read.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { foundRing, type RingState, removeOwner } from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import { RoundBuilder } from "../../../src/core/round/round-builder.ts";
import { decodeRound } from "../../../src/core/round/round-codec.ts";
import { LocalReader } from "../../../src/gateway/query/local-reader.ts";
import type { PagePosition, PageSeries } from "../../../src/gateway/query/wire.ts";
import { Rollups } from "../../../src/gateway/series/rollups.ts";
import { SeriesReader } from "../../../src/gateway/series/series-reader.ts";
import { type AggregateFunction, parseAggregateFunction } from "../../../src/lib/aggregate-function.ts";
import { createCalendar } from "../../../src/lib/calendar.ts";
import { gatewayId, partitionCount, sessionId } from "../../../src/lib/ids.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";
import { SeriesSite } from "../series/series-fixture.ts";

const test = suite("gateway/query: what an owner answers");

const self = gatewayId("gw-a");
const other = gatewayId("gw-b");

function bothOwn(): RingState {
  const gateways = [self, other].map((id) => ({ id, zone: undefined, weight: 1 }));
  const ring = foundRing(encodeOwnerTable(planOwners({ gateways, factor: 2, epoch: 1, hash64: testHash64 })));
  if (!ring.ok) throw new Error(ring.message);
  return ring.value;
}

for (const question of ["page", "aggregate"] as const) {
  test(`a partition that goes to others while it is read is no complete ${question}`, async () => {
    const site = new SeriesSite(1);
    const opened = await site.open();
    if (!opened.ok) throw new Error(opened.message);
    const { store, raw } = opened.value;
    for (let i = 0; i < 4; i++) await site.appendDurably(opened.value, [{ device: `d${i}`, us: 1_000 + i, value: i }]);
    let ring = bothOwn();
    let leftAtEpoch = 0;
    // As the gateway does it: of what is kept elsewhere nothing counts any more.
    store.retain(() => (leftAtEpoch > 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY));
    const reader = new SeriesReader(store);
    let leaves = false;
    const leaving = {
      isLarge: () => false,
      scan: async (...asked: Parameters<SeriesReader["scan"]>) => {
        const scanned = await reader.scan(...asked);
        if (leaves && leftAtEpoch === 0) {
          ring = removeOwner(ring, self);
          leftAtEpoch = ring.table.epoch;
        }
        return scanned;
      },
    };
    const blocks = new Rollups({ store: raw, damaged: () => undefined });
    const local = new LocalReader({
      self,
      index: store.index,
      reader: leaving as unknown as SeriesReader,
      calendar: createCalendar("UTC"),
      ring: () => ring,
      leftAtEpoch: () => leftAtEpoch,
      labelsOf: () => ({}),
      rawHorizonUs: () => Number.NEGATIVE_INFINITY,
      rollupHorizonUs: () => Number.NEGATIVE_INFINITY,
      clock: { schedule: (ms: number, fire: () => void) => site.scheduler.schedule(ms, "turn", fire) } as unknown as Clock,
      rollups: undefined,
      blocks,
    });
    const asked = {
      epoch: 1,
      partitions: Array.from({ length: partitionCount }, (_, at) => at),
      selector: { metric: undefined, device: "*", labels: {} },
      fromUs: 0,
      toUs: 1_000_000,
    };
    const answer = async () =>
      question === "page"
        ? await site.settle(local.page({ ...asked, after: undefined, limit: 100 }))
        : await site.settle(
            local.aggregate({
              ...asked,
              windowMs: 0,
              functions: [parseAggregateFunction("count") as AggregateFunction],
              groupBy: [{ kind: "device" }],
            }),
          );
    assert.ok((await answer()).ok);
    leaves = true;
    const last = await answer();
    assert.equal([last.ok, last.ok ? "" : last.code], [false, "ring-changed"]);
  });
}

test("a page is short enough to be a frame, and to be kept as a round, however long the names are", async () => {
  const site = new SeriesSite(2);
  const opened = await site.open();
  if (!opened.ok) throw new Error(opened.message);
  const { store, raw } = opened.value;
  const devices = 320;
  const deviceOf = (i: number): string => `${"x".repeat(60_000)}${String(i).padStart(4, "0")}`;
  for (let i = 0; i < devices; i++) await site.appendDurably(opened.value, [{ device: deviceOf(i), us: 1_000 + i, value: i }]);
  const local = new LocalReader({
    self,
    index: store.index,
    reader: new SeriesReader(store),
    calendar: createCalendar("UTC"),
    ring: bothOwn,
    leftAtEpoch: () => 0,
    labelsOf: () => ({}),
    rawHorizonUs: () => Number.NEGATIVE_INFINITY,
    rollupHorizonUs: () => Number.NEGATIVE_INFINITY,
    clock: { schedule: (ms: number, fire: () => void) => site.scheduler.schedule(ms, "turn", fire) } as unknown as Clock,
    rollups: undefined,
    blocks: new Rollups({ store: raw, damaged: () => undefined }),
  });
  const partitions = Array.from({ length: partitionCount }, (_, at) => at);
  const selector = { metric: undefined, device: "*", labels: {} };
  const header = { coordinator: self, session: sessionId("00".repeat(16)), round: 1, epoch: 1, clockSynchronised: true };
  let found = 0;
  let after: PagePosition | undefined;
  for (let pages = 0; pages < 20; pages++) {
    const page = await site.settle(local.page({ epoch: 1, partitions, selector, fromUs: 0, toUs: 1_000_000, after, limit: 20_000 }));
    if (!page.ok) throw new Error(page.message);
    const { series, end } = page.value;
    const builder = new RoundBuilder((ref) => series[ref] as PageSeries);
    for (const [ref, { run }] of series.entries()) builder.appendValue(ref, run.times[0] as number, run.numbers[0] as number);
    assert.ok(decodeRound(builder.encode(header, 2), 2).ok);
    found += series.length;
    if (end) break;
    const { device, metric, run } = series.at(-1) as PageSeries;
    after = { device, metric, us: run.times[run.count - 1] as number };
  }
  assert.is(found, devices);
});

test.run();
