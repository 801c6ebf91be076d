/** Why a mesh connection failed, in words for the person who has to mend it. Each side has its own view of a TLS failure. */
import { PacketRefusedError } from "../device-broker/packet-size-cap.ts";

const reasonsByCode: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused: no gateway listens there",
  ENOTFOUND: "host not found",
  EAI_AGAIN: "host not found: the name server does not answer",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  EHOSTDOWN: "host unreachable",
  ETIMEDOUT: "timeout: no answer",
  ECONNRESET: "connection closed by the peer",
  EPIPE: "connection closed by the peer",
};

/**
 * The connecting side's view of a TLS failure. OpenSSL's own words decide: the same alert comes as an ERR_SSL_… code, or
 * as EPROTO where the CONNECT was already waiting to be written.
 */
const reasonsByTlsText: readonly (readonly [string, string])[] = [
  // Alerts 20 and 51: the peer could not decrypt what was encrypted with our key.
  ["alert bad record mac", "wrong secret: the peer has another one"],
  ["alert decrypt error", "wrong secret: the peer has another one"],
  ["decryption failed", "wrong secret: the peer has another one"],
  // Alert 115.
  ["alert unknown psk identity", "refused: the peer does not know this gateway or site"],
  ["wrong version number", "no TLS: the peer has no secret, or another program listens there"],
];

/** `phase` is how far the connection had come. */
export function describeFailure(error: Error | undefined, phase: "connecting" | "tls" | "mqtt" | "connected"): string {
  if (error === undefined) {
    return phase === "connected" || phase === "connecting"
      ? "connection closed by the peer"
      : "closed during the handshake: a secret on one side only, or no gateway there";
  }
  if (error.message === "connack timeout") return "timeout: no answer";
  if (error.message === "Keepalive timeout") return "timeout: the peer stopped answering";
  if (error instanceof PacketRefusedError) return `no mesh broker listens there: ${error.message}`;
  const code = "code" in error ? error.code : undefined;
  // CONNACK 5: the peer's mesh listens, and does not admit this gateway.
  if (code === 5) return "refused: the peer does not admit this gateway";
  if (code === "ECONNRESET" && phase === "tls") return "closed during the handshake: a secret on one side only, or no gateway there";
  if (typeof code !== "string") return error.message;
  if (code !== "EPROTO" && !code.startsWith("ERR_SSL")) return reasonsByCode[code] ?? code;
  return reasonsByTlsText.find(([text]) => error.message.includes(text))?.[1] ?? `TLS failed (${code})`;
}

/** The listening side's view of a TLS handshake that failed. */
export function describeHandshakeFailure(error: Error): string {
  const code = "code" in error ? error.code : undefined;
  switch (code) {
    case "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC":
      return "wrong secret: it differs from this gateway's";
    case "ERR_SSL_PSK_IDENTITY_NOT_FOUND":
      return "unknown gateway or other site";
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_HTTP_REQUEST":
      return "no TLS: the connecting side has no secret, or is no gateway";
    case "ECONNRESET":
      return "closed during the handshake";
    case "ERR_TLS_HANDSHAKE_TIMEOUT":
      return "the handshake took too long";
    default:
      return error.message.trim();
  }
}
