// Goal: an owner appends a round once however often it is offered, acknowledges it only when it is durable, and refuses
// another ring epoch. Method: scenarios, and random histories with a model of which rounds are durable.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type OfferedRound, Owner, type OwnerEffect } from "../../../src/core/replica/owner.ts";
import { copiesRequired, readQuorum, writeQuorum } from "../../../src/core/replica/rules.ts";
import { noEpoch } from "../../../src/core/ring/owner-table.ts";
import { gatewayId, sessionId } from "../../../src/lib/ids.ts";

const from = gatewayId("gw-a");
const session = sessionId("00".repeat(16));
const offer = (number: number, changes: Partial<OfferedRound> = {}): OfferedRound => ({ from, session, number, epoch: 1, ...changes });
const acknowledge = (round: number) => ({ type: "acknowledge" as const, to: from, session, round });

function offered(owner: Owner, round: OfferedRound, epoch = 1): OwnerEffect[] {
  const effects: OwnerEffect[] = [];
  owner.offered(round, epoch, effects);
  return effects;
}

function durable(owner: Owner, round: OfferedRound, epoch = 1): OwnerEffect[] {
  const effects: OwnerEffect[] = [];
  owner.durable(round, epoch, effects);
  return effects;
}

const test = suite("core/replica/owner");

test("appended once, acknowledged when durable, and again for each later offer", () => {
  const owner = new Owner({ windowMax: 8 });
  assert.equal(offered(owner, offer(1)), [{ type: "append", offer: offer(1) }]);
  assert.equal(offered(owner, offer(1)), [], "on its way: neither appended nor acknowledged again");
  assert.equal(durable(owner, offer(1)), [acknowledge(1)]);
  assert.equal(offered(owner, offer(1)), [acknowledge(1)], "the acknowledgement may have been lost");
});

test("before it knows an owner table it takes nothing, not from one that knows none either", () => {
  const owner = new Owner({ windowMax: 10 });
  const early = { ...offer(1), epoch: noEpoch };
  assert.equal(offered(owner, early, noEpoch), [{ type: "refuse", to: early.from, session: early.session, round: 1, epoch: noEpoch }]);
});

test("a round of another ring epoch is refused with the own epoch, whichever is newer", () => {
  for (const epoch of [1, 3]) {
    const owner = new Owner({ windowMax: 8 });
    assert.equal(offered(owner, offer(1, { epoch }), 2), [{ type: "refuse", to: from, session, round: 1, epoch: 2 }]);
    assert.equal(offered(owner, offer(1, { epoch: 2 }), 2).length, 1, "nothing was remembered of it");
  }
});

test("a round that became durable under the next epoch is refused: whoever asked this owner for everything before has missed nothing", () => {
  const owner = new Owner({ windowMax: 8 });
  offered(owner, offer(1));
  assert.equal(durable(owner, offer(1), 2), [{ type: "refuse", to: from, session, round: 1, epoch: 2 }]);
  assert.equal(offered(owner, offer(1), 2), [{ type: "refuse", to: from, session, round: 1, epoch: 2 }]);
});

test("a round that the log had no room for is taken up at its next offer", () => {
  const owner = new Owner({ windowMax: 8 });
  offered(owner, offer(1));
  owner.notTaken(offer(1));
  assert.equal(offered(owner, offer(1)), [{ type: "append", offer: offer(1) }]);
  durable(owner, offer(1));
  owner.notTaken(offer(1));
  assert.equal(offered(owner, offer(1)), [acknowledge(1)], "what is durable stays so");
});

test("numbers of a new process of the coordinator are other rounds", () => {
  const owner = new Owner({ windowMax: 8 });
  offered(owner, offer(1));
  durable(owner, offer(1));
  const restarted = offer(1, { session: sessionId("11".repeat(16)) });
  assert.equal(offered(owner, restarted), [{ type: "append", offer: restarted }]);
  // The disk answers for the earlier process: it is told, and the new one's round stays on its way.
  assert.equal(durable(owner, offer(1)), [acknowledge(1)]);
  assert.equal(offered(owner, restarted), []);
});

test("the window is bounded; rounds on their way to the disk stay in it", () => {
  const owner = new Owner({ windowMax: 2 });
  for (const number of [1, 2, 3, 4]) offered(owner, offer(number));
  for (const number of [1, 2, 3, 4]) assert.equal(offered(owner, offer(number)), [], `${number} is under way`);
  for (const number of [1, 2]) durable(owner, offer(number));
  offered(owner, offer(5));
  assert.equal(offered(owner, offer(1)), [{ type: "append", offer: offer(1) }], "forgotten: stored again, which is harmless");
  assert.equal(offered(owner, offer(3)), []);
});

