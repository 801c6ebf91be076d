/**
 * The readings of one owner set on their way into rounds. At most two rounds are unacknowledged; whatever arrives
 * meanwhile joins the next, together with the acknowledgement callbacks of its messages. Columns, not objects: per
 * message a lane stores a session, a place and a callback.
 */

import { RoundBuilder } from "../../core/round/round-builder.ts";
import type { RoundHeader } from "../../core/round/round-codec.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { SeriesName } from "../../lib/reading-columns.ts";
import type { ClientSession } from "./client-session.ts";
import type { DeadbandNote } from "./route.ts";

/** The messages that wait for one round. */
export interface WaitingMessages {
  readonly sessions: ClientSession[];
  readonly places: number[];
  readonly callbacks: (() => void)[];
  readonly deadbands: DeadbandNote[];
}

export interface ClosedRound {
  readonly number: number;
  readonly lane: Lane;
  readonly bytes: Uint8Array;
  readonly readings: number;
  /** Bytes of the payloads behind it: what the intake bound counts. */
  readonly payloadBytes: number;
  readonly waiting: WaitingMessages;
  /** When its first reading came, monotonic: what time-outs count from. */
  readonly sinceMs: number;
  /** Highest timestamp given by this gateway in it; 0 when none was. */
  readonly stampedUpToUs: number;
}

export const unacknowledgedRoundsMax = 2;
/** A round that has grown to this leaves even when two are under way: records and frames are bounded. */
export const roundBytesMax = 4 << 20;

export class Lane {
  readonly owners: readonly GatewayId[];
  readonly builder: RoundBuilder;
  unacknowledged = 0;
  flushScheduled = false;
  #waiting: WaitingMessages = emptyWaiting();
  #payloadBytes = 0;
  #stampedUpToUs = 0;
  #sinceMs: number | undefined;

  constructor(options: { readonly owners: readonly GatewayId[]; readonly nameOf: (seriesRef: number) => SeriesName }) {
    this.owners = options.owners;
    this.builder = new RoundBuilder(options.nameOf);
  }

  /** The message that was just appended waits for the round under construction. */
  hold(session: ClientSession, place: number, done: () => void): void {
    this.#waiting.sessions.push(session);
    this.#waiting.places.push(place);
    this.#waiting.callbacks.push(done);
  }

  /** A payload of so many bytes gave readings to the round under construction, at `nowMs` of monotonic time. */
  took(payloadBytes: number, nowMs: number): void {
    this.#payloadBytes += payloadBytes;
    this.#sinceMs ??= nowMs;
  }

  /** A timestamp of this gateway's is in the round under construction. */
  stamped(timeUs: number): void {
    if (timeUs > this.#stampedUpToUs) this.#stampedUpToUs = timeUs;
  }

  /** Whether something may leave: a round has its turn, or is as large as a round may be. */
  mayClose(): boolean {
    return this.builder.count > 0 && (this.unacknowledged < unacknowledgedRoundsMax || this.builder.byteEstimate >= roundBytesMax);
  }

  /** The value becomes its deadband's reference when the round under construction is acknowledged. */
  noteDeadband(note: DeadbandNote): void {
    this.#waiting.deadbands.push(note);
  }

  waitingMessages(): number {
    return this.#waiting.sessions.length;
  }

  /** Encodes what has come together and starts the next round. */
  close(header: RoundHeader, closedMs: number): ClosedRound {
    const round: ClosedRound = {
      number: header.round,
      lane: this,
      bytes: this.builder.encode(header),
      readings: this.builder.count,
      payloadBytes: this.#payloadBytes,
      waiting: this.#waiting,
      sinceMs: this.#sinceMs ?? closedMs,
      stampedUpToUs: this.#stampedUpToUs,
    };
    this.#waiting = emptyWaiting();
    this.#payloadBytes = 0;
    this.#sinceMs = undefined;
    this.#stampedUpToUs = 0;
    this.builder.reset();
    this.unacknowledged++;
    return round;
  }

  /** A round is acknowledged or has failed. */
  settled(): void {
    this.unacknowledged--;
  }
}

function emptyWaiting(): WaitingMessages {
  return { sessions: [], places: [], callbacks: [], deadbands: [] };
}
