// Goal: an answer is not called incomplete because the owners changed between what they said and what was written to one of them: the
// question is put again, for a bounded time. Method: questions whose owners' answers and read repair are what the story says.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Queries, type QueriesOptions } from "../../../src/gateway/query/queries.ts";
import type { ReadRepairOutcome } from "../../../src/gateway/repair/read-repair.ts";
import { gatewayId, partition } from "../../../src/lib/ids.ts";

const test = suite("gateway/query: questions");

/** `outcomes`: of the read repairs, one after the other; the last one again and again. */
async function ask(outcomes: readonly ReadRepairOutcome[], isComplete = true) {
  const asked: number[] = [];
  let nowMs = 0;
  const owner = (id: string) => ({
    gateway: gatewayId(id),
    partitions: new Set([partition(0)]),
    reply: { series: [], end: true },
  });
  const options = {
    clock: {
      monotonicMs: () => nowMs,
      schedule: (delayMs: number, callback: () => void) => {
        nowMs += delayMs;
        callback();
      },
    },
    requests: { serve: () => undefined },
    rawHorizonUs: () => 0,
    fanOut: {
      ask: () => {
        asked.push(nowMs);
        const missing = isComplete ? [] : [partition(0)];
        const answers = [owner("gw-a"), owner("gw-b")];
        return Promise.resolve({ answers, epoch: asked.length, complete: isComplete, missing, failures: [], refused: undefined });
      },
    },
    readRepair: { repair: () => Promise.resolve(outcomes[Math.min(asked.length, outcomes.length) - 1]) },
  };
  // Of a gateway's world, a question for pages uses no more than this.
  const queries = new Queries(options as unknown as QueriesOptions);
  const selector = { metric: undefined, device: "*", labels: {} };
  const range = { fromUs: 0, toUs: 1, after: undefined, limit: 10 };
  const answer = await queries.page({ selector, ...range, partitions: [partition(0)], level: "quorum" });
  assert.ok(answer.ok);
  return { complete: answer.ok && answer.value.complete, asked };
}

test("the owners changed before all was written: asked again under the new table, and complete", async () => {
  assert.equal(await ask(["ring-changed", "ring-changed", "written"]), { complete: true, asked: [0, 100, 200] });
});

test("owners that change all the time: not complete, after three seconds", async () => {
  const { complete, asked } = await ask(["ring-changed"]);
  assert.is(complete, false);
  assert.is(asked.at(-1), 3_000);
});

test("an owner that cannot write, and one that is missing, are no reason to ask again", async () => {
  assert.equal(await ask(["failed"]), { complete: false, asked: [0] });
  assert.equal(await ask(["ring-changed"], false), { complete: false, asked: [0] });
});

test.run();
