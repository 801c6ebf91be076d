/**
 * The owner's side of a write: rounds that other gateways send. Each is appended to the readings log once, however often
 * it arrives, and acknowledged only after the log said that it is durable. A round under another ring epoch is refused, also
 * when the epoch changed while the round was on its way to the disk: whoever asks this owner for all that it holds under
 * an epoch (a filling gateway) has then missed nothing that is acknowledged under an earlier one. A newer epoch is refused
 * too, because this gateway may not be an owner of it, or may have to be filled first; the coordinator offers again.
 * What is remembered of a coordinator is bounded: a duplicate older than the window is appended again, which is
 * harmless, because a reading is stored by its identity.
 */

import type { GatewayId, SessionId } from "../../lib/ids.ts";
import { noEpoch } from "../ring/owner-table.ts";
import { takesEpoch } from "./rules.ts";

export interface OwnerOptions {
  /** Rounds of one coordinator that are remembered. */
  readonly windowMax: number;
  /** Where tests plant bugs. */
  readonly takesEpoch?: typeof takesEpoch;
}

export interface OfferedRound {
  readonly from: GatewayId;
  /** The process start that numbered the round. */
  readonly session: SessionId;
  readonly number: number;
  readonly epoch: number;
}

export type OwnerEffect =
  | { readonly type: "append"; readonly offer: OfferedRound }
  | { readonly type: "acknowledge"; readonly to: GatewayId; readonly session: SessionId; readonly round: number }
  | { readonly type: "refuse"; readonly to: GatewayId; readonly session: SessionId; readonly round: number; readonly epoch: number };

interface CoordinatorWindow {
  readonly session: SessionId;
  /** Round number -> durable? In insertion order. */
  readonly rounds: Map<number, boolean>;
}

export class Owner {
  readonly #options: OwnerOptions;
  readonly #takes: typeof takesEpoch;
  readonly #windows = new Map<GatewayId, CoordinatorWindow>();

  constructor(options: OwnerOptions) {
    this.#options = options;
    this.#takes = options.takesEpoch ?? takesEpoch;
  }

  /** A round arrived. The caller appends it when told so, and then says `durable` or `notTaken`. */
  offered(offer: OfferedRound, ownEpoch: number, effects: OwnerEffect[]): void {
    if (!this.#takes(offer.epoch, ownEpoch) || ownEpoch === noEpoch) {
      effects.push({ type: "refuse", to: offer.from, session: offer.session, round: offer.number, epoch: ownEpoch });
      return;
    }
    const window = this.#windowOf(offer);
    const known = window.rounds.get(offer.number);
    if (known === true) {
      effects.push({ type: "acknowledge", to: offer.from, session: offer.session, round: offer.number });
    } else if (known === undefined) {
      window.rounds.set(offer.number, false);
      this.#shrink(window);
      effects.push({ type: "append", offer });
    }
  }

  /** The log has the round on disk. `ownEpoch`: the epoch at this moment. */
  durable(offer: OfferedRound, ownEpoch: number, effects: OwnerEffect[]): void {
    const window = this.#windows.get(offer.from);
    if (window?.session === offer.session && window.rounds.has(offer.number)) window.rounds.set(offer.number, true);
    if (!this.#takes(offer.epoch, ownEpoch)) {
      effects.push({ type: "refuse", to: offer.from, session: offer.session, round: offer.number, epoch: ownEpoch });
      return;
    }
    effects.push({ type: "acknowledge", to: offer.from, session: offer.session, round: offer.number });
  }

  /** The log had no room for the round: forget it, so that the coordinator's next offer is taken up again. */
  notTaken(offer: OfferedRound): void {
    const window = this.#windows.get(offer.from);
    if (window?.session === offer.session && window.rounds.get(offer.number) === false) window.rounds.delete(offer.number);
  }

  #windowOf(offer: OfferedRound): CoordinatorWindow {
    const known = this.#windows.get(offer.from);
    if (known?.session === offer.session) return known;
    const fresh: CoordinatorWindow = { session: offer.session, rounds: new Map() };
    this.#windows.set(offer.from, fresh);
    return fresh;
  }

  #shrink(window: CoordinatorWindow): void {
    if (window.rounds.size <= this.#options.windowMax) return;
    // Rounds still on their way to the disk stay: forgetting one would append it twice.
    for (const [number, durable] of window.rounds) {
      if (!durable) continue;
      window.rounds.delete(number);
      return;
    }
  }
}
