import type { Result } from "../lib/errors.ts";

/**
 * The MQTT broker that devices connect to. The gateway decides over each PUBLISH when its readings are safe: until
 * `done` is called, no PUBACK (QoS 1) or PUBREC (QoS 2) is sent and no subscriber sees the message.
 * Contract suite: `test/contracts/broker.ts`.
 */
export interface Broker {
  /** Fails with `port-in-use`. */
  start(handlers: BrokerHandlers): Promise<Result<void>>;
  stats(): BrokerStats;
  stop(): Promise<void>;
}

export interface BrokerHandlers {
  /** Whether a client may connect. `password` is what it sent, undefined when it sent none. */
  authenticate(credentials: ClientCredentials): boolean;
  /** A client's session began. The handle stays the same object until `disconnected`. */
  connected(client: BrokerClient): void;
  disconnected(client: BrokerClient): void;
  /**
   * One PUBLISH; `packetId` is 0 at QoS 0 and of a will, and `duplicate` its DUP flag. `done` must be called exactly once, in the order in which the client's messages with QoS > 0 came
   * (MQTT-4.6.0), at once or later; after the client has gone it is ignored. The payload must not be kept beyond the
   * call without a copy. The will of a client that broke off comes from a handle of its own, under the client's id, which
   * is `connected` for it alone and `disconnected` after `done`.
   */
  publish(
    client: BrokerClient,
    topic: string,
    payload: Uint8Array,
    qos: 0 | 1 | 2,
    done: () => void,
    packetId: number,
    duplicate: boolean,
  ): void;
  /** A client was turned away before it had a session (bad packet, oversized packet, MQTT 5, refused credentials). */
  rejected(reason: ClientRejection, detail: string): void;
}

export type ClientRejection = "packet-too-large" | "malformed-packet" | "unsupported-protocol" | "not-authorised" | "connect-timeout";

export interface ClientCredentials {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

export interface BrokerClient {
  readonly id: string;
  readonly username: string | undefined;
  /** persistent: the client's next connection goes on with this session (clean session 0, MQTT-3.1.2-4). */
  readonly session: "clean" | "persistent" | "will";
  /** Closes the connection (its held messages are then resent by the client after a reconnect). Idempotent. */
  close(): void;
}

export interface BrokerStats {
  readonly clients: number;
  readonly received: number;
  readonly delivered: number;
}
