// Goal: a follower that needs what its leader has compacted away gets there by a snapshot, whatever is lost, late or restarted
// on the way (Raft §7). Method: a cluster moved by hand, message by message, with the checkers on.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { memberId } from "../../../src/lib/ids.ts";
import { isVoting, ManualCluster, ofType } from "../../core/raft/manual-cluster.ts";

const snapshots = suite("Raft snapshots");

const keepNothing = { trailingEntriesMax: 0 };

/** A leads; C has missed `count` entries, and A and B have compacted their logs since. */
function slowFollower(count = 10): ManualCluster {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }], { limits: keepNothing });
  cluster.elect("a");
  cluster.isolate("c");
  for (let requestId = 1; requestId <= count; requestId++) cluster.propose("a", requestId);
  cluster.deliver();
  cluster.beat("a");
  for (const id of ["a", "b"]) cluster.storeSnapshot(id);
  assert.is(cluster.view("a").firstIndex, count + 2);
  cluster.heal();
  return cluster;
}

snapshots("a slow follower after compaction is offered the snapshot, fetches it, and goes on with the log", () => {
  const cluster = slowFollower();
  cluster.beat("a", 300);
  assert.is(cluster.progress("a", "c").state, "snapshot");
  assert.is(cluster.fetchOf("c"), "a");
  cluster.propose("a", 50);
  cluster.deliver();
  assert.is(cluster.view("c").lastIndex, 1, "nothing is sent that it could not use");
  cluster.completeFetch("c");
  cluster.deliver();
  assert.is(cluster.view("c").snapshotIndex, 11);
  assert.equal(cluster.logOf("c"), [1], "the entry behind the snapshot");
  assert.is(cluster.view("c").appliedIndex, 12);
  assert.is(cluster.progress("a", "c").state, "replicate");
  assert.is(cluster.progress("a", "c").matchIndex, 12);
});

snapshots("as long as the snapshot is on its way, its offer is the heartbeat", () => {
  const cluster = slowFollower();
  cluster.pass(10_000);
  assert.is(cluster.view("a").role, "leader");
  assert.is(cluster.view("c").leader, "a");
  assert.is(cluster.view("c").term, 1, "C never stood");
  assert.ok(ofType(cluster.said("c"), "fetch-snapshot").length > 10, "it asks again, in case the first fetch was lost");
});

snapshots("a read is confirmed by a follower that still waits for its snapshot", () => {
  const cluster = slowFollower();
  cluster.beat("a", 300);
  cluster.isolate("b");
  cluster.step("a", { type: "read-index", requestId: 1 });
  cluster.deliver();
  assert.equal(ofType(cluster.said("a"), "read-ready"), [{ type: "read-ready", requestId: 1, index: 11 }]);
});

snapshots("the leader dies in mid transfer: the next one offers its own snapshot", () => {
  const cluster = slowFollower();
  cluster.beat("a", 300);
  assert.is(cluster.fetchOf("c"), "a");
  cluster.crash("a");
  cluster.elect("b");
  assert.is(cluster.view("b").role, "leader");
  cluster.beat("b", 300);
  assert.is(cluster.fetchOf("c"), "b");
  cluster.completeFetch("c");
  cluster.deliver();
  assert.is(cluster.view("c").appliedIndex, cluster.view("b").lastIndex);
});

snapshots("a snapshot of a deposed leader that arrives late is used all the same: it holds only what is committed", () => {
  const cluster = slowFollower();
  cluster.beat("a", 300);
  cluster.isolate("a");
  cluster.elect("b");
  cluster.completeFetch("c");
  assert.is(cluster.view("c").snapshotIndex, 11);
  assert.is(cluster.view("c").leader, "b");
  cluster.beat("b", 300);
  assert.is(cluster.view("c").appliedIndex, cluster.view("b").lastIndex);
});

snapshots("the follower dies between the snapshot and its record: it starts from the snapshot", () => {
  const cluster = slowFollower();
  cluster.beat("a", 300);
  cluster.holdDisk("c");
  cluster.completeFetch("c");
  assert.is(cluster.view("c").lastIndex, 11);
  cluster.crash("c");
  cluster.restart("c");
  assert.is(cluster.view("c").snapshotIndex, 11);
  assert.is(cluster.view("c").commitIndex, 11);
  cluster.beat("a", 300);
  assert.is(cluster.progress("a", "c").matchIndex, 11);
});

