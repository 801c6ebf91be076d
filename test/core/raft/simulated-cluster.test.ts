// Goal: Raft's safety properties hold under loss, duplication, reordering, cut links, pauses, crashes with lost unsynced
// records, damaged logs, changes of membership, transfers and snapshots; progress follows when faults end, and the checkers
// that say so are not blind. Method: a sweep of seeds (each is a cluster with its own faults and tunables), and planted bugs
// that a few seeds must reveal.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Simulation, type SimulationOptions, type SimulationReport } from "./cluster-chaos.ts";
import { SafetyViolation } from "./safety-violation.ts";

const sweep = suite("Raft under faults");
const seedCount = 100;
const leastPerSeed: readonly (readonly [keyof SimulationReport, number])[] = [
  ["committed", 20],
  ["terms", 3],
  ["readsReady", 2],
  ["proposalsDropped", 0.3],
  ["changes", 0.6],
  ["snapshotsInstalled", 0.5],
  ["transfersMoved", 0.3],
  ["impairedStarts", 0.2],
];

function run(options: SimulationOptions): SimulationReport {
  try {
    return new Simulation(options).run();
  } catch (error) {
    if (error instanceof Error) error.message = `seed ${options.seed}: ${error.message}`;
    throw error;
  }
}

sweep(`seeds 1 to ${seedCount} hold every property and end with progress`, () => {
  const total = new Map<string, number>();
  for (let seed = 1; seed <= seedCount; seed++) {
    for (const [key, value] of Object.entries<number>({ ...run({ seed }) })) total.set(key, (total.get(key) ?? 0) + value);
  }
  // The sweep is worth something only if it reaches what it is about.
  for (const [key, least] of leastPerSeed) assert.ok((total.get(key) ?? 0) > least * seedCount, `${key}: ${total.get(key)}`);
});

sweep("the same seed gives the same trace, another seed another", () => {
  for (const seed of [1, 2, 3, 4, 5]) assert.equal(run({ seed }), run({ seed }));
  assert.is.not(run({ seed: 1 }).traceHash, run({ seed: 2 }).traceHash);
});

sweep.run();

const planted = suite("Planted bugs are found");

function violationOf(options: SimulationOptions): string | undefined {
  try {
    new Simulation(options).run();
    return undefined;
  } catch (error) {
    if (error instanceof SafetyViolation) return error.property;
    throw error;
  }
}

const always = () => true;
const lost = ["leader-completeness", "log-matching", "state-machine-safety", "one-vote", "election-safety", "term-never-falls"];
const bugs: readonly {
  readonly name: string;
  readonly seed: number;
  readonly bug: Omit<SimulationOptions, "seed">;
  readonly properties: readonly string[];
}[] = [
  { name: "votes and acknowledgements that leave before they are on disk", seed: 15, bug: { lyingDisk: true }, properties: lost },
  { name: "a quorum of one", seed: 2, bug: { rules: { quorumSize: () => 1 } }, properties: ["election-safety", "one-vote"] },
  {
    name: "a vote without the log check (§5.4.1)",
    seed: 2,
    bug: { rules: { mayGrantVote: ({ votedFor, candidate }) => votedFor === undefined || votedFor === candidate } },
    properties: lost,
  },
  {
    name: "commit of an earlier term's entry by counting (§5.4.2)",
    seed: 2,
    bug: { rules: { mayCommit: always } },
    properties: lost,
  },
  {
    name: "a grant for every vote that is refused",
    seed: 2,
    bug: {
      filter: (_from, effect) => {
        if (effect.type !== "send" || effect.message.type !== "vote-response") return effect;
        return { ...effect, message: { ...effect.message, granted: true } };
      },
    },
    properties: ["one-vote"],
  },
  {
    name: "an acknowledgement of what was received instead of what is on disk",
    seed: 2,
    bug: {
      filter: (_from, effect) => {
        if (effect.type !== "send" || effect.message.type !== "append-accepted") return effect;
        return { ...effect, message: { ...effect.message, matchIndex: effect.message.receivedIndex } };
      },
    },
    properties: ["acknowledged-on-disk"],
  },
  {
    name: "a read that is answered where it should be refused",
    seed: 3,
    bug: {
      filter: (_from, effect) => (effect.type === "read-refused" ? { type: "read-ready", requestId: effect.requestId, index: 0 } : effect),
    },
    properties: ["linearizable-read"],
  },
  {
    name: "a change of membership whenever one is asked for (dissertation §4.1)",
    seed: 8,
    bug: { rules: { mayChangeMembership: always } },
    properties: ["one-change-in-flight"],
  },
  {
    name: "a read that does not ask whether this node still leads (dissertation §6.4)",
    seed: 3,
    bug: { rules: { mayServeRead: always } },
    properties: ["linearizable-read"],
  },
  {
    name: "a damaged node that votes and acknowledges",
    seed: 4,
    bug: { rules: { mayVoteImpaired: always } },
    properties: ["impaired-is-silent"],
  },
];

for (const { name, seed, bug, properties } of bugs) {
  planted(`${name} (recorded seed ${seed})`, () => {
    const property = violationOf({ seed, ...bug });
    assert.ok(property !== undefined && properties.includes(property), `found: ${property}`);
    assert.is(violationOf({ seed }), undefined, "the seed passes without the bug");
  });
}

planted.run();
