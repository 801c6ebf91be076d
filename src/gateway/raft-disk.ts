/**
 * Opens what a gateway has of Raft on disk: the newest snapshot that can be read, and the log that goes on from there. What
 * is missing or contradicts itself is refused with the way out; a new member's first records are written here too.
 */

import { votersOnly } from "../core/raft/configuration.ts";
import type { SnapshotMeta } from "../core/raft/messages.ts";
import { encodeRecord } from "../core/raft/record-codec.ts";
import { RecordReplay, type ReplayedLog } from "../core/raft/replay.ts";
import { decodeSnapshot, snapshotPosition } from "../core/raft/snapshot-codec.ts";
import { decodeCommand, encodeCommand } from "../core/site/command-codec.ts";
import type { BootstrapCommand } from "../core/site/commands.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type MemberId, memberId } from "../lib/ids.ts";
import { IoError } from "../lib/log-files.ts";
import type { Log } from "../ports/log.ts";
import type { SnapshotFiles } from "../ports/snapshot-files.ts";
import type { GatewayContext, GatewayPorts } from "./context.ts";
import type { Identity } from "./identity.ts";
import { type CheckpointRecord, type ReadingsLog, RecordKind } from "./readings-log.ts";

export interface OpenedRaft {
  readonly raftLog: Log;
  readonly restoredRaft: ReplayedLog;
  /** The site's state as of the restored snapshot; `undefined` where there is none. */
  readonly restoredState: Uint8Array | undefined;
}

export const wayOut =
  'The way out: restore the folder, or move it away and admit this gateway anew ("fogbank gateway replace"); the other gateways keep serving meanwhile';

interface OpenedSnapshot {
  readonly meta: SnapshotMeta;
  readonly state: Uint8Array | undefined;
}

/** What opening needs of a gateway, or of `recover` without one. */
export type RaftDiskContext = Pick<GatewayContext, "diagnostics" | "packing" | "tuning"> & {
  readonly ports: Pick<GatewayPorts, "logs" | "snapshots">;
};

export async function openRaft(context: RaftDiskContext, identity: Identity): Promise<Result<OpenedRaft>> {
  const snapshot = await openSnapshot(context, identity);
  if (!snapshot.ok) return snapshot;
  const replay = new RecordReplay({ snapshot: snapshot.value.meta });
  const opened = await context.ports.logs.open("raft", {
    salvage: true,
    segmentBytesMax: context.tuning.raftSegmentBytes,
    visit: (sequence, payload) => replay.visit(sequence, payload),
  });
  if (!opened.ok) return opened;
  const result = replay.result();
  const problem = result.ok
    ? raftProblem(context, identity, { log: opened.value, restored: result.value })
    : `contradicts itself at record ${result.record}: ${result.message}`;
  if (!result.ok || problem !== undefined) {
    await opened.value.close();
    return failure("log-damaged", `the Raft log ${problem ?? "cannot be read"}. ${wayOut}`);
  }
  warnOfDamage(context, opened.value, result.value);
  return success({ raftLog: opened.value, restoredRaft: result.value, restoredState: snapshot.value.state });
}

/** The lost records come back from the other members; until then this gateway decides nothing (`impairedUntil`). */
function warnOfDamage({ diagnostics }: RaftDiskContext, log: Log, { impairedUntil, entries, snapshot }: ReplayedLog): void {
  const damage = log.damage();
  if (damage === undefined && impairedUntil === undefined) return;
  diagnostics.warn("raft-log-damaged", {
    what: damage?.message ?? "entries that an earlier damage took are not all there again",
    lostRecords: damage?.lostRecords ?? 0,
    ...(damage === undefined || damage.lostRecords === 0 ? {} : { firstLost: damage.firstLost, lastLost: damage.lastLost }),
    ...(impairedUntil === undefined ? {} : { entriesMissing: `${snapshot.index + entries.length + 1} to ${impairedUntil}` }),
    consequence:
      impairedUntil === undefined
        ? "none: what it held is known from other records; the damaged file goes with the next compaction"
        : "no votes and no acknowledgements until the other gateways have sent the missing entries",
  });
}

