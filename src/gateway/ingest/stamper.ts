/**
 * Timestamps for readings whose profile names none: milliseconds × 1,000 plus this gateway's slot, strictly increasing
 * per device, and never below a floor that is kept on disk, so that two gateways never collide and a clock that jumps
 * back does no harm. Stamps are reserved ahead of use: a reservation is a record in the readings log, and a round waits
 * for it like for its own bytes.
 */

import type { DeviceId } from "../../lib/ids.ts";

const stepUs = 1_000;
const reserveAheadUs = 2_000_000;
const renewBelowUs = 1_000_000;
/** Devices whose last stamp is remembered one by one; beyond it all share the highest. */
const devicesMax = 100_000;

export class Stamper {
  readonly #slot: number;
  readonly #last = new Map<DeviceId, number>();
  /** No stamp at or below this one is given: everything up to it may have been used by an earlier start. */
  #floorUs: number;
  #highestUs = 0;
  #reservedUs: number;

  constructor(options: { readonly slot: number; readonly floorUs: number }) {
    this.#slot = options.slot;
    this.#floorUs = options.floorUs;
    this.#reservedUs = options.floorUs;
  }

  /** A stamp for one message of `device` at wall-clock time `wallMs`. */
  stamp(device: DeviceId, wallMs: number): number {
    const nowUs = wallMs * stepUs + this.#slot;
    const last = Math.max(this.#last.get(device) ?? 0, this.#floorUs);
    const stamped = nowUs > last ? nowUs : nextAbove(last, this.#slot);
    if (this.#last.size >= devicesMax && !this.#last.has(device)) {
      this.#last.clear();
      this.#floorUs = Math.max(this.#floorUs, this.#highestUs);
    }
    this.#last.set(device, stamped);
    if (stamped > this.#highestUs) this.#highestUs = stamped;
    return stamped;
  }

  /** A new reservation that must be made durable before stamps above the last one count, or `undefined`. */
  reservationDue(): number | undefined {
    if (this.#highestUs === 0 || this.#highestUs <= this.#reservedUs - renewBelowUs) return undefined;
    this.#reservedUs = this.#highestUs + reserveAheadUs;
    return this.#reservedUs;
  }

  /** The highest stamp given since the start; 0 when none was. */
  highestUs(): number {
    return this.#highestUs;
  }

  reservedUs(): number {
    return this.#reservedUs;
  }
}

/** The lowest time above `last` that ends in the slot. */
function nextAbove(last: number, slot: number): number {
  const base = Math.floor(last / stepUs) * stepUs + slot;
  return base > last ? base : base + stepUs;
}
