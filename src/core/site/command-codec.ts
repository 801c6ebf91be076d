/**
 * Commands as bytes and back. What is decoded is checked field by field: a command of the wrong shape must be refused by
 * whoever would append it, because once it is committed every gateway has to apply it, at every start.
 */

import { failure, type Result, success } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";
import { decodeOwnerTable } from "../ring/owner-table.ts";
import type { SiteCommand } from "./commands.ts";

type Fields = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const whole: Check = (value) => typeof value === "number" && Number.isSafeInteger(value);
const count: Check = (value) => whole(value) && (value as number) >= 0;
const bytes: Check = (value) => value instanceof Uint8Array;
const list =
  (item: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(item);
const fields =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === "object" && value !== null && Object.entries(checks).every(([name, check]) => check((value as Fields)[name]));

/** The shape of every command, by its type. */
const shapes: Readonly<Record<SiteCommand["t"], Check>> = {
  bootstrap: fields({
    clusterId: text,
    site: text,
    gateways: list(fields({ id: text, incarnation: text, slot: count })),
    factor: count,
    owners: (value) => decodeOwnerTable(value).ok,
  }),
  "gateway-started": fields({ gateway: text, startCount: count, session: text }),
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
};

/** Whether a value has the shape of a command that this version knows. */
export function isSiteCommand(value: unknown): value is SiteCommand {
  if (typeof value !== "object" || value === null || !("t" in value) || typeof value.t !== "string") return false;
  return Object.hasOwn(shapes, value.t) && shapes[value.t as SiteCommand["t"]](value);
}

export function encodeCommand(command: SiteCommand, packing: Packing): Uint8Array {
  return packing.pack(command);
}

export function decodeCommand(encoded: Uint8Array, packing: Packing): Result<SiteCommand> {
  const unpacked = packing.unpack(encoded);
  if (!unpacked.ok) return unpacked;
  if (!isSiteCommand(unpacked.value)) return failure("bad-request", `these ${encoded.length} bytes are no command that this version knows`);
  return success(unpacked.value);
}
