/**
 * Drives the Raft node: feeds it frames, timers and the log's answers one at a time, and carries out what it says. What an
 * effect means to the rest of the gateway is told by `RaftHooks`. Members are data folders; frames go between gateways: a
 * frame counts only while the folder that it is meant for, or comes from, is the one that the gateway is admitted with.
 */

import type { RaftEffect, RaftEvent, RaftRecord, RaftRole, RefusalReason, RequestId } from "../../core/raft/events-effects.ts";
import { decodeMessage, encodeMessage } from "../../core/raft/message-codec.ts";
import type { AppendRequest, Entry, RaftMessage, SnapshotMeta } from "../../core/raft/messages.ts";
import type { RaftNode } from "../../core/raft/raft-node.ts";
import { encodeRecord } from "../../core/raft/record-codec.ts";
import { type RecordPosition, trimPosition } from "../../core/raft/replay.ts";
import type { GatewayId, MemberId } from "../../lib/ids.ts";
import type { TimerHandle } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { GatewayContext } from "../context.ts";
import { FrameKind } from "../frames.ts";
import type { MeshRouter } from "../mesh-router.ts";

export interface RaftHooks {
  /** Another record is on disk. */
  recordDurable(): void;
  apply(entries: readonly Entry[]): void;
  proposalAccepted(requestId: RequestId, index: number, term: number): void;
  proposalRefused(requestId: RequestId, reason: RefusalReason): void;
  /** Certainly not applied. */
  proposalDropped(requestId: RequestId): void;
  /** Perhaps applied. */
  proposalUnknown(requestId: RequestId): void;
  readReady(requestId: RequestId, index: number): void;
  readRefused(requestId: RequestId): void;
  fetchSnapshot(from: MemberId, position: { readonly index: number; readonly term: number }): void;
  restoreSnapshot(snapshot: SnapshotMeta): void;
  transferEnded(moved: boolean): void;
  roleChanged(role: RaftRole, term: number, leader: MemberId | undefined): void;
}

export interface RaftDriverOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly node: RaftNode;
  readonly log: Log;
  /** Of the records that the log held when it was opened. */
  readonly recordsAt: readonly RecordPosition[];
  /** The folder that a gateway belongs to the site with, as applied here; `undefined`: none. */
  readonly memberOf: (gateway: GatewayId) => MemberId | undefined;
  /** Which gateway's folder this member is, now. */
  readonly gatewayOf: (member: MemberId) => GatewayId | undefined;
  readonly hooks: RaftHooks;
  /** The newest message type that this version may take part in: an older version is emulated by refusing newer ones. */
  readonly understands: (message: RaftMessage) => boolean;
}

const persistRetryMs = 20;

interface Outgoing {
  readonly to: MemberId;
  readonly message: RaftMessage;
}

interface Unwritten {
  readonly token: number;
  readonly record: RaftRecord;
  readonly bytes: Uint8Array;
}

export class RaftDriver {
  readonly #options: RaftDriverOptions;
  readonly #context: GatewayContext;
  readonly #unwritten: Unwritten[] = [];
  #retrying = false;
  /** Records that are not known to be on disk. */
  #recordsUnderWay = 0;
  #recordsAt: RecordPosition[];
  #timer: TimerHandle | undefined;
  #timerDueMs = 0;
  #stepping = false;
  #stopped = false;
  /** What the events of this step have to say, in order. */
  #outgoing: Outgoing[] = [];
  readonly #events: RaftEvent[] = [];

