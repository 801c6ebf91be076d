/**
 * Bugs that the simulator's checkers must find, planted from outside: a substituted rule, or something between a gateway
 * and its disk. `scripts/sim-bugs.ts` searches a catching seed for each; `planted-bugs.test.ts` replays the recorded one.
 */
import { decodeRecord, encodeRecord } from "../../src/core/raft/record-codec.ts";
import type { GatewayRules } from "../../src/gateway/serving.ts";
import type { LogDirectory } from "../../src/ports/log.ts";
import type { WrapDisk } from "../../src/sim/simulated-gateway.ts";

export interface PlantedBug {
  readonly name: string;
  readonly rules?: GatewayRules;
  readonly wrapDisk?: WrapDisk;
  /** Found by `node --import tsx scripts/sim-bugs.ts`. */
  readonly seed: number;
  readonly faultsMs: number;
  /** What the catching checker says. */
  readonly caughtAs: RegExp;
}

/** Says that records are durable as soon as they were taken; what a power cut loses of them is lost. */
function lyingLog(name: string): WrapDisk {
  return (ports) => {
    const logs: LogDirectory = {
      async open(opened, options) {
        const result = await ports.logs.open(opened, options);
        if (!result.ok || opened !== name) return result;
        const log = result.value;
        const lying: typeof log = {
          append(parts, durable) {
            const sequence = log.append(parts, () => undefined);
            if (sequence !== undefined) void Promise.resolve().then(durable);
            return sequence;
          },
          trim: (before) => log.trim(before),
          nextSequence: () => log.nextSequence(),
          durableSequence: () => log.durableSequence(),
          health: () => log.health(),
          stats: () => log.stats(),
          close: () => log.close(),
        };
        return { ok: true, value: lying };
      },
    };
    return { ...ports, logs };
  };
}

/** Writes Raft's records without the vote: after a restart it may be given again. */
const forgetfulVoter: WrapDisk = (ports) => ({
  ...ports,
  logs: {
    async open(opened, options) {
      const result = await ports.logs.open(opened, options);
      if (!result.ok || opened !== "raft") return result;
      const log = result.value;
      return {
        ok: true,
        value: {
          append: (parts, durable) => log.append(parts.map(withoutVote), durable),
          trim: (before) => log.trim(before),
          nextSequence: () => log.nextSequence(),
          durableSequence: () => log.durableSequence(),
          health: () => log.health(),
          stats: () => log.stats(),
          close: () => log.close(),
        },
      };
    },
  },
});

function withoutVote(bytes: Uint8Array): Uint8Array {
  const record = decodeRecord(bytes);
  if (!record.ok || record.value.hardState === undefined) return bytes;
  return encodeRecord({ ...record.value, hardState: { ...record.value.hardState, votedFor: undefined } });
}

const splitBrain = /both lead in term|committed entry|and differ|not linearizable|lost/;

export const plantedBugs: readonly PlantedBug[] = [
  { name: "accept quorum of one", rules: { copiesRequired: () => 1 }, seed: 1, faultsMs: 20_000, caughtAs: /lost/ },
  { name: "acknowledge before fsync", wrapDisk: lyingLog("readings"), seed: 2, faultsMs: 20_000, caughtAs: /lost/ },
  { name: "Raft answers before fsync", wrapDisk: lyingLog("raft"), seed: 2, faultsMs: 20_000, caughtAs: splitBrain },
  { name: "vote not persisted", wrapDisk: forgetfulVoter, seed: 38, faultsMs: 20_000, caughtAs: splitBrain },
  { name: "a Raft majority of one", rules: { raft: { quorumSize: () => 1 } }, seed: 1, faultsMs: 10_000, caughtAs: splitBrain },
  {
    name: "a vote for a log that is behind (Raft §5.4.1)",
    rules: { raft: { mayGrantVote: ({ votedFor, candidate }) => votedFor === undefined || votedFor === candidate } },
    seed: 3,
    faultsMs: 20_000,
    caughtAs: splitBrain,
  },
  {
    name: "two votes in one term (Raft §5.2)",
    rules: { raft: { mayGrantVote: ({ candidateLog, ownLog }) => candidateLog.term > ownLog.term || candidateLog.index >= ownLog.index } },
    seed: 4,
    faultsMs: 20_000,
    // The machine's own assertion is the checker: a gateway that is to vote twice stops.
    caughtAs: /one vote in term/,
  },
];
