// Goal: `RaftNode` can be driven without a gateway, from any term, vote, log, commit index and membership, one message, one
// tick, one fsync at a time, and its state read. Method: scenarios as scripts, played by a small interpreter on its public face.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ScenarioDriver } from "./scenario-driver.ts";

const driver = suite("Raft driven by scripts");

const scenarios: Readonly<Record<string, string>> = {
  "a node of its own is elected and commits as its disk goes": `
    member a voter
    node a
    campaign a
    a role candidate term 1 vote a
    sync a
    a role leader last 1 commit 0
    sync a
    a commit 1 applied 1
    propose a hello
    a said proposal-accepted 2
    a commit 1
    sync a
    a commit 2 applied 2`,

  "an election, message by message": `
    member a voter
    member b voter
    member c voter
    node a
    node b
    node c
    campaign a
    a role pre-candidate term 0
    deliver a b pre-vote-request
    deliver b a pre-vote-response
    a role candidate term 1              # it asks when its own vote is on disk
    sync a
    drop a c pre-vote-request
    deliver a b vote-request
    b term 1 vote a
    sync b
    deliver b a vote-response
    a role leader term 1
    settle
    a commit 1
    b leader a commit 1
    c leader a commit 1 log 1`,

  "a campaign is refused by those whose logs are longer, and raises nobody's term": `
    member a voter
    member b voter
    member c voter
    node a term 3 log 1,1 commit 1
    node b term 3 log 1,1,3 commit 2
    node c term 3 log 1,1,3 commit 2
    campaign a
    settle
    a role follower term 3 leader none
    campaign b
    settle
    b role leader term 4
    a log 1,1,3,4 commit 4 applied 4`,

  "a campaign at a leader, a learner or a damaged node does nothing": `
    member a voter
    member b voter
    member d learner
    node a
    node b
    node d
    campaign d
    d role follower
    campaign a
    settle
    a role leader term 1
    campaign a
    settle
    a role leader term 1
    node b term 1 log 1 lacks 5
    campaign b
    b role follower lacks 5`,

  "a follower looks for the point of agreement: probe, then replicate": `
    member a voter
    member b voter
    member c voter
    node a term 5 log 1,1,1,5 commit 1
    node b term 5 log 1,1,1,5 commit 1
    node c term 4 log 1,1,2,2,2,2 commit 1
    campaign a
    deliver a b pre-vote-request
    deliver b a pre-vote-response
    sync a
    deliver a b vote-request
    sync b
    deliver b a vote-response
    a role leader term 6
    a knows c state probe match 0 next 5
    deliver a c append                   # both requests for votes are still under way
    sync c
    deliver c a append-rejected
    a knows c state probe match 0 next 4
    settle
    a knows c state replicate match 5 next 6
    c log 1,1,1,5,6 commit 5`,

  "a slow follower after compaction gets the snapshot, then the rest": `
    member a voter
    member b voter
    member c voter
    node a term 1 log 1,1,1,1,1 commit 5
    node b term 1 log 1,1,1,1,1 commit 5
    node c term 1 log 1,1 commit 2
    campaign a
    a commit 5 applied 5
    compact a 4
    a first 5 snapshot 4 log 1
    settle
    a role leader term 2
    c snapshot 4 first 5 log 1,2 applied 6
    a knows c state replicate match 6 next 7`,

  "a member is added, promoted and removed": `
    member a voter
    node a
    node b
    campaign a
    settle
    change a voters a learners b
    settle
    b log 1,1 commit 2 voters a learners b
    change a voters a,b
    settle
    b voters a,b commit 3
    change a voters a,b,x,y
    a said proposal-refused invalid
    change a voters a
    change a voters a,b
    a said proposal-refused change-in-flight
    settle
    a voters a commit 4
    b voters a,b                         # nobody tells it`,

  "leadership moves to a follower that has to catch up": `
    member a voter
    member b voter
    member c voter
    node a
    node b
    node c
    campaign a
    settle
    propose a one
    transfer a c
    propose a two
    a said proposal-refused transferring
    settle
    c role leader term 2
    a role follower leader c
    a said transfer-ended
    propose c three
    settle
    a log 1,1,2,2 commit 4`,

  "a leader that hears nobody is none any more, and answers no read": `
    member a voter
    member b voter
    member c voter
    node a
    node b
    node c
    campaign a
    settle
    read a
    settle
    a said read-ready 1
    read a
    tick a 1000
    a role follower leader none
    a said read-refused not-leader`,

  "a link that stands again is used at once": `
    member a voter
    member b voter
    node a
    node b
    campaign a
    drop a b pre-vote-request
    up a b
    deliver a b pre-vote-request
    settle
    a role leader
    down a b
    a knows b state probe match 1 next 2
    propose a one
    drop a b append
    settle
    a commit 1
    up a b
    settle
    a commit 2`,

  "a node begins behind a snapshot, in the middle of its life": `
    member a voter
    member b voter
    node a term 7 vote b log 5,7 commit 11 snapshot 10/5
    node b term 7 vote b snapshot 12/7
    a term 7 vote b commit 11 first 11 last 12 snapshot 10
    tick a 0
    a applied 11`,
};

for (const [name, script] of Object.entries(scenarios)) driver(name, () => new ScenarioDriver().play(script));

driver("an expectation that does not hold fails, and says where", () => {
  const play = (line: string) => () => new ScenarioDriver().play(`member a voter\nnode a\n${line}`);
  assert.throws(play("a role leader"), /line 3, "a role leader": role is follower, not leader/);
  assert.throws(play("a said apply"), /line 3/);
  assert.throws(play("a rule leader"), /nothing is called rule/);
  assert.throws(play("deliver a b"), /message under way/);
  assert.throws(play("sync a"), /nothing is unsynced/);
});

driver.run();
