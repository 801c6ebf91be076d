/** Aggregate states by group and window: what map fills and reduce merges. */

import type { AggregateFunction } from "../../lib/aggregate-function.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { type Result, success } from "../../lib/errors.ts";
import { AggregateState, decodeAggregateState, partsOf } from "../../series/aggregate.ts";
import { type SeriesHash, seriesHashOf } from "../../series/digest.ts";
import type { GroupPartial } from "./wire.ts";

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
  /** Made when a window is asked for that is neither the next one nor behind the last. */
  #byStart: Map<number, GroupRow> | undefined;
  #cursor = -1;
  #lastFromMs = Number.NEGATIVE_INFINITY;

  constructor(key: readonly string[], newState: () => AggregateState) {
    this.key = key;
    this.#newState = newState;
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

  #append(fromMs: number, toMs: number): AggregateState {
    const row = { key: this.key, fromMs, toMs, state: this.#newState() };
    this.rows.push(row);
    this.#byStart?.set(fromMs, row);
    return row.state;
  }
}

export class GroupTable {
  readonly #functions: readonly AggregateFunction[];
  readonly #newState: () => AggregateState;
  readonly #groups = new Map<string, Group>();

  constructor(functions: readonly AggregateFunction[]) {
    const parts = partsOf(functions);
    this.#functions = functions;
    this.#newState = () => new AggregateState(functions, parts);
  }

  /** Groups times windows so far: what bounds the memory of a question. */
  get size(): number {
    let size = 0;
    for (const { rows } of this.#groups.values()) size += rows.length;
    return size;
  }

  group(key: readonly string[]): Group {
    const name = JSON.stringify(key);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new Group(key, this.#newState);
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
      if (!decoded.ok)
        return { ok: false, code: "internal", message: `a partial state from another gateway is malformed: ${decoded.message}` };
      if (group === undefined || !sameKey(group.key, key)) group = this.group(key);
      group.stateOf(fromMs, toMs).merge(decoded.value);
    }
    return success(undefined);
  }

  /** The states are views of one buffer. */
  encode(): GroupPartial[] {
    const writer = new ByteWriter(1_024);
    const ends: number[] = [];
    for (const { rows } of this.#groups.values()) {
      for (const { state } of rows) {
        state.encodeTo(writer);
        ends.push(writer.length);
      }
    }
    const bytes = writer.finish();
    const partials: GroupPartial[] = [];
    let start = 0;
    for (const { rows } of this.#groups.values()) {
      for (const { key, fromMs, toMs } of rows) {
        const end = ends[partials.length] as number;
        partials.push({ key, fromMs, toMs, state: bytes.subarray(start, end) });
        start = end;
      }
    }
    return partials;
  }

  /** In the order of window, then group. */
  rows(): GroupRow[] {
    const groups = [...this.#groups].sort((a, b) => (a[0] < b[0] ? -1 : 1));
    return groups.flatMap(([, { rows }]) => rows).sort((a, b) => a.fromMs - b.fromMs);
  }
}

function sameKey(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
