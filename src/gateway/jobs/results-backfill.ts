/**
 * Results of runs that the site's state has forgotten: a new gateway, or one that was away for long, fetches all that a peer
 * has stored, page by page in the order of the keys, and goes on with the commits from there. A link that breaks costs the
 * page under way; another peer goes on behind the last page.
 */

import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import type { MeshRouter } from "../mesh-router.ts";
import type { Requests } from "../requests.ts";
import { decodePage, encodePage, isResultKey, type PeerPage, type ResultStore } from "./result-store.ts";

export interface ResultsBackfillOptions {
  readonly context: GatewayContext;
  readonly store: ResultStore;
  readonly requests: Requests;
  readonly router: MeshRouter;
  /** Those that keep results, as of now. */
  readonly gateways: () => readonly GatewayId[];
  /** How far this gateway has come: what is stored, what is still in the state's outbox, and what is committed. */
  readonly progress: () => { readonly stored: number; readonly firstOrdinal: number; readonly committed: number };
}

/** What was fetched so far, in one run through the keys. */
interface Pass {
  after: Uint8Array | undefined;
  /** The results of all runs below this ordinal are here once the pass is at its end. */
  ordinal: number;
  /** Nothing that was fetched is of a run at or behind this ordinal. */
  committed: number;
  ended: boolean;
}

type Outcome = "done" | "failed" | "behind";

/** For a quarter of a megabyte: an answer that was lost must not hold up who asks for results for longer than that one waits. */
const pageTimeoutMs = 3_000;

export class ResultsBackfill {
  readonly #options: ResultsBackfillOptions;
  readonly #context: GatewayContext;
  #pass: Pass | undefined;

  constructor(options: ResultsBackfillOptions) {
    this.#options = options;
    this.#context = options.context;
    options.requests.serve("results-page", (_from, body) => this.#pageForPeer(body));
  }

  /** The ordinal up to which everything is stored here now; `undefined`: try again later. */
  async fetch(): Promise<number | undefined> {
    const others = this.#options.gateways().filter((gateway) => gateway !== this.#context.self);
    if (this.#pass?.ended !== true) {
      const outcomes = new Set<Outcome>();
      for (const peer of others) {
        const outcome = await this.#fetchFrom(peer, this.#options.progress().firstOrdinal);
        outcomes.add(outcome);
        if (outcome === "done") break;
      }
      if (outcomes.has("failed") && !outcomes.has("done")) return undefined;
      if (!outcomes.has("done")) return await this.#makeDo(others);
    }
    return this.#finish();
  }

  #finish(): number | undefined {
    const { firstOrdinal, committed } = this.#options.progress();
    const pass = this.#pass;
    if (pass === undefined) return undefined;
    if (pass.ordinal < firstOrdinal) {
      // More was forgotten meanwhile than the peer had stored when the pass began.
      this.#pass = undefined;
      return undefined;
    }
    // What was fetched beyond `ordinal` must be known as committed, or a sink's copy would get it twice.
    if (committed < pass.committed) return undefined;
    this.#pass = undefined;
    this.#context.diagnostics.info("results-fetched", { ordinal: pass.ordinal });
    return pass.ordinal;
  }

  /** Nobody has it all, and nobody ever will: what the others have together is what there is. */
  async #makeDo(others: readonly GatewayId[]): Promise<number | undefined> {
    for (const peer of others) {
      this.#pass = undefined;
      if ((await this.#fetchFrom(peer, 0)) !== "done") return undefined;
    }
    this.#pass = undefined;
    const { stored, firstOrdinal } = this.#options.progress();
    this.#context.diagnostics.error("results-missing", {
      from: stored,
      to: firstOrdinal,
      why: "the commits are forgotten, and no gateway has stored the rows of all of them",
    });
    return firstOrdinal;
  }

  async #fetchFrom(peer: GatewayId, atLeast: number): Promise<Outcome> {
    const { requests, router, store } = this.#options;
    for (;;) {
      if (this.#context.inbox.closed() || !router.reachable(peer)) return "failed";
      const after = this.#pass?.after;
      const answer = await requests.call(peer, "results-page", { after: after ?? null }, { timeoutMs: pageTimeoutMs, channel: "bulk" });
      const page = answer.ok ? decodePage(this.#context.packing, answer.value, after) : answer;
      if (!page.ok) {
        this.#context.diagnostics.debug("results-page-awaited", { from: peer, why: page.message });
        return "failed";
      }
      if (page.value.stored < atLeast) return "behind";
      await store.fill(page.value.entries);
      this.#note(page.value);
      if (!page.value.more) return "done";
    }
  }

  #note(page: PeerPage): void {
    const pass = this.#pass ?? { after: undefined, ordinal: page.stored, committed: page.committed, ended: false };
    pass.after = page.entries.at(-1)?.key ?? pass.after;
    pass.ordinal = Math.min(pass.ordinal, page.stored);
    pass.committed = Math.max(pass.committed, page.committed);
    pass.ended = !page.more;
    this.#pass = pass;
  }

  async #pageForPeer(body: unknown): Promise<Result<unknown>> {
    const after = (body as { readonly after?: unknown } | null)?.after ?? undefined;
    if (after !== undefined && !(after instanceof Uint8Array && isResultKey(after))) return failure("bad-request", "behind which key?");
    // Before the scan: what is stored meanwhile may be in the page, what was stored before is for sure.
    const { stored } = this.#options.progress();
    const page = await this.#options.store.page(after === undefined ? undefined : copyBytes(after));
    if (!page.ok) return page;
    const { committed } = this.#options.progress();
    return success(encodePage(this.#context.packing, { ...page.value, stored, committed }));
  }
}
