/** What the versions of a round's bytes have in common (`round-codec.ts`, `compact-round.ts`). */

import type { GatewayId, SessionId } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns } from "../../lib/reading-columns.ts";

export interface RoundHeader {
  readonly coordinator: GatewayId;
  /** The coordinator's process start: (coordinator, session, round) names a round for ever. */
  readonly session: SessionId;
  /** Counts up from 1 within a session. */
  readonly round: number;
  /** Epoch of the owner table that the round was made under. */
  readonly epoch: number;
  /** Whether the coordinator's clock was synchronised when it stamped. */
  readonly clockSynchronised: boolean;
}

export interface DecodedRound {
  readonly header: RoundHeader;
  /** Numeric columns are views of the given bytes where these are whole and aligned to 8 (version 1), copies otherwise. */
  readonly columns: ReadingColumns;
}

/** Working memory of an encoder, kept from round to round. */
export interface RoundScratch {
  strings: Uint8Array;
  names: Uint8Array;
  columns: Uint8Array;
  byRow: Float64Array;
  bySeries: Float64Array;
}

export const newRoundScratch = (): RoundScratch => ({
  strings: new Uint8Array(4096),
  names: new Uint8Array(1024),
  columns: new Uint8Array(4096),
  byRow: new Float64Array(256),
  bySeries: new Float64Array(256),
});

export const roundReadingsMax = 1 << 20;

export const magic = 0x44524246; // "FBRD"
export const flagClockSynchronised = 1;
export const flagAllNumbers = 2;
// µs that a double holds exactly.
const timeMax = Number.MAX_SAFE_INTEGER;

// Each call without `stream` starts afresh, so the decoder is a constant, not state.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Decoded UTF-8 is well formed, so a low surrogate behind a cut has its partner before it. */
export function splitsPair(all: string, cut: number): boolean {
  return cut < all.length && (all.charCodeAt(cut) & 0xfc00) === 0xdc00;
}

export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function columnProblem(columns: ReadingColumns, allNumbers: boolean): string | undefined {
  const { count, series, times, types, numbers } = columns;
  const seriesCount = columns.seriesTable.length;
  for (let i = 0; i < count; i++) {
    if ((series[i] as number) >= seriesCount) return `reading ${i} is of series ${series[i]} of ${seriesCount}`;
    const time = times[i] as number;
    if (!(time >= -timeMax && time <= timeMax) || Math.floor(time) !== time) return `reading ${i} has time ${time}`;
  }
  if (allNumbers) return undefined;
  for (let i = 0; i < count; i++) {
    const number = numbers[i] as number;
    switch (types[i]) {
      case ValueType.Number:
        break;
      case ValueType.Boolean:
        if (number !== 0 && number !== 1) return `reading ${i} is a boolean of ${number}`;
        break;
      case ValueType.Text:
        if (!(number >= 0 && number < columns.texts.length) || Math.floor(number) !== number)
          return `reading ${i} is text ${number} of ${columns.texts.length}`;
        break;
      default:
        return `reading ${i} has value type ${types[i]}`;
    }
  }
  return undefined;
}
