/**
 * Carries the rounds that this gateway coordinates: closes lanes into rounds, drives the coordinator with what the log and the peers
 * say, and acknowledges messages. (Rounds of others: `offered-rounds.ts`.) A message is released when its round has its copies and, where this gateway gave the
 * timestamps, the reservation behind them is durable too.
 *
 * When the owner table changes, everything that is not acknowledged starts anew in the lanes of the new table, whatever owners
 * have it already: the old epoch's rounds are refused from now on, and a reading stored twice is stored once. Messages keep
 * their places in their clients' order and the time since which they wait.
 */

import type { WriteLevel } from "../config/settings.ts";
import { answeredLevel } from "../config/survival.ts";
import { Coordinator, type CoordinatorEffect, type OpenRound } from "../core/replica/coordinator.ts";
import { type copiesRequired, writeQuorum } from "../core/replica/rules.ts";
import type { RingState } from "../core/ring/owner-changes.ts";
import { noEpoch, type OwnerTable } from "../core/ring/owner-table.ts";
import { decodeRound, type RoundVersion } from "../core/round/round-codec.ts";
import { assert, defined } from "../lib/assert.ts";
import type { GatewayId, Partition } from "../lib/ids.ts";
import type { ReadingColumns, SeriesName } from "../lib/reading-columns.ts";
import type { TimerHandle } from "../ports/clock.ts";
import type { GatewayContext } from "./context.ts";
import { FrameKind } from "./frames.ts";
import type { Hints } from "./hints/hints.ts";
import type { IngestCounters } from "./ingest/counters.ts";
import type { Ingest } from "./ingest/ingest.ts";
import { type ClosedRound, type Lane, type Readings, roundBytesMax } from "./ingest/lane.ts";
import { LaneTable } from "./ingest/lane-table.ts";
import { reroute } from "./ingest/reroute.ts";
import { settleDeadband } from "./ingest/route.ts";
import type { Stamper } from "./ingest/stamper.ts";
import type { MeshRouter } from "./mesh-router.ts";
import { isRoundAnswer } from "./offered-rounds.ts";
import { type ReadingsLog, RecordKind } from "./readings-log.ts";

export interface ReplicationOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly log: ReadingsLog;
  readonly stamper: Stamper;
  /** Whether the time that stamps are made of is confirmed. */
  readonly clockSynchronised: () => boolean;
  readonly counters: IngestCounters;
  /** The owners as of the last command that this gateway is known to have applied: see `ringChanged`. */
  readonly ring: RingState;
  readonly ackTimeoutMs: number;
  /** `copiesRequired`; tests plant bugs by substituting it. */
  readonly copiesRequired: typeof copiesRequired;
  /** Of the rounds that are written and sent: what all gateways of the site can read. */
  readonly roundVersion: () => RoundVersion;
  readonly partitionOf: (name: SeriesName) => Partition;
  /** A durable round's readings join the heads. Records come in the order of the log. */
  readonly store: (columns: ReadingColumns, sequence: number) => void;
  /** A round of this gateway was acknowledged: for `tail`. */
  readonly acknowledged: (round: ClosedRound) => void;
}

const appendRetryMs = 50;

interface Carried {
  readonly round: ClosedRound;
  /** For the heads of this gateway, until its log has the round. */
  columns: ReadingColumns | undefined;
  frame: Uint8Array | undefined;
  /** Has its copies, and waits for the reservation of its timestamps. */
  acknowledgedWaiting: boolean;
  forgotten: boolean;
}

export class Replication {
  readonly #options: ReplicationOptions;
  readonly #context: GatewayContext;
  readonly #coordinator: Coordinator;
  #lanes: LaneTable;
  readonly #rounds = new Map<number, Carried>();
  /** Since when an owner cannot be reached, monotonic. */
  readonly #unreachableMs = new Map<GatewayId, number>();
  #ingest: Ingest | undefined;
  #hints: Hints | undefined;
  #ring: RingState;
  #nextRound = 1;
  #reservationDurableUs: number;
  #unappended: number[] = [];
  #closedReadings = 0;
  #pendingBytes = 0;
  #timer: TimerHandle | undefined;
  #timerDueMs = 0;
  #stopped = false;

