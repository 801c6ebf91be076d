// Goal: leadership passes on when it is asked to, and stays where it is when the target cannot take it (dissertation §3.10);
// a witness leads only to pass on. Method: a cluster moved by hand, message by message, with the checkers on.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { memberId } from "../../../src/lib/ids.ts";
import { isVoting, ManualCluster, ofType } from "../../core/raft/manual-cluster.ts";

const transfer = suite("Raft leadership transfer");

function threeWithLeader(): ManualCluster {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }]);
  cluster.elect("a");
  cluster.beat("a");
  return cluster;
}

const move = (cluster: ManualCluster, to?: string) =>
  cluster.step("a", { type: "transfer-leadership", to: to === undefined ? undefined : memberId(to) });
const ended = (cluster: ManualCluster) => ofType(cluster.said("a"), "transfer-ended").map(({ to, moved }) => [to, moved]);

transfer("a follower that has everything takes over in one election, although all trust the leader", () => {
  const cluster = threeWithLeader();
  const since = cluster.nowMs;
  move(cluster, "c");
  cluster.deliver();
  assert.is(cluster.view("c").role, "leader");
  assert.is(cluster.view("c").term, 2);
  assert.equal(ended(cluster), [["c", true]]);
  for (const id of ["a", "b"]) assert.is(cluster.view(id).leader, "c");
  assert.is(cluster.nowMs, since, "no time-out had to pass");
  assert.is(ofType(cluster.said("c"), "send").filter(({ message }) => message.type === "pre-vote-request").length, 0);
});

transfer("a lagging target is brought up to date first, and proposals are refused meanwhile", () => {
  const cluster = threeWithLeader();
  cluster.isolate("c");
  for (let requestId = 1; requestId <= 5; requestId++) cluster.propose("a", requestId);
  cluster.deliver();
  cluster.heal();
  cluster.holdDisk("c");
  move(cluster, "c");
  cluster.beat("a");
  cluster.beat("a");
  assert.is(cluster.view("c").lastIndex, 6);
  assert.not(
    cluster.said("a").some((effect) => effect.type === "send" && effect.message.type === "timeout-now"),
    "it is not on C's disk yet",
  );
  const refused = ofType(cluster.propose("a", 9), "proposal-refused");
  assert.equal(
    refused.map(({ reason }) => reason),
    ["transferring"],
  );
  cluster.releaseDisk("c");
  cluster.deliver();
  assert.is(cluster.view("c").role, "leader");
  assert.equal(ofType(cluster.propose("c", 10), "proposal-refused"), []);
});

transfer("a leader whose disk stands still passes on to those who commit without it; one whose disk is only slow does not", () => {
  const cluster = threeWithLeader();
  cluster.holdDisk("a");
  cluster.propose("a", 1);
  cluster.beat("a", 1_000);
  cluster.beat("a", 900);
  assert.is(cluster.view("a").commitIndex, 2);
  assert.is(cluster.view("a").durableIndex, 1);
  cluster.releaseDisk("a");
  cluster.holdDisk("a");
  cluster.propose("a", 2);
  for (let beat = 0; beat < 12; beat++) cluster.beat("a");
  assert.is(cluster.view("a").role, "leader", "the disk moved on in between");
  for (let beat = 0; beat < 4; beat++) cluster.beat("a");
  assert.is(cluster.view("a").role, "follower");
  const [leader] = ["b", "c"].filter((id) => cluster.view(id).role === "leader");
  assert.ok(leader !== undefined, "one of the others leads");
  assert.is(cluster.view(leader).term, 2);
  cluster.propose(leader, 3);
  cluster.deliver();
  assert.is(cluster.view(leader).commitIndex, cluster.view(leader).lastIndex);
});

transfer("where nothing is committed without the leader's disk it stays, however long that takes", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }]);
  cluster.elect("a");
  cluster.beat("a");
  cluster.holdDisk("a");
  cluster.propose("a", 1);
  for (let beat = 0; beat < 40; beat++) cluster.beat("a");
  assert.is(cluster.view("a").role, "leader");
  cluster.releaseDisk("a");
  cluster.deliver();
  assert.is(cluster.view("a").commitIndex, 2);
});

