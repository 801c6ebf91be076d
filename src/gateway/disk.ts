/**
 * Opens what a gateway has on disk, in the order in which one part vouches for the next: identity, store, readings log,
 * Raft log. A folder in which a part is missing, foreign or damaged is refused whole.
 */

import { decodeRound, roundVersionAt } from "../core/round/round-codec.ts";
import { type Failure, failure, type Result, success } from "../lib/errors.ts";
import type { Store } from "../ports/store.ts";
import type { GatewayContext } from "./context.ts";
import { type OpenedKept, openKept } from "./hints/kept-disk.ts";
import type { Identity } from "./identity.ts";
import { type AttemptRows, restoredAttempts } from "./jobs/attempt-rows.ts";
import { type OpenedRaft, openRaft, wayOut } from "./raft-disk.ts";
import { type CheckpointRecord, parseRecord, ReadingsLog, RecordKind } from "./readings-log.ts";
import { SeriesStore, type SeriesStoreOptions } from "./series/series-store.ts";

export interface OpenedDisk extends OpenedRaft {
  readonly store: Store;
  readonly seriesStore: SeriesStore;
  readonly readingsLog: ReadingsLog;
  /** Rounds kept for others (`hints/hints.ts`). */
  readonly hints: OpenedKept;
  readonly held: OpenedKept;
  readonly restoredAttempts: readonly AttemptRows[];
  readonly stampFloorUs: number;
}

export type DiskHooks = Pick<SeriesStoreOptions, "reservedUs" | "carryOver">;

export async function openDisk(context: GatewayContext, identity: Identity, hooks: DiskHooks): Promise<Result<OpenedDisk>> {
  const store = await context.ports.stores.open("store");
  if (!store.ok) return store;
  const seriesStore = new SeriesStore({ context, store: store.value, ...hooks });
  const loaded = await seriesStore.load();
  const readings = loaded.ok ? await openReadings(context, identity, seriesStore) : loaded;
  const kept = readings.ok ? await openBothKept(context) : readings;
  const raft = kept.ok ? await openRaft(context, identity) : kept;
  if (!readings.ok || !kept.ok || !raft.ok) {
    if (readings.ok) await readings.value.readingsLog.log.close();
    if (kept.ok) await closeKept(kept.value);
    await store.value.close();
    return [readings, kept, raft].find((part): part is Failure => !part.ok) as Failure;
  }
  return success({ store: store.value, seriesStore, ...readings.value, ...kept.value, ...raft.value });
}

type OpenedBoth = Pick<OpenedDisk, "hints" | "held">;

async function openBothKept(context: GatewayContext): Promise<Result<OpenedBoth>> {
  const hints = await openKept(context, "hints", context.tuning.hintBytesMax);
  if (!hints.ok) return hints;
  const held = await openKept(context, "held", context.tuning.heldBytesMax);
  if (held.ok) return success({ hints: hints.value, held: held.value });
  await hints.value.log.close();
  return held;
}

async function closeKept({ hints, held }: OpenedBoth): Promise<void> {
  await hints.log.close();
  await held.log.close();
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
        const round = decodeRound(record.body, roundVersionAt(context.tuning.featureMax));
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
  const opened = await context.ports.logs.open("readings", { visit, commitDelayMs: context.settings.store.commitDelayMs });
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
