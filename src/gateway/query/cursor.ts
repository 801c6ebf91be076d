/** The opaque cursor of paged readings: where the last page ended. */

import { failure, type Result, success } from "../../lib/errors.ts";
import { fromHex, toHex } from "../../lib/hex.ts";
import type { PagePosition } from "./wire.ts";

export function encodeCursor(position: PagePosition): string {
  return toHex(new TextEncoder().encode(JSON.stringify([position.device, position.metric, position.us])));
}

export function decodeCursor(cursor: string): Result<PagePosition> {
  const bytes = fromHex(cursor);
  try {
    const value: unknown = bytes === undefined ? undefined : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (Array.isArray(value) && value.length === 3) {
      const [device, metric, us] = value as unknown[];
      if (typeof device === "string" && typeof metric === "string" && typeof us === "number") return success({ device, metric, us });
    }
  } catch {
    // Not ours, whatever it is: the answer is the same.
  }
  return failure("bad-request", "`cursor` is not one that this site gave out: repeat the question without it");
}
