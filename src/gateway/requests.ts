/**
 * Questions to a peer and their answers, over a mesh that loses and repeats frames: each has a number and a time-out. A
 * question is worked on at most once, however often its frame arrives, because many of them change something (a proposal
 * applied twice is not linearizable). Only the first answer in time counts.
 */

import { type ErrorCode, errorCodes, failure, type Result } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { TimerHandle } from "../ports/clock.ts";
import type { Channel } from "../ports/transport.ts";
import type { GatewayContext } from "./context.ts";
import { FrameKind } from "./frames.ts";
import type { MeshRouter } from "./mesh-router.ts";

/** What can be asked. Names are part of the wire format. */
export type RequestType =
  | "propose"
  | "propose-batch"
  | "transfer"
  | "snapshot"
  | "read-index"
  | "page"
  | "rolled-page"
  | "aggregate"
  | "latest"
  | "keep-rows"
  | "keep-readings"
  | "chunk-list"
  | "chunk-values"
  | "digests"
  | "repair"
  | "rows"
  | "results-page"
  | "dead-letters"
  | "drained";

export type RequestHandler = (from: GatewayId, body: unknown) => Promise<Result<unknown>>;

interface Waiting {
  readonly timer: TimerHandle;
  readonly to: GatewayId;
  readonly answer: (result: Result<unknown>) => void;
}

export interface RequestsOptions {
  /** Questions of ours that may be open at once. */
  readonly openMax: number;
  /** Questions of peers that are worked on at once; a further one is answered `busy`. */
  readonly servedMax: number;
}

/** Numbers of one peer that are remembered one by one; what is older counts as seen. */
const seenMax = 8_192;

/** The questions that one process of a peer has asked so far. */
interface Asked {
  readonly session: number;
  readonly seen: Set<number>;
  /** Numbers up to here count as seen. */
  floor: number;
}

export class Requests {
  readonly #context: GatewayContext;
  readonly #router: MeshRouter;
  readonly #options: RequestsOptions;
  readonly #handlers = new Map<RequestType, RequestHandler>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #asked = new Map<GatewayId, Asked>();
  #next = 1;
  #served = 0;

