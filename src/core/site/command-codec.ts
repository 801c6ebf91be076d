/** Commands as bytes and back. Entries were written by a gateway of the site, so a malformed one is damage or a bug. */

import { failure, type Result, success } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";
import type { SiteCommand } from "./commands.ts";

const commandTypes: ReadonlySet<string> = new Set([
  "bootstrap",
  "gateway-started",
  "register-devices",
  "kv-put",
  "kv-delete",
  "job-seen",
  "run-claim",
  "run-commit",
] satisfies SiteCommand["t"][]);

export function encodeCommand(command: SiteCommand, packing: Packing): Uint8Array {
  return packing.pack(command);
}

export function decodeCommand(bytes: Uint8Array, packing: Packing): Result<SiteCommand> {
  const unpacked = packing.unpack(bytes);
  if (!unpacked.ok) return unpacked;
  const value = unpacked.value;
  if (typeof value !== "object" || value === null || !("t" in value) || typeof value.t !== "string" || !commandTypes.has(value.t)) {
    return failure("internal", `a log entry holds no command that this version knows (${bytes.length} bytes)`);
  }
  return success(value as SiteCommand);
}
