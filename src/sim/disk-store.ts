/**
 * A key-value store of a simulated disk: ordered, with atomic batches. A power cut loses the last unsynced batches,
 * never one from the middle and never half of one.
 */
import { FailureError, failure } from "../lib/errors.ts";
import type { Random } from "../lib/random.ts";
import type { Store, StoreEntry, StoreOperation, StoreRange } from "../ports/store.ts";
import type { DiskSession } from "./disk-session.ts";

/** What a batch replaced, to take it back. */
interface Undo {
  readonly number: number;
  readonly replaced: readonly { readonly id: string; readonly entry: StoreEntry | undefined }[];
}

/** What stands on the disk, whoever has it open. */
export class StoreContents {
  damaged = false;
  openIn: DiskSession | undefined;
  #entries = new Map<string, StoreEntry>();
  #order: string[] = [];
  #unsynced: Undo[] = [];
  #batches = 0;

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#entries.get(idOf(key))?.value.slice();
  }

  /** Applies a batch and returns its number. */
  write(operations: readonly StoreOperation[]): number {
    const replaced: { id: string; entry: StoreEntry | undefined }[] = [];
    for (const operation of operations) {
      const id = idOf(operation.key);
      replaced.push({ id, entry: this.#entries.get(id) });
      this.#set(id, operation.type === "put" ? { key: operation.key.slice(), value: operation.value.slice() } : undefined);
    }
    this.#unsynced.push({ number: ++this.#batches, replaced });
    return this.#batches;
  }

  /** All batches up to this number are on the disk. */
  synced(number: number): void {
    this.#unsynced = this.#unsynced.filter((undo) => undo.number > number);
  }

  powerCut(random: Random): void {
    const kept = random.below(this.#unsynced.length + 1);
    for (const undo of this.#unsynced.slice(kept).reverse()) {
      for (const { id, entry } of [...undo.replaced].reverse()) this.#set(id, entry);
    }
    this.#unsynced = [];
  }

  scan(range: StoreRange): StoreEntry[] {
    const from = this.#lowerBound(idOf(range.from));
    const to = this.#lowerBound(idOf(range.to));
    const count = Math.max(0, Math.min(range.limit, to - from));
    const entries: StoreEntry[] = [];
    for (let i = 0; i < count; i++) {
      const entry = this.#entries.get(this.#order[range.reverse === true ? to - 1 - i : from + i] as string) as StoreEntry;
      entries.push({ key: entry.key.slice(), value: range.keysOnly === true ? new Uint8Array(0) : entry.value.slice() });
    }
    return entries;
  }

  /** One bit of a value turns, or with `key` of a key: no one's place is sure then. False when there is no such bit. */
  flip(at: number, bit: number, what: "key" | "value"): boolean {
    let left = at;
    for (const [id, { key, value }] of this.#entries) {
      const bytes = what === "key" ? key : value;
      if (left >= bytes.length) {
        left -= bytes.length;
        continue;
      }
      const flipped = bytes.slice();
      flipped[left] = (flipped[left] as number) ^ (1 << bit);
      this.#set(id, undefined);
      const entry = what === "key" ? { key: flipped, value } : { key, value: flipped };
      this.#set(idOf(entry.key), entry);
      return true;
    }
    return false;
  }

  /** A bit of one of the values under this prefix turns, whoever has the store open. Gives its key; `undefined` when there is none. */
  rot(prefix: number, random: Random): { readonly key: Uint8Array; readonly value: Uint8Array } | undefined {
    const found = [...this.#entries].filter(([id, { value }]) => id.charCodeAt(0) === prefix && value.length > 0);
    if (found.length === 0) return undefined;
    const [id, { key, value }] = random.pick(found);
    const rotten = value.slice();
    const at = random.below(rotten.length);
    rotten[at] = (rotten[at] as number) ^ (1 << random.below(8));
    this.#set(id, { key, value: rotten });
    return { key, value };
  }

  /** As if it had always been so; `undefined`: as if it had never been. */
  mend(key: Uint8Array, value: Uint8Array | undefined): void {
    this.#set(idOf(key), value === undefined ? undefined : { key, value });
  }

  bytesOf(what: "key" | "value"): number {
    let bytes = 0;
    for (const { key, value } of this.#entries.values()) bytes += (what === "key" ? key : value).length;
    return bytes;
  }

  sizeBytes(): number {
    let bytes = 0;
    for (const { key, value } of this.#entries.values()) bytes += key.length + value.length;
    return bytes;
  }

  copy(): StoreContents {
    const contents = new StoreContents();
    contents.damaged = this.damaged;
    contents.#entries = new Map(this.#entries);
    contents.#order = [...this.#order];
    return contents;
  }

  #set(id: string, entry: StoreEntry | undefined): void {
    const existed = this.#entries.has(id);
    if (entry === undefined) {
      if (existed) this.#order.splice(this.#lowerBound(id), 1);
      this.#entries.delete(id);
      return;
    }
    if (!existed) this.#order.splice(this.#lowerBound(id), 0, id);
    this.#entries.set(id, entry);
  }

  #lowerBound(id: string): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#order[middle] as string) < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One UTF-16 unit a byte: strings then compare as the bytes do. */
function idOf(key: Uint8Array): string {
  let id = "";
  for (const byte of key) id += String.fromCharCode(byte);
  return id;
}

export class SimulatedStore implements Store {
  readonly #contents: StoreContents;
  readonly #session: DiskSession;

  constructor(contents: StoreContents, session: DiskSession) {
    this.#contents = contents;
    this.#session = session;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#session.perform(this.#session.accessMs(), () => this.#contents.get(key));
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#session.perform(this.#session.accessMs(), () => keys.map((key) => this.#contents.get(key)));
  }

  write(operations: readonly StoreOperation[], options: { readonly sync: boolean }): Promise<void> {
    const session = this.#session;
    if (!session.alive) return new Promise(() => undefined);
    const { reported, done } = session.outcome(true);
    // At once: what a crash finds under way may have reached the disk.
    const number = done ? this.#contents.write(operations) : 0;
    return session.perform(options.sync ? session.fsyncMs() : session.accessMs(), () => {
      if (reported !== undefined) {
        throw new FailureError(
          failure(reported.code === "ENOSPC" ? "disk-full" : "store-failed", `The store cannot be written: ${reported.message}.`),
        );
      }
      if (options.sync) this.#contents.synced(number);
    });
  }

  scan(range: StoreRange): Promise<StoreEntry[]> {
    return this.#session.perform(this.#session.accessMs(), () => this.#contents.scan(range));
  }

  sizeBytes(): Promise<number> {
    return this.#session.perform(this.#session.accessMs(), () => this.#contents.sizeBytes());
  }

  close(): Promise<void> {
    return this.#session.perform(this.#session.accessMs(), () => {
      this.#contents.openIn = undefined;
    });
  }
}
