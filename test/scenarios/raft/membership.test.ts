// Goal: members come and go without a moment in which two majorities could decide apart, and without anybody who is left
// behind stopping the rest (dissertation, chapter 4). Method: a cluster moved by hand, message by message, with the checkers on.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Envelope, isVoting, ManualCluster, ofType } from "../../core/raft/manual-cluster.ts";
import { SafetyViolation } from "../../core/raft/safety-violation.ts";

const membership = suite("Raft membership");

const refusals = (effects: ReturnType<ManualCluster["step"]>) => ofType(effects, "proposal-refused").map(({ reason }) => reason);
const hasConfiguration = ({ message }: Envelope) =>
  message.type === "append" && message.entries.some(({ kind }) => kind === "configuration");

function threeWithLeader(...more: readonly string[]): ManualCluster {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }, ...more.map((id) => ({ id, joins: true }))]);
  cluster.elect("a");
  assert.is(cluster.view("a").role, "leader");
  return cluster;
}

membership("a group of one grows to two, by way of a learner, and both are needed from then on", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b", joins: true }]);
  cluster.elect("a");
  cluster.propose("a", 1);
  cluster.change("a", 2, { voters: "a", learners: "b" });
  cluster.deliver();
  assert.equal(cluster.logOf("b"), [1, 1, 1], "a learner gets the log");
  assert.is(cluster.view("b").appliedIndex, 3);
  cluster.isolate("b");
  cluster.propose("a", 3);
  assert.is(cluster.view("a").commitIndex, 4, "and is not waited for");
  cluster.heal();
  cluster.beat("a");
  cluster.change("a", 4, { voters: "a b" });
  assert.is(cluster.view("a").commitIndex, 4, "the change itself needs the new majority (§4.1)");
  cluster.deliver();
  assert.is(cluster.view("a").commitIndex, 5);
  assert.is(cluster.votersOf("b"), "a b");
  cluster.isolate("b");
  cluster.propose("a", 5);
  assert.is(cluster.view("a").commitIndex, 5);
});

membership("a voter is replaced: a learner catches up, becomes the fourth voter, and the old one goes", () => {
  const cluster = threeWithLeader("d");
  cluster.isolate("c");
  for (let requestId = 1; requestId <= 5; requestId++) cluster.propose("a", requestId);
  cluster.deliver();
  cluster.change("a", 10, { voters: "a b c", learners: "d" });
  cluster.deliver();
  assert.is(cluster.progress("a", "d").matchIndex, cluster.view("a").lastIndex);
  cluster.change("a", 11, { voters: "a b c d" });
  cluster.deliver();
  cluster.change("a", 12, { voters: "a b d" });
  cluster.deliver();
  assert.is(cluster.view("a").commitIndex, cluster.view("a").lastIndex);
  for (const id of ["a", "b", "d"]) assert.is(cluster.votersOf(id), "a b d");
  assert.equal(
    cluster.view("a").followers.map(({ id }) => id),
    ["b", "d"],
  );
});

membership("one change at a time, one voter at a time, not while leadership moves, and only by the leader", () => {
  const cluster = threeWithLeader("d", "e");
  assert.equal(refusals(cluster.change("a", 1, { voters: "a b c d e" })), ["invalid"]);
  assert.equal(refusals(cluster.change("a", 1, { voters: "a b d" })), ["invalid"], "one comes and one goes");
  assert.equal(refusals(cluster.change("a", 1, { voters: "" })), ["invalid"]);
  assert.equal(refusals(cluster.change("a", 1, { voters: "a b c", learners: "c" })), ["invalid"]);
  assert.equal(refusals(cluster.change("a", 1, { voters: "a b c", witnesses: "e" })), ["invalid"]);
  assert.equal(refusals(cluster.change("a", 1, { voters: "a b c", witnesses: "b b" })), ["invalid"]);
  assert.equal(refusals(cluster.change("b", 1, { voters: "a b c", learners: "d" })), ["not-leader"]);
  assert.equal(refusals(cluster.change("a", 1, { voters: "a b c", learners: "d e" })), [], "learners need no quorum");
  assert.equal(refusals(cluster.change("a", 2, { voters: "a b c d", learners: "e" })), ["change-in-flight"]);
  cluster.deliver();
  assert.equal(refusals(cluster.change("a", 2, { voters: "a b c d", learners: "e" })), []);
  cluster.deliver();
  cluster.step("a", { type: "transfer-leadership", to: undefined });
  assert.equal(refusals(cluster.change("a", 3, { voters: "a b c d e" })), ["transferring"]);
});

