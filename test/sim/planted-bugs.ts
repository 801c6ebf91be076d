/**
 * Bugs that the simulator's checkers must find, planted from outside: a substituted rule, or something between a gateway
 * and its disk. `npm run sim:bugs` searches a catching seed for each; `planted-bugs.test.ts` replays the recorded ones.
 */
import { readFileSync } from "node:fs";
import { decodeRecord, encodeRecord } from "../../src/core/raft/record-codec.ts";
import { decodeSnapshot, SnapshotEncoder } from "../../src/core/raft/snapshot-codec.ts";
import { fillSources, wholeOwnersOf } from "../../src/core/ring/owner-changes.ts";
import { decodeParts, encodeParts, type Part, Section } from "../../src/core/site/state-format.ts";
import type { agreementOf } from "../../src/gateway/site-clock.ts";
import { Packing } from "../../src/lib/packing.ts";
import type { Log } from "../../src/ports/log.ts";
import type { SeedOptions } from "../../src/sim/run-seed.ts";
import type { WrapDisk } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";

export interface PlantedBug {
  readonly name: string;
  /** Anew for each run: some bugs remember what they should not. */
  readonly plant: () => Pick<SeedOptions, "rules" | "wrapDisk">;
  /** What provokes the bug, and does no harm where the rules hold: it is there with the bug and without. */
  readonly prepare?: (site: SimulatedSite) => void;
  /** How often devices say another value for the same time; seldom when left out. */
  readonly againProbability?: number;
  /** The faults under which it is searched and replayed; drawn by the seed when left out. */
  readonly only?: readonly string[];
  readonly faultsMs: number;
  /** What of the site is not drawn. */
  readonly site?: Pick<SeedOptions, "gateways" | "settings" | "tuning">;
  /** What the catching checker says. */
  readonly caughtAs: RegExp;
}

/** Where `npm run sim:bugs -- --write` records the catching seeds, by the bug's name. */
export const plantedSeedsFile = new URL("planted-seeds.json", import.meta.url);

export function plantedSeeds(): Readonly<Record<string, number>> {
  return JSON.parse(readFileSync(plantedSeedsFile, "utf8")) as Readonly<Record<string, number>>;
}

/** What a seed is run with, to catch the bug or to hold without it. */
export function runOptions(bug: PlantedBug, seed: number): Omit<SeedOptions, "world" | "rules" | "wrapDisk"> {
  const { faultsMs, only, prepare, againProbability, site } = bug;
  return {
    seed,
    faultsMs,
    ...site,
    ...(only === undefined ? {} : { only }),
    ...(prepare === undefined ? {} : { prepare }),
    ...(againProbability === undefined ? {} : { againProbability }),
  };
}

const askMs = 700;

/** Changes a log of each gateway's disk, when it is opened. */
function changedLog(name: string, change: (log: Log) => void): WrapDisk {
  return (ports) => ({
    ...ports,
    logs: {
      ...ports.logs,
      async open(opened, options) {
        const result = await ports.logs.open(opened, options);
        if (result.ok && opened === name) change(result.value);
        return result;
      },
    },
  });
}

/** Says that records are durable as soon as they were taken; what a power cut loses of them is lost. */
function lyingLog(name: string): WrapDisk {
  return changedLog(name, (log) => {
    const append = log.append.bind(log);
    log.append = (parts, durable) => {
      const sequence = append(parts, () => undefined);
      if (sequence !== undefined) void Promise.resolve().then(durable);
      return sequence;
    };
  });
}

/** Writes Raft's records without the vote: after a restart it may be given again. */
const forgetfulVoter = changedLog("raft", (log) => {
  const append = log.append.bind(log);
  log.append = (parts, durable) => append(parts.map(withoutVote), durable);
});

function withoutVote(bytes: Uint8Array): Uint8Array {
  const record = decodeRecord(bytes);
  if (!record.ok) return bytes;
  const { hardState, lastIndex } = record.value;
  if (hardState === undefined || lastIndex === undefined) return bytes;
  return encodeRecord({ ...record.value, lastIndex, hardState: { ...hardState, votedFor: undefined } });
}

