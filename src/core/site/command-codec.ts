/**
 * Commands as bytes and back. What is decoded is checked field by field: a command of the wrong shape must be refused by
 * whoever would append it, because once it is committed every gateway has to apply it, at every start.
 */

import { ByteWriter } from "../../lib/byte-writer.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";
import { decodeOwnerTable } from "../ring/owner-table.ts";
import { slotsMax } from "./clock-flags.ts";
import type { SiteCommand } from "./commands.ts";
import { featureLevels, levelOf } from "./features.ts";
import { decodeKvPut, isKvPut, type OncePut, writeKvPut } from "./kv-put-codec.ts";
import { partitionBits, retentionLevel } from "./retention.ts";
import {
  bytes,
  type Check,
  count,
  fields,
  flag,
  host,
  list,
  notNegative,
  nullable,
  oneOf,
  optional,
  port,
  positive,
  text,
  whole,
} from "./shapes.ts";

const role = oneOf("full", "witness");

/** Shape of a `MemberAddress`. */
export const memberAddress = fields({ host, mqtt: port, mesh: port, http: port });

/** The shape of every command, by its type. */
const shapes: Readonly<Record<SiteCommand["t"], Check>> = {
  bootstrap: fields({
    clusterId: text,
    site: text,
    featureLevel: optional(positive),
    gateways: list(
      fields({
        id: text,
        incarnation: text,
        slot: count,
        role: optional(role),
        zone: optional(text),
        weight: optional(positive),
        address: optional(memberAddress),
      }),
    ),
    factor: count,
    owners: (value) => decodeOwnerTable(value).ok,
  }),
  "gateway-started": fields({ gateway: text, startCount: count, session: text, incarnation: optional(text) }),
  "register-devices": fields({ devices: list(fields({ id: text, profile: text, metrics: list(text), firstSeenMs: whole })) }),
  "kv-put": fields({ key: text, value: bytes, expect: whole }),
  "kv-delete": fields({ key: text, expect: whole }),
  "job-seen": fields({ job: text, sinceMs: whole }),
  "run-claim": fields({ job: text, gateway: text, windows: list(fields({ fromMs: whole, toMs: whole })) }),
  "run-commit": fields({
    job: text,
    sinks: list(text),
    windows: list(fields({ fromMs: whole, toMs: whole, attempt: count, baseRevision: count, rows: count, digest: text })),
  }),
  "feature-level": fields({ level: count }),
  "session-open": fields({ gateway: text, session: text }),
  once: fields({
    session: text,
    sequence: count,
    floor: count,
    // The type comes first: a hostile nest of wrappings is refused at its second layer.
    command: (value) => !wraps(value) && isSiteCommand(value),
  }),
  "gateway-add": fields({ gateway: text, role, zone: optional(text), weight: positive, address: memberAddress }),
  "gateway-admit": fields({ gateway: text, incarnation: text }),
  "gateway-replace": fields({ gateway: text, incarnation: optional(text), force: flag }),
  "gateway-remove": fields({ gateway: text, incarnation: optional(text), force: flag }),
  "results-stored": fields({ gateway: text, ordinal: count }),
  "owner-filled": fields({ gateway: text, incarnation: text, epoch: count, partitions: list(count) }),
  "owner-places": fields({ epoch: count, changes: list(fields({ from: nullable(text), to: text, partitions: partitionBits })) }),
  "moves-cancel": fields({ epoch: count, gateway: text }),
  "gateway-update": fields({ gateway: text, weight: optional(notNegative), zone: optional(nullable(text)) }),
  "clock-unconfirmed": fields({ slot: (value) => count(value) && (value as number) < slotsMax, fromUs: count, toUs: optional(count) }),
  "retention-advance": fields({ level: retentionLevel, partitions: partitionBits, horizonUs: count, unprocessedWindows: count }),
};

const wraps = fields({ t: oneOf("once", "session-open") });

/** Whether a value has the shape of a command that this version knows. */
export function isSiteCommand(value: unknown): value is SiteCommand {
  if (typeof value !== "object" || value === null || !("t" in value) || typeof value.t !== "string") return false;
  return Object.hasOwn(shapes, value.t) && shapes[value.t as SiteCommand["t"]](value);
}

/** Behind what the writer holds. */
export function writeCommand(writer: ByteWriter, command: SiteCommand, packing: Packing): void {
  if (command.t === "once" && command.command.t === "kv-put") writeKvPut(writer, command as OncePut);
  else writer.raw(packing.pack(command));
}

export function encodeCommand(command: SiteCommand, packing: Packing): Uint8Array {
  const writer = new ByteWriter();
  writeCommand(writer, command, packing);
  return writer.finish();
}

/** `maxLevel` below this version's own makes it refuse what an older version would not know. */
export function decodeCommand(encoded: Uint8Array, packing: Packing, maxLevel: number = featureLevels.max): Result<SiteCommand> {
  if (isKvPut(encoded) && maxLevel >= 2) return decodeKvPut(encoded);
  const unpacked = packing.unpack(encoded);
  if (!unpacked.ok) return unpacked;
  if (!isSiteCommand(unpacked.value) || levelOf(unpacked.value) > maxLevel)
    return failure("bad-request", `these ${encoded.length} bytes are no command that this version knows`);
  return success(unpacked.value);
}