/** The newest snapshot that can be read. One that is damaged is passed over: the log may still reach back to an older one. */
async function openSnapshot(context: RaftDiskContext, identity: Identity): Promise<Result<OpenedSnapshot>> {
  const { snapshots } = context.ports;
  const listed = await listOf(snapshots);
  if (!listed.ok) return listed;
  const named = listed.value.flatMap((name) => {
    const position = snapshotPosition(name);
    return position === undefined ? [] : [{ name, ...position }];
  });
  named.sort((a, b) => b.index - a.index || b.term - a.term);
  for (const { name, index, term } of named) {
    const bytes = await snapshots.read(name);
    if (!bytes.ok) return bytes;
    const decoded = bytes.value === undefined ? undefined : decodeSnapshot(bytes.value);
    if (decoded?.ok === true && decoded.value.meta.index === index && decoded.value.meta.term === term) return success(decoded.value);
    context.diagnostics.warn("snapshot-damaged", {
      name,
      why: decoded?.ok === false ? decoded.message : "it is another one than its name says",
    });
  }
  const configuration = votersOnly(identity.bootstrap?.gateways.map(({ id }) => memberId(id)) ?? [noMember]);
  return success({ meta: { index: 0, term: 0, configuration }, state: undefined });
}

async function listOf(snapshots: SnapshotFiles): Promise<Result<readonly string[]>> {
  try {
    return success((await snapshots.list()).map(({ name }) => name));
  } catch (error) {
    if (!(error instanceof IoError)) throw error;
    return failure("store-failed", `The snapshots cannot be listed: ${error.message}. Check the disk and the rights of the data folder.`);
  }
}

/** A folder that belongs to no site yet has no voters to speak of; its log is opened only to see that it is empty. */
const noMember: MemberId = memberId("-");

/** The log must be the one that the identity speaks of: entry 1 says which cluster's it is. */
function raftProblem(
  context: RaftDiskContext,
  identity: Identity,
  { log, restored }: { readonly log: Log; readonly restored: ReplayedLog },
): string | undefined {
  if (log.nextSequence() === 1) return identity.stage === "member" ? "of a member is empty: its votes and entries are lost" : undefined;
  if (identity.bootstrap === undefined)
    return "has entries, but the folder has no identity (documents/identity.json): whose they are is not known";
  const first = restored.entries[0];
  if (restored.snapshot.index > 0 || first === undefined) return undefined;
  const founding = decodeCommand(first.command, context.packing);
  if (!founding.ok || founding.value.t !== "bootstrap") return "does not begin with the founding of a site";
  const { clusterId } = founding.value;
  return clusterId === identity.bootstrap.clusterId
    ? undefined
    : `is of cluster ${clusterId}, the folder's identity of ${identity.bootstrap.clusterId}`;
}

/** What a new member's logs begin with. */
export interface FirstRecords {
  readonly raftLog: Log;
  readonly readingsLog: ReadingsLog;
  readonly restoredRaft: ReplayedLog;
  readonly bootstrap: BootstrapCommand;
  /** One of the founding has entry 1, which is the same on all; one that came later gets everything from the leader. */
  readonly founder: boolean;
}

/** Writes the first records of a new member's logs, and an empty checkpoint. */
export async function foundLogs(context: GatewayContext, first: FirstRecords): Promise<ReplayedLog> {
  const { raftLog, readingsLog, bootstrap, founder } = first;
  // A crash after these records and before the identity said "member": they are there already.
  if (raftLog.nextSequence() > 1) return first.restoredRaft;
  const empty: CheckpointRecord = { position: 0, chunks: 0, readings: 0, digest: "0000000000000000", reservedUs: 0 };
  await durably((done) => readingsLog.appendPacked(RecordKind.Checkpoint, empty, done));
  const entries = founder ? [{ index: 1, term: 1, kind: "command" as const, command: encodeCommand(bootstrap, context.packing) }] : [];
  const hardState = { term: founder ? 1 : 0, votedFor: undefined, commitIndex: entries.length };
  const record = { hardState, base: undefined, firstIndex: entries.length, entries, lastIndex: entries.length };
  await durably((done) => raftLog.append([encodeRecord(record)], done));
  const configuration = votersOnly(bootstrap.gateways.map(({ id }) => memberId(id)));
  const recordsAt = founder ? [{ sequence: 1, firstIndex: 1 }] : [];
  return { hardState, snapshot: { index: 0, term: 0, configuration }, entries, impairedUntil: undefined, recordsAt };
}

function durably(append: (done: () => void) => number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (append(resolve) === undefined) reject(new Error("an empty log had no room"));
  });
}
