/**
 * Where a process may die between two of its effects: everything that a gateway does to the world outside (an append to a
 * log, a frame, a document, a batch for a store, a line of results, a step of a
 * snapshot file) passes here, and the n-th of them may be the one that
 * is never made. The code that made it runs on, as it does in no real process, but nothing of it gets out any more.
 */

import type { SnapshotFiles } from "../ports/snapshot-files.ts";
import type { Transport } from "../ports/transport.ts";
import type { DiskPorts } from "./disk.ts";

export const effectKinds = ["log", "frame", "document", "store", "result", "snapshot"] as const;
export type EffectKind = (typeof effectKinds)[number];

export interface DeathSentence {
  /** Effects of these kinds that are still made; all kinds when it is left out. */
  readonly effects: number;
  readonly kinds?: readonly EffectKind[];
  /** Called instead of the next one. */
  readonly die: () => void;
}

export class EffectBoundary {
  #left = Number.POSITIVE_INFINITY;
  #kinds: ReadonlySet<EffectKind> = new Set();
  #die: () => void = () => undefined;
  #dead = false;

  /** A later sentence takes the place of an earlier one. */
  sentence({ effects, kinds, die }: DeathSentence): void {
    this.#left = effects;
    this.#kinds = new Set(kinds ?? effectKinds);
    this.#die = die;
  }

  /** It lives on. */
  pardon(): void {
    this.#left = Number.POSITIVE_INFINITY;
  }

  /** The process is gone, however it died. */
  close(): void {
    this.#dead = true;
  }

  /** Whether an effect is made. */
  passes(kind: EffectKind): boolean {
    if (this.#dead) return false;
    if (!this.#kinds.has(kind) || this.#left-- > 0) return true;
    this.#dead = true;
    this.#die();
    return false;
  }

  /** The disk's ports, changed in place: all that they open passes here. */
  guardDisk(ports: DiskPorts): DiskPorts {
    const { logs, stores, documents, results, snapshots } = ports;
    const write = documents.write.bind(documents);
    documents.write = (name, value) => (this.passes("document") ? write(name, value) : never());
    this.#guardSnapshots(snapshots);
    return {
      ...ports,
      logs: {
        ...logs,
        open: async (name, options) => {
          const opened = await logs.open(name, options);
          if (opened.ok) {
            const log = opened.value;
            const append = log.append.bind(log);
            log.append = (parts, durable) => (this.passes("log") ? append(parts, durable) : undefined);
          }
          return opened;
        },
      },
      stores: {
        ...stores,
        open: async (name) => {
          const opened = await stores.open(name);
          if (opened.ok) {
            const store = opened.value;
            const batch = store.write.bind(store);
            store.write = (operations, options) => (this.passes("store") ? batch(operations, options) : never());
          }
          return opened;
        },
      },
      results: {
        ...results,
        open: async (name) => {
          const opened = await results.open(name);
          if (opened.ok) {
            const file = opened.value;
            const append = file.append.bind(file);
            file.append = (text) => (this.passes("result") ? append(text) : never());
          }
          return opened;
        },
      },
    };
  }

  #guardSnapshots(snapshots: SnapshotFiles): void {
    const create = snapshots.create.bind(snapshots);
    const write = snapshots.write.bind(snapshots);
    const remove = snapshots.remove.bind(snapshots);
    snapshots.create = async (name) => {
      const created = this.passes("snapshot") ? await create(name) : await never<Awaited<ReturnType<typeof create>>>();
      if (created.ok) {
        const file = created.value;
        const append = file.append.bind(file);
        const commit = file.commit.bind(file);
        file.append = (bytes) => (this.passes("snapshot") ? append(bytes) : never());
        file.commit = () => (this.passes("snapshot") ? commit() : never());
      }
      return created;
    };
    snapshots.write = (name, parts) => (this.passes("snapshot") ? write(name, parts) : never());
    snapshots.remove = (name) => (this.passes("snapshot") ? remove(name) : never());
  }

  guardTransport(transport: Transport): Transport {
    const send = transport.send.bind(transport);
    transport.send = (to, channel, frame) => this.passes("frame") && send(to, channel, frame);
    return transport;
  }
}

/** What a process that is gone waits for. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}
