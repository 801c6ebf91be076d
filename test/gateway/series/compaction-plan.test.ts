// Goal: whatever chunks a series has, plans come to an end in chunks that are disjoint and few, no reading is rewritten more often
// than the sizes promise, and damaged chunks stay apart; a run is cut so that it overlaps one span at most. Method: random
// chunks, merged as the compactor would, without a store.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { cutAtSpans, cutToChunks, spansOf } from "../../../src/gateway/series/chunk-spans.ts";
import { type CompactionUrge, fullReadings, planCompaction } from "../../../src/gateway/series/compaction-plan.ts";
import type { ChunkRef } from "../../../src/gateway/series/store-keys.ts";
import { chunkReadingsMax } from "../../../src/series/chunk.ts";
import type { SeriesRun } from "../../../src/series/run.ts";

const limits = { readingsMax: 65_536, fanIn: 16 };

/** A chunk that stands for its times, evenly spread. */
interface Modelled extends ChunkRef {
  readonly times: readonly number[];
}

const chunkOf = (times: readonly number[], state: ChunkRef["state"] = "live"): Modelled => ({
  kind: "chunk",
  series: 1,
  minUs: times[0] as number,
  maxUs: times.at(-1) as number,
  count: times.length,
  checkpoint: 1,
  part: 0,
  bytes: 0,
  state,
  times,
});

const range = (from: number, count: number, step = 1): number[] => Array.from({ length: count }, (_, i) => from + i * step);

const runOf = (times: readonly number[]): SeriesRun => ({
  count: times.length,
  times: Float64Array.from(times),
  types: undefined,
  numbers: new Float64Array(times.length),
  texts: [],
});

function sorted(chunks: Modelled[]): Modelled[] {
  return chunks.sort((a, b) => a.minUs - b.minUs);
}

/** Merges until there is nothing left to merge; `rewritten` is told of every chunk that went in. */
function compacted(
  from: readonly Modelled[],
  urge: CompactionUrge,
  options: { readonly readingsMax: number; readonly fanIn: number } = limits,
  rewritten: (chunk: Modelled) => void = () => undefined,
): Modelled[] {
  let chunks = sorted([...from]);
  for (let round = 0; ; round++) {
    assert.ok(round < 10_000, "it does not come to an end");
    const plan = planCompaction(chunks, options, urge);
    if (plan === undefined) return chunks;
    const taken = new Set(plan.refs as readonly Modelled[]);
    assert.ok(taken.size >= 2 && [...taken].every((chunk) => chunk.state === "live"));
    for (const chunk of taken) rewritten(chunk);
    const times = [...new Set([...taken].flatMap((chunk) => chunk.times))].sort((a, b) => a - b);
    const sides = [times.filter((time) => time < plan.boundaryUs), times.filter((time) => time >= plan.boundaryUs)];
    const made = sides.flatMap((side) => cutToChunks(runOf(side)).map((run) => chunkOf([...run.times])));
    chunks = sorted([...chunks.filter((chunk) => !taken.has(chunk)), ...made]);
  }
}

const anyChunk = fc
  .record({ from: fc.integer({ min: 0, max: 20_000 }), count: fc.integer({ min: 1, max: 400 }), step: fc.integer({ min: 1, max: 40 }) })
  .map(({ from, count, step }) => chunkOf(range(from, count, step)));

const test = suite("gateway/series: compaction plans");

test("all chunks of a series, merged to the end, are disjoint, hold the same times, and no two neighbours would fit into one", () => {
  fc.assert(
    fc.property(fc.array(anyChunk, { minLength: 1, maxLength: 25 }), fc.constantFrom(1, 1_000, 65_536), (chunks, readingsMax) => {
      const done = compacted(chunks, "all", { readingsMax, fanIn: 16 });
      const all = (from: readonly Modelled[]) => [...new Set(from.flatMap((chunk) => chunk.times))].sort((a, b) => a - b);
      assert.equal(all(done), all(chunks));
      for (let at = 1; at < done.length; at++) {
        const [before, after] = [done[at - 1] as Modelled, done[at] as Modelled];
        assert.ok(before.maxUs < after.minUs, "disjoint");
        assert.ok(before.count + after.count > chunkReadingsMax || Math.max(before.count, after.count) >= fullReadings, "few");
      }
    }),
    { numRuns: 60 },
  );
});

