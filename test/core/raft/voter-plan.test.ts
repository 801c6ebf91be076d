// Goal: a leader moves the votes one at a time to the gateways that are well, by steps of which each can be committed by those
// that are. Method: questions by hand, then every subset of dead members of sites of up to seven, step by step to the end.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ConfigurationRecord } from "../../../src/core/raft/configuration.ts";
import { nextConfiguration, type PlannedMember } from "../../../src/core/raft/voter-plan.ts";
import { type MemberId, memberId } from "../../../src/lib/ids.ts";
import { majorityOf, votersWanted } from "../../../src/lib/voters.ts";

const test = suite("core/raft: voter plan");

const names = ["a", "b", "c", "d", "e", "f", "g"].map((name) => memberId(`gw-${name}`));

function site(count: number, dead: ReadonlySet<MemberId>): PlannedMember[] {
  return names.slice(0, count).map((id) => ({ id, witness: false, healthy: !dead.has(id), caughtUp: !dead.has(id) }));
}

const short = (record: ConfigurationRecord): string =>
  `${record.voters.map((id) => id.slice(-1)).join("")}/${record.learners.map((id) => id.slice(-1)).join("")}`;

/** The configurations from this one on until there is nothing left to do. */
function steps(members: readonly PlannedMember[], current: ConfigurationRecord, self: MemberId): ConfigurationRecord[] {
  const taken: ConfigurationRecord[] = [];
  for (let record = current; taken.length < 20; ) {
    const next = nextConfiguration({ self, current: record, members });
    if (next === undefined) return taken;
    taken.push(next);
    record = next;
  }
  throw new Error(`no end: ${taken.map(short).join(" ")}`);
}

function configurationOf(voters: readonly MemberId[], learners: readonly MemberId[]): ConfigurationRecord {
  return { voters: [...voters], learners: [...learners], witnesses: [] };
}

test("a healthy learner takes the place of a dead voter before that is taken out", () => {
  const [a, b, c, d] = names as [MemberId, MemberId, MemberId, MemberId];
  const taken = steps(site(4, new Set([a])), configurationOf([a, b, c], [d]), b);
  assert.equal(taken.map(short), ["abcd/", "bcd/a"], "with b, c in between the loss of either would be the end of it");
});

test("a sixth voter for a moment, when one of five is dead", () => {
  const [a, ...rest] = names.slice(0, 6) as [MemberId, ...MemberId[]];
  const taken = steps(site(6, new Set([a])), configurationOf([a, ...rest.slice(0, 4)], rest.slice(4)), rest[0] as MemberId);
  assert.equal(taken.map(short), ["abcdef/", "bcdef/a"]);
});

test("two of five dead: replaced one after the other, or taken out when nobody can replace them", () => {
  const dead = new Set(names.slice(0, 2));
  const five = names.slice(0, 5);
  const self = names[2] as MemberId;
  assert.equal(steps(site(7, dead), configurationOf(five, names.slice(5)), self).map(short), [
    "abcdef/g",
    "bcdef/ag",
    "bcdefg/a",
    "cdefg/ab",
  ]);
  assert.equal(steps(site(5, dead), configurationOf(five, []), self).map(short), ["bcde/a", "cde/ab"]);
});

test("one of three dead and nobody to replace it: it keeps its vote", () => {
  const [a, b, c] = names as [MemberId, MemberId, MemberId];
  assert.equal(steps(site(3, new Set([a])), configurationOf([a, b, c], []), b), []);
});

test("a member that the site gave up goes at once, also of two", () => {
  const [a, b] = names as [MemberId, MemberId];
  assert.equal(steps(site(7, new Set()).slice(1, 2), configurationOf([a, b], []), b).map(short), ["b/"]);
});

test("a learner that lags is not promoted", () => {
  const [a, b, c, d] = names as [MemberId, MemberId, MemberId, MemberId];
  const members = site(4, new Set([a])).map((member) => (member.id === d ? { ...member, caughtUp: false } : member));
  assert.equal(steps(members, configurationOf([a, b, c], [d]), b), []);
});

test("whoever is dead: one voter a step, each step committed by those that are well, ending with as many of them as make sense", () => {
  let walks = 0;
  for (let count = 3; count <= 7; count++)
    for (let mask = 0; mask < 1 << count; mask++) {
      const dead = new Set(names.slice(0, count).filter((_, i) => (mask & (1 << i)) !== 0));
      const voters = names.slice(0, votersWanted(count));
      const isAlive = (id: MemberId): boolean => !dead.has(id);
      const leader = voters.find(isAlive);
      // Without a quorum nobody leads.
      if (leader === undefined || voters.filter(isAlive).length < majorityOf(voters.length)) continue;
      walks++;
      const start = configurationOf(voters, names.slice(votersWanted(count), count));
      const what = `${count} gateways, dead: ${[...dead].join(" ")}`;
      let before = start;
      for (const next of steps(site(count, dead), start, leader)) {
        const changed = [...new Set([...before.voters, ...next.voters])].filter(
          (id) => before.voters.includes(id) !== next.voters.includes(id),
        );
        assert.is(changed.length, 1, what);
        assert.ok(next.voters.filter(isAlive).length >= majorityOf(next.voters.length), `${what}: ${short(next)} can commit`);
        assert.ok(next.voters.length <= 6, what);
        before = next;
      }
      const healthy = count - dead.size;
      assert.is(before.voters.filter(isAlive).length, Math.min(healthy, votersWanted(Math.max(3, healthy))), what);
    }
  assert.ok(walks > 50, `${walks} walks`);
});

test.run();
