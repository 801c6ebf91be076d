// Goal: the promises of a single node towards its caller: what it says when, what it refuses, what it bounds, what it
// keeps over a restart. Method: nodes moved by hand, effects and views compared.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { votersOnly } from "../../../src/core/raft/configuration.ts";
import type { RaftEffect } from "../../../src/core/raft/events-effects.ts";
import type { AppendRequest, RaftMessage } from "../../../src/core/raft/messages.ts";
import { RaftNode } from "../../../src/core/raft/raft-node.ts";
import { emptyState } from "../../../src/core/raft/raft-state.ts";
import { encodeRecord } from "../../../src/core/raft/record-codec.ts";
import { RecordReplay } from "../../../src/core/raft/replay.ts";
import { defined, InvariantError } from "../../../src/lib/assert.ts";
import { memberId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { ManualCluster, type ManualOptions, ofType, testEntry } from "./manual-cluster.ts";

const raft = suite("RaftNode");
const [a, b, c] = [memberId("a"), memberId("b"), memberId("c")];

function threeWithLeader(options: ManualOptions = {}): ManualCluster {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }], options);
  cluster.elect("a");
  return cluster;
}

const appends = (cluster: ManualCluster, to: string) =>
  cluster.wire
    .filter((envelope) => envelope.to === to && envelope.message.type === "append")
    .map(({ message }) => message as AppendRequest);

raft("a site of one leads at once and commits when its own disk has the entry", () => {
  const cluster = new ManualCluster([{ id: "a" }]);
  assert.is(cluster.node("a").nextDeadlineMs(), 0);
  cluster.step("a", { type: "tick" });
  assert.is(cluster.node("a").view().role, "leader");
  cluster.holdDisk("a");
  cluster.propose("a", 1);
  assert.is(cluster.node("a").view().commitIndex, 1);
  cluster.releaseDisk("a");
  assert.is(cluster.node("a").view().commitIndex, 2);
  assert.is(cluster.node("a").view().appliedIndex, 2);
  cluster.step("a", { type: "read-index", requestId: 5 });
  assert.equal(ofType(cluster.said("a"), "read-ready"), [{ type: "read-ready", requestId: 5, index: 2 }]);
});

raft("the leader sends before its own disk has the entry, and counts itself only afterwards (dissertation §10.2.1)", () => {
  const cluster = threeWithLeader();
  cluster.holdDisk("a");
  cluster.holdDisk("c");
  cluster.propose("a", 1);
  assert.is(appends(cluster, "b").length, 1);
  cluster.isolate("b");
  cluster.deliver();
  cluster.releaseDisk("c");
  cluster.deliver();
  assert.is(cluster.node("a").view().commitIndex, 1, "one of three has it on disk");
  cluster.releaseDisk("a");
  assert.is(cluster.node("a").view().commitIndex, 2);
});

raft("two followers commit an entry that the leader's own disk does not have yet", () => {
  const cluster = threeWithLeader();
  cluster.holdDisk("a");
  cluster.propose("a", 1);
  cluster.deliver();
  assert.is(cluster.node("a").view().durableIndex, 1);
  assert.is(cluster.node("a").view().commitIndex, 2);
});

raft("proposals of one event share one record and one message per follower", () => {
  const cluster = threeWithLeader();
  const proposals = [1, 2, 3].map((requestId) => ({ requestId, command: Uint8Array.of(requestId) }));
  const effects = cluster.step("a", { type: "propose", proposals });
  assert.equal(
    effects.map(({ type }) => type),
    ["proposal-accepted", "proposal-accepted", "proposal-accepted", "persist", "send", "send"],
  );
  assert.equal(
    appends(cluster, "b").map(({ entries }) => entries.length),
    [3],
  );
});

