/**
 * The readings of one owner set and write level on their way into rounds. At most two rounds are unacknowledged; whatever arrives
 * meanwhile joins the next, together with the acknowledgement callbacks of its messages. Columns, not objects: per
 * message a lane stores a session, a place and a callback.
 */

import type { WriteLevel } from "../../config/settings.ts";
import { RoundBuilder } from "../../core/round/round-builder.ts";
import type { RoundVersion } from "../../core/round/round-codec.ts";
import type { RoundHeader } from "../../core/round/round-format.ts";
import type { GatewayId, Partition } from "../../lib/ids.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import type { ClientSession } from "./client-session.ts";
import type { DeadbandNote } from "./route.ts";

/** The messages that wait for one round. */
export interface WaitingMessages {
  /** Where a message's readings are, all of them: the owners of a partition may part from those of another. */
  readonly partitions: Partition[];
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

/** Readings and the messages that wait for them, on their way from one owner table to the next (`reroute.ts`). */
export interface Readings extends Pick<ClosedRound, "payloadBytes" | "waiting" | "sinceMs" | "stampedUpToUs"> {
  /** Of the lane that they come from, and go to. */
  readonly level: WriteLevel;
  readonly columns: ReadingColumns;
}

export const unacknowledgedRoundsMax = 2;
/** A round that has grown to this leaves even when two are under way: records and frames are bounded. */
export const roundBytesMax = 4 << 20;

export class Lane {
  /** How many copies its messages wait for: readings of another level are in a lane of their own. */
  readonly level: WriteLevel;
  readonly owners: readonly GatewayId[];
  /** Of the owners, those that have not all readings yet. */
  readonly filling: readonly GatewayId[];
  /** Of the others, how many go once another one is filled. */
  readonly leaving: number;
  readonly builder: RoundBuilder;
  unacknowledged = 0;
  flushScheduled = false;
  #waiting: WaitingMessages = emptyWaiting();
  #payloadBytes = 0;
  #stampedUpToUs = 0;
  #sinceMs: number | undefined;

  constructor(options: {
    readonly owners: readonly GatewayId[];
    readonly filling: readonly GatewayId[];
    readonly leaving: number;
    readonly level: WriteLevel;
    readonly nameOf: (seriesRef: number) => SeriesName;
  }) {
    this.level = options.level;
    this.owners = options.owners;
    this.filling = options.filling;
    this.leaving = options.leaving;
    this.builder = new RoundBuilder(options.nameOf);
  }

  /** The message that was just appended, all of it to one partition, waits for the round under construction. */
  hold(at: Partition, session: ClientSession, place: number, done: () => void): void {
    this.#waiting.partitions.push(at);
    this.#waiting.sessions.push(session);
    this.#waiting.places.push(place);
    this.#waiting.callbacks.push(done);
  }

  /** Payloads of so many bytes gave readings to the round under construction; the oldest came at `sinceMs` of monotonic time. */
  took(payloadBytes: number, sinceMs: number): void {
    this.#payloadBytes += payloadBytes;
    if (this.#sinceMs === undefined || sinceMs < this.#sinceMs) this.#sinceMs = sinceMs;
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
  close(header: RoundHeader, version: RoundVersion, closedMs: number): ClosedRound {
    const round: ClosedRound = {
      number: header.round,
      lane: this,
      bytes: this.builder.encode(header, version),
      readings: this.builder.count,
      payloadBytes: this.#payloadBytes,
      waiting: this.#waiting,
      sinceMs: this.#sinceMs ?? closedMs,
      stampedUpToUs: this.#stampedUpToUs,
    };
    this.#restart();
    this.unacknowledged++;
    return round;
  }

  /** Hands over what has come together; the columns are valid during the call only. Nothing happens to an empty lane. */
  handOver(to: (readings: Readings) => void, nowMs: number): void {
    if (this.builder.count === 0) return;
    to({
      level: this.level,
      columns: this.builder.columns(),
      payloadBytes: this.#payloadBytes,
      waiting: this.#waiting,
      sinceMs: this.#sinceMs ?? nowMs,
      stampedUpToUs: this.#stampedUpToUs,
    });
    this.#restart();
  }

  #restart(): void {
    this.#waiting = emptyWaiting();
    this.#payloadBytes = 0;
    this.#sinceMs = undefined;
    this.#stampedUpToUs = 0;
    this.builder.reset();
  }

  /** A round is acknowledged or has failed. */
  settled(): void {
    this.unacknowledged--;
  }
}

function emptyWaiting(): WaitingMessages {
  return { partitions: [], sessions: [], places: [], callbacks: [], deadbands: [] };
}
