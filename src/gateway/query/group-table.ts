/** Aggregate states by group and window: what map fills and reduce merges. */

import type { AggregateFunction } from "../../lib/aggregate-function.ts";
import { ByteReader } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { type Failure, failure, type Result, success } from "../../lib/errors.ts";
import { grownFloat64 } from "../../lib/growable.ts";
import { AggregateState, decodeAggregateState, partsOf } from "../../series/aggregate.ts";
import { AggregateColumns, type StateShape } from "../../series/aggregate-columns.ts";
import type { AggregateRows } from "../../series/aggregate-rows.ts";
import { type SeriesHash, seriesHashOf } from "../../series/digest.ts";
import { type NumberProfile, profileOf } from "../../series/number-profile.ts";
import type { SeriesRun } from "../../series/run.ts";
import type { WindowCursor } from "./window-cursor.ts";
import type { GroupPartial } from "./wire.ts";

const packedVersion = 1;
const exactForm = 0;
const wholeForm = 1;
const keyPartsMax = 1_000;
const rowsAtFirst = 4;

export interface GroupRow {
  readonly key: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly state: AggregateState;
}

/** Rows of all groups of a table. */
interface Counter {
  rows: number;
}

/** The windows of one group. They are mostly asked for in ascending order: then nothing is looked up. */
export class Group {
  readonly key: readonly string[];
  /** The key as text. */
  readonly #name: string;
  #seed: SeriesHash | undefined;
  readonly #columns: AggregateColumns;
  /** Begin and end of each row's window, in turn. */
  #windows: Float64Array;
  #size = 0;
  #counter: Counter;
  /** Made when a window is asked for that is neither the next one nor behind the last. */
  #byStart: Map<number, number> | undefined;
  #cursor = -1;
  #lastFromMs = Number.NEGATIVE_INFINITY;
  #isAscending = true;

  constructor(
    key: readonly string[],
    shape: StateShape,
    counter: Counter,
    { name, rowsExpected }: { readonly name: string; readonly rowsExpected: number },
  ) {
    this.key = key;
    this.#name = name;
    this.#columns = new AggregateColumns(shape, rowsExpected);
    this.#windows = new Float64Array(Math.max(rowsAtFirst, rowsExpected) * 2);
    this.#counter = counter;
  }

  /** Mixed into a partition's digest for each reading, so that owners with other labels do not agree by chance. */
  get seed(): SeriesHash {
    this.#seed ??= seriesHashOf(this.#name, "group");
    return this.#seed;
  }

  /** Rows so far. */
  get size(): number {
    return this.#size;
  }

  /** The rows' windows are in ascending order. */
  get isAscending(): boolean {
    return this.#isAscending;
  }

  fromMsAt(row: number): number {
    return this.#windows[row * 2] as number;
  }

  toMsAt(row: number): number {
    return this.#windows[row * 2 + 1] as number;
  }

  /** Not to be changed. */
  stateAt(row: number): AggregateState {
    return this.#columns.stateOf(row);
  }

  /** Adds rows [from, to) of a sorted unique run, of which there is one at least, to a window. */
  add(fromMs: number, toMs: number, run: SeriesRun, from = 0, to = run.count, profile: NumberProfile = profileOf(run, from, to)): void {
    this.#columns.add(this.#rowOf(fromMs, toMs), run, from, to, profile);
  }

  /** Adds what was aggregated before, rows [from, to) in ascending order, up to the first that is not of one window; gives that, or `to`. */
  addRows(cursor: WindowCursor, rows: AggregateRows, from: number, to: number): number {
    const { times } = rows.ends;
    for (let row = from; row < to; ) {
      cursor.seek(times[row * 2] as number);
      const { toUs } = cursor;
      let next = row;
      while (next < to && (times[next * 2 + 1] as number) < toUs) next++;
      if (next === row) return row;
      this.#columns.addRows(this.#rowOf(cursor.fromMs, cursor.toMs), rows, row, next);
      row = next;
    }
    return to;
  }