raft("the commit index rides along with the next record, and a restart applies up to it", () => {
  const cluster = threeWithLeader();
  cluster.propose("a", 1);
  cluster.deliver();
  cluster.propose("a", 2);
  cluster.deliver();
  const replay = new RecordReplay({ snapshot: emptyState(votersOnly([a, b, c])).snapshot });
  ofType(cluster.said("a"), "persist").forEach(({ record }, i) => {
    replay.visit(i + 1, encodeRecord(record));
  });
  const restored = replay.result();
  assert.ok(restored.ok);
  assert.equal(restored.value.hardState, { term: 1, votedFor: a, commitIndex: 2 });
  const node = new RaftNode({
    self: a,
    timings: "lan",
    random: new SeededRandom(1),
    restored: restored.value,
    nowMs: 0,
  });
  const effects: RaftEffect[] = [];
  node.step(0, { type: "tick" }, effects);
  assert.equal(
    ofType(effects, "apply").map(({ entries }) => entries.map(({ index, kind }) => [index, kind])),
    [
      [
        [1, "no-op"],
        [2, "command"],
      ],
    ],
  );
  assert.is(node.view().role, "follower");
  assert.is(node.view().votedFor, a, "it does not vote for another in this term");
});

raft("a lost append is sent again after a heartbeat has shown the gap", () => {
  const cluster = threeWithLeader();
  cluster.propose("a", 1);
  cluster.wire.length = 0;
  assert.is(cluster.node("b").view().lastIndex, 1);
  cluster.beat("a");
  assert.is(cluster.node("b").view().lastIndex, 2);
  assert.is(cluster.node("c").view().lastIndex, 2);
  assert.is(cluster.node("a").view().commitIndex, 2);
});

raft("a lost acknowledgement is made good by the next one", () => {
  const cluster = threeWithLeader();
  cluster.propose("a", 1);
  cluster.deliver(({ to }) => to !== "a");
  cluster.wire.length = 0;
  assert.is(cluster.node("a").view().commitIndex, 1);
  cluster.beat("a");
  assert.is(cluster.node("a").view().commitIndex, 2);
});

raft("appends delivered twice and backwards leave the same log", () => {
  const cluster = threeWithLeader();
  for (let requestId = 1; requestId <= 5; requestId++) cluster.propose("a", requestId);
  const toB = appends(cluster, "b");
  cluster.wire.length = 0;
  assert.is(toB.length, 5);
  for (const message of [...toB].reverse().concat(toB, toB.slice(0, 2))) cluster.step("b", { type: "message", from: a, message });
  assert.is(cluster.node("b").view().lastIndex, 6);
  assert.is(cluster.node("b").view().durableIndex, 6);
  cluster.deliver();
  for (let i = 0; i < 3; i++) cluster.beat("a");
  assert.is(cluster.node("c").view().commitIndex, 6);
});

raft("an acknowledgement names what is on disk, not what was received", () => {
  const cluster = threeWithLeader();
  cluster.holdDisk("b");
  cluster.propose("a", 1);
  cluster.deliver();
  cluster.beat("a");
  const last = ofType(cluster.said("b"), "send").at(-1)?.message;
  assert.equal(last, { type: "append-accepted", term: 1, matchIndex: 1, receivedIndex: 2, readSequence: 0 });
  cluster.releaseDisk("b");
  assert.equal(ofType(cluster.said("b"), "send").at(-1)?.message, { ...last, matchIndex: 2 });
});

raft("an entry that was replaced before it was durable is not counted as durable (WAL order)", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
  cluster.holdDisk("a");
  const append = (from: typeof b, term: number, prevIndex: number, prevTerm: number, terms: readonly number[]) =>
    cluster.step("a", {
      type: "message",
      from,
      message: {
        type: "append",
        term,
        prevIndex,
        prevTerm,
        commitIndex: 0,
        readSequence: 0,
        entries: terms.map((t, i) => testEntry(prevIndex + 1 + i, t)),
      },
    });
  append(b, 1, 0, 0, [1, 1, 1]);
  append(c, 2, 1, 1, [2]);
  cluster.step("a", { type: "durable", token: 1 });
  assert.is(cluster.node("a").view().durableIndex, 1);
  assert.is(cluster.node("a").view().lastIndex, 2);
  cluster.step("a", { type: "durable", token: 2 });
  assert.is(cluster.node("a").view().durableIndex, 2);
  const acks = ofType(cluster.said("a"), "send").filter(({ message }) => message.type === "append-accepted");
  assert.equal(acks.at(-1), {
    type: "send",
    to: c,
    message: { type: "append-accepted", term: 2, matchIndex: 2, receivedIndex: 2, readSequence: 0 },
  });
});