transfer("the target dies: after the minimum election timeout the leader takes proposals again", () => {
  const cluster = threeWithLeader();
  cluster.crash("c");
  cluster.propose("a", 1);
  move(cluster, "c");
  cluster.beat("a", 900);
  assert.is(ofType(cluster.propose("a", 2), "proposal-refused").length, 1);
  cluster.beat("a", 150);
  assert.equal(ended(cluster), [["c", false]]);
  assert.equal(ofType(cluster.propose("a", 3), "proposal-refused"), []);
  cluster.deliver();
  assert.is(cluster.view("a").role, "leader");
  assert.is(cluster.view("a").commitIndex, cluster.view("a").lastIndex);
});

transfer("a lost timeout-now is sent again with the next heartbeat", () => {
  const cluster = threeWithLeader();
  move(cluster, "b");
  assert.equal(
    cluster.wire.map(({ message }) => message.type),
    ["timeout-now"],
  );
  cluster.wire.length = 0;
  cluster.beat("a");
  assert.is(cluster.view("b").role, "leader");
});

transfer("the target's requests are lost: it stays a candidate, and the old leader, freed by its term, is elected anew", () => {
  const cluster = threeWithLeader();
  move(cluster, "b");
  cluster.deliver(({ message }) => message.type === "timeout-now");
  cluster.wire.length = 0;
  assert.is(cluster.view("b").role, "candidate");
  cluster.beat("a");
  assert.is(cluster.view("a").role, "follower");
  assert.is(cluster.view("a").term, 2);
  cluster.pass(6_000);
  assert.is(["a", "b", "c"].filter((id) => cluster.view(id).role === "leader").length, 1);
});

transfer("a candidate of a transfer that lost follows whoever won its term", () => {
  const cluster = threeWithLeader();
  move(cluster, "b");
  cluster.deliver(({ message }) => message.type === "timeout-now");
  assert.is(cluster.view("b").role, "candidate");
  // A hears of term 2 from B; C is elected in it, with A's vote, before B's request reaches it.
  cluster.wire.length = 0;
  const { lastIndex: lastLogIndex, lastTerm: lastLogTerm } = cluster.view("c");
  cluster.step("a", {
    type: "message",
    from: memberId("c"),
    message: { type: "vote-request", term: 2, lastLogIndex, lastLogTerm, transfer: true },
  });
  cluster.wire.length = 0;
  cluster.node("b").step(
    cluster.nowMs,
    {
      type: "message",
      from: memberId("c"),
      message: { type: "append", term: 2, prevIndex: 1, prevTerm: 1, commitIndex: 1, readSequence: 0, entries: [] },
    },
    [],
  );
  assert.is(cluster.view("b").role, "follower");
  assert.is(cluster.view("b").leader, "c");
});

transfer("without a target the most complete follower that is there is chosen", () => {
  const cluster = threeWithLeader();
  cluster.isolate("b");
  cluster.propose("a", 1);
  cluster.deliver();
  cluster.heal();
  move(cluster);
  cluster.deliver();
  assert.is(cluster.view("c").role, "leader");
});

transfer("to oneself, to a learner, to a stranger, or by a follower: nothing happens", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }, { id: "d" }], { learners: ["d"] });
  cluster.elect("a");
  for (const to of ["a", "d", "x"]) move(cluster, to);
  assert.equal(ended(cluster), [
    ["a", false],
    ["d", false],
    ["x", false],
  ]);
  cluster.step("b", { type: "transfer-leadership", to: memberId("c") });
  cluster.deliver();
  assert.equal(ofType(cluster.said("b"), "transfer-ended"), [{ type: "transfer-ended", to: memberId("c"), moved: false }]);
  assert.equal(ofType(cluster.propose("a", 1), "proposal-refused"), []);
  assert.is(cluster.view("a").role, "leader");
});

transfer("a timeout-now of an earlier term, or from who does not lead, moves nobody", () => {
  const cluster = threeWithLeader();
  cluster.step("b", { type: "message", from: memberId("c"), message: { type: "timeout-now", term: 1 } });
  assert.is(cluster.view("b").role, "follower");
  move(cluster, "b");
  cluster.deliver();
  assert.is(cluster.view("b").role, "leader");
  cluster.step("c", { type: "message", from: memberId("a"), message: { type: "timeout-now", term: 1 } });
  assert.is(cluster.view("c").role, "follower");
});