  constructor(options: RaftDriverOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#recordsAt = [...options.recordsAt];
    options.router.handle(FrameKind.Raft, (from, body) => this.#received(from, body));
  }

  get node(): RaftNode {
    return this.#options.node;
  }

  /** Whether a record is on its way to the disk. */
  get isWriting(): boolean {
    return this.#recordsUnderWay > 0;
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== undefined) this.#context.clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  /** Feeds one event to the node and carries out what follows. Events that arise meanwhile wait their turn. */
  step(event: RaftEvent): void {
    if (this.#stopped) return;
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      const effects: RaftEffect[] = [];
      this.#options.node.step(this.#context.clock.monotonicMs(), next, effects);
      for (const effect of effects) this.#carryOut(effect);
    }
    this.#stepping = false;
    this.#sendOutgoing();
    this.#armTimer();
  }

  /**
   * A commit frees the way for the next round within the same step: the news of the one rides along with the entries of the other.
   * To leave out a message is always safe, and the later append of the same term says all that the earlier, empty one said.
   */
  #sendOutgoing(): void {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    for (const [at, { to, message }] of outgoing.entries()) {
      const saidLater =
        isEmptyAppend(message) && outgoing.some((later, place) => place > at && later.to === to && covers(later.message, message));
      if (!saidLater) this.#send(to, message);
    }
  }

  #received(gateway: GatewayId, body: Uint8Array): void {
    const from = this.#options.memberOf(gateway);
    if (from === undefined) return;
    const decoded = decodeMessage(body);
    if (!decoded.ok) this.#context.diagnostics.warn("raft-message-malformed", { from, what: decoded.message });
    else if (this.#options.understands(decoded.value)) this.step({ type: "message", from, message: decoded.value });
  }

  #carryOut(effect: RaftEffect): void {
    const { hooks } = this.#options;
    switch (effect.type) {
      case "persist":
        this.#recordsUnderWay++;
        this.#unwritten.push({ token: effect.token, record: effect.record, bytes: encodeRecord(effect.record) });
        this.#writeMore();
        break;
      case "send":
        this.#outgoing.push({ to: effect.to, message: effect.message });
        break;
      case "apply":
        hooks.apply(effect.entries);
        break;
      case "proposal-accepted":
        hooks.proposalAccepted(effect.requestId, effect.index, effect.term);
        break;
      case "proposal-refused":
        hooks.proposalRefused(effect.requestId, effect.reason);
        break;
      case "proposal-dropped":
        hooks.proposalDropped(effect.requestId);
        break;
      case "proposal-unknown":
        hooks.proposalUnknown(effect.requestId);
        break;
      case "read-ready":
        hooks.readReady(effect.requestId, effect.index);
        break;
      case "read-refused":
        hooks.readRefused(effect.requestId);
        break;
      case "fetch-snapshot":
        hooks.fetchSnapshot(effect.from, { index: effect.index, term: effect.term });
        break;
      case "restore-snapshot":
        hooks.restoreSnapshot(effect.snapshot);
        break;
      case "transfer-ended":
        hooks.transferEnded(effect.moved);
        break;
      case "role-changed":
        hooks.roleChanged(effect.role, effect.term, effect.leader);
        break;
      case "peer-violation":
        this.#context.diagnostics.error("raft-peer-violation", { from: effect.from, what: effect.what });
        break;
    }
  }

  #send(to: MemberId, message: RaftMessage): void {
    const gateway = this.#options.gatewayOf(to);
    if (gateway !== undefined) this.#options.router.send(gateway, "raft", FrameKind.Raft, encodeMessage(message));
  }

  /** Records go to the log in order; one that finds no room waits, and the node's durable event with it. */
  #writeMore(): void {
    if (this.#retrying) return;
    for (let next = this.#unwritten[0]; next !== undefined; next = this.#unwritten[0]) {
      const { token, record, bytes } = next;
      const sequence = this.#options.log.append([bytes], () =>
        this.#context.inbox.post(() => {
          this.#recordsUnderWay--;
          this.step({ type: "durable", token });
          this.#options.hooks.recordDurable();
          if (record.base !== undefined) this.#trim(record.base);
        }),
      );
      if (sequence === undefined) {
        this.#retrying = true;
        this.#context.clock.schedule(persistRetryMs, () =>
          this.#context.inbox.post(() => {
            this.#retrying = false;
            this.#writeMore();
          }),
        );
        return;
      }
      if (record.entries.length > 0) this.#recordsAt.push({ sequence, firstIndex: record.firstIndex });
      // Only where nothing stands behind the snapshot: otherwise earlier records still hold what does.
      else if (record.base?.index === record.lastIndex) this.#recordsAt.push({ sequence, firstIndex: record.lastIndex });
      this.#unwritten.shift();
    }
  }

  /** The snapshot, and the record that names it, are on disk: what stands before it goes. */
  #trim(base: SnapshotMeta): void {
    const before = trimPosition(this.#recordsAt, base.index);
    this.#recordsAt = this.#recordsAt.filter(({ sequence }) => sequence >= before);
    this.#options.log.trim(before).catch((cause: unknown) =>
      this.#context.diagnostics.warn("raft-log-not-trimmed", {
        cause: cause instanceof Error ? cause.message : String(cause),
        next: "tried again with the next snapshot",
      }),
    );
  }

  #armTimer(): void {
    const due = this.#options.node.nextDeadlineMs();
    if (this.#stopped || due === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== undefined && this.#timerDueMs <= due) return;
    if (this.#timer !== undefined) this.#context.clock.cancel(this.#timer);
    this.#timerDueMs = due;
    const delay = Math.max(0, due - this.#context.clock.monotonicMs());
    this.#timer = this.#context.clock.schedule(delay, () => {
      this.#timer = undefined;
      this.#context.inbox.post(() => this.step({ type: "tick" }));
    });
  }
}

function isEmptyAppend(message: RaftMessage): message is AppendRequest {
  return message.type === "append" && message.entries.length === 0;
}

function covers(later: RaftMessage, earlier: AppendRequest): boolean {
  return later.type === "append" && later.term === earlier.term && later.prevIndex === earlier.prevIndex;
}
