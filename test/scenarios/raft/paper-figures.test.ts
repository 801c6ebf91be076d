// Goal: the situations of the Raft paper's figures 7 and 8 end as the paper says.
// Method: nodes start with the logs of the figure; elections and messages go one by one.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Envelope, ManualCluster } from "../../core/raft/manual-cluster.ts";
import { SafetyViolation } from "../../core/raft/safety-violation.ts";

const figure7 = suite("Raft paper, figure 7");

const leaderLog = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
const followers: readonly { readonly id: string; readonly log: readonly number[]; readonly votes: boolean }[] = [
  { id: "a", log: [1, 1, 1, 4, 4, 5, 5, 6, 6], votes: true },
  { id: "b", log: [1, 1, 1, 4], votes: true },
  { id: "c", log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], votes: false },
  { id: "d", log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], votes: false },
  { id: "e", log: [1, 1, 1, 4, 4, 4, 4], votes: true },
  { id: "f", log: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], votes: true },
];

for (const [batch, limits] of [
  ["large batches", {}],
  ["one entry a message", { batchBytesMax: 1, inflightMessagesMax: 2 }],
] as const) {
  figure7(`the leader of term 8 makes all six logs its own, with ${batch}`, () => {
    const cluster = new ManualCluster(
      [{ id: "leader", log: leaderLog, term: 7 }, ...followers.map(({ id, log }) => ({ id, log, term: 7 }))],
      { limits },
    );
    cluster.timeOut("leader");
    cluster.deliver(({ message }) => message.type.includes("vote"));
    assert.is(cluster.node("leader").view().role, "leader");
    assert.is(cluster.node("leader").view().term, 8);
    for (const { id, votes } of followers) assert.is(cluster.node(id).view().votedFor, votes ? "leader" : undefined, id);
    cluster.deliver();
    for (const { id } of followers) assert.equal(cluster.logOf(id), [...leaderLog, 8], id);
    assert.is(cluster.node("leader").view().commitIndex, leaderLog.length + 1);
    for (const { id } of followers) assert.is(cluster.node(id).view().appliedIndex, leaderLog.length + 1, id);
  });
}

figure7("conflicts are skipped by term, not one index at a time (§5.3)", () => {
  const long = 400;
  const log = Array.from({ length: long }, (_, i) => (i === 0 ? 1 : 4));
  const stale = Array.from({ length: long }, (_, i) => (i === 0 ? 1 : 2 + (i > long / 2 ? 1 : 0)));
  const cluster = new ManualCluster([
    { id: "leader", log },
    { id: "other", log },
    { id: "stale", log: stale },
  ]);
  cluster.elect("leader");
  assert.equal(cluster.logOf("stale"), [...log, 5]);
  const rejections = cluster.said("stale").filter((effect) => effect.type === "send" && effect.message.type === "append-rejected");
  assert.ok(rejections.length <= 3, `${rejections.length} rejections`);
});

figure7.run();

const figure8 = suite("Raft paper, figure 8");

/** (c): S1 leads in term 4 and brings entry 2 of term 2 to S3, a majority with S2; its own entry of term 4 goes nowhere yet. */
function untilC(options: ConstructorParameters<typeof ManualCluster>[1] = {}): ManualCluster {
  const cluster = new ManualCluster(
    [
      { id: "s1", log: [1, 2], term: 3, commitIndex: 1 },
      { id: "s2", log: [1, 2], term: 2, commitIndex: 1 },
      { id: "s3", log: [1], term: 3, commitIndex: 1 },
      { id: "s4", log: [1], term: 3, commitIndex: 1 },
      { id: "s5", log: [1, 3], term: 3, commitIndex: 1 },
    ],
    { ...options, limits: { batchBytesMax: 1, inflightMessagesMax: 1 } },
  );
  cluster.isolate("s5");
  cluster.timeOut("s1");
  cluster.deliver(({ message }) => message.type.includes("vote"));
  assert.is(cluster.node("s1").view().term, 4);
  // Whatever carries an entry of term 4, and everything to S4, is lost; each heartbeat asks again.
  const getsThrough = ({ to, message }: Envelope) =>
    to !== "s4" && !(message.type === "append" && message.entries.some(({ term }) => term === 4));
  while (cluster.logOf("s3").length < 2) {
    assert.ok(cluster.nowMs < 3_000, "S3 gets entry 2 within a few heartbeats");
    cluster.deliver(getsThrough);
    cluster.wire.length = 0;
    cluster.elapse(150);
    cluster.step("s1", { type: "tick" });
  }
  cluster.deliver(getsThrough);
  assert.equal(cluster.logOf("s2"), [1, 2]);
  assert.equal(cluster.logOf("s3"), [1, 2]);
  assert.equal(cluster.logOf("s1"), [1, 2, 4]);
  return cluster;
}

/** (d): S1 is gone; S5 is elected with the votes of S2, S3, S4 and replaces entry 2. */
function thenD(cluster: ManualCluster): void {
  cluster.wire.length = 0;
  cluster.heal();
  cluster.isolate("s1");
  cluster.elect("s5");
  // Its first attempt told it of term 4; the next one is above it.
  if (cluster.node("s5").view().role !== "leader") cluster.elect("s5");
  assert.is(cluster.node("s5").view().role, "leader");
  const { term } = cluster.node("s5").view();
  for (const id of ["s2", "s3", "s4"]) assert.equal(cluster.logOf(id), [1, 3, term], id);
}

figure8("an entry of an earlier term on a majority is not committed by counting (§5.4.2), and may be replaced", () => {
  const cluster = untilC();
  assert.is(cluster.node("s1").view().commitIndex, 1);
  thenD(cluster);
});

figure8("it commits under an entry of the leader's own term, and can be replaced no more", () => {
  const cluster = untilC();
  cluster.wire.length = 0;
  for (let i = 0; i < 3; i++) {
    cluster.elapse(150);
    cluster.step("s1", { type: "tick" });
    cluster.deliver();
  }
  assert.is(cluster.node("s1").view().commitIndex, 3);
  cluster.heal();
  cluster.isolate("s1");
  cluster.elect("s5");
  cluster.elect("s5");
  assert.is.not(cluster.node("s5").view().role, "leader");
});

figure8("planted bug: with commit by counting of earlier terms, the checkers find the lost entry", () => {
  const cluster = untilC({ rules: { mayCommit: () => true } });
  assert.is(cluster.node("s1").view().commitIndex, 2);
  try {
    thenD(cluster);
    assert.unreachable("the lost entry went unnoticed");
  } catch (error) {
    assert.instance(error, SafetyViolation);
    assert.is((error as SafetyViolation).property, "leader-completeness");
  }
});

figure8.run();
