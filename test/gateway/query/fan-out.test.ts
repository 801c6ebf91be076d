// Goal: `complete` means that each partition was answered by as many owners as the level asks for (P4); the others are asked when
// one fails. Method: a small owner table, peers that answer as the story says.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { copiesRequired } from "../../../src/core/replica/rules.ts";
import { FanOut } from "../../../src/gateway/query/fan-out.ts";
import { failure, success } from "../../../src/lib/errors.ts";
import { type GatewayId, gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";

const ids = ["gw-a", "gw-b", "gw-c", "gw-d"].map(gatewayId);
const [a, b, c, d] = ids as [GatewayId, GatewayId, GatewayId, GatewayId];
const p0 = partition(0);
const p1 = partition(1);

/** Partition 0 lies on a, b, c; all others on b, c, d. */
function fanOutOf(changes: { readonly self?: GatewayId; readonly unreachable?: readonly GatewayId[] } = {}) {
  const partitionSets = new Uint16Array(partitionCount).fill(1);
  partitionSets[0] = 0;
  const clock = { now: 0 };
  const fanOut = new FanOut({
    self: changes.self ?? a,
    clock: {
      wallMs: () => clock.now,
      monotonicMs: () => clock.now,
      synchronised: () => true,
      schedule: () => ({ id: 0 }),
      cancel: () => undefined,
    },
    ownerTable: () => ({
      epoch: 1,
      factor: 3,
      ownerSets: [
        [a, b, c],
        [b, c, d],
      ],
      partitionSets,
    }),
    reachable: (peer) => changes.unreachable?.includes(peer) !== true,
    copiesRequired,
  });
  const asked: string[] = [];
  const ask = (partitions: readonly (typeof p0)[], level: "one" | "quorum" | "all", failing: readonly GatewayId[] = []) => {
    asked.length = 0;
    return fanOut.ask(partitions, level, async (gateway, list) => {
      asked.push(`${gateway} ${list.join()}`);
      return failing.includes(gateway) ? failure("outcome-unknown", "it is silent") : success(gateway);
    });
  };
  return { ask, asked, clock };
}

const test = suite("gateway/query: whom to ask");

test("this gateway first, then as many others as the level asks for, each once for all its partitions", async () => {
  const { ask, asked } = fanOutOf();
  const one = await ask([p0], "one");
  assert.equal([one.complete, asked], [true, ["gw-a 0"]]);
  const quorum = await ask([p0, p1], "quorum");
  assert.equal([quorum.complete, asked], [true, ["gw-a 0", "gw-b 0,1", "gw-c 1"]]);
  const all = await ask([p0], "all");
  assert.equal([all.complete, asked], [true, ["gw-a 0", "gw-b 0", "gw-c 0"]]);
});

test("an owner that fails is replaced by the next, and the answer is complete", async () => {
  const { ask, asked } = fanOutOf();
  const answer = await ask([p0], "quorum", [b]);
  assert.equal([answer.complete, asked], [true, ["gw-a 0", "gw-b 0", "gw-c 0"]]);
  assert.equal(
    answer.answers.map(({ gateway }) => gateway),
    [a, c],
  );
  assert.equal(answer.failures, ["gw-b: it is silent"]);
});

test("too few owners: what there is, and it does not say complete", async () => {
  const { ask } = fanOutOf({ unreachable: [b, c] });
  const answer = await ask([p0, p1], "quorum");
  assert.is(answer.complete, false);
  assert.equal(
    answer.answers.map(({ gateway, partitions }) => [gateway, [...partitions]]),
    [
      [a, [0]],
      [d, [1]],
    ],
  );
  const none = await fanOutOf({ unreachable: [b, c, d] }).ask([p1], "one");
  assert.equal([none.complete, none.answers.length], [false, 0]);
});

test("who did not answer in time is asked last for ten seconds", async () => {
  const { ask, asked, clock } = fanOutOf();
  await ask([p0], "quorum", [b]);
  await ask([p0], "quorum");
  assert.equal(asked, ["gw-a 0", "gw-c 0"]);
  clock.now = 10_000;
  await ask([p0], "quorum");
  assert.equal(asked, ["gw-a 0", "gw-b 0"]);
});

test.run();
