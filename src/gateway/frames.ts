/**
 * The frames that gateways exchange. Header, 6 bytes: version (1), kind, and the tag of the sender's session (uint32,
 * little endian), so that frames of a process that was never admitted, or is gone, do not count. The body is the kind's.
 */

import type { SessionId } from "../lib/ids.ts";

export const frameVersion = 1;
export const frameHeaderBytes = 6;

/** Never renumber. */
export const FrameKind = {
  /** Hello, refusal, welcome (MessagePack): the only kind that an unadmitted session may send. */
  Admission: 1,
  /** A Raft message (`core/raft/message-codec.ts`). */
  Raft: 2,
  /** A round (`core/round/round-codec.ts`). */
  Replicate: 3,
  /** Answers to a round (MessagePack). */
  Replicated: 4,
  /** A question to a peer and its answer (MessagePack). */
  Request: 5,
  Response: 6,
  /** Best-effort events: readings for `tail` (MessagePack). */
  Notice: 7,
  /** A sign of life, with the sender's wall clock: float64 milliseconds, little endian. */
  Ping: 8,
  /** Since level 4: a round for the witness to keep for owners that lack it (MessagePack). Answered with `Replicated`. */
  StandIn: 9,
  /** Since level 4: an owner has got rounds that the witness was asked to keep for it (MessagePack). */
  Relieved: 10,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export interface Frame {
  readonly kind: number;
  readonly sessionTag: number;
  readonly body: Uint8Array;
}

/** 32 of the session id's 128 bits: enough to tell the few processes of a site apart. */
export function sessionTagOf(session: SessionId): number {
  return Number.parseInt(session.slice(0, 8), 16);
}

export function encodeFrame(kind: FrameKind, sessionTag: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameHeaderBytes + body.length);
  frame[0] = frameVersion;
  frame[1] = kind;
  // By hand: a DataView would cost more than the rest of the frame.
  frame[2] = sessionTag;
  frame[3] = sessionTag >>> 8;
  frame[4] = sessionTag >>> 16;
  frame[5] = sessionTag >>> 24;
  frame.set(body, frameHeaderBytes);
  return frame;
}

/** `undefined` for anything that is not a frame of a version that this build knows. */
export function decodeFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes.length < frameHeaderBytes || bytes[0] !== frameVersion) return undefined;
  const at = (offset: number): number => bytes[offset] as number;
  const sessionTag = (at(2) | (at(3) << 8) | (at(4) << 16) | (at(5) << 24)) >>> 0;
  return { kind: at(1), sessionTag, body: bytes.subarray(frameHeaderBytes) };
}
