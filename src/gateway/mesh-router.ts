/**
 * Between the transport and the gateway's parts: frames in are checked for version and session and handed to the
 * handler of their kind; frames out get the header. Anything from a session that was not admitted is counted and dropped.
 */

import type { GatewayId } from "../lib/ids.ts";
import type { NtpState } from "../ports/clock.ts";
import type { Channel } from "../ports/transport.ts";
import type { GatewayContext } from "./context.ts";
import { decodeFrame, encodeFrame, FrameKind } from "./frames.ts";
import { agreeMs, type ClockReading } from "./site-clock.ts";

export type FrameHandler = (from: GatewayId, body: Uint8Array) => void;

export interface MeshRouterHandlers {
  up(peer: GatewayId): void;
  down(peer: GatewayId, reason: string): void;
}

/** Four signs of life that did not come. */
const silenceMaxMs = 2_000;
/** Pings whose clocks are remembered. One that was under way for long makes a clock look late: the one that looks most ahead is right. */
const pingsKept = 4;
/** What a sender knows of its own clock, as the fraction behind its whole milliseconds: older versions take no notice of it. */
const ntpFractions: Readonly<Record<NtpState, number>> = { unknown: 0, synchronised: 0.25, unsynchronised: 0.5 };

export class MeshRouter {
  readonly #context: GatewayContext;
  readonly #handlers = new Map<FrameKind, FrameHandler>();
  readonly #admittedTags = new Map<GatewayId, number>();
  /** Monotonic time of the last frame of an admitted session. */
  readonly #heardMs = new Map<GatewayId, number>();
  /** A peer's wall clock minus our monotonic one, when it last said: should our own wall clock jump, that shows at once. */
  readonly #peerClockMs = new Map<GatewayId, number>();
  /** The same of the last few pings, the newest last. */
  readonly #peerClocks = new Map<GatewayId, readonly ClockReading[]>();
  #dropped = 0;
  #stranger: ((peer: GatewayId) => void) | undefined;

  constructor(context: GatewayContext) {
    this.#context = context;
  }

  handle(kind: FrameKind, handler: FrameHandler): void {
    this.#handlers.set(kind, handler);
  }

  /** Calls back for each frame of a session that was not admitted. */
  onStranger(callback: (peer: GatewayId) => void): void {
    this.#stranger = callback;
  }