raft("messages under way to a follower are bounded; the rest follows its acknowledgements", () => {
  const cluster = threeWithLeader({ limits: { inflightMessagesMax: 3 } });
  for (let requestId = 1; requestId <= 20; requestId++) cluster.propose("a", requestId);
  assert.is(appends(cluster, "b").length, 3);
  cluster.deliver();
  assert.is(cluster.node("b").view().lastIndex, 21);
  assert.is(cluster.node("a").view().commitIndex, 21);
});

raft("bytes under way are bounded too, and one entry always fits", () => {
  const cluster = threeWithLeader({ limits: { inflightBytesMax: 100, batchBytesMax: 10 } });
  for (let requestId = 1; requestId <= 20; requestId++) cluster.propose("a", requestId);
  const sent = appends(cluster, "b");
  // 33 bytes each: the fourth leaves below the bound, the fifth would be above it.
  assert.is(sent.length, 4);
  for (const { entries } of sent) assert.is(entries.length, 1);
});

raft("a follower that is down gets one message a heartbeat, and catches up when it is back", () => {
  const cluster = threeWithLeader();
  cluster.step("a", { type: "peer-down", peer: c });
  cluster.isolate("c");
  for (let requestId = 1; requestId <= 100; requestId++) {
    cluster.propose("a", requestId);
    cluster.deliver(({ to }) => to !== "c");
  }
  assert.is(cluster.wire.length, 1);
  cluster.beat("a");
  cluster.heal();
  cluster.step("a", { type: "peer-up", peer: c });
  cluster.deliver();
  assert.is(cluster.node("c").view().commitIndex, 101);
});

raft("a proposal is refused when too large, when the backlog is full, and by a follower, who names the leader", () => {
  const cluster = threeWithLeader({ limits: { commandBytesMax: 1_000, backlogBytesMax: 2_000 } });
  const refusals = (id: string, bytes: number) => {
    const effects = cluster.step(id, { type: "propose", proposals: [{ requestId: bytes, command: new Uint8Array(bytes) }] });
    return ofType(effects, "proposal-refused").map(({ reason, leader }) => [reason, leader]);
  };
  assert.equal(refusals("a", 1_001), [["too-large", "a"]]);
  assert.equal(refusals("a", 900), []);
  assert.equal(refusals("a", 900), []);
  assert.equal(refusals("a", 900), [["busy", "a"]]);
  assert.equal(refusals("b", 1), [["not-leader", "a"]]);
  cluster.deliver();
  assert.is(cluster.node("a").view().uncommittedBytes, 0);
  assert.equal(refusals("a", 900), []);
});

raft("a leader whose own disk is stuck takes a bounded number of proposals, although the others commit them", () => {
  const cluster = threeWithLeader({ limits: { backlogBytesMax: 10_000 } });
  cluster.holdDisk("a");
  let refused = 0;
  for (let requestId = 1; requestId <= 200; requestId++) {
    refused += ofType(
      cluster.step("a", { type: "propose", proposals: [{ requestId, command: new Uint8Array(100) }] }),
      "proposal-refused",
    ).length;
    cluster.deliver();
  }
  assert.ok(refused > 100 && refused < 150, `${refused} refused`);
  cluster.releaseDisk("a");
  assert.equal(ofType(cluster.propose("a", 500), "proposal-refused"), []);
});

