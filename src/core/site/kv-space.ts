/** The key-value space: records by key, each with the log index of its last write as revision, and compare-and-set. */

import { copyBytes } from "../../lib/bytes.ts";
import type { ApplyResult } from "./apply-result.ts";
import type { KvDeleteCommand, KvPutCommand } from "./commands.ts";
import { bytes, count, text, tuple } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

export interface KvRecord {
  readonly value: Uint8Array;
  readonly revision: number;
}

type Item = readonly [key: string, value: Uint8Array, revision: number];
const isItem = tuple(text, bytes, count);

export class KvSpace {
  readonly #records = new Map<string, KvRecord>();

  get(key: string): KvRecord | undefined {
    return this.#records.get(key);
  }

  records(): ReadonlyMap<string, KvRecord> {
    return this.#records;
  }

  put(index: number, command: KvPutCommand): ApplyResult {
    const known = this.#records.get(command.key);
    if (!expectationHolds(command.expect, known)) return { t: "kv", ok: false, revision: known?.revision ?? 0 };
    // The log index as revision grows over deletions too, so that an ETag never comes back for other content.
    // What was decoded is a view of a whole message of entries, which must not stay in memory for it.
    this.#records.set(command.key, { value: copyBytes(command.value), revision: index });
    return { t: "kv", ok: true, revision: index, existed: known !== undefined };
  }

  delete(command: KvDeleteCommand): ApplyResult {
    const known = this.#records.get(command.key);
    if (!expectationHolds(command.expect, known)) return { t: "kv", ok: false, revision: known?.revision ?? 0 };
    this.#records.delete(command.key);
    return { t: "kv", ok: true, revision: known?.revision ?? 0, existed: known !== undefined };
  }

  capture(): Part[] {
    const records = [...this.#records];
    return [{ section: Section.Kv, size: records.length, item: (at) => itemOf(records[at] as [string, KvRecord]) }];
  }

  restore(item: unknown): boolean {
    if (!isItem(item)) return false;
    const [key, value, revision] = item as Item;
    // What was decoded is a view of the whole snapshot, which must not stay in memory for it.
    this.#records.set(key, { value: copyBytes(value), revision });
    return true;
  }

  picture(): unknown {
    return [...this.#records].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([key, record]) => [key, record.revision, [...record.value]]);
  }
}

function itemOf([key, { value, revision }]: readonly [string, KvRecord]): Item {
  return [key, value, revision];
}

function expectationHolds(expect: number, known: KvRecord | undefined): boolean {
  if (expect === -1) return true;
  if (expect === -2) return known !== undefined;
  return (known?.revision ?? 0) === expect;
}
