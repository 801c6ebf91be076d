/**
 * The simulated mesh: frames between gateways that may be dropped, delayed, duplicated or reordered, over links that may
 * be cut, clogged or slow in each direction for itself. Faults of links add up and heal one by one. Each gateway gets a
 * `Transport` of it, whose links break when the peer dies, and, as keep-alives make real ones do, when nothing has come
 * through for long.
 */

import { type Result, success } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import type { Channel, PeerAddress, Transport, TransportHandlers, TransportStats } from "../ports/transport.ts";
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

/** Ends one fault; once is enough. */
export type Heal = () => void;

interface Endpoint {
  readonly process: SimulatedProcess;
  readonly handlers: TransportHandlers;
  /** The links that stand as far as this side knows, and the process at the other end of each. */
  readonly up: Map<GatewayId, Endpoint>;
  /** Whom to keep links to, and at which address; everybody before it was said. */
  peers: ReadonlyMap<GatewayId, string> | undefined;
}

interface Frame {
  readonly from: GatewayId;
  readonly to: GatewayId;
  readonly channel: Channel;
  readonly bytes: Uint8Array;
  /** A frame is for the process that the connection led to, never for its successor. */
  readonly receiver: Endpoint;
}

/** One direction between two gateways. Faults are counted, so that each can end without ending another. */
interface Link {
  readonly from: GatewayId;
  readonly to: GatewayId;
  readonly pair: Pair;
  cuts: number;
  clogs: number;
  slowMs: number;
  /** On top of it for frames of one channel. */
  readonly channelSlowMs: Map<Channel, number>;
  /** What a clogged link holds, in order. */
  held: Frame[];
}

/** Both directions. The connections of either side need both: what is sent one way is acknowledged the other. */
interface Pair {
  /** Cuts and clogs of both directions. */
  blocks: number;
  /** Counts the times that it was blocked or freed: a keep-alive that began before the last one says nothing. */
  episode: number;
}

/** What fits into the buffers of a clogged link; beyond it the sender is told, as by a full socket. */
export const cloggedFramesMax = 512;
/** Largest frame to a gateway that is not listed. */
const answerBytesMax = 64 * 1024;
/** Either side of the mesh finds a dead link by its keep-alive of 5 s: after one to two of it. */
const noticedMinMs = 5_000;
const noticedMaxMs = 10_000;
/** A broken link is tried again at most so long after the way is free. */
const reconnectMaxMs = 1_000;