/** Somebody who asks the leader for a second change of the members before the first is committed. */
function impatientOperator(site: SimulatedSite): void {
  site.scheduler.schedule(askMs, "an impatient operator", () => {
    const consensus = site.leader()?.running()?.gateway.serving()?.consensus;
    const view = consensus?.view();
    const demoted = view?.configuration.voters.find((voter) => voter !== view.self);
    if (consensus !== undefined && view !== undefined && demoted !== undefined) {
      const { voters, learners, witnesses } = view.configuration;
      const fewer = { voters: voters.filter((voter) => voter !== demoted), learners: [...learners, demoted].sort(), witnesses };
      void consensus.changeConfiguration(fewer);
      void consensus.changeConfiguration(view.configuration);
    }
    impatientOperator(site);
  });
}

/** The identity outlives the disk, as if it lay on another one: a wiped gateway joins again, without its log. */
function undyingIdentity(): WrapDisk {
  const identities = new Map<string, unknown>();
  return (ports, gateway) => {
    const { documents } = ports;
    const read = documents.read.bind(documents);
    const write = documents.write.bind(documents);
    documents.write = async (name, value) => {
      const written = await write(name, value);
      if (name === "identity" && written.ok && isMember(value)) identities.set(gateway, value);
      return written;
    };
    documents.read = async (name) => {
      const found = await read(name);
      const identity = identities.get(gateway);
      if (name !== "identity" || !found.ok || found.value !== undefined || identity === undefined) return found;
      return { ok: true, value: { ...identity, stage: "joining" } };
    };
    return ports;
  };
}

function isMember(identity: unknown): boolean {
  return typeof identity === "object" && identity !== null && "stage" in identity && identity.stage === "member";
}

/** Sections of the sessions that make retries apply once. */
const sessionSections: ReadonlySet<number> = new Set([Section.Session, Section.Remembered, Section.EndedSessions]);

/** Snapshots are written without the sessions. */
const forgetfulSnapshots: WrapDisk = (ports) => {
  const { snapshots } = ports;
  const create = snapshots.create.bind(snapshots);
  snapshots.create = async (name) => {
    const created = await create(name);
    if (!created.ok) return created;
    const file = created.value;
    const append = file.append.bind(file);
    const commit = file.commit.bind(file);
    const parts: Uint8Array[] = [];
    file.append = (bytes) => {
      parts.push(Uint8Array.from(bytes));
      return Promise.resolve({ ok: true, value: undefined });
    };
    file.commit = async () => {
      const appended = await append(withoutSessions(Buffer.concat(parts)));
      return appended.ok ? commit() : appended;
    };
    return created;
  };
  return ports;
};

function withoutSessions(bytes: Uint8Array): Uint8Array {
  const snapshot = decodeSnapshot(bytes);
  if (!snapshot.ok) return bytes;
  const packing = new Packing();
  const parts: Part[] = [];
  decodeParts(snapshot.value.state, packing, (section, item) => {
    if (!sessionSections.has(section)) parts.push({ section: section as Section, size: 1, item: () => item });
    return true;
  });
  const encoder = new SnapshotEncoder(snapshot.value.meta);
  const file = encoder.header();
  for (const block of encodeParts(parts, packing)) file.push(...encoder.block(block));
  return Buffer.concat([...file, ...encoder.end()]);
}

/** The site's time is that of whichever peer comes first. */
const firstPeer: typeof agreementOf = (all, own) => {
  const peer = all.find((clock) => clock !== own);
  return peer && { offsetMs: peer.offsetMs, clocks: [peer] };
};

/** Hints have room for everything, and nothing else brings an owner what it missed, but for questions. */
const withoutRepair = { repairPauseMinMs: 86_400_000, repairPauseMaxMs: 86_400_000, hintBytesMax: 64 << 20 };