raft("reads that wait are bounded", () => {
  const cluster = threeWithLeader({ limits: { openReadsMax: 2 } });
  for (const requestId of [1, 2, 3]) cluster.step("a", { type: "read-index", requestId });
  assert.equal(ofType(cluster.said("a"), "read-refused"), [{ type: "read-refused", requestId: 3, reason: "busy", leader: a }]);
  cluster.deliver();
  assert.equal(
    ofType(cluster.said("a"), "read-ready").map(({ requestId }) => requestId),
    [1, 2],
  );
});

raft("an overwritten proposal is dropped only once something else is committed in its place", () => {
  const cluster = threeWithLeader();
  cluster.isolate("a");
  cluster.propose("a", 7);
  cluster.propose("a", 8);
  cluster.timeOut("b");
  cluster.deliver(({ message }) => message.type.includes("vote"));
  assert.is(cluster.node("b").view().role, "leader");
  cluster.holdDisk("a");
  cluster.holdDisk("c");
  cluster.heal();
  cluster.elapse(150);
  cluster.step("b", { type: "tick" });
  cluster.deliver();
  assert.equal(cluster.logOf("a"), [1, 2]);
  assert.equal(ofType(cluster.said("a"), "proposal-dropped"), []);
  cluster.releaseDisk("c");
  cluster.deliver();
  cluster.elapse(150);
  cluster.step("b", { type: "tick" });
  cluster.deliver();
  assert.equal(ofType(cluster.said("a"), "proposal-dropped"), [
    { type: "proposal-dropped", requestId: 7, index: 2, term: 1 },
    { type: "proposal-dropped", requestId: 8, index: 3, term: 1 },
  ]);
});

raft("an acknowledgement of an earlier term counts for nothing in a later leadership", () => {
  const cluster = threeWithLeader();
  cluster.step("a", {
    type: "message",
    from: b,
    message: { type: "append", term: 2, prevIndex: 1, prevTerm: 1, commitIndex: 1, readSequence: 0, entries: [] },
  });
  cluster.isolate("b", "c");
  cluster.timeOut("a");
  for (const type of ["pre-vote-response", "vote-response"] as const)
    cluster.step("a", { type: "message", from: b, message: { type, term: 3, granted: true } });
  assert.is(cluster.node("a").view().role, "leader");
  const before = cluster.node("a").view();
  cluster.step("a", {
    type: "message",
    from: b,
    message: { type: "append-accepted", term: 1, matchIndex: 2, receivedIndex: 2, readSequence: 0 },
  });
  assert.equal(cluster.node("a").view(), before);
  assert.is(before.commitIndex, 1);
});

raft("a refusal that comes late is a question anew at the next heartbeat, and takes nothing committed back", () => {
  const cluster = threeWithLeader();
  cluster.propose("a", 1);
  cluster.deliver();
  const ofB = () => {
    const { state, matchIndex, nextIndex } = defined(cluster.node("a").view().followers[0], "b");
    return [state, matchIndex, nextIndex];
  };
  assert.equal(ofB(), ["replicate", 2, 3]);
  // It might as well come from a follower whose disk was damaged since: it counts for nothing until it has answered again.
  const effects = cluster.step("a", {
    type: "message",
    from: b,
    message: { type: "append-rejected", term: 1, rejectedIndex: 1, conflictIndex: 0, conflictTerm: 0, readSequence: 0 },
  });
  assert.equal(ofB(), ["probe", 0, 1]);
  assert.equal(effects, [], "nothing is sent at once, so that two nodes cannot keep each other busy");
  assert.is(cluster.node("a").view().commitIndex, 2);
  cluster.beat("a");
  assert.equal(ofB(), ["replicate", 2, 3]);
});

raft("who follows a leader gives no vote away in its term, even when it has one", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
  cluster.step("c", {
    type: "message",
    from: a,
    message: { type: "append", term: 4, prevIndex: 0, prevTerm: 0, commitIndex: 0, readSequence: 0, entries: [] },
  });
  cluster.elapse(5_000);
  cluster.step("c", {
    type: "message",
    from: b,
    message: { type: "vote-request", term: 4, lastLogIndex: 9, lastLogTerm: 3, transfer: false },
  });
  assert.is(cluster.node("c").view().votedFor, undefined);
  assert.equal(ofType(cluster.said("c"), "send").at(-1)?.message, { type: "vote-response", term: 4, granted: false });
});

