import { failure, type Result, success } from "../lib/errors.ts";
import { suggest } from "../lib/suggest.ts";
import { quoted } from "./query-reader.ts";

/**
 * The object in a body of JSON, with none but the known keys; no body at all is an empty one. A key that is `null` counts as
 * absent. `expected` is an example for messages.
 */
export function readObject(
  body: Uint8Array | undefined,
  options: { readonly keys: readonly string[]; readonly expected: string },
): Result<ReadonlyMap<string, unknown>> {
  if (body === undefined || body.length === 0) return success(new Map());
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return failure("bad-request", `the body is not JSON; expected ${options.expected}`);
  }
  return objectOf(value, { ...options, what: "the body" });
}

export function objectOf(
  value: unknown,
  options: { readonly keys: readonly string[]; readonly expected: string; readonly what: string },
): Result<ReadonlyMap<string, unknown>> {
  const { keys, expected, what } = options;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return failure("bad-request", `${what} is no object; expected ${expected}`);
  const found = new Map<string, unknown>();
  for (const [key, given] of Object.entries(value)) {
    if (!keys.includes(key)) {
      const near = suggest(key, keys);
      const hint = near === undefined ? "" : `, did you mean "${near}"?`;
      return failure("bad-request", `unknown key ${quoted(key)} in ${what}${hint}; known are ${keys.join(", ")}`);
    }
    if (given !== null && given !== undefined) found.set(key, given);
  }
  return success(found);
}
