/**
 * Log matching (Raft §5.3): an index and a term mean one entry, and one entry before it. When that holds for every entry
 * of every log, logs that agree in one entry agree in all before it. Each entry is compared once, when it appears in a
 * log; and of a leader's entries at most one membership change is not committed (dissertation §4.1).
 */

import type { Entry } from "../core/raft/messages.ts";
import type { RaftView } from "../core/raft/raft-node.ts";
import type { GatewayId } from "../lib/ids.ts";
import { SafetyViolation } from "./violations.ts";

interface Meaning {
  readonly picture: string;
  /** Of the entry before; `undefined` until somebody had both. */
  termBefore: number | undefined;
  readonly firstSeenAt: GatewayId;
}

interface Page {
  readonly node: object;
  /** By index: the entry's term, when it was last looked at. */
  readonly terms: Map<number, number>;
  /** Indices of membership changes, ascending. */
  changes: number[];
}

export interface Reading {
  readonly id: GatewayId;
  readonly node: { readonly entryAt: (index: number) => Entry | undefined };
  readonly view: Pick<RaftView, "role" | "term" | "firstIndex" | "lastIndex" | "lastTerm" | "commitIndex">;
  /** What was seen of the same process before. */
  readonly before: Pick<RaftView, "lastIndex" | "lastTerm"> | undefined;
}

export class LogBook {
  /** By index, then by term. */
  readonly #meanings: Map<number, Meaning>[] = [];
  readonly #pages = new Map<GatewayId, Page>();

  /** Takes in what is new in one log. */
  read({ id, node, view, before }: Reading): void {
    const page = this.#page(id, node);
    if (before === undefined || before.lastIndex !== view.lastIndex || before.lastTerm !== view.lastTerm) {
      for (let index = before?.lastIndex ?? 0; index > view.lastIndex; index--) page.terms.delete(index);
      // A snapshot may have taken the place of what stood there.
      page.terms.delete(view.firstIndex - 1);
      let from = view.lastIndex;
      while (from >= view.firstIndex && page.terms.get(from) !== node.entryAt(from)?.term) from--;
      page.changes = page.changes.filter((index) => index <= from);
      for (let index = from + 1; index <= view.lastIndex; index++) this.#take(id, page, node.entryAt(index), index);
    }
    if (view.role !== "leader") return;
    const open = page.changes.filter((index) => index > view.commitIndex);
    if (open.length > 1)
      throw new SafetyViolation(`${id} leads in term ${view.term} with membership changes under way at once: entries ${open.join(", ")}`);
    page.changes = open;
  }

  #page(id: GatewayId, node: object): Page {
    const known = this.#pages.get(id);
    if (known?.node === node) return known;
    const page: Page = { node, terms: new Map(), changes: [] };
    this.#pages.set(id, page);
    return page;
  }

  #take(id: GatewayId, page: Page, entry: Entry | undefined, index: number): void {
    if (entry === undefined) throw new SafetyViolation(`${id} has a gap in its log: there is no entry ${index}`);
    if (entry.index !== index) throw new SafetyViolation(`${id} has entry ${entry.index} in the place of ${index}`);
    const termBefore = page.terms.get(index - 1);
    if (termBefore !== undefined && termBefore > entry.term)
      throw new SafetyViolation(`${id} has entry ${index} of term ${entry.term} after one of term ${termBefore}`);
    page.terms.set(index, entry.term);
    if (entry.kind === "configuration") page.changes.push(index);
    const picture = `${entry.kind} ${fingerprint(entry.command)}`;
    this.#meanings[index] ??= new Map();
    const meanings = this.#meanings[index];
    const known = meanings.get(entry.term);
    if (known === undefined) {
      meanings.set(entry.term, { picture, termBefore, firstSeenAt: id });
      return;
    }
    if (known.picture !== picture)
      throw new SafetyViolation(
        `entry ${index} of term ${entry.term} is (${known.picture}) at ${known.firstSeenAt} and (${picture}) at ${id}`,
      );
    known.termBefore ??= termBefore;
    if (termBefore !== undefined && known.termBefore !== termBefore)
      throw new SafetyViolation(
        `entry ${index} of term ${entry.term} comes after one of term ${known.termBefore} at ${known.firstSeenAt}, and of term ${termBefore} at ${id}`,
      );
  }
}

function fingerprint(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${bytes.length}:${(hash >>> 0).toString(16)}`;
}