const lies: readonly [string, typeof b, RaftMessage][] = [
  [
    "leads in term 1, which has the leader a",
    b,
    { type: "append", term: 1, prevIndex: 0, prevTerm: 0, commitIndex: 0, readSequence: 0, entries: [] },
  ],
  [
    "acknowledged entry 99, which was never sent",
    b,
    { type: "append-accepted", term: 1, matchIndex: 99, receivedIndex: 99, readSequence: 0 },
  ],
  ["acknowledged entry 1, which was never sent", b, { type: "append-accepted", term: 1, matchIndex: 2, receivedIndex: 1, readSequence: 0 }],
  [
    "answered read round 4, which was never asked",
    b,
    { type: "append-accepted", term: 1, matchIndex: 1, receivedIndex: 1, readSequence: 4 },
  ],
];

for (const [what, from, message] of lies) {
  raft(`a lie is reported and changes nothing: "${what}"`, () => {
    const cluster = threeWithLeader();
    const before = cluster.node("a").view();
    const effects: RaftEffect[] = [];
    cluster.node("a").step(cluster.nowMs, { type: "message", from, message }, effects);
    assert.equal(effects, [{ type: "peer-violation", from, what }]);
    assert.equal(cluster.node("a").view(), before);
  });
}

raft("a leader that disagrees about a committed entry is reported, and nothing committed is replaced", () => {
  const cluster = threeWithLeader();
  cluster.propose("a", 1);
  cluster.deliver();
  const effects: RaftEffect[] = [];
  const message: RaftMessage = {
    type: "append",
    term: 9,
    prevIndex: 1,
    prevTerm: 1,
    commitIndex: 0,
    readSequence: 0,
    entries: [testEntry(2, 9)],
  };
  cluster.node("b").step(cluster.nowMs, { type: "message", from: c, message }, effects);
  assert.equal(ofType(effects, "peer-violation"), [{ type: "peer-violation", from: c, what: "disagrees about committed entry 2" }]);
  assert.equal(cluster.logOf("b"), [1, 1]);
});

raft("a clock that goes back changes nothing", () => {
  const cluster = threeWithLeader();
  const before = cluster.node("b").view();
  const deadline = cluster.node("b").nextDeadlineMs();
  cluster.node("b").step(-1_000_000, { type: "tick" }, []);
  assert.equal(cluster.node("b").view(), before);
  assert.is(cluster.node("b").nextDeadlineMs(), deadline);
});

raft("a durable event for a record that was never handed out is a bug, not news", () => {
  const cluster = threeWithLeader();
  assert.throws(
    () => cluster.node("a").step(cluster.nowMs, { type: "durable", token: 99 }, []),
    (error: unknown) => error instanceof InvariantError,
  );
});

raft("an answer waits for the disk without piling up: the newest of its kind stands for all", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
  cluster.holdDisk("b");
  for (let i = 0; i < 50; i++) {
    cluster.step("b", {
      type: "message",
      from: a,
      message: { type: "append", term: 1, prevIndex: 0, prevTerm: 0, commitIndex: 0, readSequence: i, entries: [] },
    });
  }
  assert.equal(ofType(cluster.said("b"), "send"), []);
  cluster.releaseDisk("b");
  assert.equal(
    ofType(cluster.said("b"), "send").map(({ message }) => message),
    [{ type: "append-accepted", term: 1, matchIndex: 0, receivedIndex: 0, readSequence: 49 }],
  );
});

raft("a candidate that lost knows of no leader until one of its term speaks, and trusts none", () => {
  const cluster = threeWithLeader();
  cluster.step("a", { type: "transfer-leadership", to: b });
  cluster.deliver(({ message }) => message.type === "timeout-now");
  assert.is(cluster.view("b").role, "candidate");
  assert.is(cluster.view("b").leader, undefined);
});