snapshots("an older snapshot than what is committed changes nothing", () => {
  const cluster = slowFollower();
  cluster.beat("a", 300);
  cluster.completeFetch("c");
  cluster.propose("a", 60);
  cluster.deliver();
  cluster.beat("a");
  const before = cluster.view("c");
  const position = { term: 1, configuration: before.configuration };
  assert.equal(cluster.step("c", { type: "snapshot-received", from: memberId("a"), snapshot: { index: 11, ...position } }), []);
  assert.equal(cluster.view("c"), before);
});

snapshots("a follower whose log has the snapshot's entry only learns that it is committed", () => {
  const cluster = new ManualCluster(
    [
      { id: "a", log: [1, 1, 1], commitIndex: 3 },
      { id: "b", log: [1, 1, 1], commitIndex: 3 },
      { id: "c", log: [1, 1, 1] },
    ],
    { limits: keepNothing },
  );
  cluster.step("c", {
    type: "message",
    from: memberId("a"),
    message: { type: "install-snapshot", term: 1, snapshotIndex: 2, snapshotTerm: 1, readSequence: 0 },
  });
  assert.is(cluster.fetchOf("c"), undefined);
  assert.is(cluster.view("c").commitIndex, 2);
  assert.equal(cluster.wire.at(-1)?.message, { type: "append-accepted", term: 1, matchIndex: 2, receivedIndex: 2, readSequence: 0 });
});

snapshots("entries that contradict the snapshot go with it", () => {
  const specs = [
    { id: "a", log: [1, 1, 1, 1], term: 3, commitIndex: 4 },
    { id: "b", log: [1, 1, 1, 1], term: 3, commitIndex: 4 },
    { id: "c", log: [1, 1, 2, 2, 2, 2], term: 3, commitIndex: 1 },
  ];
  const cluster = new ManualCluster(specs, { limits: keepNothing });
  cluster.isolate("c");
  cluster.elect("a");
  cluster.storeSnapshot("a");
  cluster.heal();
  cluster.beat("a", 300);
  cluster.completeFetch("c");
  assert.equal(cluster.logOf("c"), [], "what stood behind the contradiction is gone");
  cluster.beat("a", 300);
  assert.equal(cluster.logOf("c"), cluster.logOf("a"));
  assert.is(cluster.view("c").appliedIndex, cluster.view("a").appliedIndex);
});

snapshots("what became of proposals under an installed snapshot is not known", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }], { limits: keepNothing });
  cluster.elect("a");
  cluster.isolate("a");
  cluster.propose("a", 7);
  cluster.timeOut("b");
  cluster.deliver(isVoting);
  for (let requestId = 10; requestId < 15; requestId++) cluster.propose("b", requestId);
  cluster.deliver();
  cluster.storeSnapshot("b");
  cluster.heal();
  cluster.beat("b", 450);
  cluster.completeFetch("a");
  assert.equal(ofType(cluster.said("a"), "proposal-unknown"), [{ type: "proposal-unknown", requestId: 7, index: 2, term: 1 }]);
  assert.is(cluster.view("a").openProposals, 0);
});

snapshots("the configuration comes with the snapshot, and is kept over restarts", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }, { id: "d", joins: true }], { limits: keepNothing });
  cluster.elect("a");
  cluster.isolate("c");
  cluster.change("a", 1, { voters: "a b c d", witnesses: "d" });
  cluster.deliver();
  cluster.propose("a", 2);
  cluster.deliver();
  cluster.storeSnapshot("a");
  cluster.heal();
  cluster.beat("a", 450);
  cluster.completeFetch("c");
  cluster.deliver();
  assert.is(cluster.votersOf("c"), "a b c d");
  for (const id of ["a", "c"]) {
    cluster.crash(id);
    cluster.restart(id);
    assert.is(cluster.votersOf(id), "a b c d", id);
    assert.equal(cluster.view(id).configuration.witnesses, ["d"], id);
  }
});

snapshots("a few entries stay behind a snapshot, so that a follower that is a little late needs none", () => {
  const cluster = new ManualCluster([{ id: "a" }, { id: "b" }, { id: "c" }], { limits: { trailingEntriesMax: 4 } });
  cluster.elect("a");
  cluster.isolate("c");
  for (let requestId = 1; requestId <= 4; requestId++) cluster.propose("a", requestId);
  cluster.deliver();
  cluster.storeSnapshot("a");
  assert.is(cluster.view("a").firstIndex, 2);
  cluster.heal();
  cluster.beat("a", 300);
  assert.is(cluster.view("c").appliedIndex, 5);
  assert.equal(ofType(cluster.said("c"), "fetch-snapshot"), []);
});

snapshots.run();

const damage = suite("Raft with a damaged log");

