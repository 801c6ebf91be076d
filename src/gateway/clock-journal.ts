/**
 * Tells the site which stamps of this gateway were given by a clock that nobody confirmed: ranges of stamps, as commands. A range is told
 * as it begins, so that it counts for what follows, and again when its end is known. One that an earlier start left open ends where that
 * start's stamps did. What a gateway stamps in the moment before its first command is committed, and then dies, is not flagged.
 */

import type { ClockUnconfirmedCommand } from "../core/site/commands.ts";
import type { SiteState } from "../core/site/site-state.ts";
import type { Consensus } from "./consensus/consensus.ts";
import type { GatewayContext } from "./context.ts";

export interface ClockJournalOptions {
  readonly context: GatewayContext;
  readonly consensus: Pick<Consensus, "propose" | "leader">;
  readonly state: SiteState;
  /** Stamps of earlier starts were not above this. */
  readonly floorUs: number;
  /** The time of the site. */
  readonly nowUs: () => number;
}

/** Since this level a site can tell. */
const featureLevel = 4;
const proposeTimeoutMs = 10_000;
/** Without a leader for long: the range under way goes on instead, over stamps that were confirmed too. */
const waitingMax = 32;
const ownRangesMax = 1_000;

export class ClockJournal {
  readonly #options: ClockJournalOptions;
  /** Of the stamps since the clock was not confirmed any more. */
  #range: { readonly fromUs: number; lastUs: number } | undefined;
  #waiting: readonly ClockUnconfirmedCommand[] = [];
  /** Beginnings that this process told, or is about to end: the newest. */
  readonly #ownRanges = new Set<number>();
  #telling = false;

  constructor(options: ClockJournalOptions) {
    this.#options = options;
  }

  /** A stamp was given. */
  stamped(stampUs: number, confirmed: boolean): void {
    if (confirmed) {
      this.#close();
      return;
    }
    // The time went back: what was stamped before lies above.
    if (this.#range !== undefined && stampUs < this.#range.fromUs) this.#close();
    if (this.#range === undefined) {
      this.#range = { fromUs: stampUs, lastUs: stampUs };
      this.#own(stampUs);
      this.#tell({ fromUs: stampUs });
    } else {
      this.#range.lastUs = Math.max(this.#range.lastUs, stampUs);
    }
  }

  /** To be called now and then. `confirmed`: whether the time of stamps is. */
  look(confirmed: boolean): void {
    if (confirmed) this.#close();
    this.#endThoseOfEarlierStarts();
    this.#tellAll();
  }

  #endThoseOfEarlierStarts(): void {
    const { state, floorUs, nowUs, context } = this.#options;
    // Not before everything is applied that an earlier start had committed: the end may be there.
    if (state.startOf(context.self)?.session !== context.session) return;
    for (const fromUs of state.clockFlags().openOf(context.slot)) {
      if (this.#ownRanges.has(fromUs)) continue;
      this.#own(fromUs);
      // The folder of before is gone where its floor is: nobody knows how far its stamps went.
      this.#tell({ fromUs, toUs: floorUs >= fromUs ? floorUs + 1 : Math.max(nowUs(), fromUs + 1) });
    }
  }

  #own(fromUs: number): void {
    this.#ownRanges.add(fromUs);
    const [oldest] = this.#ownRanges;
    if (this.#ownRanges.size > ownRangesMax && oldest !== undefined) this.#ownRanges.delete(oldest);
  }

  #close(): void {
    if (this.#range === undefined || this.#waiting.length >= waitingMax) return;
    const { fromUs, lastUs } = this.#range;
    this.#range = undefined;
    this.#tell({ fromUs, toUs: lastUs + 1 });
  }

  #tell(range: { readonly fromUs: number; readonly toUs?: number }): void {
    this.#waiting = [...this.#waiting, { t: "clock-unconfirmed", slot: this.#options.context.slot, ...range }];
    this.#tellAll();
  }

  #tellAll(): void {
    const [command] = this.#waiting;
    const { consensus, state, context } = this.#options;
    if (this.#telling || command === undefined || context.inbox.closed()) return;
    // It is told as soon as the site can be: a version that does not know it would pass over it.
    if (state.featureLevel() < featureLevel || consensus.leader() === undefined) return;
    this.#telling = true;
    const settle = (told: boolean): void => {
      this.#telling = false;
      // What failed waits for the next look.
      if (!told) return;
      this.#waiting = this.#waiting.filter((other) => other !== command);
      this.#tellAll();
    };
    consensus.propose(command, proposeTimeoutMs).then(
      (result) => settle(result.ok),
      () => settle(false),
    );
  }
}
