/**
 * A backup as bytes, version 1: what a site knows, free of how many gateways it has and of what one of them has on disk.
 * Written from front to back, with a checksum for every block and, in the trailer, one over everything: a file without its
 * trailer is incomplete, and nothing of it counts.
 *
 *     header: magic "FOGBKBAK" | version u16 | 0 u16 | CRC-32C u32 of these 12 bytes                    (little-endian)
 *     block:  kind u8 | 3 zero | ordinal u32, from 0 | length u32 | content | CRC-32C u32 of all before it in the block
 *
 *     kind            content: MessagePack
 *       1 Manifest    map, the first block (`BackupManifest`)
 *       2 Kv          [[key, value, revision], …]
 *       3 Devices     [[id, profile, metrics, first seen ms], …]
 *       4 Readings    [[device, metric, [chunk, …]], …]: chunks of `series/chunk.ts`, whose format has a version of its own
 *       5 Series      [[device, metric, readings, digest low, digest high], …]: all readings of these series in the file
 *       6 Results     [[job, from ms, to ms, revision, rows, sinks?], …], the revisions of a window one after the other
 *       7 Jobs        [[name, since ms?], …]
 *     254 Failed      { code, message }: the gateway could not go on; the last block
 *     255 Trailer     map, the last block of a whole file (`BackupTrailer`)
 *
 * A kind that a version does not know is refused: it holds what a restore would lose.
 */

import { ByteWriter } from "./byte-writer.ts";
import { crc32c } from "./crc32c.ts";
import { type ErrorCode, errorCodes, type Failure, failure, type Result, success } from "./errors.ts";
import type { Packing } from "./packing.ts";

export const backupVersion = 1;

/** Never renumber. */
export const BackupKind = {
  Manifest: 1,
  Kv: 2,
  Devices: 3,
  Readings: 4,
  Series: 5,
  Results: 6,
  Jobs: 7,
  Failed: 254,
  Trailer: 255,
} as const;
export type BackupKind = (typeof BackupKind)[keyof typeof BackupKind];

/** What a block is filled up to, unless one item alone is larger; and what none exceeds. */
export const blockBytesTarget = 1 << 20;
export const blockBytesMax = 32 << 20;

/**
 * The key of the site's kv space under which a restore says that it is under way: a site that holds part of one backup takes the rest
 * of that one and no other. It goes when the restore is done, and is part of no backup.
 */
export const restoreMarkerKey = "fogbank/restore";

export interface BackupManifest {
  readonly site: string;
  readonly clusterId: string;
  /** The gateway that was asked, and the version that it runs. */
  readonly gateway: string;
  readonly version: string;
  readonly startedMs: number;
  readonly featureLevel: number;
  /** The state is that of this log index. */
  readonly appliedIndex: number;
  /** The calendar that windows of results are cut by. */
  readonly timeZone: string;
}

export interface BackupCounts {
  readonly kv: number;
  readonly devices: number;
  readonly readings: number;
  readonly series: number;
  /** Revisions of windows. */
  readonly results: number;
  readonly jobs: number;
}

export interface BackupMissing {
  /** Partitions that fewer owners answered for than a quorum: readings of their devices may be missing. */
  readonly partitions: readonly number[];
  /** Committed revisions of windows whose rows were not found. */
  readonly results: number;
}

export interface BackupTrailer {
  /** Blocks and bytes before the trailer, and the CRC-32C of those bytes. */
  readonly blocks: number;
  readonly bytes: number;
  readonly checksum: number;
  readonly counts: BackupCounts;
  readonly missing: BackupMissing;
}

/** How many readings a series has, and the additive digest of them (`series/digest.ts`). */
export interface SeriesDigest {
  readonly device: string;
  readonly metric: string;
  readonly count: number;
  readonly low: number;
  readonly high: number;
}

export interface BackupBlock {
  readonly kind: number;
  readonly ordinal: number;
  readonly content: Uint8Array;
  /** The block as it stands in the file. */
  readonly bytes: Uint8Array;
}

const magic = "FOGBKBAK";
const headerBytes = 16;
const blockHeaderBytes = 12;
const checksumBytes = 4;
const knownKinds: ReadonlySet<number> = new Set(Object.values(BackupKind));

/** Encodes a file from front to back: the header first, then block after block, the trailer last. */
export class BackupWriter {
  readonly #packing: Packing;
  #blocks = 0;
  #bytes = 0;
  #checksum = 0;