membership("no change before the leader's no-op is committed (the bug of 2015)", () => {
  const cluster = threeWithLeader("d");
  cluster.timeOut("b");
  cluster.deliver(isVoting);
  cluster.step("b", { type: "campaign" });
  assert.is(cluster.view("b").role, "leader");
  assert.equal(refusals(cluster.change("b", 1, { voters: "a b c", learners: "d" })), ["change-in-flight"]);
  cluster.deliver();
  assert.equal(refusals(cluster.change("b", 1, { voters: "a b c", learners: "d" })), []);
});

/**
 * Ongaro's message to raft-dev of 10 July 2015: of four, S1 leads and appends a fifth voter, alone; S2 is elected by S2, S3
 * and S4, removes S1 and commits that on two of three. Then S1 comes back, elected by itself, S5 and one more.
 */
function bugOf2015(options: ConstructorParameters<typeof ManualCluster>[1]): ManualCluster {
  const ids = ["s1", "s2", "s3", "s4"];
  const cluster = new ManualCluster([...ids.map((id) => ({ id, log: [1], commitIndex: 1 })), { id: "s5", joins: true }], options);
  cluster.elect("s1");
  cluster.isolate("s2", "s3", "s4");
  cluster.change("s1", 1, { voters: "s1 s2 s3 s4 s5" });
  cluster.beat("s1");
  assert.is(cluster.votersOf("s5"), "s1 s2 s3 s4 s5");
  cluster.heal();
  cluster.isolate("s1", "s5");
  cluster.timeOut("s2");
  cluster.deliver(isVoting);
  assert.is(cluster.view("s2").role, "leader");
  // Only S3 hears of what S2 does.
  cluster.isolate("s1", "s4", "s5");
  cluster.change("s2", 2, { voters: "s2 s3 s4" });
  return cluster;
}

membership("the bug of 2015: the second leader may not remove a voter before its no-op has reached a majority of the old ones", () => {
  const cluster = bugOf2015({});
  assert.equal(refusals(cluster.said("s2")), ["change-in-flight"]);
  cluster.deliver();
  assert.is(cluster.view("s2").commitIndex, 2, "two of four commit nothing");
});

membership("planted bug: with changes at any time, S1 and S2 decide apart, and the checkers see it", () => {
  try {
    const cluster = bugOf2015({ rules: { mayChangeMembership: () => true } });
    cluster.deliver();
    assert.is(cluster.view("s2").commitIndex, 4, "committed by S2 and S3, of three");
    cluster.heal();
    cluster.isolate("s2", "s3");
    // It finds that it leads no longer, then that there was a term above its own, then it wins.
    for (let i = 0; i < 3; i++) cluster.elect("s1");
    assert.unreachable("nobody noticed that S1 leads without what is committed");
  } catch (error) {
    if (!(error instanceof SafetyViolation)) throw error;
    assert.is(error.property, "leader-completeness");
  }
});

membership("the leader dies during a change that one follower has: the next leader may bring it to an end", () => {
  const cluster = threeWithLeader("d");
  cluster.change("a", 1, { voters: "a b c d" });
  cluster.deliver((envelope) => envelope.to === "b" && hasConfiguration(envelope));
  cluster.wire.length = 0;
  cluster.crash("a");
  assert.is(cluster.votersOf("b"), "a b c d");
  assert.is(cluster.votersOf("c"), "a b c");
  cluster.elect("b");
  assert.is(cluster.view("b").role, "leader", "elected by three of four, the new one among them");
  assert.is(cluster.view("b").commitIndex, cluster.view("b").lastIndex);
  for (const id of ["b", "c", "d"]) assert.is(cluster.votersOf(id), "a b c d", id);
  cluster.restart("a");
  cluster.beat("b", 600);
  assert.is(cluster.votersOf("a"), "a b c d");
});

membership("the leader dies during a change that nobody else has: it is taken back when the leader returns", () => {
  const cluster = threeWithLeader("d");
  cluster.change("a", 1, { voters: "a b" });
  cluster.wire.length = 0;
  assert.is(cluster.votersOf("a"), "a b", "in effect as soon as it is in the log");
  cluster.crash("a");
  cluster.elect("b");
  assert.is(cluster.view("b").role, "leader");
  cluster.restart("a");
  assert.is(cluster.votersOf("a"), "a b", "still there after the restart");
  cluster.beat("b", 600);
  assert.is(cluster.votersOf("a"), "a b c", "overwritten, and with it gone");
  assert.equal(cluster.logOf("a"), [1, 2]);
  assert.is(cluster.view("a").configurationIndex, 0);
});

