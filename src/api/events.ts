import type { ServerResponse } from "node:http";
import { eventFrame, heartbeatFrame } from "../client/event-stream.ts";
import type { ClientEvent } from "../client/schema.ts";
import type { GatewayService } from "../gateway/service.ts";

/**
 * Server-sent events. Best effort by contract: a client that reads too slowly loses events, is told how many, and never
 * makes the gateway's memory grow; a client that has gone is unsubscribed.
 */

export interface EventStreamOptions {
  readonly heartbeatMs: number;
  readonly bufferBytesMax: number;
  readonly clientCountMax: number;
}

export const eventStreamDefaults: EventStreamOptions = { heartbeatMs: 15_000, bufferBytesMax: 256 * 1024, clientCountMax: 64 };

export class EventStreams {
  readonly #service: Pick<GatewayService, "subscribe">;
  readonly #options: EventStreamOptions;
  readonly #open = new Set<ServerResponse>();

  constructor(service: Pick<GatewayService, "subscribe">, options: EventStreamOptions) {
    this.#service = service;
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#open.size >= this.#options.clientCountMax;
  }

  /** Takes the response over; it ends when the client goes or with `closeAll`. */
  serve(response: ServerResponse, readingsOf: string | undefined): void {
    this.#open.add(response);
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      connection: "close",
    });
    response.write(": fogbank\n\n");
    let dropped = 0;
    const reportDropped = () => {
      const notice: ClientEvent = { type: "dropped", count: dropped };
      dropped = 0;
      response.write(eventFrame("dropped", notice));
    };
    const unsubscribe = this.#service.subscribe({ readingsOf }, (event: ClientEvent) => {
      if (response.writableLength > this.#options.bufferBytesMax) {
        dropped++;
        return;
      }
      if (dropped > 0) reportDropped();
      response.write(eventFrame(event.type, event));
    });
    response.on("drain", () => {
      if (dropped > 0) reportDropped();
    });
    const heartbeat = setInterval(() => {
      if (response.writableLength > this.#options.bufferBytesMax) return;
      if (dropped > 0) reportDropped();
      else response.write(heartbeatFrame);
    }, this.#options.heartbeatMs);
    response.on("error", () => {}); // "close" follows and cleans up
    response.on("close", () => {
      clearInterval(heartbeat);
      unsubscribe();
      this.#open.delete(response);
    });
  }

  closeAll(): void {
    for (const response of this.#open) {
      // What a stalled client has not read by now, it will not read.
      if (response.writableLength > 0) response.destroy();
      else response.end();
    }
  }
}
