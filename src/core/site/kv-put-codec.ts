/**
 * The one command that comes by the thousand, a put in a session, in bytes of its own: MessagePack's names and maps cost
 * more than all the rest of its way through the log. Its first byte is the one that MessagePack never uses, so that the two
 * can stand side by side.
 *
 *     0xc1 | version u8 (1) | session text | sequence varint | floor varint | key text | expect signed varint | value
 *
 * Texts are UTF-8 behind their length as a varint; the value is what remains.
 */

import { ByteReader } from "../../lib/byte-reader.ts";
import type { ByteWriter } from "../../lib/byte-writer.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { sessionId } from "../../lib/ids.ts";
import type { KvExpect, KvPutCommand, OnceCommand } from "./commands.ts";

/** "Never used" in MessagePack, for ever. */
const mark = 0xc1;
const version = 1;

export type OncePut = OnceCommand & { readonly command: KvPutCommand };

export function isKvPut(encoded: Uint8Array): boolean {
  return encoded[0] === mark;
}

export function writeKvPut(writer: ByteWriter, { session, sequence, floor, command }: OncePut): void {
  writer.u8(mark);
  writer.u8(version);
  writer.text(session);
  writer.varint(sequence);
  writer.varint(floor);
  writer.text(command.key);
  writer.signedVarint(command.expect);
  writer.raw(command.value);
}

/** The value is a view of `encoded`. */
export function decodeKvPut(encoded: Uint8Array): Result<OncePut> {
  const reader = new ByteReader(encoded, 1);
  const written = reader.u8();
  if (written !== version) reader.fail("unsupported-version", `a put of version ${written}`);
  const session = reader.text();
  const sequence = reader.varint();
  const floor = reader.varint();
  const key = reader.text();
  const expect = reader.signedVarint();
  const value = reader.raw(reader.remaining);
  if (reader.problem !== undefined) return failure("bad-request", `these ${encoded.length} bytes are no put: ${reader.problem.message}`);
  return success({
    t: "once",
    session: sessionId(session),
    sequence,
    floor,
    command: { t: "kv-put", key, value, expect: expect as KvExpect },
  });
}
