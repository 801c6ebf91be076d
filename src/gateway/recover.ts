/**
 * The last way out: when the majority of the voters is lost for good, one stopped gateway is made the whole site, from what
 * its folder holds. Everything in its log counts as committed from now on, it is the only voter, and all other gateways are
 * given up, so that none of their folders is ever listened to again. One record, one fsync: done or not done.
 */

import { votersOnly } from "../core/raft/configuration.ts";
import { encodeConfiguration } from "../core/raft/configuration-codec.ts";
import type { Entry } from "../core/raft/messages.ts";
import { encodeRecord } from "../core/raft/record-codec.ts";
import { decodeCommand, encodeCommand } from "../core/site/command-codec.ts";
import type { SiteCommand } from "../core/site/commands.ts";
import { featureLevels } from "../core/site/features.ts";
import { memberIdOf } from "../core/site/member-id.ts";
import { SiteState } from "../core/site/site-state.ts";
import { type Failure, failure, type Result, success } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";
import { Packing } from "../lib/packing.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import { defaultTuning, type GatewayPorts } from "./context.ts";
import { type Identity, openIdentity } from "./identity.ts";
import { type OpenedRaft, openRaft } from "./raft-disk.ts";
import { lowerEpoch } from "./ring-gate.ts";

export type RecoverPorts = Pick<GatewayPorts, "clock" | "documents" | "entropy" | "logs" | "snapshots" | "diagnostics">;

/** An idle log on a disk that works takes milliseconds; one that fails is tried again without end. */
const appendTimeoutMs = 30_000;

export interface RecoverAloneOptions {
  readonly site: string;
  readonly self: GatewayId;
}

export interface RecoveredSite {
  /** Where Raft's log goes on. */
  readonly term: number;
  readonly lastIndex: number;
  /** The gateways that the site had besides. */
  readonly removed: readonly GatewayId[];
  /** Entries that were on this disk without being known to be committed, and that count from now on. */
  readonly entriesUncertain: number;
}

/**
 * Fails like a start where the folder is not that of a member, with `log-damaged` where its log lacks entries, with
 * `member-unknown` or `member-needed` where it cannot be a site by itself, and with `disk-full` or `store-failed` where the record
 * does not get to the disk in time: it may stand there all the same, and recovering again does no harm.
 */
export async function recoverAlone(ports: RecoverPorts, options: RecoverAloneOptions): Promise<Result<RecoveredSite>> {
  const packing = new Packing();
  const { documents, entropy, diagnostics } = ports;
  const identity = await openIdentity({ documents, entropy, packing, site: options.site, gateway: options.self });
  if (!identity.ok) return identity;
  if (identity.value.stage !== "member")
    return failure("data-foreign", `the data folder of ${options.self} has never been that of a member: there is nothing to recover in it`);
  const raft = await openRaft({ ports, packing, diagnostics, tuning: defaultTuning }, identity.value);
  if (!raft.ok) return raft;
  try {
    return await recover(ports, { raft: raft.value, identity: identity.value, packing });
  } finally {
    await raft.value.raftLog.close();
  }
}

interface Opened {
  readonly raft: OpenedRaft;
  readonly identity: Identity;
  readonly packing: Packing;
}

async function recover(ports: RecoverPorts, { raft, identity, packing }: Opened): Promise<Result<RecoveredSite>> {
  const { restoredRaft, raftLog } = raft;
  if (restoredRaft.impairedUntil !== undefined)
    return failure(
      "log-damaged",
      `the log of ${identity.gateway} is damaged: it once had entries up to ${restoredRaft.impairedUntil}. Recover from another gateway, if there is one`,
    );
  const state = stateOf(raft, packing);
  if (!state.ok) return state;
  const unfit = unfitness(state.value, identity);
  if (unfit !== undefined) return unfit;
  const removed = [...state.value.members().keys()].filter((gateway) => gateway !== identity.gateway);
  const lastIndex = restoredRaft.snapshot.index + restoredRaft.entries.length;
  const self = memberIdOf(identity.gateway, identity.incarnation, identity.bootstrap);
  const term = restoredRaft.hardState.term + 1;
  const commands: SiteCommand[] = [
    { t: "feature-level", level: featureLevels.max },
    ...removed.map((gateway): SiteCommand => ({ t: "gateway-remove", gateway, force: true })),
  ];
  const entries: Entry[] = [{ index: lastIndex + 1, term, kind: "configuration", command: encodeConfiguration(votersOnly([self])) }];
  for (const command of commands)
    entries.push({ index: lastIndex + 1 + entries.length, term, kind: "command", command: encodeCommand(command, packing) });
  const newLast = lastIndex + entries.length;
  const hardState = { term, votedFor: self, commitIndex: newLast };
  const record = encodeRecord({ hardState, base: undefined, firstIndex: lastIndex + 1, entries, lastIndex: newLast });
  const appended = await appendInTime(ports.clock, raftLog, record);
  if (!appended.ok) return appended;
  for (const [at, command] of commands.entries()) state.value.apply(lastIndex + 2 + at, command);
  // It may have acted under a ring that its log had not yet on disk. Nobody else acts under any, so that it may go back.
  const lowered = await lowerEpoch(ports.documents, state.value.ring()?.table.epoch ?? 0);
  if (!lowered.ok) return lowered;
  return success({ term, lastIndex: newLast, removed, entriesUncertain: lastIndex - restoredRaft.hardState.commitIndex });
}

/** Why this gateway cannot be the whole site, by all that stands in its own log. */
function unfitness(state: SiteState, { gateway, incarnation }: Identity): Failure | undefined {
  const member = state.members().get(gateway);
  if (member?.incarnation !== incarnation)
    return failure(
      "member-unknown",
      `the log of ${gateway} says that the site has given this data folder up: recover from a gateway that is a member`,
    );
  // Nothing could be written to a site whose only member keeps no readings, and nobody could take its place.
  if (member.role === "witness")
    return failure("member-needed", `${gateway} is a witness, which keeps no readings: recover from a gateway that does`);
  return undefined;
}

function appendInTime(clock: Clock, log: Log, record: Uint8Array): Promise<Result<void>> {
  return new Promise((resolve, reject) => {
    const timer = clock.schedule(appendTimeoutMs, () => {
      const { code, message } = log.health();
      const why = `the Raft log did not take the record within ${appendTimeoutMs / 1_000} s: ${message ?? "the disk does not answer"}`;
      resolve(failure(code === "disk-full" ? "disk-full" : "store-failed", `${why}. See to the disk, then recover again`));
    });
    const durable = (): void => {
      clock.cancel(timer);
      resolve(success(undefined));
    };
    if (log.append([record], durable) !== undefined) return;
    clock.cancel(timer);
    reject(new Error("an idle log had no room"));
  });
}

/** What the log adds up to when all of it counts. */
function stateOf({ restoredRaft, restoredState }: OpenedRaft, packing: Packing): Result<SiteState> {
  const state = new SiteState();
  const restored = restoredState === undefined ? success(undefined) : state.restore(restoredState, packing);
  if (!restored.ok) return restored;
  for (const entry of restoredRaft.entries) {
    const decoded = entry.kind === "command" ? decodeCommand(entry.command, packing) : undefined;
    state.apply(entry.index, decoded?.ok === true ? decoded.value : undefined);
  }
  return success(state);
}