test("readings that come in order are rewritten about twice at most on their way to full chunks", () => {
  for (const count of [1, 5, 16, 60, 300, 1_000, 2_900]) {
    let chunks: Modelled[] = [];
    let rewritten = 0;
    let appended = 0;
    for (let checkpoint = 0; appended < 40_000 && checkpoint < 10_000; checkpoint++) {
      chunks.push(chunkOf(range(appended, count)));
      appended += count;
      chunks = compacted(chunks, "usual", limits, (chunk) => {
        rewritten += chunk.count;
      });
    }
    const times = rewritten / appended;
    assert.ok(times <= (count < 16 ? 3 : 2), `chunks of ${count}: rewritten ${times} times`);
    assert.ok(chunks.length <= appended / fullReadings + 3 * limits.fanIn + 2, `chunks of ${count}: ${chunks.length} are left`);
  }
});

test("a full chunk is rewritten for a quarter of late readings, for many small batches of them, or once it is quiet", () => {
  const full = chunkOf(range(0, 4_000, 10));
  const late = (count: number, from = 5) => chunkOf(range(from, count, 10));
  assert.is(planCompaction([full, late(999)], limits, "usual"), undefined);
  assert.is(planCompaction([full, late(1_000)], limits, "usual")?.refs.length, 2);
  const layers = Array.from({ length: 7 }, (_, i) => late(3, 11 + i));
  assert.is(planCompaction(sorted([full, ...layers.slice(1)]), limits, "usual"), undefined);
  assert.is(planCompaction(sorted([full, ...layers]), limits, "usual")?.refs.length, 8);
  assert.is(planCompaction([full, late(1)], limits, "quiet")?.refs.length, 2);
});

test("a quiet series that gets a few readings now and then does not rewrite its large chunk for each of them", () => {
  const large = chunkOf(range(0, 1_000));
  assert.is(planCompaction([large, chunkOf(range(1_000, 100))], limits, "quiet"), undefined);
  const tail = [chunkOf(range(1_000, 100)), chunkOf(range(1_100, 100))];
  assert.equal(planCompaction([large, ...tail], limits, "quiet")?.refs, tail);
  assert.is(planCompaction([large, chunkOf(range(1_000, 500))], limits, "quiet")?.refs.length, 2);
});

test("damaged chunks stay apart, and so do the chunks on either side of them", () => {
  const small = (at: number, state?: ChunkRef["state"]) => chunkOf(range(at * 100, 10), state);
  const done = compacted([small(0), small(1), small(2, "damaged"), small(3), small(4)], "all");
  assert.equal(
    done.map((chunk) => chunk.count),
    [20, 10, 20],
  );
  assert.is(planCompaction([small(0), chunkOf(range(5, 10), "damaged")], limits, "all"), undefined);
});

test("a run is cut where spans begin and end", () => {
  fc.assert(
    fc.property(
      fc.array(anyChunk, { maxLength: 12 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 200 }),
      (chunks, times) => {
        const spans = spansOf(sorted(chunks));
        const pieces = cutAtSpans(runOf(times.sort((a, b) => a - b)), spans);
        assert.equal(
          pieces.flatMap((piece) => [...piece.times]),
          times,
        );
        for (const piece of pieces) {
          const [first, last] = [piece.times[0] as number, piece.times[piece.count - 1] as number];
          const met = spans.filter((span) => span.maxUs >= first && span.minUs <= last);
          assert.ok(met.length <= 1, "one at most");
          for (const span of met) assert.ok(first >= span.minUs && last <= span.maxUs, "and within it");
        }
      },
    ),
  );
});

test.run();