  constructor(packing: Packing) {
    this.#packing = packing;
  }

  header(): Uint8Array {
    const writer = new ByteWriter(headerBytes);
    for (const character of magic) writer.u8(character.charCodeAt(0));
    writer.u16(backupVersion);
    writer.u16(0);
    writer.u32(crc32c(writer.view()));
    return this.#counted(writer.finish());
  }

  block(kind: BackupKind, value: unknown): Uint8Array {
    const content = this.#packing.pack(value);
    const writer = new ByteWriter(blockHeaderBytes + content.length + checksumBytes);
    writer.u32(kind);
    writer.u32(this.#blocks++);
    writer.u32(content.length);
    writer.raw(content);
    writer.u32(crc32c(writer.view()));
    return this.#counted(writer.finish());
  }

  trailer(said: Pick<BackupTrailer, "counts" | "missing">): Uint8Array {
    const trailer: BackupTrailer = { blocks: this.#blocks, bytes: this.#bytes, checksum: this.#checksum, ...said };
    return this.block(BackupKind.Trailer, trailer);
  }

  #counted(bytes: Uint8Array): Uint8Array {
    this.#bytes += bytes.length;
    this.#checksum = crc32c(bytes, this.#checksum);
    return bytes;
  }
}

/**
 * Takes a file apart as its bytes come. Gives only blocks that are whole and undamaged and in their place; holds no more
 * than one. `ended` says whether the trailer came and what it says is true.
 */
export class BackupReader {
  readonly #packing: Packing;
  /** What came and is not taken apart yet; put together only once it is enough. */
  #pieces: Uint8Array[] = [];
  #length = 0;
  #needed = headerBytes;
  #isHeaded = false;
  #blocks = 0;
  #bytes = 0;
  #checksum = 0;
  #trailer: BackupTrailer | undefined;

  constructor(packing: Packing) {
    this.#packing = packing;
  }

