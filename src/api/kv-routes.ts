import type { KvRevision } from "../client/schema.ts";
import type { GatewayService, KvExpectation } from "../gateway/service.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type Answer, type Call, emptyAnswer, jsonAnswer } from "./answer.ts";
import { quoted } from "./query-reader.ts";

/** The linearizable key-value space over HTTP: opaque bytes, the revision as a strong ETag, conditional requests (RFC 9110 §13). */

export const kvValueBytesMax = 1024 * 1024;
const kvKeyBytesMax = 512;

type KvService = Pick<GatewayService, "kvGet" | "kvPut" | "kvDelete">;

export async function getKv(service: KvService, call: Call): Promise<Result<Answer>> {
  const key = readKey(call);
  if (!key.ok) return key;
  const entry = await service.kvGet(key.value);
  if (!entry.ok) return entry;
  const tag = entry.value === undefined ? undefined : etag(entry.value.revision);
  const wanted = call.headers["if-match"];
  if (wanted !== undefined && !listsTag(wanted, tag))
    return failure("precondition-failed", `key ${quoted(key.value)} ${stands(tag)}, If-Match asks for ${quoted(wanted)}`);
  if (entry.value === undefined || tag === undefined) return failure("not-found", `there is no key ${quoted(key.value)}`);
  const known = call.headers["if-none-match"];
  if (known !== undefined && listsTag(known.replaceAll("W/", ""), tag)) return success(emptyAnswer(304, { etag: tag }));
  return success({ status: 200, mediaType: "application/octet-stream", body: entry.value.value, headers: { etag: tag } });
}

export async function putKv(service: KvService, call: Call): Promise<Result<Answer>> {
  const key = readKey(call);
  if (!key.ok) return key;
  const expect = readExpectation(call);
  if (!expect.ok) return expect;
  const written = await service.kvPut(key.value, call.body ?? new Uint8Array(0), expect.value);
  if (!written.ok) return written;
  const value: KvRevision = { revision: written.value.revision };
  return success(jsonAnswer(value, 200, { etag: etag(value.revision) }));
}

export async function deleteKv(service: KvService, call: Call): Promise<Result<Answer>> {
  const key = readKey(call);
  if (!key.ok) return key;
  const expect = readExpectation(call);
  if (!expect.ok) return expect;
  if (expect.value.kind === "absent") return failure("bad-request", "If-None-Match makes no sense for DELETE; use If-Match");
  const deleted = await service.kvDelete(key.value, expect.value);
  if (!deleted.ok) return deleted;
  return deleted.value.existed ? success(emptyAnswer(204)) : failure("not-found", `there was no key ${quoted(key.value)}`);
}

function readKey(call: Call): Result<string> {
  const key = call.params["key"] ?? "";
  const bytes = Buffer.byteLength(key);
  if (bytes === 0 || bytes > kvKeyBytesMax) return failure("bad-request", `a key has 1 to ${kvKeyBytesMax} bytes, this one has ${bytes}`);
  return success(key);
}

/** A tag that is well formed but none of ours cannot match anything: 412, as for a revision that has passed. */
function readExpectation(call: Call): Result<KvExpectation> {
  const match = call.headers["if-match"]?.trim();
  const noneMatch = call.headers["if-none-match"]?.trim();
  if (match !== undefined && noneMatch !== undefined) return failure("bad-request", "If-Match and If-None-Match exclude each other");
  if (noneMatch !== undefined) {
    return noneMatch === "*"
      ? success({ kind: "absent" })
      : failure("bad-request", `If-None-Match: ${quoted(noneMatch)} is not valid here; expected *`);
  }
  if (match === undefined) return success({ kind: "any" });
  if (match === "*") return success({ kind: "exists" });
  // Revisions begin at 1; "0" and "007" are nobody's ETag.
  const revision = /^"([1-9]\d{0,14})"$/.exec(match)?.[1];
  if (revision !== undefined) return success({ kind: "revision", revision: Number(revision) });
  if (/^(W\/)?"[^"]*"$/.test(match)) return failure("precondition-failed", `no revision has the ETag ${quoted(match)}`);
  return failure("bad-request", `If-Match: ${quoted(match)} is not valid; expected one ETag in quotes ("7") or *`);
}

const etag = (revision: number): string => `"${revision}"`;

function listsTag(header: string, tag: string | undefined): boolean {
  return tag !== undefined && (header.trim() === "*" || header.split(",").some((candidate) => candidate.trim() === tag));
}

const stands = (tag: string | undefined): string => (tag === undefined ? "does not exist" : `has the ETag ${tag}`);
