// Goal: leadership is neither lost without need nor kept without right: pre-vote, check-quorum, stickiness, the freeing
// of a node with a higher term, and reads of a deposed leader. Method: a cluster moved by hand, message by message.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RaftMessage } from "../../../src/core/raft/messages.ts";
import { memberId } from "../../../src/lib/ids.ts";
import { electionTimeoutMaxMs, ManualCluster, ofType } from "../../core/raft/manual-cluster.ts";

const leadership = suite("Raft leadership");

function threeWithLeader(): ManualCluster {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
  cluster.elect("a");
  assert.is(cluster.node("a").view().role, "leader");
  return cluster;
}

leadership("a server that comes back from a partition does not disturb the leader (pre-vote, dissertation §9.6)", () => {
  const cluster = threeWithLeader();
  cluster.isolate("c");
  const pass = (ms: number) => {
    for (let passed = 0; passed < ms; passed += 150) {
      cluster.beat("a", 150);
      cluster.step("c", { type: "tick" });
      cluster.deliver();
    }
  };
  pass(5 * electionTimeoutMaxMs);
  assert.is(cluster.node("c").view().role, "pre-candidate");
  assert.is(cluster.node("c").view().term, 1, "its term did not grow");
  cluster.heal();
  pass(electionTimeoutMaxMs);
  assert.is(cluster.node("a").view().role, "leader");
  assert.is(cluster.node("a").view().term, 1);
  assert.is(cluster.node("c").view().leader, "a");
});

leadership("nobody votes, or takes over a term, within the minimum timeout of hearing the leader (dissertation §4.2.3)", () => {
  const cluster = threeWithLeader();
  cluster.beat("a", 150);
  const ask = (type: "vote-request" | "pre-vote-request") =>
    cluster.step("b", {
      type: "message",
      from: memberId("c"),
      message: { ...(type === "vote-request" ? { type, transfer: false } : { type }), term: 7, lastLogIndex: 99, lastLogTerm: 6 },
    });
  assert.equal(ofType(ask("vote-request"), "send"), []);
  assert.is(cluster.node("b").view().term, 1);
  assert.equal(
    ofType(ask("pre-vote-request"), "send").map(({ message }) => message),
    [{ type: "pre-vote-response", term: 1, granted: false }],
  );
  cluster.elapse(1_000);
  ask("vote-request");
  assert.equal(ofType(cluster.said("b"), "send").at(-1)?.message, { type: "vote-response", term: 7, granted: true });
});

leadership("a leader that hears no quorum for an election timeout steps down (check-quorum)", () => {
  const cluster = threeWithLeader();
  cluster.beat("a", 300);
  cluster.isolate("b", "c");
  cluster.beat("a", 900);
  assert.is(cluster.node("a").view().role, "leader");
  cluster.beat("a", 300);
  assert.is(cluster.node("a").view().role, "follower");
  assert.is(cluster.node("a").view().leader, undefined);
  assert.is(cluster.node("a").view().term, 1);
  const refused = ofType(cluster.propose("a", 1), "proposal-refused");
  assert.equal(refused, [{ type: "proposal-refused", requestId: 1, reason: "not-leader", leader: undefined }]);
});

leadership("one follower is quorum enough for a leader of three", () => {
  const cluster = threeWithLeader();
  cluster.isolate("c");
  cluster.beat("a", 10_000);
  assert.is(cluster.node("a").view().role, "leader");
});

leadership("a node with a higher term is freed although leader and followers trust each other", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c", term: 9 }]);
  cluster.isolate("c");
  cluster.elect("a");
  cluster.beat("a", 300);
  assert.is(cluster.node("a").view().term, 1);
  cluster.heal();
  cluster.beat("a", 150);
  assert.is(cluster.node("a").view().term, 9);
  assert.is(cluster.node("a").view().role, "follower");
  cluster.elect("a");
  assert.is(cluster.node("a").view().role, "leader");
  assert.is(cluster.node("a").view().term, 10);
  assert.is(cluster.node("c").view().leader, "a");
});

leadership("a node with a higher term than all is freed by its refusal of their pre-vote, when there is no leader", () => {
  const cluster = new ManualCluster([
    { id: "a", log: [1, 1] },
    { id: "b", log: [1, 1] },
    { id: "c", term: 9 },
  ]);
  cluster.isolate("b");
  cluster.elect("a");
  assert.is(cluster.node("a").view().term, 9);
  cluster.elect("a");
  assert.is(cluster.node("a").view().role, "leader");
  assert.equal(cluster.logOf("c"), [1, 1, 10]);
});