  /** The blocks that these bytes complete. After a failure the file is of no use. */
  push(bytes: Uint8Array): Result<BackupBlock[]> {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    const blocks: BackupBlock[] = [];
    if (this.#length < this.#needed) return success(blocks);
    let rest = joined(this.#pieces, this.#length);
    if (!this.#isHeaded) {
      const headed = checkHeader(rest);
      if (!headed.ok) return headed;
      this.#isHeaded = true;
      rest = this.#passed(rest, headerBytes);
    }
    for (;;) {
      const block = parseBlock(rest);
      if (!block.ok) return damaged(`block ${this.#blocks} at byte ${this.#bytes} ${block.message}`);
      if ("needed" in block) {
        this.#needed = block.needed;
        break;
      }
      const taken = this.#take(block.value);
      if (!taken.ok) return taken;
      rest = this.#passed(rest, block.value.bytes.length);
      blocks.push(block.value);
    }
    this.#pieces = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    return success(blocks);
  }

  /** What the trailer says; a failure when it is not there, or something is behind it. */
  ended(): Result<BackupTrailer> {
    if (!this.#isHeaded) return damaged(this.#length === 0 ? "it is empty" : "its header is cut off");
    if (this.#trailer === undefined)
      return damaged(`it is incomplete: it breaks off after byte ${this.#bytes + this.#length}, without its end`);
    if (this.#length > 0) return damaged("something follows its end");
    return success(this.#trailer);
  }

  #take(block: BackupBlock): Result<void> {
    if (this.#trailer !== undefined) return damaged("something follows its end");
    if (block.ordinal !== this.#blocks) return damaged(`block ${block.ordinal} stands where block ${this.#blocks} should`);
    if ((block.kind === BackupKind.Manifest) !== (block.ordinal === 0))
      return damaged("its first block, and no other, has to be its manifest");
    if (block.kind === BackupKind.Trailer) {
      const trailer = readTrailer(this.#packing, block.content);
      if (!trailer.ok) return trailer;
      const { blocks, bytes, checksum } = trailer.value;
      if (blocks !== this.#blocks || bytes !== this.#bytes || checksum !== this.#checksum)
        return damaged("its end does not belong to what is before it");
      this.#trailer = trailer.value;
    }
    this.#blocks++;
    return success(undefined);
  }

  #passed(bytes: Uint8Array, length: number): Uint8Array {
    this.#checksum = crc32c(bytes, this.#checksum, 0, length);
    this.#bytes += length;
    return bytes.subarray(length);
  }
}

/** One block that came by itself. */
export function readBlock(bytes: Uint8Array): Result<BackupBlock> {
  const block = parseBlock(bytes);
  if (!block.ok) return failure("bad-request", `this is no block of a backup: it ${block.message}`);
  if ("needed" in block || block.value.bytes.length !== bytes.length)
    return failure("bad-request", "these are not the bytes of exactly one block of a backup");
  return success(block.value);
}

function checkHeader(bytes: Uint8Array): Result<void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < magic.length; at++)
    if (bytes[at] !== magic.charCodeAt(at))
      return failure("data-damaged", "this is no backup of Fogbank: its first bytes are not FOGBKBAK");
  if (view.getUint32(headerBytes - checksumBytes, true) !== crc32c(bytes, 0, 0, headerBytes - checksumBytes))
    return damaged("its header does not match its checksum");
  const version = view.getUint16(8, true);
  if (version !== backupVersion)
    return failure("data-damaged", `the backup has format ${version}, and this version of Fogbank reads ${backupVersion}: use a newer one`);
  return success(undefined);
}

type Parsed =
  | { readonly ok: true; readonly value: BackupBlock }
  | { readonly ok: true; readonly needed: number }
  | { readonly ok: false; readonly message: string };

/** Nothing is believed before the checksum but a length within its bound. */
function parseBlock(bytes: Uint8Array): Parsed {
  if (bytes.length < blockHeaderBytes) return { ok: true, needed: blockHeaderBytes };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(8, true);
  if (length > blockBytesMax) return { ok: false, message: `says that it has ${length} bytes, more than any has` };
  const end = blockHeaderBytes + length;
  if (bytes.length < end + checksumBytes) return { ok: true, needed: end + checksumBytes };
  if (view.getUint32(end, true) !== crc32c(bytes, 0, 0, end)) return { ok: false, message: "does not match its checksum" };
  const kind = view.getUint32(0, true);
  if (!knownKinds.has(kind)) return { ok: false, message: `is of kind ${kind}, which this version does not know` };
  const whole = bytes.subarray(0, end + checksumBytes);
  return { ok: true, value: { kind, ordinal: view.getUint32(4, true), content: whole.subarray(blockHeaderBytes, end), bytes: whole } };
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array;
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

export function damaged(what: string): Result<never> {
  return failure("data-damaged", `the backup is damaged: ${what}`);
}

function readTrailer(packing: Packing, content: Uint8Array): Result<BackupTrailer> {
  const unpacked = packing.unpack(content);
  if (!unpacked.ok || !isTrailer(unpacked.value)) return damaged("its end is malformed");
  return success(unpacked.value);
}

export function readManifest(packing: Packing, content: Uint8Array): Result<BackupManifest> {
  const unpacked = packing.unpack(content);
  return unpacked.ok && isManifest(unpacked.value) ? success(unpacked.value) : damaged("its manifest is malformed");
}

/** Why the gateway did not finish. */
export function readFailed(packing: Packing, content: Uint8Array): Failure {
  const unpacked = packing.unpack(content);
  const { code, message } = unpacked.ok && isObject(unpacked.value) ? unpacked.value : {};
  const known = Object.keys(errorCodes).find((one): one is ErrorCode => one === code);
  return failure(known ?? "internal", typeof message === "string" ? message : "the gateway did not say why");
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isText = (value: unknown): value is string => typeof value === "string";

function isManifest(value: unknown): value is BackupManifest {
  if (!isObject(value)) return false;
  const { site, clusterId, gateway, version, startedMs, featureLevel, appliedIndex, timeZone } = value;
  return [site, clusterId, gateway, version, timeZone].every(isText) && [startedMs, featureLevel, appliedIndex].every(isCount);
}

function isTrailer(value: unknown): value is BackupTrailer {
  if (!isObject(value) || !isObject(value["counts"]) || !isObject(value["missing"])) return false;
  const { kv, devices, readings, series, results, jobs } = value["counts"];
  const { partitions, results: missingResults } = value["missing"];
  return (
    [value["blocks"], value["bytes"], value["checksum"], kv, devices, readings, series, results, jobs, missingResults].every(isCount) &&
    Array.isArray(partitions) &&
    partitions.every(isCount)
  );
}