transfer("a leader that is asked for reads while it passes leadership on never answers from the past", () => {
  const cluster = threeWithLeader();
  move(cluster, "b");
  cluster.deliver(
    (envelope) => envelope.message.type === "timeout-now" || (isVoting(envelope) && envelope.from !== "a" && envelope.to !== "a"),
  );
  assert.is(cluster.view("b").role, "leader");
  assert.is(cluster.view("a").role, "leader", "it does not know yet");
  cluster.deliver(({ from, to }) => from !== "a" && to !== "a");
  cluster.propose("b", 5);
  cluster.deliver(({ from, to }) => from !== "a" && to !== "a");
  cluster.checker.readRequested(memberId("a"), 6);
  cluster.step("a", { type: "read-index", requestId: 6 });
  cluster.deliver();
  assert.equal(ofType(cluster.said("a"), "read-ready"), []);
  assert.is(ofType(cluster.said("a"), "read-refused").length, 1);
});

transfer.run();

const witness = suite("Raft witness");

/** Two full gateways and a witness W; A leads. */
function pairWithWitness(): ManualCluster {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "w" }], { witnesses: ["w"] });
  cluster.elect("a");
  cluster.beat("a");
  return cluster;
}

witness("after a start, and after the leader's end, a full gateway stands first", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "w" }], { witnesses: ["w"] });
  assert.ok(cluster.node("w").nextDeadlineMs() >= 2_000);
  for (const id of ["a", "b"]) assert.ok(cluster.node(id).nextDeadlineMs() < 1_000);
  const running = pairWithWitness();
  running.crash("a");
  running.pass(4_000);
  assert.is(running.view("b").role, "leader");
  assert.is(running.view("w").term, 2, "at the first attempt");
});

witness("only the witness has the newest entries: it leads, gives them to the other gateway, and passes leadership on", () => {
  const cluster = pairWithWitness();
  cluster.isolate("b");
  for (let requestId = 1; requestId <= 3; requestId++) cluster.propose("a", requestId);
  cluster.deliver();
  assert.is(cluster.view("a").commitIndex, 4, "acknowledged on A and W");
  cluster.crash("a");
  cluster.heal();
  cluster.elect("b");
  assert.is.not(cluster.view("b").role, "leader", "its log lacks what is committed");
  cluster.timeOut("w");
  cluster.deliver(isVoting);
  assert.is(cluster.view("w").role, "leader");
  cluster.deliver();
  assert.is(cluster.view("b").role, "leader");
  assert.is(cluster.view("b").commitIndex, cluster.view("b").lastIndex);
  assert.ok(cluster.view("b").appliedIndex >= 4, "nothing acknowledged is lost");
  assert.equal(ofType(cluster.propose("b", 9), "proposal-refused"), []);
  cluster.deliver();
  assert.is(cluster.view("w").commitIndex, cluster.view("b").commitIndex);
});

witness("a witness that cannot pass leadership on keeps it, and tries again", () => {
  const cluster = pairWithWitness();
  cluster.isolate("b");
  cluster.propose("a", 1);
  cluster.deliver();
  cluster.crash("a");
  cluster.heal();
  cluster.timeOut("w");
  cluster.deliver(({ message }) => message.type !== "timeout-now");
  assert.is(cluster.view("w").role, "leader");
  // Each timeout-now is lost for a while.
  for (let i = 0; i < 8; i++) {
    cluster.elapse(150);
    cluster.step("w", { type: "tick" });
    for (let at = cluster.wire.length - 1; at >= 0; at--) if (cluster.wire[at]?.message.type === "timeout-now") cluster.wire.splice(at, 1);
    cluster.deliver();
  }
  assert.is(cluster.view("w").role, "leader");
  assert.equal(ofType(cluster.propose("w", 2), "proposal-refused"), [], "it serves meanwhile");
  cluster.deliver();
  cluster.beat("w", 3_000);
  assert.is(cluster.view("b").role, "leader");
});

witness.run();