  /** Takes in a state, which belongs to the group from now on. */
  merge(fromMs: number, toMs: number, state: AggregateState): void {
    if (fromMs > this.#lastFromMs) this.#append(fromMs, toMs, state);
    else this.#columns.merge(this.#rowOf(fromMs, toMs), state);
  }

  /** Takes in the rows of a group of the same functions, which is not to be used any more. */
  absorb(other: Group): void {
    for (let row = 0; row < other.size; row++)
      this.#columns.mergeRow(this.#rowOf(other.fromMsAt(row), other.toMsAt(row)), other.#columns, row);
  }

  /** Its rows count there from now on. */
  countIn(counter: Counter): void {
    this.#counter = counter;
    counter.rows += this.size;
  }

  #rowOf(fromMs: number, toMs: number): number {
    const windows = this.#windows;
    const cursor = this.#cursor;
    if (cursor >= 0 && windows[cursor * 2] === fromMs) return cursor;
    if (fromMs > this.#lastFromMs) return this.#append(fromMs, toMs);
    if (cursor + 1 < this.#size && windows[cursor * 2 + 2] === fromMs) {
      this.#cursor++;
      return cursor + 1;
    }
    // Series after series begins with the first window again.
    if (this.#size > 0 && windows[0] === fromMs) {
      this.#cursor = 0;
      return 0;
    }
    // Of the ends of a range, readings are read when all rows between them are there.
    const last = this.#size - 1;
    if (last >= 0 && windows[last * 2] === fromMs) {
      this.#cursor = last;
      return last;
    }
    this.#byStart ??= new Map(Array.from({ length: this.#size }, (_, row) => [this.fromMsAt(row), row]));
    const row = this.#byStart.get(fromMs) ?? this.#append(fromMs, toMs);
    this.#cursor = row;
    return row;
  }

  #append(fromMs: number, toMs: number, state?: AggregateState): number {
    const row = this.#size++;
    if (row * 2 === this.#windows.length) this.#windows = grownFloat64(this.#windows, row * 4);
    this.#windows[row * 2] = fromMs;
    this.#windows[row * 2 + 1] = toMs;
    this.#columns.append(state);
    this.#counter.rows++;
    this.#byStart?.set(fromMs, row);
    this.#cursor = row;
    if (fromMs > this.#lastFromMs) this.#lastFromMs = fromMs;
    else this.#isAscending = false;
    return row;
  }
}

/** A row of a group that is finished. */
class RowOfGroup implements GroupRow {
  readonly #group: Group;
  readonly #row: number;

  constructor(group: Group, row: number) {
    this.#group = group;
    this.#row = row;
  }

  get key(): readonly string[] {
    return this.#group.key;
  }

  get fromMs(): number {
    return this.#group.fromMsAt(this.#row);
  }

  get toMs(): number {
    return this.#group.toMsAt(this.#row);
  }

  get state(): AggregateState {
    return this.#group.stateAt(this.#row);
  }
}

export class GroupTable {
  readonly #shape: StateShape;
  readonly #counter: Counter = { rows: 0 };
  readonly #groups = new Map<string, Group>();

  constructor(functions: readonly AggregateFunction[]) {
    this.#shape = { functions, parts: partsOf(functions) };
  }

  /** Groups times windows so far: what bounds the memory of a question. */
  get size(): number {
    return this.#counter.rows;
  }

  /** `rowsExpected`: so many a new group will probably get. */
  group(key: readonly string[], rowsExpected = 0): Group {
    const name = JSON.stringify(key);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new Group(key, this.#shape, this.#counter, { name, rowsExpected });
      this.#groups.set(name, group);
    }
    return group;
  }

  /** Takes in a table of the same functions, which is not to be used any more. */
  absorb(other: GroupTable): void {
    for (const [name, group] of other.#groups) {
      const known = this.#groups.get(name);
      if (known !== undefined) {
        known.absorb(group);
        continue;
      }
      group.countIn(this.#counter);
      this.#groups.set(name, group);
    }
  }

  merge(partials: readonly GroupPartial[]): Result<void> {
    let group: Group | undefined;
    for (const { key, fromMs, toMs, state } of partials) {
      const decoded = decodeAggregateState(this.#shape.functions, state);
      if (!decoded.ok) return malformed(decoded.message);
      if (group === undefined || !sameKey(group.key, key)) group = this.group(key);
      group.merge(fromMs, toMs, decoded.value);
    }
    return success(undefined);
  }

  /** What `encodePacked` made of a table of the same functions. */
  mergePacked(bytes: Uint8Array): Result<void> {
    const reader = new ByteReader(bytes);
    const format = reader.u8();
    if (format !== packedVersion) return malformed(`format ${format} of groups is unknown`);
    for (let groups = reader.varint(); groups > 0 && reader.problem === undefined; groups--) this.#mergeGroup(reader);
    const read = reader.finish(undefined);
    return read.ok ? read : malformed(read.message);
  }

  encode(): GroupPartial[] {
    const partials: GroupPartial[] = [];
    for (const group of this.#groups.values())
      for (let row = 0; row < group.size; row++)
        partials.push({ key: group.key, fromMs: group.fromMsAt(row), toMs: group.toMsAt(row), state: group.stateAt(row).encode() });
    return partials;
  }

  /**
   * All in one piece, version 1: u8 version, varint groups; for each varint parts of the key, the texts; varint rows; u8 form;
   * for each row its window, form 0: f64 from, f64 to (ms), form 1: signed varint from the row before (0 at first), varint
   * length; and its state.
   */
  encodePacked(): Uint8Array {
    const writer = new ByteWriter(1_024);
    writer.u8(packedVersion);
    writer.varint(this.#groups.size);
    for (const group of this.#groups.values()) {
      writer.varint(group.key.length);
      for (const part of group.key) writer.text(part);
      writer.varint(group.size);
      const isWhole = areWindowsWhole(group);
      writer.u8(isWhole ? wholeForm : exactForm);
      let before = 0;
      for (let row = 0; row < group.size; row++) {
        const fromMs = group.fromMsAt(row);
        const toMs = group.toMsAt(row);
        if (isWhole) {
          writer.signedVarint(fromMs - before);
          writer.varint(toMs - fromMs);
          before = fromMs;
        } else {
          writer.f64(fromMs);
          writer.f64(toMs);
        }
        group.stateAt(row).encodeTo(writer);
      }
    }
    return writer.finish();
  }

  /** In the order of window, then group. The table is not to be used any more. */
  rows(): GroupRow[] {
    const groups = [...this.#groups].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([, group]) => group);
    const starts = startsOf(groups);
    const placeOf = starts.length === 0 ? undefined : new Map(starts.map((start, place) => [start, place]));
    // How many rows are in windows before each window; afterwards, where the next row of it goes.
    const next = new Uint32Array(starts.length + 1);
    const places = groups.map((group) => {
      const ofGroup = new Uint32Array(group.size);
      let place = -1;
      for (let row = 0; row < ofGroup.length; row++) {
        const start = group.fromMsAt(row);
        // Mostly the one behind the last: nothing is looked up.
        place = starts[place + 1] === start ? place + 1 : (placeOf?.get(start) as number);
        ofGroup[row] = place;
        (next[place + 1] as number)++;
      }
      return ofGroup;
    });
    for (let place = 1; place < next.length; place++) (next[place] as number) += next[place - 1] as number;
    const rows: GroupRow[] = [];
    rows.length = this.size;
    for (const [at, group] of groups.entries()) {
      const ofGroup = places[at] as Uint32Array;
      for (let row = 0; row < ofGroup.length; row++) {
        const place = ofGroup[row] as number;
        const to = next[place] as number;
        next[place] = to + 1;
        rows[to] = new RowOfGroup(group, row);
      }
    }
    return rows;
  }

  #mergeGroup(reader: ByteReader): void {
    const parts = reader.varintUpTo(keyPartsMax, "the number of parts of a key");
    const key = Array.from({ length: parts }, () => reader.text());
    const group = this.group(key);
    const rows = reader.varint();
    const form = reader.u8();
    if (form !== wholeForm && form !== exactForm) reader.fail("damaged", `windows of form ${form}`);
    let fromMs = 0;
    for (let row = 0; row < rows && reader.problem === undefined; row++) {
      let toMs: number;
      if (form === wholeForm) {
        fromMs += reader.signedVarint();
        toMs = fromMs + reader.varint();
      } else {
        fromMs = reader.f64();
        toMs = reader.f64();
      }
      const state = AggregateState.read(reader, this.#shape.functions, this.#shape.parts);
      if (reader.problem === undefined) group.merge(fromMs, toMs, state);
    }
  }
}

/** The starts of all windows, each once, in ascending order. */
function startsOf(groups: readonly Group[]): number[] {
  let starts: number[] = [];
  let known: Set<number> | undefined;
  for (const group of groups) {
    if (known === undefined && starts.length === 0 && group.isAscending) {
      for (let row = 0; row < group.size; row++) starts.push(group.fromMsAt(row));
      continue;
    }
    // Mostly all groups have the same windows.
    let row = 0;
    while (known === undefined && row < group.size && group.fromMsAt(row) === starts[row]) row++;
    if (row === group.size) continue;
    known ??= new Set(starts);
    for (; row < group.size; row++) known.add(group.fromMsAt(row));
  }
  if (known !== undefined) starts = [...known].sort((a, b) => a - b);
  return starts;
}

function areWindowsWhole(group: Group): boolean {
  for (let row = 0; row < group.size; row++) {
    const fromMs = group.fromMsAt(row);
    const toMs = group.toMsAt(row);
    if (!Number.isSafeInteger(fromMs) || !Number.isSafeInteger(toMs) || fromMs > toMs) return false;
  }
  return true;
}

function malformed(why: string): Failure {
  return failure("internal", `a partial state from another gateway is malformed: ${why}`);
}

function sameKey(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
