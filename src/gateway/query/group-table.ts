/** Aggregate states by group and window: what map fills and reduce merges. */

import type { AggregateFunction } from "../../lib/aggregate-function.ts";
import { type Result, success } from "../../lib/errors.ts";
import { AggregateState, decodeAggregateState } from "../../series/aggregate.ts";
import { type SeriesHash, seriesHashOf } from "../../series/digest.ts";
import type { SeriesRun } from "../../series/run.ts";
import type { GroupPartial } from "./wire.ts";

export interface GroupRow {
  readonly key: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly state: AggregateState;
}

export class GroupTable {
  readonly #functions: readonly AggregateFunction[];
  /** By group, then by start of the window. */
  readonly #groups = new Map<string, Map<number, GroupRow>>();
  #size = 0;
  /** The group that was looked up last: rows of a series come one after the other. */
  #last: { readonly key: readonly string[]; readonly windows: Map<number, GroupRow> } | undefined;

  constructor(functions: readonly AggregateFunction[]) {
    this.#functions = functions;
  }

  /** Groups times windows so far: what bounds the memory of a question. */
  get size(): number {
    return this.#size;
  }

  add(key: readonly string[], window: { readonly fromMs: number; readonly toMs: number }, run: SeriesRun, from: number, to: number): void {
    this.#row(key, window).state.add(run, from, to);
  }

  /** Mixed into a partition's digest for each reading, so that owners with other labels do not agree by chance. */
  keySeed(key: readonly string[]): SeriesHash {
    return seriesHashOf(JSON.stringify(key), "group");
  }

  merge(partials: readonly GroupPartial[]): Result<void> {
    for (const partial of partials) {
      const decoded = decodeAggregateState(this.#functions, partial.state);
      if (!decoded.ok)
        return { ok: false, code: "internal", message: `a partial state from another gateway is malformed: ${decoded.message}` };
      this.#row(partial.key, partial).state.merge(decoded.value);
    }
    return success(undefined);
  }

  encode(): GroupPartial[] {
    return this.#all().map(({ key, fromMs, toMs, state }) => ({ key, fromMs, toMs, state: state.encode() }));
  }

  /** In the order of window, then group. */
  rows(): GroupRow[] {
    const groups = [...this.#groups].sort((a, b) => (a[0] < b[0] ? -1 : 1));
    return groups.flatMap(([, windows]) => [...windows.values()]).sort((a, b) => a.fromMs - b.fromMs);
  }

  #all(): GroupRow[] {
    return [...this.#groups.values()].flatMap((windows) => [...windows.values()]);
  }

  #row(key: readonly string[], window: { readonly fromMs: number; readonly toMs: number }): GroupRow {
    const windows = this.#windowsOf(key);
    let row = windows.get(window.fromMs);
    if (row === undefined) {
      row = { key, fromMs: window.fromMs, toMs: window.toMs, state: new AggregateState(this.#functions) };
      windows.set(window.fromMs, row);
      this.#size++;
    }
    return row;
  }

  #windowsOf(key: readonly string[]): Map<number, GroupRow> {
    if (this.#last?.key === key) return this.#last.windows;
    const name = JSON.stringify(key);
    let windows = this.#groups.get(name);
    if (windows === undefined) {
      windows = new Map();
      this.#groups.set(name, windows);
    }
    this.#last = { key, windows };
    return windows;
  }
}