  constructor(context: GatewayContext, router: MeshRouter, options: RequestsOptions) {
    this.#context = context;
    this.#router = router;
    this.#options = options;
    router.handle(FrameKind.Request, (from, body) => this.#requested(from, body));
    router.handle(FrameKind.Response, (from, body) => this.#responded(from, body));
  }

  serve(type: RequestType, handler: RequestHandler): void {
    this.#handlers.set(type, handler);
  }

  /**
   * Fails with `unreachable` when the question certainly did not leave, with `outcome-unknown` when no answer came in
   * time, and with whatever the peer answered otherwise.
   */
  call(
    to: GatewayId,
    type: RequestType,
    body: unknown,
    options: { readonly timeoutMs: number; readonly channel: Channel },
  ): Promise<Result<unknown>> {
    if (this.#waiting.size >= this.#options.openMax)
      return Promise.resolve(failure("busy", `${this.#waiting.size} questions to other gateways are open`));
    if (!this.#router.reachable(to)) return Promise.resolve(failure("unreachable", `${to} is not connected`));
    const id = this.#next++;
    const frame = this.#context.packing.pack({ id, session: this.#context.sessionTag, type, channel: options.channel, body });
    if (!this.#router.send(to, options.channel, FrameKind.Request, frame))
      return Promise.resolve(failure("unreachable", `the link to ${to} is full or gone`));
    return new Promise((resolve) => {
      const timer = this.#context.clock.schedule(options.timeoutMs, () =>
        this.#settle(id, failure("outcome-unknown", `${to} did not answer "${type}" within ${options.timeoutMs} ms`)),
      );
      this.#waiting.set(id, { timer, to, answer: resolve });
    });
  }

  /** The link to a peer broke: what was asked of it is answered now rather than after its time-out. */
  peerDown(peer: GatewayId): void {
    for (const [id, waiting] of this.#waiting)
      if (waiting.to === peer) this.#settle(id, failure("outcome-unknown", `the link to ${peer} broke`));
  }

  #settle(id: number, result: Result<unknown>): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.#context.clock.cancel(waiting.timer);
    waiting.answer(result);
  }

  #requested(from: GatewayId, bytes: Uint8Array): void {
    const unpacked = this.#context.packing.unpack(bytes);
    if (!unpacked.ok || !isRequest(unpacked.value)) return;
    const { id, session, type, channel, body } = unpacked.value;
    const question: Question = { from, channel, id, session };
    if (!this.#isFirst(from, session, id)) return;
    const handler = this.#handlers.get(type);
    if (handler === undefined) {
      this.#respond(question, failure("not-found", `${this.#context.self} does not know the question "${type}"`));
    } else if (this.#served >= this.#options.servedMax) {
      this.#respond(question, failure("busy", `${this.#context.self} works on ${this.#served} questions`));
    } else {
      this.#served++;
      handler(from, body).then(
        (result) => {
          this.#served--;
          this.#respond(question, result);
        },
        (cause: unknown) => {
          this.#served--;
          this.#context.diagnostics.error("request-failed", {
            type,
            from,
            cause: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
          });
          this.#respond(question, failure("internal", `${this.#context.self} failed on "${type}"`));
        },
      );
    }
  }

  /** False for a frame that came before, or may have. */
  #isFirst(from: GatewayId, session: number, id: number): boolean {
    let asked = this.#asked.get(from);
    if (asked?.session !== session) {
      asked = { session, seen: new Set(), floor: 0 };
      this.#asked.set(from, asked);
    }
    if (id <= asked.floor || asked.seen.has(id)) return false;
    asked.seen.add(id);
    if (asked.seen.size > seenMax) {
      // Sets iterate in insertion order: the first is about the oldest.
      for (const oldest of asked.seen) {
        asked.seen.delete(oldest);
        asked.floor = Math.max(asked.floor, oldest);
        break;
      }
    }
    return true;
  }

  #respond(question: Question, result: Result<unknown>): void {
    const { from, channel, id, session: asker } = question;
    const body = result.ok ? { id, asker, value: result.value } : { id, asker, code: result.code, message: result.message };
    const packed = this.#context.packing.pack(body);
    if (this.#router.send(from, channel, FrameKind.Response, packed) || !result.ok) return;
    // An answer that the link does not take must not leave the asker waiting for its time-out. What was asked has been done, so
    // that it must not look like a question that was turned away: a change would pass for one that was not made.
    const why = `the link from ${this.#context.self} did not take an answer of ${packed.length} bytes`;
    this.#respond(question, failure("outcome-unknown", why));
  }

  #responded(from: GatewayId, bytes: Uint8Array): void {
    const unpacked = this.#context.packing.unpack(bytes);
    if (!unpacked.ok || typeof unpacked.value !== "object" || unpacked.value === null) return;
    const response = unpacked.value as { id?: unknown; asker?: unknown; value?: unknown; code?: unknown; message?: unknown };
    // Numbers begin anew with each process: an answer to the one before must not be taken for an answer to this one.
    if (typeof response.id !== "number" || response.asker !== this.#context.sessionTag || this.#waiting.get(response.id)?.to !== from)
      return;
    if (typeof response.code === "string") {
      const code: ErrorCode = response.code in errorCodes ? (response.code as ErrorCode) : "internal";
      this.#settle(response.id, failure(code, String(response.message)));
    } else {
      this.#settle(response.id, { ok: true, value: response.value });
    }
  }
}

/** Whom an answer goes to: the process that asked, by the tag of its session. */
interface Question {
  readonly from: GatewayId;
  readonly channel: Channel;
  readonly id: number;
  readonly session: number;
}

interface RequestFrame {
  /** Counts up within the session. */
  readonly id: number;
  /** Tag of the asking process. */
  readonly session: number;
  readonly type: RequestType;
  readonly channel: Channel;
  readonly body: unknown;
}

function isRequest(value: unknown): value is RequestFrame {
  return (
    typeof value === "object" &&
    value !== null &&
    "id" in value &&
    typeof value.id === "number" &&
    "session" in value &&
    typeof value.session === "number" &&
    "type" in value &&
    typeof value.type === "string" &&
    "channel" in value &&
    typeof value.channel === "string"
  );
}
