/**
 * The time of the site, as this gateway knows it: its own wall clock while nothing speaks against it, that of a majority of the
 * gateways when they agree with each other and not with it. A board that woke up in 1970, or whose clock jumped, stamps readings right
 * as long as most of the others are right and heard; one wrong peer moves nobody. The system's clock is never set, and deadlines
 * have nothing to do with it.
 *
 * A majority of clocks that are close to each other holds more right ones than wrong ones while most are right (Marzullo 1984; RFC
 * 5905 §11.2.1 selects NTP's servers likewise). With no majority in sight the last time that one confirmed goes on by the monotonic clock.
 */

import { majorityOf } from "../lib/voters.ts";
import type { Clock, NtpState } from "../ports/clock.ts";

/** A wall clock, as an offset to this gateway's monotonic one. */
export interface ClockReading {
  readonly offsetMs: number;
  /** What its own machine says of it. */
  readonly ntp: NtpState;
}

/** Clocks of more than half of the gateways that are close to each other. */
export interface Agreement {
  /** The middle of them. */
  readonly offsetMs: number;
  readonly clocks: readonly ClockReading[];
}

export interface SiteClockOptions {
  readonly clock: Clock;
  /** The clocks of the peers that are heard. */
  readonly peers: () => readonly ClockReading[];
  /** How many gateways there are, this one included. */
  readonly gateways: () => number;
  readonly rule: typeof agreementOf;
}

export interface SiteClockView {
  /** The time that stamps are made of is confirmed: by NTP, or by a majority of the gateways' clocks. */
  readonly synchronised: boolean;
  readonly by: "ntp" | "peers" | "none";
  /** Whose time stamps are made of; `held`: the last that was confirmed. */
  readonly source: "own" | "peers" | "held";
  /** The own wall clock less the time that stamps are made of. */
  readonly ownAheadMs: number;
  readonly ntp: NtpState;
}

/** Clocks within so much of each other agree. */
export const agreeMs = 1_000;
/** An own clock that was away counts again only when it is as near as this: it must not come and go at the edge. */
const nearMs = 500;
const lookEveryMs = 500;
/** More than any slewing in half a second: the own clock was set, and is to be looked at before it is used. */
const jumpMs = 100;
/** Then the peers' clocks have all been heard again: before, one that was wrong at another moment could seem to confirm it. */
const steadyAfterMs = 2_500;
/** No clock of a version that was made later than this is right before it. */
export const plausibleFromMs = Date.UTC(2025, 0, 1);

/** The largest group of clocks close to each other, with `own` in it if it may be, when it is a majority of all gateways. */
export function agreementOf(all: readonly ClockReading[], own: ClockReading | undefined, gateways: number): Agreement | undefined {
  const sorted = [...all].sort((a, b) => a.offsetMs - b.offsetMs);
  let best: readonly ClockReading[] = [];
  for (let from = 0; from < sorted.length; from++) {
    const least = (sorted[from] as ClockReading).offsetMs;
    const group = sorted.slice(from).filter(({ offsetMs }) => offsetMs - least <= agreeMs);
    const hasOwn = own !== undefined && group.includes(own);
    const bestHasOwn = own !== undefined && best.includes(own);
    const isMajority = group.length >= majorityOf(gateways);
    if (isMajority && (hasOwn === bestHasOwn ? group.length > best.length : hasOwn)) best = group;
  }
  if (best.length === 0) return undefined;
  const [low, high] = [best[(best.length - 1) >> 1], best[best.length >> 1]] as [ClockReading, ClockReading];
  return { offsetMs: (low.offsetMs + high.offsetMs) / 2, clocks: best };
}

export class SiteClock {
  readonly #options: SiteClockOptions;
  #nextLookMs = Number.NEGATIVE_INFINITY;
  /** Of the own wall clock, when it was looked at last. */
  #ownOffsetMs: number | undefined;
  /** Monotonic time at which the own wall clock was found set. */
  #setMs = Number.NEGATIVE_INFINITY;
  /** Of the time in use, where that is not the own wall clock's. */
  #offsetMs: number | undefined;
  /** Of the time that was confirmed last. */
  #confirmedMs: number | undefined;
  #source: SiteClockView["source"] = "own";
  #by: SiteClockView["by"] = "none";
  #ntp: NtpState = "unknown";

  constructor(options: SiteClockOptions) {
    this.#options = options;
  }