/** C once had entries up to 5 and has two of them; A leads the others, who have 5. */
function damagedFollower(): ManualCluster {
  const log = [1, 1, 1, 1, 1];
  return new ManualCluster(
    [
      { id: "a", log, commitIndex: 5 },
      { id: "b", log, commitIndex: 5 },
      { id: "c", log: [1, 1], impairedUntil: 5 },
    ],
    { limits: keepNothing },
  );
}

/** A leads, as C knows, but no entry has left it yet. */
function damagedAndLed(): ManualCluster {
  const cluster = damagedFollower();
  cluster.timeOut("a");
  cluster.deliver(isVoting);
  cluster.wire.length = 0;
  assert.is(cluster.view("a").role, "leader");
  cluster.holdDisk("c");
  return cluster;
}

damage("a damaged node neither stands nor votes", () => {
  const cluster = damagedFollower();
  assert.is(cluster.node("c").nextDeadlineMs(), Number.POSITIVE_INFINITY);
  cluster.step("c", { type: "campaign" });
  assert.is(cluster.view("c").role, "follower");
  cluster.isolate("b");
  cluster.elect("a");
  assert.is(cluster.view("a").role, "pre-candidate", "its own vote and none of C");
  cluster.heal();
  cluster.elect("a");
  assert.is(cluster.view("a").role, "leader", "B is whole");
});

damage("it counts for no commit until it has, in agreement with a leader, all that it once had", () => {
  const cluster = damagedAndLed();
  cluster.isolate("b");
  cluster.propose("a", 1);
  cluster.beat("a", 450);
  assert.is(cluster.view("c").lastIndex, 7);
  assert.is(cluster.view("c").impairedUntil, 5, "received is not on disk");
  assert.is(cluster.progress("a", "c").matchIndex, 0);
  assert.is(cluster.view("a").commitIndex, 5);
  cluster.releaseDisk("c");
  assert.is(cluster.view("c").impairedUntil, undefined);
  cluster.deliver();
  assert.is(cluster.view("a").commitIndex, 7);
});

damage("it remembers over restarts that it is damaged, and heals by a snapshot too", () => {
  const cluster = damagedFollower();
  cluster.isolate("c");
  cluster.elect("a");
  cluster.storeSnapshot("a");
  cluster.heal();
  cluster.beat("a", 150);
  cluster.crash("c");
  cluster.restart("c");
  assert.is(cluster.view("c").impairedUntil, 5);
  cluster.beat("a", 450);
  assert.is(cluster.view("c").impairedUntil, 5);
  cluster.completeFetch("c");
  assert.is(cluster.view("c").impairedUntil, undefined);
  cluster.deliver();
  assert.is(cluster.progress("a", "c").matchIndex, cluster.view("a").lastIndex);
  cluster.crash("c");
  cluster.restart("c");
  assert.is(cluster.view("c").impairedUntil, undefined, "for good");
});

damage("a node that has everything on disk is whole only when a leader of its term has said that it is right", () => {
  const cluster = damagedAndLed();
  cluster.beat("a", 300);
  assert.is(cluster.view("c").lastIndex, 6);
  cluster.step("c", {
    type: "message",
    from: memberId("b"),
    message: { type: "vote-request", term: 8, lastLogIndex: 6, lastLogTerm: 2, transfer: true },
  });
  cluster.releaseDisk("c");
  assert.is(cluster.view("c").impairedUntil, 5, "all is on disk, but no leader of this term has said that it is right");
  cluster.beat("a");
  cluster.elect("b");
  assert.is(cluster.view("b").role, "leader");
  cluster.beat("b", 300);
  assert.is(cluster.view("c").impairedUntil, undefined);
});

damage("a leader starts over with a follower that denies what it had acknowledged", () => {
  const log = [1, 1, 1, 1, 1];
  const cluster = new ManualCluster([
    { id: "a", log },
    { id: "b", log },
    { id: "c", log },
  ]);
  cluster.elect("a");
  assert.is(cluster.progress("a", "c").matchIndex, 6);
  cluster.step("a", {
    type: "message",
    from: memberId("c"),
    message: { type: "append-rejected", term: 2, rejectedIndex: 6, conflictIndex: 2, conflictTerm: 1, readSequence: 0 },
  });
  assert.is(cluster.progress("a", "c").matchIndex, 0);
  assert.is(cluster.progress("a", "c").nextIndex, 3);
  assert.is(cluster.view("a").commitIndex, 6);
  cluster.beat("a", 300);
  assert.is(cluster.progress("a", "c").matchIndex, 6);
});

damage.run();
