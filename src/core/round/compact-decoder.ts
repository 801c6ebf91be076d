/** Reads version 2 of a round's bytes (`compact-round.ts`), which may be anything. */

import { ByteReader, type Decoded, decodeError } from "../../lib/byte-reader.ts";
import { success } from "../../lib/errors.ts";
import { deviceId, gatewayId, sessionId } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import { headerFixedBytes, nameLengthMax, nibbleMax, powersOfTen, SeriesMode, TimeFlag } from "./compact-round.ts";
import {
  columnProblem,
  type DecodedRound,
  decodeUtf8,
  flagAllNumbers,
  flagClockSynchronised,
  roundReadingsMax,
  splitsPair,
} from "./round-format.ts";

/** Names may be said in few bytes and be long: so many UTF-16 units of them are believed. No round that is made comes near. */
const nameUnitsMax = 16 << 20;

/** See `decodeRound`. The first four bytes and the version were looked at. */
export function decodeCompact(bytes: Uint8Array): Decoded<DecodedRound> {
  const reader = new ByteReader(bytes, headerFixedBytes);
  const flags = bytes[headerFixedBytes - 1] as number;
  if (flags > (flagClockSynchronised | flagAllNumbers)) return decodeError("damaged", `a round has flags ${flags}`);
  const allNumbers = (flags & flagAllNumbers) !== 0;
  const round = reader.varint();
  const epoch = reader.varint();
  const count = reader.varint();
  const seriesCount = reader.varint();
  const textCount = reader.varint();
  const stringBytes = reader.varint();
  const coordinatorUnits = reader.varint();
  const sessionUnits = reader.varint();
  // Nothing is allocated for more than the bytes can hold: two bytes a reading and a series, one a text.
  if (count > roundReadingsMax || stringBytes > reader.remaining || 2 * (count + seriesCount) + textCount > reader.remaining - stringBytes)
    return reader.problem ?? decodeError("truncated", "a round has fewer bytes than its counts need");
  const strings = decodeUtf8(bytes.subarray(bytes.length - stringBytes));
  if (strings === undefined) return decodeError("damaged", "a round's names and texts are not UTF-8");
  const columnsReader = new ByteReader(bytes, reader.offset, bytes.length - stringBytes);
  const cutter = new Cutter(strings);
  const coordinator = gatewayId(cutter.next(coordinatorUnits));
  const session = sessionId(cutter.next(sessionUnits));
  const seriesTable = decodeNames(columnsReader, cutter, seriesCount);
  const texts: string[] = [];
  for (let i = 0; i < textCount; i++) texts.push(cutter.next(columnsReader.varint()));
  if (!cutter.isDone()) return columnsReader.problem ?? decodeError("damaged", "a round's names and texts are not what their lengths say");
  const types = allNumbers ? new Uint8Array(count).fill(ValueType.Number) : columnsReader.raw(count);
  const series = decodeSeries(columnsReader, count, seriesCount);
  const times = decodeTimes(columnsReader, series, { count, seriesCount });
  const numbers = decodeNumbers(columnsReader, series, { count, seriesCount });
  const read = columnsReader.finish(undefined);
  if (!read.ok) return read;
  const columns: ReadingColumns = { count, seriesTable, series, times, types, numbers, texts };
  const problem = columnProblem(columns, allNumbers);
  if (problem !== undefined) return decodeError("damaged", problem);
  const clockSynchronised = (flags & flagClockSynchronised) !== 0;
  return success({ header: { coordinator, session, round, epoch, clockSynchronised }, columns });
}

/** Cuts one run of text into pieces, none of which begins or ends within a surrogate pair. */
class Cutter {
  readonly #all: string;
  #at = 0;
  #failed = false;

  constructor(all: string) {
    this.#all = all;
  }

  next(units: number): string {
    const end = this.#at + units;
    if (end > this.#all.length || splitsPair(this.#all, end)) {
      this.#failed = true;
      return "";
    }
    const piece = this.#all.slice(this.#at, end);
    this.#at = end;
    return piece;
  }

  fail(): void {
    this.#failed = true;
  }

  isDone(): boolean {
    return !this.#failed && this.#at === this.#all.length;
  }
}