  /** Frames of this session of the peer count from now on; `undefined`: of none. */
  admit(peer: GatewayId, sessionTag: number | undefined): void {
    if (sessionTag === undefined) this.#admittedTags.delete(peer);
    else this.#admittedTags.set(peer, sessionTag);
    this.#peerClocks.delete(peer);
    // It may stamp readings before the next turn comes.
    if (sessionTag !== undefined) this.send(peer, "replica", FrameKind.Ping, this.#pingBody());
    this.#heardMs.set(peer, this.#context.clock.monotonicMs());
  }

  /** Peers with an admitted session, linked or not. */
  admittedPeers(): GatewayId[] {
    return [...this.#admittedTags.keys()];
  }

  isAdmitted(peer: GatewayId): boolean {
    return this.#admittedTags.has(peer);
  }

  /** Linked, admitted and not silent: questions to this peer make sense. */
  reachable(peer: GatewayId): boolean {
    return this.#admittedTags.has(peer) && this.#context.ports.transport.isUp(peer) && !this.isSilent(peer);
  }

  /** Sends a sign of life to every admitted peer and tells those that gave none for a while: frozen ones keep their links for long. */
  keepInTouch(): GatewayId[] {
    const body = this.#pingBody();
    for (const peer of this.#admittedTags.keys()) this.send(peer, "replica", FrameKind.Ping, body);
    return [...this.#admittedTags.keys()].filter((peer) => this.isSilent(peer));
  }

  #pingBody(): Uint8Array {
    const { clock } = this.#context;
    const body = new Uint8Array(8);
    new DataView(body.buffer).setFloat64(0, clock.wallMs() + ntpFractions[clock.ntpState()], true);
    return body;
  }

  /** This process itself stood still: what the others sent meanwhile is still in the sockets. */
  forgiveSilence(): void {
    const nowMs = this.#context.clock.monotonicMs();
    for (const peer of this.#heardMs.keys()) this.#heardMs.set(peer, nowMs);
  }

  /**
   * How far this gateway's wall clock is from the middle of those of the gateways that it hears, its own included, in
   * milliseconds; `undefined` when fewer than a majority of `gateways` are heard.
   */
  clockDeviationMs(gateways: number): number | undefined {
    const offsets = this.#clockOffsetsMs().sort((a, b) => a - b);
    if (offsets.length < Math.floor(gateways / 2) + 1) return undefined;
    // Of two clocks the nearer to zero decides nothing: the deviation is what separates them.
    if (offsets.length === 2) return Math.abs(offsets[0] === 0 ? (offsets[1] as number) : (offsets[0] as number));
    return Math.abs(offsets[Math.floor(offsets.length / 2)] as number);
  }

  /** How many of the clocks that are heard, this gateway's own included, are no further from its own than that. */
  clocksWithin(deviationMaxMs: number): number {
    return this.#clockOffsetsMs().filter((offsetMs) => Math.abs(offsetMs) <= deviationMaxMs).length;
  }

  /** The clocks of the peers that are heard. One that was set a moment ago speaks for nobody, neither for its old time nor for its new one. */
  peerClocks(): ClockReading[] {
    return [...this.#peerClocks].flatMap(([peer, readings]) => {
      const newest = readings.at(-1);
      if (newest === undefined || !this.reachable(peer)) return [];
      const offsets = readings.map(({ offsetMs }) => offsetMs);
      const aheadMs = Math.max(...offsets);
      return aheadMs - Math.min(...offsets) > agreeMs ? [] : [{ offsetMs: aheadMs, ntp: newest.ntp }];
    });
  }

  /** Of this gateway's own clock, and of those that it hears. */
  #clockOffsetsMs(): number[] {
    const ownMs = this.#context.clock.wallMs() - this.#context.clock.monotonicMs();
    return [0, ...[...this.#peerClockMs].filter(([peer]) => this.reachable(peer)).map(([, peerMs]) => peerMs - ownMs)];
  }

  #pinged(from: GatewayId, body: Uint8Array): void {
    if (body.length !== 8) return;
    const wallMs = new DataView(body.buffer, body.byteOffset, 8).getFloat64(0, true);
    if (!Number.isFinite(wallMs)) return;
    const fraction = wallMs - Math.floor(wallMs);
    const ntp =
      fraction === ntpFractions.synchronised ? "synchronised" : fraction === ntpFractions.unsynchronised ? "unsynchronised" : "unknown";
    const offsetMs = Math.floor(wallMs) - this.#context.clock.monotonicMs();
    this.#peerClockMs.set(from, offsetMs);
    this.#peerClocks.set(from, [...(this.#peerClocks.get(from) ?? []).slice(1 - pingsKept), { offsetMs, ntp }]);
  }

  /** Whether the admitted session of the peer has not been heard for so long that it is not there, or stands still. */
  isSilent(peer: GatewayId): boolean {
    return this.#context.clock.monotonicMs() - (this.#heardMs.get(peer) ?? 0) > silenceMaxMs;
  }

  dropped(): number {
    return this.#dropped;
  }

  /** False when the frame was dropped here. */
  send(to: GatewayId, channel: Channel, kind: FrameKind, body: Uint8Array): boolean {
    return this.#context.ports.transport.send(to, channel, encodeFrame(kind, this.#context.sessionTag, body));
  }

  /** One encoded frame for several peers: the bytes are made once. */
  frame(kind: FrameKind, body: Uint8Array): Uint8Array {
    return encodeFrame(kind, this.#context.sessionTag, body);
  }

  sendFrame(to: GatewayId, channel: Channel, frame: Uint8Array): boolean {
    return this.#context.ports.transport.send(to, channel, frame);
  }

  receive(from: GatewayId, bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    const strange = frame !== undefined && frame.kind !== FrameKind.Admission && this.#admittedTags.get(from) !== frame.sessionTag;
    if (frame === undefined || strange) {
      this.#dropped++;
      if (strange) this.#stranger?.(from);
      return;
    }
    if (frame.kind !== FrameKind.Admission) this.#heardMs.set(from, this.#context.clock.monotonicMs());
    if (frame.kind === FrameKind.Ping) {
      this.#pinged(from, frame.body);
      return;
    }
    const handler = this.#handlers.get(frame.kind as FrameKind);
    if (handler === undefined) this.#dropped++;
    else handler(from, frame.body);
  }
}