raft("a leader does not replace its own entries: such a one is reported", () => {
  const cluster = threeWithLeader();
  cluster.propose("a", 1);
  cluster.propose("a", 2);
  cluster.deliver(({ to }) => to !== "a");
  const message: RaftMessage = {
    type: "append",
    term: 1,
    prevIndex: 1,
    prevTerm: 1,
    commitIndex: 1,
    readSequence: 0,
    entries: [testEntry(2, 1), { index: 3, term: 1, kind: "no-op", command: new Uint8Array(0) }],
  };
  // What has the same index and term is the same entry (log matching), whatever this one says.
  cluster.step("b", { type: "message", from: a, message });
  assert.is(cluster.node("b").entryAt(3)?.kind, "command");
  const effects: RaftEffect[] = [];
  const back: RaftMessage = { ...message, prevIndex: 0, prevTerm: 0, entries: [testEntry(1, 1), { ...testEntry(2, 1), term: 0 }] };
  cluster.node("b").step(cluster.nowMs, { type: "message", from: a, message: back }, effects);
  assert.equal(effects, [{ type: "peer-violation", from: a, what: "replaces its own entry 2 within term 1" }]);
  assert.equal(cluster.logOf("b"), [1, 1, 1]);
});

raft("an entry that says to be a configuration, and holds none, is reported and not taken", () => {
  const cluster = threeWithLeader();
  const entries = [{ index: 2, term: 1, kind: "configuration" as const, command: Uint8Array.of(9, 9) }];
  const effects: RaftEffect[] = [];
  const message: RaftMessage = { type: "append", term: 1, prevIndex: 1, prevTerm: 1, commitIndex: 1, readSequence: 0, entries };
  cluster.node("b").step(cluster.nowMs, { type: "message", from: a, message }, effects);
  assert.equal(effects, [{ type: "peer-violation", from: a, what: "sent entry 2, which holds no configuration" }]);
  assert.equal(cluster.logOf("b"), [1]);
});

raft("a grant for a pre-vote that waited for the disk is still worth something; in a later term it is not sent", () => {
  const granted = (later: boolean) => {
    const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
    cluster.holdDisk("b");
    const ask = (from: typeof a, message: RaftMessage) => cluster.step("b", { type: "message", from, message });
    ask(c, { type: "vote-request", term: 1, lastLogIndex: 0, lastLogTerm: 0, transfer: false });
    ask(a, { type: "pre-vote-request", term: 2, lastLogIndex: 0, lastLogTerm: 0 });
    if (later) ask(c, { type: "vote-request", term: 3, lastLogIndex: 0, lastLogTerm: 0, transfer: false });
    cluster.releaseDisk("b");
    return ofType(cluster.said("b"), "send").filter(({ message }) => message.type === "pre-vote-response").length;
  };
  assert.is(granted(false), 1);
  assert.is(granted(true), 0);
});

raft("a snapshot of a later term than the node's own brings that term", () => {
  const cluster = threeWithLeader();
  const { configuration } = cluster.view("c");
  const effects: RaftEffect[] = [];
  const snapshot = { index: 9, term: 5, configuration };
  cluster.node("c").step(cluster.nowMs, { type: "snapshot-received", from: a, snapshot }, effects);
  assert.is(cluster.view("c").term, 5);
  assert.is(cluster.view("c").lastTerm, 5);
  assert.equal(ofType(effects, "persist")[0]?.record.hardState, { term: 5, votedFor: undefined, commitIndex: 9 });
  const append: RaftMessage = { type: "append", term: 1, prevIndex: 1, prevTerm: 1, commitIndex: 1, readSequence: 0, entries: [] };
  cluster.node("c").step(cluster.nowMs, { type: "message", from: a, message: append }, []);
  assert.is(cluster.view("c").leader, undefined);
});

raft.run();
