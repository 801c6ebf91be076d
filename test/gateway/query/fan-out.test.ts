// Goal: `complete` means that each partition was answered by as many owners as the level asks for, all under one owner table (P4);
// the others are asked when one fails. Method: a small owner table, peers that answer as the story says.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { copiesRequired } from "../../../src/core/replica/rules.ts";
import type { RingState } from "../../../src/core/ring/owner-changes.ts";
import { FanOut, type FanOutOptions } from "../../../src/gateway/query/fan-out.ts";
import { failure, success } from "../../../src/lib/errors.ts";
import { type GatewayId, gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";

const ids = ["gw-a", "gw-b", "gw-c", "gw-d"].map(gatewayId);
const [a, b, c, d] = ids as [GatewayId, GatewayId, GatewayId, GatewayId];
const p0 = partition(0);
const p1 = partition(1);

/** Partition 0 lies on a, b, c; all others on b, c, d. */
function fanOutOf(
  changes: {
    readonly self?: GatewayId;
    readonly unreachable?: readonly GatewayId[];
    readonly filling?: RingState["filling"];
    readonly standIn?: FanOutOptions["standIn"];
  } = {},
) {
  const partitionSets = new Uint16Array(partitionCount).fill(1);
  partitionSets[0] = 0;
  const clock = { now: 0, waited: () => undefined as unknown };
  const table = {
    epoch: 1,
    factor: 3,
    ownerSets: [
      [a, b, c],
      [b, c, d],
    ],
    partitionSets,
  };
  const current: { ring: RingState } = { ring: { table, filling: changes.filling ?? new Map(), moves: new Map() } };
  const fanOut = new FanOut({
    self: changes.self ?? a,
    clock: {
      wallMs: () => clock.now,
      monotonicMs: () => clock.now,
      ntpState: () => "synchronised",
      synchronised: () => true,
      schedule: (delayMs, callback) => {
        clock.now += delayMs;
        clock.waited();
        callback();
        return { id: 0 };
      },
      cancel: () => undefined,
    },
    ring: () => current.ring,
    reachable: (peer) => changes.unreachable?.includes(peer) !== true,
    copiesRequired,
    ...(changes.standIn === undefined ? {} : { standIn: changes.standIn }),
  });
  const asked: string[] = [];
  /** Gateways fail or are at another epoch as the story says. */
  const epochOf = new Map<GatewayId, number>();
  const ask = (partitions: readonly (typeof p0)[], level: "one" | "quorum" | "all", failing: readonly GatewayId[] = []) => {
    asked.length = 0;
    return fanOut.ask(partitions, level, async (gateway, { epoch, partitions: list }) => {
      asked.push(`${gateway} ${list.join()}`);
      if ((epochOf.get(gateway) ?? epoch) !== epoch) return failure("ring-changed", `it is at epoch ${epochOf.get(gateway)}`);
      return failing.includes(gateway) ? failure("outcome-unknown", "it is silent") : success(`${gateway}@${epoch}`);
    });
  };
  return { ask, asked, clock, current, epochOf };
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

const filling = (at: number, ...owners: GatewayId[]) => new Map([[at, owners]]);

test("all owners that have everything are asked beside a filling one, whose own answer is not among the answers", async () => {
  const { ask, asked } = fanOutOf({ self: c, filling: filling(0, c) });
  const quorum = await ask([p0, p1], "quorum");
  assert.equal([quorum.complete, asked], [true, ["gw-a 0", "gw-b 0,1", "gw-c 1"]]);
  const all = await ask([p0], "all");
  assert.equal([all.complete, asked], [true, ["gw-a 0", "gw-b 0", "gw-c 0"]]);
  assert.equal(
    all.answers.map(({ gateway }) => gateway),
    [a, b],
  );
  const one = await ask([p0], "one");
  assert.equal([one.complete, asked], [true, ["gw-a 0"]]);
});

test("one that has everything does not answer: what there is, not complete, and no filling owner in its place", async () => {
  const { ask, asked } = fanOutOf({ filling: filling(0, c) });
  const answer = await ask([p0], "quorum", [b]);
  assert.equal([answer.complete, asked], [false, ["gw-a 0", "gw-b 0"]]);
  assert.equal(
    answer.answers.map(({ gateway }) => gateway),
    [a],
  );
  assert.equal((await fanOutOf({ unreachable: [a, b], self: d, filling: filling(0, c) }).ask([p0], "one")).answers, []);
});

test("where one has everything and two are filling, a quorum is asked for what it knows of the table", async () => {
  const { ask, asked } = fanOutOf({ filling: filling(0, b, c) });
  const answer = await ask([p0], "quorum");
  assert.equal([answer.complete, asked], [true, ["gw-a 0", "gw-b 0"]]);
  assert.equal(
    answer.answers.map(({ gateway }) => gateway),
    [a],
  );
  assert.is((await ask([p0], "quorum", [b, c])).complete, false);
});

test("while a partition moves, a quorum of the longer list is asked, two of them whole; one that is away does not matter", async () => {
  for (const unreachable of [[], [b], [c], [d]]) {
    const { ask, asked, current } = fanOutOf({ unreachable });
    const ownerSets = [[a, b, c, d]];
    const table = { ...current.ring.table, ownerSets, partitionSets: new Uint16Array(partitionCount) };
    current.ring = { table, filling: filling(0, d), moves: new Map([[0, { from: c, to: d }]]) };
    assert.is((await ask([p0], "quorum")).complete, true, `without ${unreachable.join()}`);
    assert.is(asked.length, 3);
  }
  const { ask, current } = fanOutOf({ unreachable: [c, d] });
  const table = { ...current.ring.table, ownerSets: [[a, b, c, d]], partitionSets: new Uint16Array(partitionCount) };
  current.ring = { table, filling: filling(0, d), moves: new Map([[0, { from: c, to: d }]]) };
  assert.is((await ask([p0], "quorum")).complete, false, "two of the old list may know nothing of the cut-over");
});

test("of a pair whose partition moves all three are asked, also where another partition has the same owners and does not move", async () => {
  // Partition 1 has got its third owner for good, so that the table plans three.
  for (const [unreachable, complete] of [
    [[], true],
    [[d], false],
  ] as const) {
    const { ask, current } = fanOutOf({ unreachable });
    const table = { ...current.ring.table, ownerSets: [[a, b, d]], partitionSets: new Uint16Array(partitionCount) };
    const both = new Map([...filling(0, d), ...filling(1, d)]);
    current.ring = { table, filling: both, moves: new Map([[1, { from: b, to: d }]]) };
    assert.is((await ask([p0], "quorum")).complete, true);
    const answers = await ask([p0, p1], "quorum");
    assert.equal(answers.complete, complete);
    assert.equal(answers.missing, complete ? [] : [p1]);
  }
});

test("after a loss all that are left are asked, not only a quorum", async () => {
  const { ask, asked, current } = fanOutOf();
  const { table } = current.ring;
  current.ring = { table: { ...table, factor: 4 }, filling: new Map(), moves: new Map() };
  assert.is((await ask([p0], "quorum")).complete, true);
  assert.equal(asked, ["gw-a 0", "gw-b 0", "gw-c 0"]);
});

test("an owner at another epoch is no suspect: another is asked, and it is asked first again", async () => {
  const { ask, asked, clock, epochOf } = fanOutOf();
  epochOf.set(b, 2);
  assert.is((await ask([p0], "quorum")).complete, true);
  assert.equal([asked, clock.now], [["gw-a 0", "gw-b 0", "gw-c 0"], 0]);
  epochOf.clear();
  await ask([p0], "quorum");
  assert.equal(asked, ["gw-a 0", "gw-b 0"]);
});

test("owners that know a newer table leave too few: the whole question is put again under it, and answers of two tables never meet", async () => {
  const { ask, asked, clock, current, epochOf } = fanOutOf();
  for (const owner of [b, c]) epochOf.set(owner, 2);
  clock.waited = () => {
    current.ring = { table: { ...current.ring.table, epoch: 2 }, filling: new Map(), moves: new Map() };
  };
  const answer = await ask([p0], "quorum");
  assert.is(answer.complete, true);
  assert.equal(
    answer.answers.map(({ reply }) => reply),
    ["gw-a@2", "gw-b@2"],
  );
  assert.equal(asked, ["gw-a 0", "gw-b 0", "gw-c 0", "gw-a 0", "gw-b 0"]);
});

test("the wait for one table is bounded, and then the answer says that it is not complete", async () => {
  const { ask, clock, epochOf } = fanOutOf();
  for (const owner of [b, c]) epochOf.set(owner, 2);
  const answer = await ask([p0], "quorum");
  assert.equal([answer.complete, clock.now, answer.failures.length], [false, 3_000, 2]);
});

test("the one owner that has everything answers for all only once the stand-in has brought it what it keeps for it", async () => {
  let isDrained = false;
  const drainedFor: GatewayId[] = [];
  const standIn = {
    witness: () => d,
    drained: async (owner: GatewayId) => {
      drainedFor.push(owner);
      return isDrained ? success(undefined) : failure("not-ready", "it still keeps rounds");
    },
  };
  for (const owners of [[a, b], [a]]) {
    const { ask, asked, current } = fanOutOf({ standIn, filling: owners.length === 2 ? filling(0, b) : new Map() });
    current.ring = { ...current.ring, table: { ...current.ring.table, factor: 2, ownerSets: [owners, [a, b]] } };
    isDrained = false;
    drainedFor.length = 0;
    assert.is((await ask([p0], "all")).complete, false, owners.join());
    assert.equal(drainedFor, [a]);
    isDrained = true;
    assert.is((await ask([p0], "all")).complete, true, owners.join());
    assert.equal(asked.toSorted(), owners.map((owner) => `${owner} 0`).toSorted());
    // Both have everything: whatever one of them and the stand-in acknowledged is in what the two say.
    drainedFor.length = 0;
    assert.is((await ask([p1], "all")).complete, true);
    assert.equal(drainedFor, []);
    assert.is((await ask([p1], "all", [b])).complete, false);
  }
});

test.run();