membership("a leader removes itself: it leads on without a vote until that is committed, then has another one stand at once", () => {
  const cluster = threeWithLeader();
  cluster.change("a", 1, { voters: "b c" });
  cluster.propose("a", 2);
  assert.is(cluster.view("a").role, "leader");
  cluster.deliver(({ from, to }) => [from, to].includes("b" as never) && [from, to].includes("a" as never));
  assert.is(cluster.view("a").commitIndex, 1, "one of the two others is not enough: its own vote counts no more");
  assert.is(cluster.view("a").role, "leader");
  cluster.deliver();
  assert.is(cluster.view("a").role, "follower");
  assert.is(cluster.view("a").commitIndex, 2, "it knows that the change is committed");
  const leader = cluster.view("b").role === "leader" ? "b" : "c";
  assert.is(cluster.view(leader).role, "leader", "without waiting for an election timeout");
  assert.is(cluster.nowMs, 2_000);
  cluster.elapse(60_000);
  cluster.step("a", { type: "tick" });
  assert.is(cluster.view("a").role, "follower");
  assert.is(cluster.node("a").nextDeadlineMs(), Number.POSITIVE_INFINITY, "it never stands again");
});

membership("a leader that crashed while it removed itself stands all the same, when only its log can win (dissertation §4.2.2)", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }]);
  cluster.elect("a");
  cluster.propose("a", 1);
  cluster.change("a", 2, { voters: "b" });
  cluster.crash("a");
  cluster.wire.length = 0;
  cluster.elect("b");
  assert.is(cluster.view("b").role, "pre-candidate");
  cluster.restart("a");
  assert.is(cluster.votersOf("a"), "b");
  cluster.wire.length = 0;
  cluster.elect("b");
  assert.is.not(cluster.view("b").role, "leader", "its log is the shorter one");
  cluster.elect("a");
  assert.is(cluster.view("a").role, "follower");
  assert.is(cluster.view("b").role, "leader", "the change was committed, and leadership passed on");
  assert.is(cluster.votersOf("b"), "b");
  cluster.propose("b", 3);
  assert.is(cluster.view("b").commitIndex, cluster.view("b").lastIndex);
});

membership("a removed server, which does not know it, does not disturb the rest (dissertation §4.2.3)", () => {
  const cluster = threeWithLeader();
  cluster.change("a", 1, { voters: "a b" });
  cluster.deliver();
  assert.is(cluster.votersOf("c"), "a b c", "nobody has told it");
  cluster.pass(20_000);
  assert.is(cluster.view("a").role, "leader");
  assert.is(cluster.view("a").term, 1);
  assert.is(cluster.view("c").term, 1);
  assert.ok(
    ofType(cluster.said("c"), "send").some(({ message }) => message.type === "pre-vote-request"),
    "it tries",
  );
  // Nor does one that has got to a high term.
  cluster.step("a", {
    type: "message",
    from: "c" as never,
    message: { type: "vote-request", term: 40, lastLogIndex: 90, lastLogTerm: 39, transfer: false },
  });
  assert.is(cluster.view("a").term, 1);
});

membership("a learner gives its vote to a candidate that knows it as a voter (dissertation §4.2.2), and never stands itself", () => {
  const cluster = threeWithLeader("d");
  cluster.change("a", 1, { voters: "a b c", learners: "d" });
  cluster.deliver();
  // The change that makes it a voter reaches B, and not D itself; then A and C are gone.
  cluster.isolate("d", "c");
  cluster.change("a", 2, { voters: "a b c d" });
  cluster.deliver();
  cluster.crash("a");
  cluster.heal();
  assert.is(cluster.votersOf("b"), "a b c d");
  assert.is(cluster.votersOf("d"), "a b c");
  cluster.elapse(60_000);
  cluster.step("d", { type: "campaign" });
  assert.equal(
    ofType(cluster.said("d"), "send").filter(({ message }) => message.type === "pre-vote-request"),
    [],
  );
  cluster.elect("b");
  assert.is(cluster.view("b").role, "leader", "B, C and D are three of four");
});

membership("a member that a rolled-back change had added is no part of any majority", () => {
  const cluster = threeWithLeader("d");
  cluster.isolate("b", "c");
  cluster.change("a", 1, { voters: "a b c d" });
  cluster.deliver();
  assert.is(cluster.votersOf("d"), "a b c d");
  assert.is(cluster.view("a").commitIndex, 1, "two of four");
  cluster.heal();
  cluster.isolate("a", "d");
  cluster.elect("b");
  cluster.heal();
  cluster.beat("b", 600);
  assert.is(cluster.votersOf("a"), "a b c");
  cluster.elapse(60_000);
  cluster.step("d", { type: "campaign" });
  cluster.deliver();
  assert.is(cluster.view("b").role, "leader");
  assert.is(cluster.view("d").votedFor, undefined);
});

membership.run();