export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly tuning: NetworkTuning;
  readonly #endpoints = new Map<GatewayId, Endpoint>();
  /** Only links that ever had a fault, by sender, then receiver. */
  readonly #links = new Map<GatewayId, Map<GatewayId, Link>>();
  /** Times that everything was healed: faults from before are over. */
  #heals = 0;

  constructor(options: { readonly scheduler: Scheduler; readonly random: Random; readonly tuning: NetworkTuning }) {
    this.#scheduler = options.scheduler;
    this.#random = options.random;
    this.tuning = options.tuning;
  }

  transport(self: GatewayId, process: SimulatedProcess): Transport {
    return new SimulatedTransport({ network: this, self, process });
  }

  /** Frames of this direction vanish. */
  cut(from: GatewayId, to: GatewayId): Heal {
    return this.#block(this.#link(from, to), "cuts");
  }

  /** Frames of this direction wait, up to a bound; when it is free again they come in a burst. */
  clog(from: GatewayId, to: GatewayId): Heal {
    return this.#block(this.#link(from, to), "clogs");
  }

  /** Frames of this direction take so much longer: all of them, or those of one channel. */
  slow(from: GatewayId, to: GatewayId, delayMs: number, which: "all" | Channel = "all"): Heal {
    const link = this.#link(from, to);
    const add = (ms: number): void => {
      if (which === "all") link.slowMs += ms;
      else link.channelSlowMs.set(which, (link.channelSlowMs.get(which) ?? 0) + ms);
    };
    add(delayMs);
    return this.#heal(() => add(-delayMs));
  }

  /** Every fault of every link is over. */
  heal(): void {
    this.#heals++;
    for (const links of this.#links.values()) {
      for (const link of links.values()) {
        link.slowMs = 0;
        link.channelSlowMs.clear();
        while (link.cuts > 0) this.#unblock(link, "cuts");
        while (link.clogs > 0) this.#unblock(link, "clogs");
      }
    }
  }

  /** Whether the way is free in this direction: for whoever judges a gateway by what it could hear. */
  passes(from: GatewayId, to: GatewayId): boolean {
    const link = this.#known(from, to);
    return link === undefined || link.cuts + link.clogs === 0;
  }

  attach(self: GatewayId, endpoint: Endpoint): void {
    // One that was killed on its way here listens nowhere: nobody would ever tell its peers that it is gone.
    if (!endpoint.process.alive()) return;
    this.#endpoints.set(self, endpoint);
    for (const peer of this.#endpoints.keys()) {
      if (peer === self) continue;
      this.#connect(self, peer, this.#delay() * 2);
      this.#connect(peer, self, this.#delay() * 2);
    }
  }

  /** The process is gone: its peers' links break, at once where the news can travel. */
  detach(self: GatewayId): void {
    const gone = this.#endpoints.get(self);
    this.#endpoints.delete(self);
    if (gone === undefined) return;
    for (const [peer, other] of this.#endpoints) {
      if (other.up.get(self) !== gone) continue;
      const afterMs = this.passes(self, peer) ? this.#delay() : this.#noticeMs();
      this.#scheduler.schedule(afterMs, `${peer} link to ${self} down`, () => {
        this.#break(peer, self, { endpoint: other, to: gone, reason: "connection reset" });
        // Its successor may be there already.
        this.#connect(peer, self, this.#delay() * 2);
      });
    }
  }

  /**
   * What was linked and is not in the list any more is cut off, both ways; whoever is new there is called, and one whose
   * address changed is called anew.
   */
  setPeers(self: GatewayId, endpoint: Endpoint, peers: readonly PeerAddress[]): void {
    if (this.#endpoints.get(self) !== endpoint) return;
    const before = endpoint.peers;
    const listed = addresses(peers);
    endpoint.peers = listed;
    for (const [peer, to] of [...endpoint.up]) {
      const address = listed.get(peer);
      if (address !== undefined && (before === undefined || before.get(peer) === address)) continue;
      endpoint.up.delete(peer);
      const reason = address === undefined ? "it is no gateway of the site any more" : "its address changed";
      this.#scheduler.schedule(0, `${self} link to ${peer} down`, () =>
        endpoint.process.deliver(() => endpoint.handlers.down(peer, reason)),
      );
      if (address === undefined) this.#hangUpOn(peer, to, self, endpoint);
    }
    for (const peer of listed.keys()) this.#connect(self, peer, this.#delay() * 2);
  }

  /** The other way round: a caller that is not wanted is cut off, and may call again, for its hello. */
  #hangUpOn(peer: GatewayId, caller: Endpoint, self: GatewayId, endpoint: Endpoint): void {
    this.#scheduler.schedule(this.#delay(), `${peer} link to ${self} down`, () => {
      this.#break(peer, self, { endpoint: caller, to: endpoint, reason: "connection reset" });
      this.#connect(peer, self, this.#delay() * 2);
    });
  }

  /** True when the frame left; what becomes of it is the network's secret. */
  send(from: GatewayId, to: GatewayId, channel: Channel, bytes: Uint8Array): boolean {
    const receiver = this.#endpoints.get(from)?.up.get(to) ?? this.#caller(from, to, channel, bytes);
    const link = this.#known(from, to);
    if (receiver === undefined || (link !== undefined && link.held.length >= cloggedFramesMax)) return false;
    if ((link !== undefined && link.cuts > 0) || this.#random.chance(this.tuning.dropProbability)) return true;
    const frame: Frame = { from, to, channel, bytes, receiver };
    this.#carry(frame, link);
    if (this.#random.chance(this.tuning.duplicateProbability)) this.#carry(frame, link);
    return true;
  }

  /** Who is not listed here, and has called: it may be told where it stands. */
  #caller(from: GatewayId, to: GatewayId, channel: Channel, bytes: Uint8Array): Endpoint | undefined {
    const own = this.#endpoints.get(from);
    const caller = this.#endpoints.get(to);
    if (own === undefined || caller === undefined || lists(own, to) || caller.up.get(from) !== own) return undefined;
    return channel === "raft" && bytes.length <= answerBytesMax ? caller : undefined;
  }

  #carry(frame: Frame, link: Link | undefined): void {
    if (link !== undefined && link.clogs > 0) {
      hold(link, frame);
      return;
    }
    const stretch = this.#random.chance(this.tuning.reorderProbability) ? 10 : 1;
    const slowMs = (link?.slowMs ?? 0) + (link?.channelSlowMs.get(frame.channel) ?? 0);
    const delayMs = this.#delay() * stretch + slowMs;
    this.#scheduler.schedule(delayMs, `${frame.from}>${frame.to} ${frame.channel} ${frame.bytes.length}`, () => this.#arrive(frame));
  }

  #arrive(frame: Frame): void {
    const { from, to, receiver } = frame;
    // A connection ends with either process, and what was under way with it.
    if (this.#endpoints.get(to) !== receiver) return;
    const link = this.#known(from, to);
    if (link !== undefined && link.cuts > 0) return;
    if (link !== undefined && link.clogs > 0) hold(link, frame);
    else receiver.process.deliver(() => receiver.handlers.receive(from, frame.channel, frame.bytes));
  }

  #block(link: Link, how: "cuts" | "clogs"): Heal {
    link[how]++;
    if (++link.pair.blocks === 1) {
      const episode = ++link.pair.episode;
      this.#watch(link.from, link.to, link.pair, episode);
      this.#watch(link.to, link.from, link.pair, episode);
    }
    return this.#heal(() => this.#unblock(link, how));
  }

  #unblock(link: Link, how: "cuts" | "clogs"): void {
    link[how]--;
    if (link.cuts + link.clogs === 0) {
      const held = link.held;
      link.held = [];
      for (const frame of held) this.#carry(frame, link);
    }
    if (--link.pair.blocks > 0) return;
    link.pair.episode++;
    this.#restore(link.from, link.to);
    this.#restore(link.to, link.from);
  }

  /** Once, and not when `heal` has ended it already. */
  #heal(end: () => void): Heal {
    const heals = this.#heals;
    let healed = false;
    return () => {
      if (healed || this.#heals !== heals) return;
      healed = true;
      end();
    };
  }

  /** The pings of a way that stays blocked are not answered: this side's link breaks, at a time of its own. */
  #watch(side: GatewayId, peer: GatewayId, pair: Pair, episode: number): void {
    this.#scheduler.schedule(this.#noticeMs(), `${side} keep-alive of ${peer}`, () => {
      const endpoint = this.#endpoints.get(side);
      const to = endpoint?.up.get(peer);
      if (pair.episode === episode && endpoint !== undefined && to !== undefined)
        this.#break(side, peer, { endpoint, to, reason: "keep-alive timeout" });
    });
  }

  /** The way is free: a link to a process that is gone turns out broken, a broken one is made anew. */
  #restore(side: GatewayId, peer: GatewayId): void {
    const endpoint = this.#endpoints.get(side);
    const to = endpoint?.up.get(peer);
    if (endpoint !== undefined && to !== undefined && to !== this.#endpoints.get(peer))
      this.#break(side, peer, { endpoint, to, reason: "connection reset" });
    this.#connect(side, peer, this.#delay() * 2 + this.#random.real() * reconnectMaxMs);
  }

  #break(side: GatewayId, peer: GatewayId, link: { readonly endpoint: Endpoint; readonly to: Endpoint; readonly reason: string }): void {
    const { endpoint, to, reason } = link;
    if (this.#endpoints.get(side) !== endpoint || endpoint.up.get(peer) !== to) return;
    endpoint.up.delete(peer);
    const known = this.#known(side, peer);
    if (known !== undefined) known.held = [];
    endpoint.process.deliver(() => endpoint.handlers.down(peer, reason));
  }

  #connect(side: GatewayId, peer: GatewayId, afterMs: number): void {
    const endpoint = this.#endpoints.get(side);
    if (endpoint === undefined || endpoint.up.has(peer) || !lists(endpoint, peer)) return;
    this.#scheduler.schedule(afterMs, `${side} link to ${peer} up`, () => {
      const other = this.#endpoints.get(peer);
      if (this.#endpoints.get(side) !== endpoint || other === undefined || endpoint.up.has(peer) || !lists(endpoint, peer)) return;
      // A blocked way is tried again when it is free.
      if ((this.#known(side, peer)?.pair.blocks ?? 0) > 0) return;
      endpoint.up.set(peer, other);
      endpoint.process.deliver(() => endpoint.handlers.up(peer));
    });
  }

  #known(from: GatewayId, to: GatewayId): Link | undefined {
    return this.#links.get(from)?.get(to);
  }

  #link(from: GatewayId, to: GatewayId): Link {
    const known = this.#known(from, to);
    if (known !== undefined) return known;
    const pair: Pair = { blocks: 0, episode: 0 };
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const) {
      const links = this.#links.get(a) ?? new Map<GatewayId, Link>();
      this.#links.set(a, links);
      links.set(b, { from: a, to: b, pair, cuts: 0, clogs: 0, slowMs: 0, channelSlowMs: new Map(), held: [] });
    }
    return this.#link(from, to);
  }

  #noticeMs(): number {
    return noticedMinMs + this.#random.real() * (noticedMaxMs - noticedMinMs);
  }

  #delay(): number {
    return this.tuning.delayMinMs + this.#random.real() * (this.tuning.delayMaxMs - this.tuning.delayMinMs);
  }
}

function lists(endpoint: Endpoint, peer: GatewayId): boolean {
  return endpoint.peers === undefined || endpoint.peers.has(peer);
}

function addresses(peers: readonly PeerAddress[]): Map<GatewayId, string> {
  return new Map(peers.map(({ id, host, port }) => [id, `${host}:${port}`]));
}

/** A frame that finds the buffers full when it gets there is lost. */
function hold(link: Link, frame: Frame): void {
  if (link.held.length < cloggedFramesMax) link.held.push(frame);
}

class SimulatedTransport implements Transport {
  readonly #network: SimulatedNetwork;
  readonly #self: GatewayId;
  readonly #process: SimulatedProcess;
  #endpoint: Endpoint | undefined;
  #peers: readonly PeerAddress[] | undefined;
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
    this.#endpoint = { process: this.#process, handlers: counted, up: new Map(), peers: this.#peers && addresses(this.#peers) };
    this.#network.attach(this.#self, this.#endpoint);
    return Promise.resolve(success(undefined));
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = peers;
    if (this.#endpoint !== undefined) this.#network.setPeers(this.#self, this.#endpoint, peers);
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
