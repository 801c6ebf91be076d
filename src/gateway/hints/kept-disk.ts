/**
 * Opens the two logs of rounds that this gateway keeps for others. Neither stops a gateway from starting when it is damaged: what
 * can be read of it is, and the loss is said. Of hints it costs nothing that repair does not bring back; what was held may have
 * been the only copy, and is said for as long as the process runs.
 */

import { type Result, success } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Log } from "../../ports/log.ts";
import type { GatewayContext } from "../context.ts";
import { decodeKept, KeptKind, type KeptRecord, type RecordTime } from "./kept-record.ts";
import { everyOwner, type KeptTarget, type RestoredRounds } from "./kept-rounds.ts";

export interface OpenedKept {
  readonly log: Log;
  readonly restored: RestoredRounds;
  /** What was lost of the log, as a sentence. */
  readonly lost: string | undefined;
}

/** A log of which not even the end can be read is left as it is, and one with the next name takes its place. */
const namesMax = 4;

/** Fails with `store-failed`, and with `log-damaged` when one log after the other went bad and nobody looked. */
export async function openKept(context: GatewayContext, name: "hints" | "held", bytesMax: number): Promise<Result<OpenedKept>> {
  const losses: string[] = [];
  for (let at = 1; ; at++) {
    const called = at === 1 ? name : `${name}-${at}`;
    const opened = await openOne(context, called, bytesMax);
    if (opened.ok) {
      const damage = opened.value.log.damage();
      if (damage !== undefined) losses.push(`${damage.lostRecords} records of the log "${called}" are lost`);
      return success({ ...opened.value, lost: losses.length === 0 ? undefined : losses.join("; ") });
    }
    if (opened.code !== "log-damaged" || at === namesMax) return opened;
    losses.push(opened.message);
  }
}

async function openOne(context: GatewayContext, name: string, bytesMax: number): Promise<Result<Omit<OpenedKept, "lost">>> {
  const rounds = new Map<number, { readonly record: KeptRecord; readonly targets: Set<KeptTarget> }>();
  let last: RecordTime | undefined;
  const visit = (sequence: number, payload: Uint8Array): void => {
    const record = decodeKept(payload, context.packing);
    if (record === undefined) {
      context.diagnostics.warn("kept-record-unknown", { log: name, sequence });
      return;
    }
    // Records are written in the order of their times, but for rounds that moved.
    if (last === undefined || record.ageMs >= last.ageMs) last = { ageMs: record.ageMs, wallMs: record.wallMs };
    if (record.kind !== KeptKind.Settled) {
      rounds.set(sequence, { record, targets: new Set<KeptTarget>(record.kind === KeptKind.Held ? [everyOwner] : record.targets) });
      return;
    }
    for (const [target, stretches] of record.settled)
      for (let i = 0; i + 1 < stretches.length; i += 2)
        for (let at = stretches[i] as number; at <= (stretches[i + 1] as number); at++) {
          const known = rounds.get(at);
          if (known?.targets.delete(target as GatewayId) === true && known.targets.size === 0) rounds.delete(at);
        }
  };
  const segmentBytesMax = Math.max(4_096, Math.floor(bytesMax / 8));
  const opened = await context.ports.logs.open(name, { visit, salvage: true, segmentBytesMax });
  return opened.ok ? success({ log: opened.value, restored: { rounds, last } }) : opened;
}
