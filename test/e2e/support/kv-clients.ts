// Clients that put, compare and set, read and delete the same few keys at all gateways at once, what they saw as histories, and the
// judgement of those. Every value is written once only, so that an ETag stands for one value and a read tells which write it saw.
import type { Random } from "../../../src/lib/random.ts";
import { checkRegister, type HistoryEntry } from "../../../src/sim/linearizability.ts";
import { callKv, type KvOperation, kvAgent } from "./kv-call.ts";
import type { TestGateway } from "./site.ts";
import { pause, until } from "./until.ts";

export interface KvClientsOptions {
  readonly gateways: readonly TestGateway[];
  readonly clients: number;
  readonly random: Random;
}

const keysAtOnce = 4;
/** Then the clients go on to a fresh key: the check of one key's history grows faster than the history. */
const operationsPerKey = 80;
const timeoutMs = 1_000;
const moreWithinMs = 20_000;
/** Between two calls of one client at most: calls of several clients overlap in many ways. */
const pauseMsMax = 6;

interface Slot {
  key: string;
  left: number;
  generation: number;
}

export class KvClients {
  readonly histories = new Map<string, HistoryEntry[]>();
  /** "put done" -> how often. */
  readonly counts = new Map<string, number>();
  readonly #options: KvClientsOptions;
  readonly #slots: Slot[];
  #ended = false;
  #values = 0;
  #done = 0;
  readonly #loops: Promise<void>[];
  #failure: Error | undefined;

  constructor(options: KvClientsOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: keysAtOnce }, (_, at) => ({ key: `k${at}-0`, left: operationsPerKey, generation: 0 }));
    this.#loops = Array.from({ length: options.clients }, () =>
      this.#client(options.random.fork()).catch((cause: unknown) => {
        this.#failure ??= cause instanceof Error ? cause : new Error(String(cause));
        this.#ended = true;
      }),
    );
  }

  get operations(): number {
    let count = 0;
    for (const history of this.histories.values()) count += history.length;
    return count;
  }

  count(what: string): number {
    return this.counts.get(what) ?? 0;
  }

  /** Resolves when that many more operations are known to be done. */
  async more(operations: number): Promise<void> {
    const before = this.#done;
    await until(`${operations} more operations on keys are done`, () => this.#ended || this.#done >= before + operations || undefined, {
      withinMs: moreWithinMs,
    });
  }

  /** Ends the clients; resolves when the last call of each has its answer or its time-out. Throws what a client met that may not be. */
  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#loops);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #client(random: Random): Promise<void> {
    const agent = kvAgent();
    const seen = new Map<string, { readonly etag: string; readonly value: string }>();
    try {
      while (!this.#ended) {
        const gateway = random.pick(this.#options.gateways);
        const key = this.#nextKey(random.below(keysAtOnce));
        const answer = await callKv({ gateway, key, operation: this.#operation(random, seen.get(key)), timeoutMs, agent });
        const history = this.histories.get(key) ?? [];
        history.push(answer.entry);
        this.histories.set(key, history);
        if (answer.entry.outcome.kind === "done") this.#done++;
        this.counts.set(answer.what, this.count(answer.what) + 1);
        if (answer.seen !== undefined) seen.set(key, answer.seen);
        await pause(random.below(pauseMsMax + 1));
      }
    } finally {
      agent.destroy();
    }
  }

  #nextKey(at: number): string {
    const slot = this.#slots[at] as Slot;
    if (slot.left === 0) {
      slot.generation++;
      slot.key = `k${at}-${slot.generation}`;
      slot.left = operationsPerKey;
    }
    slot.left--;
    return slot.key;
  }

  #operation(random: Random, seen: { readonly etag: string; readonly value: string } | undefined): KvOperation {
    const dice = random.below(100);
    if (dice < 35) return { kind: "get" };
    if (dice < 45) return { kind: "delete" };
    const value = `v${++this.#values}`;
    if (dice < 55) return { kind: "put", value, expect: "absent" };
    if (dice < 75 && seen !== undefined) return { kind: "put", value, expect: seen };
    return { kind: "put", value, expect: "any" };
  }
}

/** The first key whose history no order of its operations explains, with that history; `undefined`: all is well. */
export function judgeHistories(histories: ReadonlyMap<string, readonly HistoryEntry[]>): string | undefined {
  for (const [key, history] of histories) {
    const problem = checkRegister(history);
    if (problem !== undefined) return `key ${key}: ${problem}\n${describe(history)}`;
  }
  return undefined;
}

function describe(history: readonly HistoryEntry[]): string {
  const first = Math.min(...history.map((entry) => entry.calledMs));
  return history
    .toSorted((a, b) => a.calledMs - b.calledMs)
    .map(({ operation, outcome, calledMs, returnedMs }) => {
      const span = `${(calledMs - first).toFixed(1)}–${(returnedMs - first).toFixed(1)} ms`;
      return `  ${span.padEnd(24)} ${JSON.stringify(operation)} -> ${JSON.stringify(outcome)}`;
    })
    .join("\n");
}
