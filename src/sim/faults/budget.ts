/**
 * What may be broken at once: never more than is promised to be survivable, and nothing by two strikes at a time. A
 * promise holds while a majority of the disks is intact and their gateways come back; so a minority of disks may be
 * wiped, old or damaged, and everything else (power, links, clocks, full disks) may strike all of them, for a while.
 */

import type { GatewayId } from "../../lib/ids.ts";

/** Whoever holds a claim; compared by identity. */
export type Holder = object;

export class FaultBudget {
  readonly #gateways: readonly GatewayId[];
  /** How many gateways vote at present: where fewer do than there are, fewer disks may break. */
  readonly #voters: () => number;
  readonly #claims = new Map<GatewayId, Holder>();
  /** Gateways whose disk does not hold what it promised, and whether it does again by itself. */
  readonly #broken = new Map<GatewayId, () => boolean>();
  /** Whether the disk that was lost last has been made up for. */
  #lost: (() => boolean) | undefined;
  /** Who waits for all gateways: nobody else gets one meanwhile. */
  #next: Holder | undefined;
  /** Who has changed how the whole network behaves. */
  #weather: Holder | undefined;

  constructor(gateways: readonly GatewayId[], voters: () => number = () => gateways.length) {
    this.#gateways = gateways;
    this.#voters = voters;
  }

  /** A gateway whose process, disk and clock are the holder's to break, and to mend. */
  claim(gateway: GatewayId, holder: Holder): boolean {
    if (this.#next !== undefined && this.#next !== holder) return false;
    const owner = this.#claims.get(gateway);
    if (owner !== undefined) return owner === holder;
    this.#claims.set(gateway, holder);
    return true;
  }

  isClaimed(gateway: GatewayId): boolean {
    return this.#claims.has(gateway);
  }

  /** Has the holder wait for all gateways; false when another one waits already. */
  queueForAll(holder: Holder): boolean {
    this.#next ??= holder;
    return this.#next === holder;
  }

  /** All gateways for one holder, when nobody else has any. */
  claimAll(holder: Holder): boolean {
    if ([...this.#claims.values()].some((owner) => owner !== holder)) return false;
    if (this.#next === holder) this.#next = undefined;
    return this.#gateways.every((gateway) => this.claim(gateway, holder));
  }

  /**
   * May this gateway's disk lose what it promised? Only while a majority of the voters' disks keeps it. `healed` tells when the
   * gateway has got it back by itself; otherwise somebody says `diskMended`.
   */
  breakDisk(gateway: GatewayId, healed: () => boolean = () => false): boolean {
    for (const [broken, isWhole] of this.#broken) if (isWhole()) this.#broken.delete(broken);
    const survivable = Math.floor((Math.min(this.#gateways.length, this.#voters()) - 1) / 2);
    if (this.#broken.has(gateway) || this.#broken.size >= survivable) return false;
    this.#broken.set(gateway, healed);
    return true;
  }

  /**
   * May this gateway's disk be lost for good? One at a time: `restored` tells when the others have given it everything
   * again, and until then they must not lose any of theirs.
   */
  loseDisk(gateway: GatewayId, restored: () => boolean): boolean {
    if (this.#lost?.() === false || !this.breakDisk(gateway, restored)) return false;
    this.#lost = restored;
    return true;
  }

  /** The gateway is somebody else's from now on, who lets go of it by `undefined`. */
  handOver(gateway: GatewayId, holder: Holder | undefined): void {
    if (holder === undefined) this.#claims.delete(gateway);
    else this.#claims.set(gateway, holder);
  }

  /** It holds all of it again. */
  diskMended(gateway: GatewayId): void {
    this.#broken.delete(gateway);
  }

  claimWeather(holder: Holder): boolean {
    this.#weather ??= holder;
    return this.#weather === holder;
  }

  /** The holder is done. */
  release(holder: Holder): void {
    for (const [gateway, owner] of [...this.#claims]) if (owner === holder) this.#claims.delete(gateway);
    if (this.#next === holder) this.#next = undefined;
    if (this.#weather === holder) this.#weather = undefined;
  }
}