  /** Whole milliseconds since the epoch. May jump either way, but less than any of the clocks that it is made of. */
  wallMs(): number {
    const { clock } = this.#options;
    const ownMs = clock.wallMs();
    const monotonicMs = clock.monotonicMs();
    if (this.#hasJumped(ownMs - monotonicMs) || monotonicMs >= this.#nextLookMs) this.#look(ownMs - monotonicMs, monotonicMs);
    return this.#offsetMs === undefined ? ownMs : Math.floor(monotonicMs + this.#offsetMs);
  }

  /** As of the last look, or of this one. */
  synchronised(): boolean {
    this.wallMs();
    return this.#by !== "none";
  }

  /** The own wall clock was not set lately: only then the peers can say whether it is right. */
  isOwnSteady(): boolean {
    this.wallMs();
    return this.#options.clock.monotonicMs() - this.#setMs >= steadyAfterMs;
  }

  view(): SiteClockView {
    const timeMs = this.wallMs();
    return {
      synchronised: this.#by !== "none",
      by: this.#by,
      source: this.#source,
      ownAheadMs: this.#offsetMs === undefined ? 0 : this.#options.clock.wallMs() - timeMs,
      ntp: this.#ntp,
    };
  }

  #look(ownOffsetMs: number, monotonicMs: number): void {
    const { clock, peers, gateways, rule } = this.#options;
    this.#nextLookMs = monotonicMs + lookEveryMs;
    if (this.#hasJumped(ownOffsetMs)) this.#setMs = monotonicMs;
    this.#ownOffsetMs = ownOffsetMs;
    this.#ntp = clock.ntpState();
    const own: ClockReading = { offsetMs: ownOffsetMs, ntp: this.#ntp };
    const others = peers();
    const count = gateways();
    // A clock that was set a moment ago has no voice, and one that was outvoted none until it is near.
    const hasVoice = this.#confirmedMs === undefined || monotonicMs - this.#setMs >= steadyAfterMs;
    const without = hasVoice && this.#source === "own" ? undefined : rule(others, undefined, count);
    const isNear = without !== undefined && Math.abs(without.offsetMs - ownOffsetMs) <= nearMs;
    const withOwn = without === undefined && hasVoice ? rule([own, ...others], own, count) : undefined;
    const agreed = isNear ? { ...without, clocks: [...without.clocks, own] } : (without ?? withOwn);
    if (agreed === undefined) this.#alone(own);
    else if (agreed.clocks.includes(own)) this.#agreeing(own, agreed, monotonicMs);
    else this.#outvoted(own, agreed, monotonicMs);
  }

  #hasJumped(ownOffsetMs: number): boolean {
    return this.#ownOffsetMs !== undefined && Math.abs(ownOffsetMs - this.#ownOffsetMs) > jumpMs;
  }

  #agreeing(own: ClockReading, agreed: Agreement, monotonicMs: number): void {
    const confirmed = agreed.clocks.length > 1 && isBelieved(agreed, monotonicMs);
    this.#use("own", undefined, own.ntp === "synchronised" ? "ntp" : confirmed ? "peers" : "none");
    // Clocks that all woke up without knowing the time agree as well.
    if (this.#by !== "none") this.#confirmedMs = own.offsetMs;
  }

  #outvoted(own: ClockReading, agreed: Agreement, monotonicMs: number): void {
    const believed = isBelieved(agreed, monotonicMs);
    const ownIsPlausible = own.offsetMs + monotonicMs >= plausibleFromMs;
    // Against one that NTP keeps, or that at least may be right, clocks that nobody keeps prove nothing.
    if (!believed && (own.ntp === "synchronised" || ownIsPlausible)) return this.#alone(own);
    this.#use("peers", agreed.offsetMs, believed ? "peers" : "none");
    if (believed) this.#confirmedMs = agreed.offsetMs;
  }

  /** Nobody to go by: a clock that has left the time that was confirmed last is not believed. */
  #alone(own: ClockReading): void {
    const left = this.#confirmedMs !== undefined && Math.abs(own.offsetMs - this.#confirmedMs) > agreeMs;
    if (left) return this.#use("held", this.#confirmedMs, "none");
    this.#use("own", undefined, own.ntp === "synchronised" ? "ntp" : "none");
    if (this.#by === "ntp") this.#confirmedMs ??= own.offsetMs;
  }

  #use(source: SiteClockView["source"], offsetMs: number | undefined, by: SiteClockView["by"]): void {
    this.#source = source;
    this.#offsetMs = offsetMs;
    this.#by = by;
  }
}

/** Not all of them are known to be kept by nobody, and they are not before this version's time. */
function isBelieved({ clocks, offsetMs }: Agreement, monotonicMs: number): boolean {
  return clocks.some(({ ntp }) => ntp !== "unsynchronised") && offsetMs + monotonicMs >= plausibleFromMs;
}
