/** Why clients are turned away: Aedes' errors and ours, sorted into the reasons of the `Broker` port. */
import type { ClientRejection } from "../../ports/broker.ts";
import { PacketRefusedError } from "./packet-size-cap.ts";

/** A refusal that was reported where it was decided; its `error` event says nothing new. */
export class ReportedRefusalError extends Error {
  override readonly name = "ReportedRefusalError";
  /** CONNACK code for Aedes, where there is one. */
  readonly returnCode: number;

  constructor(returnCode: number, message: string) {
    super(message);
    this.returnCode = returnCode;
  }
}

export type ClientProblem =
  | { readonly kind: "rejected"; readonly reason: ClientRejection; readonly detail: string }
  /** The connection broke, or the client was too slow or too quiet: an ordinary end of a session, worth a line at most. */
  | { readonly kind: "lost"; readonly detail: string }
  | { readonly kind: "reported" };

export const mqtt5Remedy = "the client speaks MQTT 5, which is not supported yet: configure MQTT 3.1.1 in the client";

/** Sorts the error that ended a connection. */
export function classifyClientError(error: Error): ClientProblem {
  if (error instanceof ReportedRefusalError) return { kind: "reported" };
  if (error instanceof PacketRefusedError) return { kind: "rejected", reason: error.refusal, detail: error.message };
  // CONNACK 1: reported with the client's id when its CONNECT was read.
  if ("errorCode" in error && error.errorCode === 1) return { kind: "reported" };
  // An error of the operating system: the network, not the client's packets.
  if ("code" in error && typeof error.code === "string") return { kind: "lost", detail: error.message };
  switch (error.message) {
    case "connect did not arrive in time":
      return { kind: "rejected", reason: "connect-timeout", detail: "no CONNECT arrived in time" };
    case "keep alive timeout":
      return { kind: "lost", detail: "nothing came for one and a half keep-alive intervals" };
    case "drain timeout":
      return { kind: "lost", detail: "the subscriber did not read what it was sent" };
    case "connection closed":
      return { kind: "lost", detail: error.message };
    case "Invalid protocolId":
    case "Invalid protocol version":
      return { kind: "rejected", reason: "unsupported-protocol", detail: `${error.message}: MQTT 3.1.1 and 3.1 are supported` };
    default:
      return { kind: "rejected", reason: "malformed-packet", detail: error.message };
  }
}

/** What is wrong with the topic of a PUBLISH or a will, or `undefined`. */
export function topicProblem(topic: string): string | undefined {
  if (topic.length === 0) return "an empty topic";
  // MQTT-4.7.2-1: topics that begin with $ are the server's own.
  if (topic.charCodeAt(0) === 36) return `topic ${quote(topic)}: topics that begin with $ are reserved`;
  // MQTT-3.3.2-2, MQTT-1.5.3-2.
  if (topic.includes("#") || topic.includes("+")) return `topic ${quote(topic)}: a wildcard (+ or #) is not allowed in PUBLISH`;
  if (topic.includes("\u0000")) return `topic ${quote(topic)}: the NUL character is not allowed`;
  return undefined;
}

const quotedLengthMax = 120;

/** Text from a stranger, safe for a log line: control characters escaped, bounded length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > quotedLengthMax ? `${text.slice(0, quotedLengthMax)}…` : text);
}