const oneThatStays: typeof fillSources = (ring, at) => {
  const from = ring.moves.get(at)?.from;
  if (from === undefined) return fillSources(ring, at);
  const staying = wholeOwnersOf(ring, at).filter((owner) => owner !== from);
  return { owners: staying.slice(0, 1), needed: 1, always: undefined };
};

/** A restart shows it before two logs or two leaders do. */
const forgotten = /forgot its vote|after a restart|by a restart/;
const splitBrain = /lead in term|leads in term|committed entry|comes after one of term|and differ|not linearizable|lost/;

function either(...patterns: readonly RegExp[]): RegExp {
  return new RegExp(patterns.map((pattern) => pattern.source).join("|"));
}

/** At the end, or in an answer on the way there. */
const missed = /lost|is complete/;

export const plantedBugs: readonly PlantedBug[] = [
  { name: "accept-quorum-of-one", plant: () => ({ rules: { copiesRequired: () => 1 } }), faultsMs: 20_000, caughtAs: missed },
  {
    // An owner that missed a greater value of an identity takes itself for equal.
    name: "digest-that-ignores-values",
    plant: () => ({ rules: { comparableDigest: ({ count }) => ({ count, low: 0, high: 0 }) } }),
    againProbability: 0.97,
    only: ["crash", "partition"],
    faultsMs: 30_000,
    caughtAs: missed,
  },
  {
    // A gateway with an empty disk takes what one survivor has for everything.
    name: "refill-from-one-survivor",
    plant: () => ({
      rules: { fillSources: (ring, at) => ({ owners: wholeOwnersOf(ring, at).slice(0, 1), needed: 1, always: undefined }) },
    }),
    only: ["replace-wiped", "partition", "crash"],
    faultsMs: 55_000,
    caughtAs: missed,
  },
  {
    // Owners, and those that were owners, take what comes under a table that is past.
    name: "write-under-an-old-epoch",
    plant: () => ({ rules: { takesEpoch: (offered, own) => offered <= own } }),
    only: ["old-table"],
    site: { gateways: 5 },
    faultsMs: 30_000,
    caughtAs: missed,
  },
  {
    // Who comes to a partition asks one of those that stay: neither the one that goes nor a majority takes no more under the old table.
    name: "cut-over-without-fencing",
    plant: () => ({ rules: { fillSources: oneThatStays } }),
    only: ["old-table"],
    site: { gateways: 5 },
    faultsMs: 30_000,
    caughtAs: missed,
  },
  {
    // Its own clock is enough for a leader to give readings up.
    name: "retention-on-the-local-clock",
    plant: () => ({ rules: { clocksNear: (_near, gateways) => gateways } }),
    only: ["clock", "far-clock"],
    site: { settings: { retention: "{ raw: 20s }" } },
    faultsMs: 30_000,
    caughtAs: /horizon|lost|future/,
  },
  {
    // What differs is always taken to be on its way.
    name: "repair-that-waits-for-ever",
    plant: () => ({ rules: { isSettled: () => false } }),
    faultsMs: 20_000,
    caughtAs: /hold different readings/,
  },
  {
    name: "acknowledge-before-fsync",
    plant: () => ({ wrapDisk: lyingLog("readings") }),
    only: ["crash"],
    faultsMs: 20_000,
    caughtAs: missed,
  },
  {
    // Level `any`: the held round is the only copy.
    name: "held-round-forgotten",
    plant: () => ({ rules: { mayForgetKept: () => true } }),
    site: { gateways: 3, settings: { write: "any" } },
    only: ["partition", "crash"],
    faultsMs: 20_000,
    caughtAs: missed,
  },
  {
    // What an owner missed comes by repair otherwise. Nothing dies: what a coordinator has not let go of yet is in its memory.
    name: "hint-forgotten",
    plant: () => ({ rules: { mayForgetKept: () => true } }),
    site: { gateways: 3, settings: { write: "quorum", witness: false }, tuning: withoutRepair },
    only: ["partition"],
    faultsMs: 30_000,
    caughtAs: /hold different readings/,
  },
  {
    name: "held-before-fsync",
    plant: () => ({ wrapDisk: lyingLog("held") }),
    site: { gateways: 3, settings: { write: "any" } },
    only: ["crash", "partition"],
    faultsMs: 30_000,
    caughtAs: missed,
  },
  {
    // A witness that forgets what it keeps for one owner leaves it to the other's disk, and that may go.
    name: "copy-forgotten",
    plant: () => ({ rules: { mayForgetKept: () => true } }),
    site: { gateways: 3, settings: { witness: true } },
    only: ["replace-wiped", "partition", "crash"],
    faultsMs: 55_000,
    caughtAs: missed,
  },
  {
    name: "raft-answers-before-fsync",
    plant: () => ({ wrapDisk: lyingLog("raft") }),
    only: ["crash", "election"],
    faultsMs: 20_000,
    caughtAs: either(splitBrain, forgotten),
  },
  {
    name: "vote-not-persisted",
    plant: () => ({ wrapDisk: forgetfulVoter }),
    only: ["voter-restarts"],
    faultsMs: 20_000,
    caughtAs: either(splitBrain, forgotten),
  },
  { name: "raft-majority-of-one", plant: () => ({ rules: { raft: { quorumSize: () => 1 } } }), faultsMs: 10_000, caughtAs: splitBrain },
  {
    // Raft §5.4.1.
    name: "vote-without-log-check",
    plant: () => ({ rules: { raft: { mayGrantVote: ({ votedFor, candidate }) => votedFor === undefined || votedFor === candidate } } }),
    only: ["election", "partition"],
    faultsMs: 20_000,
    caughtAs: splitBrain,
  },
  {
    // Raft §5.2.
    name: "two-votes-in-one-term",
    plant: () => ({
      rules: {
        raft: { mayGrantVote: ({ candidateLog, ownLog }) => candidateLog.term > ownLog.term || candidateLog.index >= ownLog.index },
      },
    }),
    only: ["election", "crash"],
    faultsMs: 20_000,
    // The machine's own assertion is the checker: a gateway that is to vote twice stops.
    caughtAs: /one vote in term/,
  },
  {
    // Raft §5.4.2, figure 8.
    name: "commit-of-an-earlier-term",
    plant: () => ({ rules: { raft: { mayCommit: () => true } } }),
    only: ["figure-8"],
    faultsMs: 60_000,
    caughtAs: splitBrain,
  },
  {
    name: "wiped-gateway-votes",
    plant: () => ({ wrapDisk: undyingIdentity() }),
    only: ["wiped-disk"],
    faultsMs: 20_000,
    caughtAs: /with an empty folder|lead in term|committed entry/,
  },
  {
    // Dissertation §6.4.
    name: "stale-read",
    plant: () => ({ rules: { raft: { mayServeRead: () => true } } }),
    only: ["leader-in-slow-time"],
    faultsMs: 60_000,
    caughtAs: /not linearizable/,
  },
  {
    // Dissertation §6.3.
    name: "snapshot-forgets-sessions",
    plant: () => ({ wrapDisk: forgetfulSnapshots }),
    only: ["crash"],
    faultsMs: 30_000,
    caughtAs: /and differ|not linearizable/,
  },
  {
    name: "damaged-log-votes",
    plant: () => ({ rules: { raft: { mayVoteImpaired: () => true } } }),
    only: ["damaged-voter"],
    faultsMs: 40_000,
    caughtAs: splitBrain,
  },
  {
    // Dissertation §4.1, and the correction of 2015.
    name: "two-membership-changes",
    plant: () => ({ rules: { raft: { mayChangeMembership: () => true } } }),
    prepare: impatientOperator,
    only: ["election", "partition"],
    faultsMs: 20_000,
    caughtAs: either(splitBrain, /membership changes under way at once/),
  },
  {
    // RFC 5905 §11.2.1: a majority of clocks, not one of them.
    name: "clock-of-one-peer",
    plant: () => ({ rules: { clockAgreement: firstPeer } }),
    only: ["far-clock"],
    faultsMs: 30_000,
    caughtAs: /with the stamp 2038|not behind what was said before/,
  },
];
