import type { Result } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";

/**
 * Links between the gateways of a site. A frame arrives whole or not at all, perhaps twice, perhaps late, perhaps out
 * of order: loss, duplication and reordering are the protocols' business. `from` is authenticated: a peer can send only
 * under its own id. Contract suite: `test/contracts/transport.ts`.
 */
export interface Transport {
  /**
   * The gateways to keep links to, this one itself left out; may be called before `start` and at any time after. A link to a
   * new one is opened. One that is not in the list any more is cut off, both ways, and one whose address changed is linked
   * anew: `down` comes where the link stood, after the call. Before the first call the list is what the transport was made with.
   *
   * A gateway of this site that is not listed may still connect, for its hello: its frames are delivered like others, a
   * bounded number of such gateways at a time, and small ones. So that it can be told where it stands, `send` takes small
   * frames on `raft` to it for as long as it is connected; it is not `isUp`, and no event tells of it.
   */
  setPeers(peers: readonly PeerAddress[]): void;
  /** Fails with `port-in-use`. Events come until `stop` resolves. */
  start(handlers: TransportHandlers): Promise<Result<void>>;
  /**
   * Hands one frame over. False: it was dropped here, because there is no link or its queue is full. The caller must
   * not change the frame afterwards.
   */
  send(to: GatewayId, channel: Channel, frame: Uint8Array): boolean;
  /** Whether a link to the peer stands, as far as this side knows. */
  isUp(to: GatewayId): boolean;
  stats(): TransportStats;
  stop(): Promise<void>;
}

/** Where a gateway's mesh listens. */
export interface PeerAddress {
  readonly id: GatewayId;
  readonly host: string;
  readonly port: number;
}

/** `raft` and `bulk` have connections of their own, so that a heartbeat never waits behind a megabyte. */
export type Channel = "raft" | "replica" | "register" | "job" | "bulk";

export interface TransportHandlers {
  receive(from: GatewayId, channel: Channel, frame: Uint8Array): void;
  /** The link to `peer` stands: frames may be sent. */
  up(peer: GatewayId): void;
  /** `reason` is for a person, e.g. "connection refused" or "wrong secret". Called on change only. */
  down(peer: GatewayId, reason: string): void;
}

export interface TransportStats {
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly framesDropped: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}
