/**
 * Opens what a gateway has on disk, in the order in which one part vouches for the next: identity, store, readings log,
 * Raft log. A folder in which a part is missing, foreign or damaged is refused whole.
 */

import type { RestoredState } from "../core/raft/raft-state.ts";
import { encodeRecord } from "../core/raft/record-codec.ts";
import { RecordReplay } from "../core/raft/replay.ts";
import { decodeRound } from "../core/round/round-codec.ts";
import { decodeCommand, encodeCommand } from "../core/site/command-codec.ts";
import type { BootstrapCommand } from "../core/site/commands.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";
import type { GatewayContext } from "./context.ts";
import type { Identity } from "./identity.ts";
import { type AttemptRows, restoredAttempts } from "./jobs/attempt-rows.ts";
import { type CheckpointRecord, parseRecord, ReadingsLog, RecordKind } from "./readings-log.ts";
import { SeriesStore, type SeriesStoreOptions } from "./series/series-store.ts";

export interface OpenedDisk {
  readonly store: Store;
  readonly seriesStore: SeriesStore;
  readonly readingsLog: ReadingsLog;
  readonly raftLog: Log;
  readonly restoredRaft: RestoredState;
  readonly restoredAttempts: readonly AttemptRows[];
  readonly stampFloorUs: number;
}

const wayOut =
  'The way out: restore the folder, or move it away and admit this gateway anew ("fogbank gateway replace"); the other gateways keep serving meanwhile';

export type DiskHooks = Pick<SeriesStoreOptions, "reservedUs" | "carryOver">;

export async function openDisk(context: GatewayContext, identity: Identity, hooks: DiskHooks): Promise<Result<OpenedDisk>> {
  const store = await context.ports.stores.open("store");
  if (!store.ok) return store;
  const seriesStore = new SeriesStore({ context, store: store.value, ...hooks });
  const loaded = await seriesStore.load();
  const readings = loaded.ok ? await openReadings(context, identity, seriesStore) : loaded;
  const raft = readings.ok ? await openRaft(context, identity) : readings;
  if (!readings.ok || !raft.ok) {
    if (readings.ok) await readings.value.readingsLog.log.close();
    await store.value.close();
    return readings.ok ? (raft as Extract<typeof raft, { ok: false }>) : readings;
  }
  return success({ store: store.value, seriesStore, ...readings.value, ...raft.value });
}

type OpenedReadings = Pick<OpenedDisk, "readingsLog" | "restoredAttempts" | "stampFloorUs">;

async function openReadings(context: GatewayContext, identity: Identity, seriesStore: SeriesStore): Promise<Result<OpenedReadings>> {
  let checkpoint: CheckpointRecord | undefined;
  let stampFloorUs = 0;
  let problem: string | undefined;
  const attempts: AttemptRows[] = [];
  const visit = (sequence: number, payload: Uint8Array): void => {
    const record = parseRecord(payload);
    const packed = record === undefined || record.kind === RecordKind.Round ? undefined : context.packing.unpack(record.body);
    switch (record?.kind) {
      case RecordKind.Round: {
        const round = decodeRound(record.body);
        if (round.ok) seriesStore.apply(round.value.columns, sequence);
        else problem ??= `record ${sequence} holds no round: ${round.message}`;
        break;
      }
      case RecordKind.Reservation:
        if (packed?.ok === true) stampFloorUs = Math.max(stampFloorUs, (packed.value as { untilUs: number }).untilUs);
        break;
      case RecordKind.Checkpoint:
        if (packed?.ok !== true) break;
        checkpoint = packed.value as CheckpointRecord;
        stampFloorUs = Math.max(stampFloorUs, checkpoint.reservedUs);
        break;
      case RecordKind.AttemptRows:
        if (packed?.ok === true) attempts.push(...restoredAttempts(packed.value));
        break;
      default:
        problem ??= `record ${sequence} is of a kind that this version does not know`;
    }
    if (packed?.ok === false) problem ??= `record ${sequence} cannot be read: ${packed.message}`;
  };
  const opened = await context.ports.logs.open("readings", { visit });
  if (!opened.ok) return opened;
  const readingsLog = new ReadingsLog(opened.value, context.packing);
  if (problem === undefined && checkpoint === undefined && identity.stage === "member")
    problem = "the readings log of a member is empty: its records are lost";
  if (problem === undefined && identity.stage === "pending" && opened.value.nextSequence() > 1)
    problem = "there are readings in the folder, but it has no identity (documents/identity.json): whose they are is not known";
  const checked =
    problem === undefined ? seriesStore.checkAgainstLog(checkpoint, readingsLog) : failure("log-damaged", `${problem}. ${wayOut}`);
  if (!checked.ok) {
    await opened.value.close();
    return checked;
  }
  return success({ readingsLog, restoredAttempts: attempts, stampFloorUs });
}

async function openRaft(context: GatewayContext, identity: Identity): Promise<Result<Pick<OpenedDisk, "raftLog" | "restoredRaft">>> {
  const replay = new RecordReplay();
  const opened = await context.ports.logs.open("raft", { visit: (_sequence, payload) => replay.visit(payload) });
  if (!opened.ok) return opened;
  const result = replay.result();
  const problem = result.ok
    ? raftProblem(context, identity, result.value)
    : `contradicts itself at record ${result.record}: ${result.message}`;
  if (!result.ok || problem !== undefined) {
    await opened.value.close();
    return failure("log-damaged", `the Raft log ${problem ?? "cannot be read"}. ${wayOut}`);
  }
  return success({ raftLog: opened.value, restoredRaft: result.value });
}

/** The log must be the one that the identity speaks of: entry 1 says which cluster's it is. */
function raftProblem(context: GatewayContext, identity: Identity, restored: RestoredState): string | undefined {
  const first = restored.entries[0];
  if (first === undefined) return identity.stage === "member" ? "of a member is empty: its votes and entries are lost" : undefined;
  if (identity.bootstrap === undefined)
    return "has entries, but the folder has no identity (documents/identity.json): whose they are is not known";
  const founding = decodeCommand(first.command, context.packing);
  if (!founding.ok || founding.value.t !== "bootstrap") return "does not begin with the founding of a site";
  const { clusterId } = founding.value;
  return clusterId === identity.bootstrap.clusterId
    ? undefined
    : `is of cluster ${clusterId}, the folder's identity of ${identity.bootstrap.clusterId}`;
}

/** Writes the first records of a new member's logs: entry 1, which is the same on all gateways, and an empty checkpoint. */
export async function foundLogs(context: GatewayContext, disk: OpenedDisk, bootstrap: BootstrapCommand): Promise<RestoredState> {
  // A crash after these records and before the identity said "member": they are there already.
  if (disk.restoredRaft.entries.length > 0) return disk.restoredRaft;
  const command = encodeCommand(bootstrap, context.packing);
  const hardState = { term: 1, votedFor: undefined, commitIndex: 1 };
  const entries = [{ index: 1, term: 1, kind: "command" as const, command }];
  const empty: CheckpointRecord = { position: 0, chunks: 0, readings: 0, digest: "0000000000000000", reservedUs: 0 };
  await durably((done) => disk.readingsLog.appendPacked(RecordKind.Checkpoint, empty, done));
  await durably((done) => disk.raftLog.append([encodeRecord({ hardState, firstIndex: 1, entries })], done));
  return { hardState, entries };
}

function durably(append: (done: () => void) => number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (append(resolve) === undefined) reject(new Error("an empty log had no room"));
  });
}