function decodeNames(reader: ByteReader, cutter: Cutter, seriesCount: number): SeriesName[] {
  const table: SeriesName[] = [];
  let device = "";
  let metric = "";
  let units = 0;
  for (let i = 0; i < seriesCount && units <= nameUnitsMax; i++) {
    device = decodeName(reader, cutter, device);
    metric = decodeName(reader, cutter, metric);
    units += device.length + metric.length;
    table.push({ device: deviceId(device), metric });
  }
  if (units > nameUnitsMax) cutter.fail();
  return table;
}

function decodeName(reader: ByteReader, cutter: Cutter, before: string): string {
  const lengths = reader.u8();
  const shared = lengths >> 4 < nibbleMax ? lengths >> 4 : nibbleMax + reader.varint();
  const own = (lengths & nibbleMax) < nibbleMax ? lengths & nibbleMax : nibbleMax + reader.varint();
  if (shared > before.length || splitsPair(before, shared) || shared + own > nameLengthMax) {
    cutter.fail();
    return "";
  }
  return shared === 0 ? cutter.next(own) : before.slice(0, shared) + cutter.next(own);
}

function decodeSeries(reader: ByteReader, count: number, seriesCount: number): Uint32Array {
  const series = new Uint32Array(count);
  const mode = reader.u8();
  if (mode === SeriesMode.Cyclic) {
    if (seriesCount === 0 && count > 0) reader.fail("damaged", "readings of no series");
    else for (let i = 0; i < count; i++) series[i] = i % seriesCount;
  } else if (mode === SeriesMode.Bytes) {
    series.set(reader.raw(count));
  } else if (mode === SeriesMode.Varints) {
    for (let i = 0; i < count; i++) series[i] = reader.varintUpTo(0xffffffff, "a series");
  } else reader.fail("damaged", `series of mode ${mode}`);
  // Before anything is looked up by it.
  for (let i = 0; i < count; i++) {
    if ((series[i] as number) < seriesCount) continue;
    reader.fail("damaged", `reading ${i} is of series ${series[i]} of ${seriesCount}`);
    series.fill(0);
    break;
  }
  return series;
}

interface Counts {
  readonly count: number;
  readonly seriesCount: number;
}

function decodeTimes(reader: ByteReader, series: Uint32Array, { count, seriesCount }: Counts): Float64Array {
  const mode = reader.u8();
  if (mode === 0) return decodeDoubles(reader, count);
  const times = new Float64Array(count);
  if ((mode & TimeFlag.Differences) === 0 || mode > (TimeFlag.Differences | TimeFlag.BySeries | TimeFlag.Milliseconds)) {
    reader.fail("damaged", `times of mode ${mode}`);
    return times;
  }
  const whole = (mode & TimeFlag.Milliseconds) !== 0;
  const factor = whole ? 1_000 : 1;
  const remainder = whole ? reader.varintUpTo(999, "a remainder of times") : 0;
  const last = new Float64Array((mode & TimeFlag.BySeries) === 0 ? 0 : seriesCount).fill(Number.NaN);
  let before = 0;
  for (let i = 0; i < count; i++) {
    const at = series[i] as number;
    const own = last[at];
    before = (own !== undefined && !Number.isNaN(own) ? own : before) + zigZag(reader.varint());
    if (own !== undefined) last[at] = before;
    times[i] = before * factor + remainder;
  }
  return times;
}

function decodeNumbers(reader: ByteReader, series: Uint32Array, { count, seriesCount }: Counts): Float64Array {
  const mode = reader.u8();
  if (mode === 0) return decodeDoubles(reader, count);
  const numbers = new Float64Array(count);
  const power = powersOfTen[mode - 1];
  if (power === undefined) {
    reader.fail("damaged", `numbers of mode ${mode}`);
    return numbers;
  }
  const last = new Float64Array(seriesCount);
  for (let i = 0; i < count; i++) {
    const coded = reader.varint();
    if (coded === 0) {
      numbers[i] = reader.f64();
      continue;
    }
    const at = series[i] as number;
    const scaled = (last[at] as number) + zigZag(coded - 1);
    last[at] = scaled;
    numbers[i] = scaled / power;
  }
  return numbers;
}

function decodeDoubles(reader: ByteReader, count: number): Float64Array {
  const doubles = new Float64Array(count);
  const bytes = reader.raw(8 * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 8 * count) for (let i = 0; i < count; i++) doubles[i] = view.getFloat64(8 * i, true);
  return doubles;
}

const zigZag = (coded: number): number => (coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2);
