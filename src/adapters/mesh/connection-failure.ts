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
  // OpenSSL alerts 20, 51 and 115, as the connecting side sees the peer's refusal of its key or its name.
  ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC: "wrong secret: the peer has another one",
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: "wrong secret: the peer has another one",
  ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: "wrong secret: the peer has another one",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY: "refused: the peer does not know this gateway or site",
  ERR_SSL_WRONG_VERSION_NUMBER: "no TLS: the peer has no secret, or another program listens there",
};

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
  if (typeof code === "string") return reasonsByCode[code] ?? (code.startsWith("ERR_SSL") ? `TLS failed (${code})` : code);
  return error.message;
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
