/**
 * The packet-size cap in front of an MQTT parser, for devices and for the mesh. It reads nothing but fixed headers (MQTT
 * 3.1.1 §2.2), in place and without copying, and cuts the connection as soon as a header announces more than is allowed:
 * before the body arrives, so that no packet over the cap is ever buffered. The first packet must be a CONNECT.
 */
import type { Socket } from "node:net";

export interface PacketSizeLimits {
  /** Largest Remaining Length of a CONNECT and of all packets that are not PUBLISH, in bytes. */
  readonly controlBytesMax: number;
  /** Largest Remaining Length of a PUBLISH (topic, packet identifier and payload), in bytes. */
  readonly publishBytesMax: number;
}

/** Bytes that a PUBLISH may have beside its payload: topic length, topic, packet identifier. */
export const publishOverheadBytes = 2 + 65_535 + 2;

export type PacketRefusal = "packet-too-large" | "malformed-packet";

/** Why a connection was cut; the `error` that its socket is destroyed with. */
export class PacketRefusedError extends Error {
  override readonly name = "PacketRefusedError";
  readonly refusal: PacketRefusal;

  constructor(refusal: PacketRefusal, message: string) {
    super(message);
    this.refusal = refusal;
  }
}

const connectHeader = 0x10;
/** First byte of the only packet that a broker may begin with. */
export const connackHeader = 0x20;
const publishType = 3;
const tlsHandshake = 0x16;
const packetNames = [
  "a reserved packet",
  "CONNECT",
  "CONNACK",
  "PUBLISH",
  "PUBACK",
  "PUBREC",
  "PUBREL",
  "PUBCOMP",
  "SUBSCRIBE",
  "SUBACK",
  "UNSUBSCRIBE",
  "UNSUBACK",
  "PINGREQ",
  "PINGRESP",
  "DISCONNECT",
  "a reserved packet",
] as const;

/** Follows the fixed headers of one connection's bytes, however they are cut into chunks. */
export class PacketHeaderScanner {
  #limits: PacketSizeLimits;
  readonly #firstHeader: number;
  /** First byte of the packet whose length is being read; -1 between packets. */
  #header = -1;
  #lengthBytes = 0;
  #length = 0;
  /** Bytes of the present packet's body that are still to come. */
  #bodyLeft = 0;
  #first = true;

  /** `firstHeader` is the first byte that the connection must begin with. */
  constructor(limits: PacketSizeLimits, firstHeader: number = connectHeader) {
    this.#limits = limits;
    this.#firstHeader = firstHeader;
  }

  /** New limits, from the next packet on. */
  limit(limits: PacketSizeLimits): void {
    this.#limits = limits;
  }

  /** Takes the next bytes; the refusal, if there is one, ends the connection. */
  scan(chunk: Uint8Array): PacketRefusedError | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        const step = Math.min(this.#bodyLeft, chunk.length - at);
        this.#bodyLeft -= step;
        at += step;
        continue;
      }
      const byte = chunk[at++] as number;
      const refused = this.#header < 0 ? this.#takeHeader(byte) : this.#takeLength(byte);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  #takeHeader(byte: number): PacketRefusedError | undefined {
    // MQTT-3.1.0-1: the first packet is a CONNECT.
    if (this.#first && byte !== this.#firstHeader) return new PacketRefusedError("malformed-packet", describeStranger(byte));
    this.#first = false;
    this.#header = byte;
    this.#length = 0;
    this.#lengthBytes = 0;
    return undefined;
  }

  #takeLength(byte: number): PacketRefusedError | undefined {
    this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes++;
    if (byte > 0x7f) {
      if (this.#lengthBytes < 4) return undefined;
      return new PacketRefusedError("malformed-packet", "the Remaining Length of a packet has more than four bytes");
    }
    const type = this.#header >> 4;
    const bytesMax = type === publishType ? this.#limits.publishBytesMax : this.#limits.controlBytesMax;
    if (this.#length > bytesMax) {
      return new PacketRefusedError(
        "packet-too-large",
        `${packetNames[type]} of ${this.#length} bytes, where ${bytesMax} bytes are allowed: cut before it was read`,
      );
    }
    this.#header = -1;
    this.#bodyLeft = this.#length;
    return undefined;
  }
}

function describeStranger(byte: number): string {
  if (byte === tlsHandshake) return "the first bytes look like TLS, but this port speaks plain MQTT";
  return "the first bytes are not those of an MQTT connection";
}

/**
 * Puts the cap in front of whatever reads `socket` with `read()` (as Aedes does: 'readable' events, never 'data').
 * Bytes that were not scanned cannot be read; on a refusal the socket is destroyed with a `PacketRefusedError`.
 */
export function capPacketSize(socket: Socket, limits: PacketSizeLimits): PacketHeaderScanner {
  const scanner = new PacketHeaderScanner(limits);
  const read = socket.read.bind(socket);
  socket.read = (size?: number) => {
    const chunk: unknown = read(size);
    if (!(chunk instanceof Uint8Array)) return chunk;
    const refused = scanner.scan(chunk);
    if (refused === undefined) return chunk;
    socket.destroy(refused);
    return null;
  };
  return scanner;
}