leadership("a read at a deposed leader is never confirmed (ReadIndex, dissertation §6.4)", () => {
  const cluster = threeWithLeader();
  cluster.isolate("a");
  cluster.elect("b");
  cluster.propose("b", 1);
  cluster.deliver();
  assert.is(cluster.node("a").view().role, "leader", "it does not know yet");
  cluster.checker.readRequested(memberId("a"), 7);
  cluster.step("a", { type: "read-index", requestId: 7 });
  cluster.deliver();
  cluster.heal();
  cluster.elapse(150);
  cluster.step("b", { type: "tick" });
  cluster.deliver();
  assert.equal(ofType(cluster.said("a"), "read-ready"), []);
  assert.equal(ofType(cluster.said("a"), "read-refused"), [
    { type: "read-refused", requestId: 7, reason: "not-leader", leader: memberId("b") },
  ]);
});

leadership("old and doubled answers confirm no read: only echoes of its own round do", () => {
  const cluster = threeWithLeader();
  cluster.step("a", { type: "read-index", requestId: 1 });
  const answers: { from: typeof a; message: RaftMessage }[] = [];
  const a = memberId("a");
  cluster.deliver(({ from, to, message }) => {
    if (to === "a") answers.push({ from, message });
    return true;
  });
  assert.is(ofType(cluster.said("a"), "read-ready").length, 1);
  cluster.step("a", { type: "read-index", requestId: 2 });
  for (const { from, message } of answers) cluster.step("a", { type: "message", from, message });
  assert.is(ofType(cluster.said("a"), "read-ready").length, 1);
  cluster.deliver();
  assert.equal(
    ofType(cluster.said("a"), "read-ready").map(({ requestId, index }) => [requestId, index]),
    [
      [1, 1],
      [2, 1],
    ],
  );
});

leadership("a new leader answers no read before an entry of its own term is committed (§8)", () => {
  const cluster = new ManualCluster([
    { id: "a", log: [1, 1, 1], commitIndex: 1 },
    { id: "b", log: [1, 1, 1], commitIndex: 1 },
    { id: "c", log: [1, 1, 1], commitIndex: 1 },
  ]);
  cluster.timeOut("a");
  cluster.deliver(({ message }) => message.type.includes("vote"));
  cluster.step("a", { type: "read-index", requestId: 1 });
  // Followers answer the empty question, but do not have the entry of the term on disk.
  cluster.holdDisk("b");
  cluster.holdDisk("c");
  cluster.deliver();
  cluster.beat("a", 450);
  assert.equal(ofType(cluster.said("a"), "read-ready"), []);
  cluster.releaseDisk("b");
  cluster.deliver();
  assert.equal(ofType(cluster.said("a"), "read-ready"), [{ type: "read-ready", requestId: 1, index: 4 }]);
});

leadership("a vote leaves only when it is on disk, and so does a candidacy", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
  const requests = () => cluster.said("a").filter((effect) => effect.type === "send" && effect.message.type === "vote-request").length;
  const votes = () => cluster.said("b").filter((effect) => effect.type === "send" && effect.message.type === "vote-response").length;
  cluster.holdDisk("a");
  cluster.holdDisk("b");
  cluster.isolate("c");
  cluster.elect("a");
  assert.is(cluster.node("a").view().role, "candidate");
  assert.is(requests(), 0);
  cluster.releaseDisk("a");
  assert.is(requests(), 2);
  cluster.deliver();
  assert.is(cluster.node("b").view().votedFor, "a");
  assert.is(votes(), 0);
  assert.is(cluster.node("a").view().role, "candidate");
  cluster.releaseDisk("b");
  assert.is(votes(), 1);
  cluster.deliver();
  assert.is(cluster.node("a").view().role, "leader");
});

leadership("a vote whose record became durable after the term had passed is never sent", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
  cluster.holdDisk("b");
  const request = (from: string, term: number) =>
    cluster.step("b", {
      type: "message",
      from: memberId(from),
      message: { type: "vote-request", term, lastLogIndex: 0, lastLogTerm: 0, transfer: false },
    });
  request("a", 1);
  request("c", 2);
  cluster.releaseDisk("b");
  const sent = ofType(cluster.said("b"), "send").map(({ to, message }) => [to, message.type, message.term]);
  assert.equal(sent, [["c", "vote-response", 2]]);
});

leadership.run();
