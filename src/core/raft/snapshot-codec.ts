/**
 * A snapshot as bytes, the same in its file and on the wire. Version 1, numbers little-endian or LEB128 varints:
 *
 *     magic "FOGBKSNP" | u16 version (1) | varint index | varint term | configuration | u32 CRC-32C of all before
 *     blocks: u32 length (above 0) | bytes | u32 CRC-32C of the bytes, begun with the checksum before
 *     end:    u32 0 | u32 number of blocks | u32 CRC-32C of both, begun with the checksum before
 *
 * The checksums are a chain from the header to the end, so that no block can be missing, doubled or another file's.
 */
import { assert } from "../../lib/assert.ts";
import { ByteReader, type Decoded, decodeError } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { crc32c } from "../../lib/crc32c.ts";
import { readConfiguration, writeConfiguration } from "./configuration-codec.ts";
import type { SnapshotMeta } from "./messages.ts";

const magic = Uint8Array.from("FOGBKSNP", (letter) => letter.charCodeAt(0));
const version = 1;
const suffix = ".snap";

/** Sorts by index, then by term. */
export function snapshotName({ index, term }: { readonly index: number; readonly term: number }): string {
  return `${index.toString(16).padStart(16, "0")}-${term.toString(16).padStart(8, "0")}${suffix}`;
}

/** `undefined`: not the name of a snapshot. */
export function snapshotPosition(name: string): { readonly index: number; readonly term: number } | undefined {
  const match = /^([0-9a-f]{16})-([0-9a-f]{8,14})\.snap$/.exec(name);
  if (match === null) return undefined;
  return { index: Number.parseInt(match[1] as string, 16), term: Number.parseInt(match[2] as string, 16) };
}

/** Makes the parts of a file in their order; a block's bytes are not copied. */
export class SnapshotEncoder {
  readonly #meta: SnapshotMeta;
  #checksum = 0;
  #blocks = 0;

  constructor(meta: SnapshotMeta) {
    this.#meta = meta;
  }

  header(): Uint8Array[] {
    const writer = new ByteWriter(256);
    writer.raw(magic);
    writer.u16(version);
    writer.varint(this.#meta.index);
    writer.varint(this.#meta.term);
    writeConfiguration(writer, this.#meta.configuration);
    const header = writer.finish();
    this.#checksum = crc32c(header);
    return [header, u32(this.#checksum)];
  }

  block(bytes: Uint8Array): Uint8Array[] {
    assert(bytes.length > 0 && bytes.length <= 0xffffffff, "a block has bytes");
    this.#blocks++;
    this.#checksum = crc32c(bytes, this.#checksum);
    return [u32(bytes.length), bytes, u32(this.#checksum)];
  }

  end(): Uint8Array[] {
    const end = concat([u32(0), u32(this.#blocks)]);
    return [end, u32(crc32c(end, this.#checksum))];
  }
}

/** All of it is verified before anything is given. `state`: the blocks' bytes, one after the other, in memory of their own. */
export function decodeSnapshot(bytes: Uint8Array): Decoded<{ readonly meta: SnapshotMeta; readonly state: Uint8Array }> {
  if (bytes.length < magic.length + 2) return decodeError("truncated", "a snapshot is cut off in its header");
  if (magic.some((byte, at) => bytes[at] !== byte)) return decodeError("damaged", "this is no snapshot");
  const found = (bytes[magic.length] as number) | ((bytes[magic.length + 1] as number) << 8);
  if (found !== version) return decodeError("unsupported-version", `a snapshot has version ${found}, this program knows ${version}`);
  const reader = new ByteReader(bytes, magic.length + 2);
  const index = reader.varint();
  const term = reader.varint();
  const configuration = readConfiguration(reader);
  if (reader.problem !== undefined) return reader.problem;
  let at = reader.offset;
  let checksum = crc32c(bytes.subarray(0, at));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks: Uint8Array[] = [];
  if (bytes.length < at + 4) return decodeError("truncated", "a snapshot is cut off in its header");
  if (view.getUint32(at, true) !== checksum) return decodeError("damaged", "a snapshot's header is damaged");
  at += 4;
  for (;;) {
    if (bytes.length < at + 4) return decodeError("truncated", "a snapshot has no end");
    const length = view.getUint32(at, true);
    if (length === 0) break;
    if (bytes.length < at + 8 + length) return decodeError("truncated", `block ${blocks.length} of a snapshot is cut off`);
    const block = bytes.subarray(at + 4, at + 4 + length);
    checksum = crc32c(block, checksum);
    if (view.getUint32(at + 4 + length, true) !== checksum)
      return decodeError("damaged", `block ${blocks.length} of a snapshot is damaged`);
    blocks.push(block);
    at += 8 + length;
  }
  if (bytes.length < at + 12) return decodeError("truncated", "a snapshot has no end");
  const end = crc32c(bytes.subarray(at, at + 8), checksum);
  if (bytes.length !== at + 12 || view.getUint32(at + 4, true) !== blocks.length || view.getUint32(at + 8, true) !== end)
    return decodeError("damaged", "the end of a snapshot is damaged");
  return { ok: true, value: { meta: { index, term, configuration }, state: concat(blocks) } };
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
