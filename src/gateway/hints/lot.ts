/** Rounds that wait for one owner become one round of the current ring epoch: fewer records and fsyncs there than they were. */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { isOwner } from "../../core/ring/owner-table.ts";
import { RoundBuilder } from "../../core/round/round-builder.ts";
import { decodeRound, type RoundVersion, roundVersionAt } from "../../core/round/round-codec.ts";
import { defined } from "../../lib/assert.ts";
import type { GatewayId, Partition } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import type { GatewayContext } from "../context.ts";
import { roundBytesMax } from "../ingest/lane.ts";
import type { KeptRound } from "./kept-rounds.ts";

export interface LotOptions {
  readonly context: GatewayContext;
  readonly ring: RingState;
  readonly target: GatewayId;
  readonly partitionOf: (name: SeriesName) => Partition;
  readonly roundNumber: () => number;
  readonly roundVersion: RoundVersion;
}

export interface Lot {
  /** What is settled for the target once it has `encoded`. */
  readonly rounds: readonly KeptRound[];
  /** `undefined` when there are no such rounds. */
  readonly encoded: Uint8Array | undefined;
  /** Of what may be left out, rounds of which the target owns nothing. */
  readonly moved: readonly KeptRound[];
  /** Rounds, not among the above, with readings that the target does not own any more. Where they may not be left out. */
  readonly strayed: readonly KeptRound[];
  /** Rounds that no version of this gateway reads; never seen but where memory or disk lie. */
  readonly unreadable: readonly KeptRound[];
}

const lotReadingsMax = 16_384;
/** As they came: names that repeat each other take little. As one round they are bounded like the rounds of devices. */
const lotBytesMax = 256 << 10;
/** Of rounds that strayed, with what each costs beside its bytes: so many are found in one go. */
const strayedBytesMax = 1 << 20;
const strayedCost = 256;

/**
 * The first rounds of `waiting`, as many as make one lot. With `leaveOut` readings of partitions that the target does not own under
 * this ring are left out; otherwise a round with such readings is `strayed`, whole.
 */
export function makeLot(waiting: Iterable<KeptRound>, leaveOut: boolean, options: LotOptions): Lot {
  const { context, ring, target, partitionOf } = options;
  const rounds: KeptRound[] = [];
  const moved: KeptRound[] = [];
  const strayed: KeptRound[] = [];
  const unreadable: KeptRound[] = [];
  const names: SeriesName[] = [];
  const refs = new Map<string, number>();
  const refOf = (name: SeriesName): number => {
    const key = `${name.device}\u0000${name.metric}`;
    const known = refs.get(key) ?? names.push(name) - 1;
    refs.set(key, known);
    return known;
  };
  const builder = new RoundBuilder((ref) => defined(names[ref], `series ${ref} of a lot`));
  let bytes = 0;
  let strayedBytes = 0;
  for (const round of waiting) {
    const isFull = builder.count + round.readings > lotReadingsMax || bytes + round.bytes.length > lotBytesMax;
    if (rounds.length + moved.length > 0 && (isFull || builder.byteEstimate >= roundBytesMax)) break;
    const decoded = decodeRound(round.bytes, roundVersionAt(context.tuning.featureMax));
    if (!decoded.ok) {
      unreadable.push(round);
      continue;
    }
    const { columns } = decoded.value;
    const owned = columns.seriesTable.map((name) => isOwner(ring.table, partitionOf(name), target));
    if (!leaveOut && owned.includes(false)) {
      strayed.push(round);
      strayedBytes += round.bytes.length + strayedCost;
      if (strayedBytes >= strayedBytesMax) break;
      continue;
    }
    bytes += round.bytes.length;
    if (!owned.includes(true)) {
      moved.push(round);
      continue;
    }
    rounds.push(round);
    append(builder, columns, owned, refOf);
  }
  if (rounds.length === 0) return { rounds, encoded: undefined, moved, strayed, unreadable };
  const header = {
    coordinator: context.self,
    session: context.session,
    round: options.roundNumber(),
    epoch: ring.table.epoch,
    clockSynchronised: context.clock.synchronised(),
  };
  return { rounds, encoded: builder.encode(header, options.roundVersion), moved, strayed, unreadable };
}

function append(builder: RoundBuilder, columns: ReadingColumns, wanted: readonly boolean[], refOf: (name: SeriesName) => number): void {
  const refs = columns.seriesTable.map((name, at) => (wanted[at] === true ? refOf(name) : -1));
  for (let row = 0; row < columns.count; row++) {
    const ref = refs[columns.series[row] as number] as number;
    if (ref < 0) continue;
    const type = columns.types[row] as ValueType;
    const number = columns.numbers[row] as number;
    builder.append(ref, columns.times[row] as number, type, number, type === ValueType.Text ? columns.texts[number] : undefined);
  }
}
