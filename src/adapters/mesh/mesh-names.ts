/**
 * Names and keys of the mesh on the wire, version 1 (never change one, add another):
 *
 *     topic         fogbank/<site>/<to>/<from>/<channel>
 *     client id     fogbank/<site>/<from>/<session>/<link>      link: raft | data | bulk
 *     PSK identity  fogbank/<site>/<from>/<session>
 *     PSK           HKDF-SHA-256(secret, salt "fogbank mesh psk v1", info <site>), 32 bytes
 *
 * `session` is random for each process, so that two processes under one gateway id can both connect: who is genuine is
 * for the gateways to decide, not for MQTT's take-over rule.
 */
import { hkdfSync } from "node:crypto";
import { type GatewayId, gatewayId } from "../../lib/ids.ts";
import type { Channel } from "../../ports/transport.ts";

/** The three connections to each peer. `data` carries replica, register and job. */
export const linkNames = ["raft", "data", "bulk"] as const;
export type LinkName = (typeof linkNames)[number];

const mebibyte = 1024 * 1024;

interface LinkRules {
  readonly channels: readonly Channel[];
  /** Largest frame in bytes. */
  readonly frameBytesMax: number;
  /** Bytes that may wait for the socket before a frame is dropped; one frame may exceed it. */
  readonly queueBytesMax: number;
}

export const linkRules: Readonly<Record<LinkName, LinkRules>> = {
  raft: { channels: ["raft"], frameBytesMax: 16 * mebibyte, queueBytesMax: mebibyte },
  data: { channels: ["replica", "register", "job"], frameBytesMax: 16 * mebibyte, queueBytesMax: 8 * mebibyte },
  bulk: { channels: ["bulk"], frameBytesMax: 64 * mebibyte, queueBytesMax: 32 * mebibyte },
};

/**
 * Largest frame to and from a gateway that is not listed: a hello and its answers fit easily, and there is no more to say.
 * Its answers come over its own `raft` connection, as PUBLISH packets that it need not subscribe to.
 */
export const unlistedFrameBytesMax = 64 * 1024;

export function linkOf(channel: Channel): LinkName {
  return channel === "raft" || channel === "bulk" ? channel : "data";
}

export const tlsSettings = { ciphers: "ECDHE-PSK-CHACHA20-POLY1305", minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;

export function presharedKey(secret: string, site: string): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "fogbank mesh psk v1", site, 32));
}

export function topicFor(site: string, to: GatewayId, from: GatewayId, channel: Channel): string {
  return `fogbank/${site}/${to}/${from}/${channel}`;
}

/** Who is at the other end, as far as its own words go. */
export interface PeerName {
  readonly site: string;
  readonly gateway: GatewayId;
  readonly session: string;
}

export function formatIdentity(peer: PeerName): string {
  return `fogbank/${peer.site}/${peer.gateway}/${peer.session}`;
}

export function parseIdentity(identity: string): PeerName | undefined {
  const [prefix, site, gateway, session, ...rest] = identity.split("/");
  if (prefix !== "fogbank" || site === undefined || gateway === undefined || session === undefined || rest.length > 0) return undefined;
  return { site, gateway: gatewayId(gateway), session };
}

export function formatClientId(peer: PeerName, link: LinkName): string {
  return `${formatIdentity(peer)}/${link}`;
}

export function parseClientId(
  clientId: string,
): { readonly identity: string; readonly peer: PeerName; readonly link: LinkName } | undefined {
  const cut = clientId.lastIndexOf("/");
  const identity = clientId.slice(0, Math.max(cut, 0));
  const peer = parseIdentity(identity);
  const link = linkNames.find((name) => name === clientId.slice(cut + 1));
  return peer === undefined || link === undefined ? undefined : { identity, peer, link };
}
