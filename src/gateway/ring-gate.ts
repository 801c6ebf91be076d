/**
 * Between the ring that Raft agreed on and the parts that act under it. An owner that has refused rounds of an older table
 * must never accept one again, or a reading could be acknowledged by owners that a newer table no longer asks. A commit may
 * be forgotten in a crash and learnt again later, so that the epoch goes to disk before anything acts under it, and after a
 * start nothing acts until the state is at least there, and knows this gateway's folder.
 */

import type { RingState } from "../core/ring/owner-changes.ts";
import { noEpoch } from "../core/ring/owner-table.ts";
import type { SiteState } from "../core/site/site-state.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import type { Documents } from "../ports/documents.ts";
import type { GatewayContext } from "./context.ts";

export interface RingGateOptions {
  readonly context: GatewayContext;
  readonly state: SiteState;
  /** The ring of the founding: what its owners are called until more is known. */
  readonly founding: RingState;
  /** May act under this ring from now on. */
  readonly pass: (ring: RingState) => void;
}

const documentName = "ring";
const retryMs = 500;

/** 0 where it acted under none yet. */
async function readEpoch(documents: Documents): Promise<Result<number>> {
  const read = await documents.read(documentName);
  if (!read.ok) return read;
  if (read.value === undefined) return success(0);
  const { epoch } = read.value as { readonly epoch?: unknown };
  if (typeof epoch !== "number" || !Number.isSafeInteger(epoch) || epoch < 0)
    return failure("data-damaged", "the document ring.json holds no epoch");
  return success(epoch);
}

/** Lets a stopped gateway act under this epoch, if it has acted under a later one. Only where no other gateway ever acts again. */
export async function lowerEpoch(documents: Documents, epoch: number): Promise<Result<void>> {
  const floor = await readEpoch(documents);
  if (!floor.ok) return floor;
  return floor.value <= epoch ? success(undefined) : documents.write(documentName, { epoch });
}

export class RingGate {
  readonly #options: RingGateOptions;
  /** The newest epoch that this gateway acted under, as it stands on disk. */
  #floor = 0;
  #writing = false;
  #open = false;
  #waiting: (() => void)[] = [];

  constructor(options: RingGateOptions) {
    this.#options = options;
  }

  /** No gateway writes, accepts or answers anything under this ring: its epoch is nobody's. */
  closed(): RingState {
    const { founding } = this.#options;
    return { ...founding, table: { ...founding.table, epoch: noEpoch } };
  }

  /** Calls back, once, when this gateway acts under a ring: at once where it does. */
  whenOpen(callback: () => void): void {
    if (this.#open) callback();
    else this.#waiting.push(callback);
  }

  #pass(ring: RingState): void {
    this.#options.pass(ring);
    this.#open = true;
    for (const callback of this.#waiting.splice(0)) callback();
  }

  /** Fails with `data-damaged`. */
  async open(): Promise<Result<void>> {
    const epoch = await readEpoch(this.#options.context.ports.documents);
    if (!epoch.ok) return epoch;
    this.#floor = epoch.value;
    return success(undefined);
  }

  /** The state has moved on: lets its ring pass, once its epoch is on disk. */
  changed(): void {
    const { context, state } = this.#options;
    const ring = state.ring();
    const isOurs = state.members().get(context.self)?.incarnation === context.incarnation;
    if (ring === undefined || !isOurs || ring.table.epoch < this.#floor || this.#writing) return;
    if (ring.table.epoch === this.#floor) return this.#pass(ring);
    this.#writing = true;
    context.ports.documents.write(documentName, { epoch: ring.table.epoch }).then(
      (written) =>
        context.inbox.post(() => {
          this.#writing = false;
          if (written.ok) {
            this.#floor = ring.table.epoch;
            this.#pass(ring);
            this.changed();
          } else {
            context.diagnostics.warn("ring-not-written", { epoch: ring.table.epoch, why: written.message, next: "tried again" });
            context.clock.schedule(retryMs, () => context.inbox.post(() => this.changed()));
          }
        }),
      (cause: unknown) =>
        context.inbox.post(() => {
          throw cause;
        }),
    );
  }
}
