// Goal: whatever chunks come and go, and however they overlap, exactly those that touch a range are found, in order. Method: fast-check,
// against looking at each of them.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { addChunk, chunksBetween, removeChunks, SeriesIndex } from "../../../src/gateway/series/series-index.ts";
import type { ChunkRef } from "../../../src/gateway/series/store-keys.ts";
import { deviceId } from "../../../src/lib/ids.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";

const test = suite("gateway/series: index");

test("chunks between two times", () => {
  const anyChange = fc.record({ minUs: fc.nat(100), length: fc.nat(30), isRemoved: fc.boolean() });
  fc.assert(
    fc.property(fc.array(anyChange, { maxLength: 20 }), fc.array(fc.tuple(fc.nat(140), fc.nat(60))), (changes, ranges) => {
      const series = new SeriesIndex(testHash64).obtain(deviceId("d1"), "value");
      for (const [part, { minUs, length, isRemoved }] of changes.entries()) {
        const ref: ChunkRef = {
          kind: "chunk",
          series: 1,
          minUs,
          maxUs: minUs + length,
          count: length + 1,
          checkpoint: 1,
          part,
          bytes: 0,
          state: "live",
        };
        addChunk(series, ref);
        // What is derived from them is made in between.
        chunksBetween(series, 0, 1);
        if (isRemoved) removeChunks(series, new Set([series.chunks[part % series.chunks.length] as ChunkRef]));
        for (const [fromUs, width] of ranges)
          assert.equal(
            chunksBetween(series, fromUs, fromUs + width),
            series.chunks.filter((chunk) => chunk.maxUs >= fromUs && chunk.minUs < fromUs + width),
          );
      }
    }),
  );
});

test.run();
