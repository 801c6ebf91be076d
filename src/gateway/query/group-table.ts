/** Aggregate states by group and window: what map fills and reduce merges. */

import type { AggregateFunction } from "../../lib/aggregate-function.ts";
import { ByteReader } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { type Failure, failure, type Result, success } from "../../lib/errors.ts";
import { AggregateState, decodeAggregateState, partsOf } from "../../series/aggregate.ts";
import { type SeriesHash, seriesHashOf } from "../../series/digest.ts";
import type { GroupPartial } from "./wire.ts";

const packedVersion = 1;
const exactForm = 0;
const wholeForm = 1;
const keyPartsMax = 1_000;

export interface GroupRow {
  readonly key: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly state: AggregateState;
}

/** The windows of one group. They are mostly asked for in ascending order: then nothing is looked up. */
export class Group {
  readonly key: readonly string[];
  readonly rows: GroupRow[] = [];
  readonly #newState: () => AggregateState;
  readonly #added: () => void;
  /** Made when a window is asked for that is neither the next one nor behind the last. */
  #byStart: Map<number, GroupRow> | undefined;
  #cursor = -1;
  #lastFromMs = Number.NEGATIVE_INFINITY;

  /** `added` is called for each row that is new. */
  constructor(key: readonly string[], newState: () => AggregateState, added: () => void) {
    this.key = key;
    this.#newState = newState;
    this.#added = added;
  }

  /** The state of a window, which is made when it is new. */
  stateOf(fromMs: number, toMs: number): AggregateState {
    const { rows } = this;
    const current = rows[this.#cursor];
    if (current !== undefined && current.fromMs === fromMs) return current.state;
    const next = rows[this.#cursor + 1];
    if (next !== undefined && next.fromMs === fromMs) {
      this.#cursor++;
      return next.state;
    }
    if (fromMs > this.#lastFromMs) {
      this.#lastFromMs = fromMs;
      this.#cursor = rows.length;
      return this.#append(fromMs, toMs);
    }
    // Series after series begins with the first window again.
    const first = rows[0];
    if (first !== undefined && first.fromMs === fromMs) {
      this.#cursor = 0;
      return first.state;
    }
    this.#byStart ??= new Map(rows.map((row) => [row.fromMs, row]));
    return this.#byStart.get(fromMs)?.state ?? this.#append(fromMs, toMs);
  }

  /** Takes in a state, which belongs to the group from now on. */
  merge(fromMs: number, toMs: number, state: AggregateState): void {
    if (fromMs > this.#lastFromMs) {
      this.#lastFromMs = fromMs;
      this.#cursor = this.rows.length;
      this.#append(fromMs, toMs, state);
    } else {
      this.stateOf(fromMs, toMs).merge(state);
    }
  }

  #append(fromMs: number, toMs: number, state = this.#newState()): AggregateState {
    const row = { key: this.key, fromMs, toMs, state };
    this.rows.push(row);
    this.#added();
    this.#byStart?.set(fromMs, row);
    return row.state;
  }
}

export class GroupTable {
  readonly #functions: readonly AggregateFunction[];
  readonly #parts: number;
  readonly #newState: () => AggregateState;
  readonly #counted: () => void;
  #size = 0;
  readonly #groups = new Map<string, Group>();

  constructor(functions: readonly AggregateFunction[]) {
    const parts = partsOf(functions);
    this.#functions = functions;
    this.#parts = parts;
    this.#newState = () => new AggregateState(functions, parts);
    this.#counted = () => {
      this.#size++;
    };
  }

  /** Groups times windows so far: what bounds the memory of a question. */
  get size(): number {
    return this.#size;
  }

  group(key: readonly string[]): Group {
    const name = JSON.stringify(key);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new Group(key, this.#newState, this.#counted);
      this.#groups.set(name, group);
    }
    return group;
  }

  /** Mixed into a partition's digest for each reading, so that owners with other labels do not agree by chance. */
  keySeed(key: readonly string[]): SeriesHash {
    return seriesHashOf(JSON.stringify(key), "group");
  }

  merge(partials: readonly GroupPartial[]): Result<void> {
    let group: Group | undefined;
    for (const { key, fromMs, toMs, state } of partials) {
      const decoded = decodeAggregateState(this.#functions, state);
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
    for (const { rows } of this.#groups.values())
      for (const { key, fromMs, toMs, state } of rows) partials.push({ key, fromMs, toMs, state: state.encode() });
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
    for (const { key, rows } of this.#groups.values()) {
      writer.varint(key.length);
      for (const part of key) writer.text(part);
      writer.varint(rows.length);
      const isWhole = rows.every(({ fromMs, toMs }) => Number.isSafeInteger(fromMs) && Number.isSafeInteger(toMs) && fromMs <= toMs);
      writer.u8(isWhole ? wholeForm : exactForm);
      let before = 0;
      for (const { fromMs, toMs, state } of rows) {
        if (isWhole) {
          writer.signedVarint(fromMs - before);
          writer.varint(toMs - fromMs);
          before = fromMs;
        } else {
          writer.f64(fromMs);
          writer.f64(toMs);
        }
        state.encodeTo(writer);
      }
    }
    return writer.finish();
  }

  /** In the order of window, then group. */
  rows(): GroupRow[] {
    const groups = [...this.#groups].sort((a, b) => (a[0] < b[0] ? -1 : 1));
    const byWindow = new Map<number, GroupRow[]>();
    for (const [, { rows }] of groups) {
      for (const row of rows) {
        const window = byWindow.get(row.fromMs);
        if (window === undefined) byWindow.set(row.fromMs, [row]);
        else window.push(row);
      }
    }
    return [...byWindow.keys()].sort((a, b) => a - b).flatMap((fromMs) => byWindow.get(fromMs) as GroupRow[]);
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
      const state = AggregateState.read(reader, this.#functions, this.#parts);
      if (reader.problem === undefined) group.merge(fromMs, toMs, state);
    }
  }
}

function malformed(why: string): Failure {
  return failure("internal", `a partial state from another gateway is malformed: ${why}`);
}

function sameKey(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