  constructor(options: ReplicationOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#ring = options.ring;
    this.#lanes = this.#lanesUnder(options.ring);
    this.#reservationDurableUs = options.stamper.reservedUs();
    this.#coordinator = new Coordinator({
      self: options.context.self,
      ackTimeoutMs: options.ackTimeoutMs,
      // An owner waits for company before its fsync; a resend before that would be for nothing.
      resendMinMs: 500 + options.context.settings.store.commitDelayMs,
      resendMaxMs: 4_000,
      refusedRetryMs: 50,
      lagBytesMax: 16 << 20,
      lagAgeMaxMs: 10_000,
      holdAfterMs: options.context.tuning.holdAfterMs,
    });
    options.router.handle(FrameKind.Replicated, (from, body) => this.#answered(from, body));
  }

  /** For a round that another part writes to the log of this gateway: no two of a process have the same number. */
  roundNumber(): number {
    return this.#nextRound++;
  }

  /** Ingest needs lanes and lanes need ingest's names, hints are made here and come back here: the second half of the wiring. */
  attach(ingest: Ingest, hints: Hints): void {
    this.#ingest = ingest;
    this.#hints = hints;
  }

  /** The owner table; the same on all gateways, because Raft stores it. */
  table(): OwnerTable {
    return this.#ring.table;
  }

  ring(): RingState {
    return this.#ring;
  }

  /**
   * A command changed the owners. The caller vouches for two things, without which an owner could acknowledge under a table
   * that it has told others is past (`core/replica/rules.ts`): the command's commit is durable in this gateway's Raft log, so that
   * no later start begins before it; and at a start, the first ring that this gateway acts under is that of the last
   * such command, for a new data folder that of the command that admitted it, not one from the replay of the log.
   */
  ringChanged(ring: RingState): void {
    const { epoch } = this.#ring.table;
    assert(ring.table.epoch >= epoch, `the owner table goes from epoch ${epoch} to ${ring.table.epoch}`);
    if (ring.table.epoch === epoch || this.#stopped) return;
    const effects: CoordinatorEffect[] = [];
    const rounds = this.#coordinator.withdrawAll(effects).map((number) => defined(this.#rounds.get(number), `round ${number}`).round);
    for (const effect of effects) this.#carryOut(effect);
    const oldLanes = this.#lanes;
    this.#ring = ring;
    this.#lanes = this.#lanesUnder(ring);
    this.#context.diagnostics.info("ring-changed", { epoch: ring.table.epoch, rounds: rounds.length, filling: ring.filling.size });
    for (const round of rounds) {
      this.#closedReadings -= round.readings;
      const decoded = decodeRound(round.bytes);
      assert(decoded.ok, "a round that this gateway encoded can be decoded");
      this.#reroute({ ...round, level: round.lane.level, columns: decoded.value.columns });
    }
    for (const lane of oldLanes.all()) lane.handOver((readings) => this.#reroute(readings), this.#context.clock.monotonicMs());
    this.#ingest?.lanesChanged();
    for (const lane of this.#lanes.all()) this.#schedule(lane);
    this.#armTimer();
  }

  #reroute(readings: Readings): void {
    reroute(readings, {
      laneOf: (at) => this.laneOf(at, readings.level),
      partitionOf: this.#options.partitionOf,
      refOf: (name) => this.#requireIngest().refOf(name),
    });
    // Many old lanes may come together in one: none grows by more than one old round beyond the bound.
    for (const lane of this.#lanes.all()) if (lane.builder.byteEstimate >= roundBytesMax) this.#flush(lane);
  }

  #lanesUnder(ring: RingState): LaneTable {
    return new LaneTable(ring, (ref) => this.#requireIngest().nameOf(ref));
  }

  laneOf(at: Partition, level: WriteLevel): Lane {
    return this.#lanes.laneOf(at, level);
  }

  /** Readings of this gateway's clients that wait for their copies. */
  pendingReadings(): number {
    return this.#closedReadings + this.#lanes.openReadings();
  }

  /** Bytes of the payloads behind them. */
  pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** A payload gave readings to the lane: close the round once this turn's packets are all in, if it may leave. */
  filled(lane: Lane, payloadBytes: number): void {
    this.#pendingBytes += payloadBytes;
    this.#schedule(lane);
  }

  #schedule(lane: Lane): void {
    if (lane.flushScheduled || !lane.mayClose()) return;
    lane.flushScheduled = true;
    this.#context.clock.schedule(0, () =>
      this.#context.inbox.post(() => {
        lane.flushScheduled = false;
        this.#flush(lane);
      }),
    );
  }

  peerUp(peer: GatewayId): void {
    this.#run((effects) => this.#coordinator.peerUp(this.#context.clock.monotonicMs(), peer, effects));
  }

  /** Once a second: an owner that has been gone for long gets hints rather than a place in memory. */
  watchOwners(): void {
    const nowMs = this.#context.clock.monotonicMs();
    for (const owner of new Set(this.#ring.table.ownerSets.flat())) {
      if (owner === this.#context.self) continue;
      const sinceMs = this.#unreachableMs.get(owner);
      if (this.#options.router.reachable(owner)) {
        if (sinceMs === undefined) continue;
        this.#unreachableMs.delete(owner);
        this.peerUp(owner);
      } else if (sinceMs === undefined) this.#unreachableMs.set(owner, nowMs);
      else if (nowMs - sinceMs >= this.#context.tuning.ownerAwayMs) this.#run((effects) => this.#coordinator.ownerAway(owner, effects));
    }
  }

  /** What owners still lack becomes hints. */
  stop(): void {
    if (!this.#stopped) this.#run((effects) => this.#coordinator.letGo(effects));
    this.#stopped = true;
    if (this.#timer !== undefined) this.#context.clock.cancel(this.#timer);
  }

  /** Rounds of this gateway that wait for their copies. */
  unacknowledged(): number {
    return this.#coordinator.unacknowledged();
  }

  #requireIngest(): Ingest {
    assert(this.#ingest !== undefined, "replication was attached to ingest");
    return this.#ingest;
  }

  #requireHints(): Hints {
    assert(this.#hints !== undefined, "replication was attached to hints");
    return this.#hints;
  }

  #flush(lane: Lane): void {
    // Without a table readings wait for one: `ringChanged` brings them to its lanes.
    if (this.#stopped || !lane.mayClose() || this.#ring.table.epoch === noEpoch) return;
    const { counters } = this.#options;
    this.#reserve();
    const header = {
      coordinator: this.#context.self,
      session: this.#context.session,
      round: this.#nextRound++,
      epoch: this.#ring.table.epoch,
      clockSynchronised: this.#options.clockSynchronised(),
    };
    const nowMs = this.#context.clock.monotonicMs();
    const columns = lane.owners.includes(this.#context.self) ? lane.builder.copyColumns() : undefined;
    const round = lane.close(header, this.#options.roundVersion(), nowMs);
    this.#closedReadings += round.readings;
    counters.rounds++;
    counters.roundBytes += round.bytes.length;
    this.#rounds.set(round.number, { round, columns, frame: undefined, acknowledgedWaiting: false, forgotten: false });
    this.#run((effects) => this.#coordinator.roundClosed(nowMs, this.#openRound(round), effects));
  }

  #openRound({ lane, number, bytes, sinceMs }: ClosedRound): OpenRound {
    const { owners, filling, leaving } = lane;
    const level = answeredLevel(lane.level);
    const counts = { owners: owners.length, whole: owners.length - filling.length, leaving };
    const required = writeQuorum(level, counts, this.#options.copiesRequired);
    const unreachable = owners.filter((owner) => owner !== this.#context.self && !this.#options.router.reachable(owner));
    const open = { number, owners, filling, required, bytes: bytes.length, sinceMs, unreachable, mayHold: lane.level === "any" };
    const standIn = level === "quorum" && owners.length === 2 ? this.#requireHints().standIn.witness() : undefined;
    return standIn === undefined ? open : { ...open, standIn };
  }

  /** Timestamps are reserved ahead, so that their record is durable long before they are used up. */
  #reserve(): void {
    const untilUs = this.#options.stamper.reservationDue();
    if (untilUs !== undefined) this.#appendReservation(untilUs);
  }

  #appendReservation(untilUs: number): void {
    const sequence = this.#options.log.appendPacked(RecordKind.Reservation, { untilUs }, () =>
      this.#context.inbox.post(() => {
        this.#reservationDurableUs = Math.max(this.#reservationDurableUs, untilUs);
        for (const carried of this.#rounds.values()) if (carried.acknowledgedWaiting) this.#releaseIfReserved(carried);
      }),
    );
    if (sequence === undefined)
      this.#context.clock.schedule(appendRetryMs, () => this.#context.inbox.post(() => this.#appendReservation(untilUs)));
  }

  #run(step: (effects: CoordinatorEffect[]) => void): void {
    const effects: CoordinatorEffect[] = [];
    step(effects);
    for (const effect of effects) this.#carryOut(effect);
    this.#armTimer();
  }

  #carryOut(effect: CoordinatorEffect): void {
    const carried = this.#rounds.get(effect.round);
    if (carried === undefined) return;
    switch (effect.type) {
      case "append":
        this.#append(carried);
        break;
      case "send":
        carried.frame ??= this.#options.router.frame(FrameKind.Replicate, carried.round.bytes);
        this.#options.router.sendFrame(effect.to, "replica", carried.frame);
        break;
      case "stand-in":
        this.#askStandIn(carried, effect);
        break;
      case "relieved":
        this.#requireHints().standIn.relieve(effect.standIn, effect.owner, effect.round);
        break;
      case "hold":
        this.#hold(carried);
        break;
      case "lagging":
        this.#requireHints().keepHint({ bytes: carried.round.bytes, readings: carried.round.readings, targets: effect.owners });
        break;
      case "acknowledged":
        carried.acknowledgedWaiting = true;
        this.#releaseIfReserved(carried);
        if (carried.acknowledgedWaiting) this.#giveUpReservation(carried);
        break;
      case "failed":
        this.#fail(carried, effect.reason);
        break;
      case "forgotten":
        carried.forgotten = true;
        if (!carried.acknowledgedWaiting) this.#rounds.delete(effect.round);
        break;
    }
  }

  #askStandIn({ round }: Carried, { to, targets }: CoordinatorEffect & { readonly type: "stand-in" }): void {
    const { number, bytes, readings } = round;
    const copy = { session: this.#context.session, number, targets, bytes, readings };
    this.#requireHints().standIn.ask(to, copy, () => this.#run((effects) => this.#coordinator.standInDurable(to, number, effects)));
  }

  /** Nobody else may have it: from here on this disk answers for it. */
  #hold({ round }: Carried): void {
    const { number, bytes, readings } = round;
    const hints = this.#requireHints();
    const kept = hints.hold({ bytes, readings }, () => {
      let isNeeded = false;
      this.#run((effects) => {
        isNeeded = this.#coordinator.held(number, effects);
      });
      if (!isNeeded && kept !== undefined) hints.notNeeded(kept);
    });
    if (kept === undefined) this.#coordinator.notHeld(number);
  }

  #append(carried: Carried): void {
    const { number, bytes } = carried.round;
    const columns = defined(carried.columns, `the columns of round ${number}`);
    const sequence = this.#options.log.append(RecordKind.Round, bytes, () =>
      this.#context.inbox.post(() => {
        this.#options.store(columns, sequence as number);
        this.#run((effects) => this.#coordinator.durable(this.#context.self, number, effects));
      }),
    );
    // The log has no room: the other owners may still make the quorum; try again until the round is given up.
    if (sequence === undefined) {
      this.#unappended.push(number);
      if (this.#unappended.length === 1) this.#retryAppends();
    } else carried.columns = undefined;
  }

  #retryAppends(): void {
    this.#context.clock.schedule(appendRetryMs, () =>
      this.#context.inbox.post(() => {
        for (const number of this.#unappended.splice(0)) {
          const carried = this.#rounds.get(number);
          if (carried !== undefined) this.#append(carried);
        }
      }),
    );
  }

  #releaseIfReserved(carried: Carried): void {
    const { round } = carried;
    if (round.stampedUpToUs > this.#reservationDurableUs) return;
    carried.acknowledgedWaiting = false;
    if (carried.forgotten) this.#rounds.delete(round.number);
    this.#settle(round);
    this.#options.counters.acknowledge(round.readings, this.#context.clock.monotonicMs());
    const { sessions, places, callbacks, deadbands } = round.waiting;
    for (let i = 0; i < sessions.length; i++) sessions[i]?.release(places[i] as number, callbacks[i] as () => void);
    for (const note of deadbands) settleDeadband(note, true);
    this.#options.acknowledged(round);
    this.#flush(round.lane);
  }

  /** This gateway's own disk keeps the reservation back: the round has its copies, but its timestamps might be given out again. */
  #giveUpReservation(carried: Carried): void {
    const { round } = carried;
    const leftMs = Math.max(0, round.sinceMs + this.#options.ackTimeoutMs - this.#context.clock.monotonicMs());
    this.#context.clock.schedule(leftMs, () =>
      this.#context.inbox.post(() => {
        if (!carried.acknowledgedWaiting) return;
        carried.acknowledgedWaiting = false;
        if (carried.forgotten) this.#rounds.delete(round.number);
        this.#fail(carried, "ack-timeout");
      }),
    );
  }

  #fail(carried: Carried, reason: string): void {
    const { round } = carried;
    this.#settle(round);
    for (const note of round.waiting.deadbands) settleDeadband(note, false);
    this.#context.diagnostics.warn("round-failed", { round: round.number, reason, readings: round.readings });
    const ingest = this.#requireIngest();
    for (const session of new Set(round.waiting.sessions)) ingest.closeSession(session, reason);
    this.#schedule(round.lane);
  }

  #settle(round: ClosedRound): void {
    round.lane.settled();
    this.#closedReadings -= round.readings;
    this.#pendingBytes -= round.payloadBytes;
  }

  #answered(from: GatewayId, body: Uint8Array): void {
    const unpacked = this.#context.packing.unpack(body);
    if (!unpacked.ok || !isRoundAnswer(unpacked.value) || unpacked.value.session !== this.#context.session) return;
    const { durable, refused, epoch } = unpacked.value;
    const isBehind = (epoch ?? 0) < this.#ring.table.epoch;
    this.#run((effects) => {
      for (const number of durable ?? []) {
        this.#coordinator.durable(from, number, effects);
        this.#coordinator.standInDurable(from, number, effects);
      }
      for (const number of refused ?? []) this.#coordinator.refused(this.#context.clock.monotonicMs(), from, { round: number, isBehind });
    });
  }

  #armTimer(): void {
    const due = this.#coordinator.nextDeadlineMs();
    if (due === undefined || this.#stopped || (this.#timer !== undefined && this.#timerDueMs <= due)) return;
    if (this.#timer !== undefined) this.#context.clock.cancel(this.#timer);
    this.#timerDueMs = due;
    this.#timer = this.#context.clock.schedule(Math.max(1, due - this.#context.clock.monotonicMs()), () => {
      this.#timer = undefined;
      this.#context.inbox.post(() => this.#run((effects) => this.#coordinator.tick(this.#context.clock.monotonicMs(), effects)));
    });
  }
}