test("in any history no acknowledgement comes before the disk said durable, and none is appended twice within the window", () => {
  const step = fc.record({ kind: fc.constantFrom("offer", "durable", "full"), number: fc.integer({ min: 1, max: 10 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (history) => {
      const owner = new Owner({ windowMax: 10 });
      const onDisk = new Set<number>();
      const underWay = new Set<number>();
      for (const { kind, number } of history) {
        if (kind === "offer") {
          for (const effect of offered(owner, offer(number))) {
            if (effect.type === "acknowledge") assert.ok(onDisk.has(effect.round));
            if (effect.type === "append") {
              assert.not(underWay.has(number) || onDisk.has(number));
              underWay.add(number);
            }
          }
        } else if (kind === "durable" && underWay.delete(number)) {
          onDisk.add(number);
          assert.equal(durable(owner, offer(number)), [acknowledge(number)]);
        } else if (kind === "full" && underWay.delete(number)) owner.notTaken(offer(number));
      }
    }),
    { numRuns: 300 },
  );
});

test.run();

const levels = suite("core/replica/rules");

levels("any two quorums of the same owners share one, and `all` meets every `one`", () => {
  for (let owners = 1; owners <= 7; owners++) {
    const quorum = copiesRequired({ level: "quorum", owners });
    assert.ok(2 * quorum > owners && quorum <= owners);
    assert.is(copiesRequired({ level: "one", owners }) + copiesRequired({ level: "all", owners }), owners + 1);
  }
});

levels("with nobody lost or filling, writes and reads ask for their level", () => {
  for (const level of ["one", "quorum", "all"] as const) {
    for (let owners = 1; owners <= 7; owners++) {
      const copies = copiesRequired({ level, owners });
      assert.equal(writeQuorum(level, { owners, whole: owners, leaving: 0 }, copiesRequired), { any: copies, whole: copies });
      assert.equal(readQuorum(level, { owners, whole: owners, leaving: 0, planned: owners }, copiesRequired), {
        any: copies,
        whole: copies,
      });
    }
  }
});

levels("where one of the whole owners is to go, a write is on as many others as its level asks for", () => {
  for (let planned = 1; planned <= 7; planned++) {
    const counts = { owners: planned + 1, whole: planned, leaving: 1 };
    for (const level of ["one", "quorum", "all"] as const) {
      const copies = copiesRequired({ level, owners: planned });
      assert.equal(writeQuorum(level, counts, copiesRequired), { any: copies + 1, whole: copies });
      const { any, whole } = readQuorum(level, { ...counts, planned }, copiesRequired);
      assert.ok(any <= copies + 1 && whole === copies, "nobody else has to answer a question");
    }
  }
});

levels("beside filling owners: a write needs its level of both, a read all that have everything", () => {
  assert.equal(writeQuorum("quorum", { owners: 3, whole: 2, leaving: 0 }, copiesRequired), { any: 2, whole: 2 });
  assert.equal(writeQuorum("quorum", { owners: 2, whole: 1, leaving: 0 }, copiesRequired), { any: 2, whole: 1 });
  assert.equal(writeQuorum("quorum", { owners: 1, whole: 1, leaving: 0 }, copiesRequired), { any: 1, whole: 1 });
  assert.equal(writeQuorum("quorum", { owners: 3, whole: 1, leaving: 0 }, copiesRequired), { any: 2, whole: 1 });
  assert.equal(writeQuorum("all", { owners: 3, whole: 2, leaving: 0 }, copiesRequired), { any: 3, whole: 2 });
  assert.equal(readQuorum("quorum", { owners: 5, whole: 4, leaving: 0, planned: 5 }, copiesRequired), { any: 3, whole: 4 });
  assert.equal(readQuorum("quorum", { owners: 4, whole: 4, leaving: 0, planned: 5 }, copiesRequired), { any: 3, whole: 4 }, "one was lost");
  assert.equal(readQuorum("quorum", { owners: 2, whole: 1, leaving: 0, planned: 2 }, copiesRequired), { any: 2, whole: 1 });
  assert.equal(readQuorum("one", { owners: 3, whole: 2, leaving: 0, planned: 3 }, copiesRequired), { any: 1, whole: 1 });
});

levels.run();
