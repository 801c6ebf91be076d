/**
 * The simulated mesh: frames between gateways that may be dropped, delayed, duplicated or reordered, over links that
 * may be cut in one direction or both. Each gateway gets a `Transport` of it.
 */

import { type Result, success } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import type { Channel, Transport, TransportHandlers, TransportStats } from "../ports/transport.ts";
import type { SimulatedProcess } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

export interface NetworkTuning {
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
  dropProbability: number;
  duplicateProbability: number;
  /** Chance that a frame takes up to ten times the longest delay, so that later ones overtake it. */
  reorderProbability: number;
}

interface Endpoint {
  readonly process: SimulatedProcess;
  readonly handlers: TransportHandlers;
  readonly up: Set<GatewayId>;
}

export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly tuning: NetworkTuning;
  readonly #endpoints = new Map<GatewayId, Endpoint>();
  /** Directed cuts: "from>to". */
  readonly #cuts = new Set<string>();

  constructor(options: { readonly scheduler: Scheduler; readonly random: Random; readonly tuning: NetworkTuning }) {
    this.#scheduler = options.scheduler;
    this.#random = options.random;
    this.tuning = options.tuning;
  }

  transport(self: GatewayId, process: SimulatedProcess): Transport {
    return new SimulatedTransport({ network: this, self, process });
  }

  cut(from: GatewayId, to: GatewayId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** Frames flow again everywhere. */
  heal(): void {
    this.#cuts.clear();
    for (const [id, endpoint] of this.#endpoints)
      for (const peer of this.#endpoints.keys()) if (peer !== id) this.#connect(id, endpoint, peer);
  }

  attach(self: GatewayId, endpoint: Endpoint): void {
    this.#endpoints.set(self, endpoint);
    for (const [peer, other] of this.#endpoints) {
      if (peer === self) continue;
      this.#connect(self, endpoint, peer);
      this.#connect(peer, other, self);
    }
  }

  /** The process is gone: its peers' links break. */
  detach(self: GatewayId): void {
    this.#endpoints.delete(self);
    for (const [peer, other] of this.#endpoints) {
      if (!other.up.has(self)) continue;
      this.#scheduler.schedule(this.#delay(), `${peer} link to ${self} down`, () => {
        if (this.#endpoints.get(peer) !== other || !other.up.has(self)) return;
        other.up.delete(self);
        other.process.deliver(() => other.handlers.down(self, "connection reset"));
        // Its successor may be there already.
        if (this.#endpoints.has(self)) this.#connect(peer, other, self);
      });
    }
  }

  /** True when the frame left; what becomes of it is the network's secret. */
  send(from: GatewayId, to: GatewayId, channel: Channel, frame: Uint8Array): boolean {
    if (this.#endpoints.get(from)?.up.has(to) !== true) return false;
    if (this.#cuts.has(`${from}>${to}`) || this.#random.chance(this.tuning.dropProbability)) return true;
    this.#carry(from, to, channel, frame);
    if (this.#random.chance(this.tuning.duplicateProbability)) this.#carry(from, to, channel, frame);
    return true;
  }

  #carry(from: GatewayId, to: GatewayId, channel: Channel, frame: Uint8Array): void {
    const stretch = this.#random.chance(this.tuning.reorderProbability) ? 10 : 1;
    // A connection ends with either process: what was under way is lost, and never its successor's.
    const receiver = this.#endpoints.get(to);
    this.#scheduler.schedule(this.#delay() * stretch, `${from}>${to} ${channel} ${frame.length}`, () => {
      const endpoint = this.#endpoints.get(to);
      if (endpoint === undefined || endpoint !== receiver || this.#cuts.has(`${from}>${to}`)) return;
      endpoint.process.deliver(() => endpoint.handlers.receive(from, channel, frame));
    });
  }

  #connect(self: GatewayId, endpoint: Endpoint, peer: GatewayId): void {
    if (endpoint.up.has(peer)) return;
    this.#scheduler.schedule(this.#delay() * 2, `${self} link to ${peer} up`, () => {
      if (this.#endpoints.get(self) !== endpoint || !this.#endpoints.has(peer) || endpoint.up.has(peer)) return;
      endpoint.up.add(peer);
      endpoint.process.deliver(() => endpoint.handlers.up(peer));
    });
  }

  #delay(): number {
    return this.tuning.delayMinMs + this.#random.real() * (this.tuning.delayMaxMs - this.tuning.delayMinMs);
  }
}

class SimulatedTransport implements Transport {
  readonly #network: SimulatedNetwork;
  readonly #self: GatewayId;
  readonly #process: SimulatedProcess;
  #endpoint: Endpoint | undefined;
  #sent = 0;
  #received = 0;
  #dropped = 0;
  #bytesSent = 0;
  #bytesReceived = 0;

  constructor(options: { readonly network: SimulatedNetwork; readonly self: GatewayId; readonly process: SimulatedProcess }) {
    this.#network = options.network;
    this.#self = options.self;
    this.#process = options.process;
  }

  start(handlers: TransportHandlers): Promise<Result<void>> {
    const counted: TransportHandlers = {
      receive: (from, channel, frame) => {
        this.#received++;
        this.#bytesReceived += frame.length;
        handlers.receive(from, channel, frame);
      },
      up: (peer) => handlers.up(peer),
      down: (peer, reason) => handlers.down(peer, reason),
    };
    this.#endpoint = { process: this.#process, handlers: counted, up: new Set() };
    this.#network.attach(this.#self, this.#endpoint);
    return Promise.resolve(success(undefined));
  }

  send(to: GatewayId, channel: Channel, frame: Uint8Array): boolean {
    const sent = this.#endpoint !== undefined && this.#network.send(this.#self, to, channel, frame);
    if (sent) {
      this.#sent++;
      this.#bytesSent += frame.length;
    } else {
      this.#dropped++;
    }
    return sent;
  }

  isUp(to: GatewayId): boolean {
    return this.#endpoint?.up.has(to) === true;
  }

  stats(): TransportStats {
    return {
      framesSent: this.#sent,
      framesReceived: this.#received,
      framesDropped: this.#dropped,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
    };
  }

  stop(): Promise<void> {
    this.#endpoint = undefined;
    this.#network.detach(this.#self);
    return Promise.resolve();
  }
}
