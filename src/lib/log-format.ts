/**
 * The log on disk, format version 1 (all integers little-endian; append-only: never renumber, never move a field).
 *
 * A log is a folder that is named after it, with segment files and one head file. A segment file is named
 * `<base sequence, 16 hex digits>-<ordinal, 8 hex digits>.log`. Ordinals count 1, 2, 3 … without a gap.
 *
 * Segment header, 64 bytes:
 *
 *      0  8  magic "FOGBKLOG"
 *      8  2  format version (1)
 *     10  2  header length (64)
 *     12  4  ordinal
 *     16  8  base: sequence number of the first record
 *     24  4  checksum of record base − 1 (0 for base 1): what the chain continues from
 *     28  4  salt: random; begins every record of this segment and seeds its checksums, so that neither a payload nor
 *            stale bytes of another file can pass for a record
 *     32  1  flags: bit 0 = supersedes (made after a failed write; records >= base in older segments do not count)
 *     33  3  zero
 *     36 24  name of the log, ASCII, filled up with zeros
 *     60  4  CRC-32C of bytes 0 … 59
 *
 * Record, 32 bytes and the payload:
 *
 *      0  4  salt of the segment
 *      4  4  CRC-32C of the salt, bytes 8 … 31 and the payload
 *      8  4  payload length
 *     12  4  checksum of the record before (chain)
 *     16  6  sequence number
 *     22  1  kind: 1 data, 2 marker (no payload; repeats the sequence number of the last data record)
 *     23  1  zero
 *     24  6  watermark: the highest sequence number that was known to be durable when this record was written
 *     30  2  zero
 *
 * The watermark tells damage from a torn tail. Unsynced writes may be lost in any subset; so an invalid record k is the
 * torn tail, to be cut, if nothing valid states a watermark >= k: no later record in the file, no later segment (base b
 * states b − 1) and not the head file. Otherwise k had been durable, and the log is damaged.
 *
 * Head file `head`, 64 bytes, replaced atomically (temporary file, fsync, rename, fsync of the folder). It is written
 * whenever a segment was created (before any record goes there), before segments are deleted, and at a clean close:
 *
 *      0  8  magic "FOGBKHED"
 *      8  2  format version (1)
 *     10  2  length (64)
 *     12  4  first ordinal: older segments were trimmed
 *     16  4  last ordinal: all from the first to this one must be there
 *     20  8  durable: every record up to this one was durable
 *     28  8  zero
 *     36 24  name of the log
 *     60  4  CRC-32C of bytes 0 … 59
 */
import { assert } from "./assert.ts";
import { copyBytes } from "./bytes.ts";
import { crc32c } from "./crc32c.ts";

export const formatVersion = 1;
export const segmentHeaderBytes = 64;
export const recordHeaderBytes = 32;
export const headBytes = 64;
export const headFileName = "head";
/** A larger payload is refused when appended, and a larger length on disk is damage. */
export const payloadBytesMax = 64 * 1024 * 1024;

/** On disk; never renumber. */
export const RecordKind = { Data: 1, Marker: 2 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

const segmentMagic = "FOGBKLOG";
const headMagic = "FOGBKHED";
const nameBytesMax = 24;
const flagSupersedes = 1;

export interface SegmentHeader {
  readonly name: string;
  readonly ordinal: number;
  readonly base: number;
  /** Checksum of record base − 1. */
  readonly chain: number;
  readonly salt: number;
  readonly supersedes: boolean;
}

export interface RecordHeader {
  readonly crc: number;
  readonly length: number;
  readonly chain: number;
  readonly sequence: number;
  readonly kind: RecordKind;
  readonly watermark: number;
}

export interface LogHead {
  readonly name: string;
  readonly firstOrdinal: number;
  readonly lastOrdinal: number;
  readonly durable: number;
}

/** Log names: lower-case letters, digits and hyphens, 24 at most. */
export function isLogName(name: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,23}$/.test(name);
}

export function segmentFileName(base: number, ordinal: number): string {
  return `${base.toString(16).padStart(16, "0")}-${ordinal.toString(16).padStart(8, "0")}.log`;
}

export function parseSegmentFileName(fileName: string): { readonly base: number; readonly ordinal: number } | undefined {
  const match = /^([0-9a-f]{16})-([0-9a-f]{8})\.log$/.exec(fileName);
  if (match === null) return undefined;
  return { base: Number.parseInt(match[1] as string, 16), ordinal: Number.parseInt(match[2] as string, 16) };
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const { bytes, view } = framed(segmentMagic, header.name, segmentHeaderBytes);
  view.setUint32(12, header.ordinal, true);
  view.setBigUint64(16, BigInt(header.base), true);
  view.setUint32(24, header.chain, true);
  view.setUint32(28, header.salt, true);
  view.setUint8(32, header.supersedes ? flagSupersedes : 0);
  return sealed(bytes, view);
}

/** The header, or in words what is wrong with it. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | string {
  const wrong = checkFrame(bytes, segmentMagic, segmentHeaderBytes, "segment header");
  if (wrong !== undefined) return wrong;
  const view = viewOf(bytes);
  return {
    name: decodeName(bytes),
    ordinal: view.getUint32(12, true),
    base: Number(view.getBigUint64(16, true)),
    chain: view.getUint32(24, true),
    salt: view.getUint32(28, true),
    supersedes: (view.getUint8(32) & flagSupersedes) !== 0,
  };
}

export function encodeHead(head: LogHead): Uint8Array {
  const { bytes, view } = framed(headMagic, head.name, headBytes);
  view.setUint32(12, head.firstOrdinal, true);
  view.setUint32(16, head.lastOrdinal, true);
  view.setBigUint64(20, BigInt(head.durable), true);
  return sealed(bytes, view);
}

/** The head, or in words what is wrong with it. */
export function decodeHead(bytes: Uint8Array): LogHead | string {
  const wrong = checkFrame(bytes, headMagic, headBytes, "head file");
  if (wrong !== undefined) return wrong;
  const view = viewOf(bytes);
  return {
    name: decodeName(bytes),
    firstOrdinal: view.getUint32(12, true),
    lastOrdinal: view.getUint32(16, true),
    durable: Number(view.getBigUint64(20, true)),
  };
}

/**
 * Writes a record's header to `target` at `at` and returns the record's checksum, which is the `chain` of the next.
 * The payload is not copied.
 */
export function encodeRecordHeader(
  target: Uint8Array,
  at: number,
  salt: number,
  record: Omit<RecordHeader, "crc" | "length">,
  payload: readonly Uint8Array[],
): number {
  let length = 0;
  for (const part of payload) length += part.length;
  putUint32(target, at, salt);
  putUint32(target, at + 8, length);
  putUint32(target, at + 12, record.chain);
  putUint48(target, at + 16, record.sequence);
  target[at + 22] = record.kind;
  target[at + 23] = 0;
  putUint48(target, at + 24, record.watermark);
  target[at + 30] = 0;
  target[at + 31] = 0;
  let crc = crc32c(target, salt, at + 8, at + recordHeaderBytes);
  for (const part of payload) crc = crc32c(part, crc);
  putUint32(target, at + 4, crc);
  return crc;
}

/** The header at `at`, or undefined when its fields cannot be those of a record. The checksum is not looked at. */
export function decodeRecordHeader(bytes: Uint8Array, at: number, salt: number): RecordHeader | undefined {
  if (at + recordHeaderBytes > bytes.length || getUint32(bytes, at) !== salt) return undefined;
  const length = getUint32(bytes, at + 8);
  const kind = bytes[at + 22];
  const reserved = (bytes[at + 23] as number) | (bytes[at + 30] as number) | (bytes[at + 31] as number);
  if (reserved !== 0 || length > payloadBytesMax) return undefined;
  if (kind !== RecordKind.Data && (kind !== RecordKind.Marker || length !== 0)) return undefined;
  const sequence = getUint48(bytes, at + 16);
  const watermark = getUint48(bytes, at + 24);
  if (watermark > sequence) return undefined;
  return { crc: getUint32(bytes, at + 4), length, chain: getUint32(bytes, at + 12), sequence, kind, watermark };
}

/** Whether the whole record at `at`, payload included, has the checksum that its header names. */
export function recordIsIntact(bytes: Uint8Array, at: number, salt: number, header: RecordHeader): boolean {
  const end = at + recordHeaderBytes + header.length;
  return end <= bytes.length && crc32c(bytes, salt, at + 8, end) === header.crc;
}

/**
 * What a header was before one bit of it changed, if that explains its checksum: CRC-32C tells apart all changes of up to
 * three bits in so few bytes, so that there is one such bit at most. Anything else is no header any more.
 */
export function repairOneBit<T extends object>(bytes: Uint8Array, decode: (bytes: Uint8Array) => T | string): T | undefined {
  const changed = copyBytes(bytes);
  for (let bit = 0; bit < 8 * changed.length; bit++) {
    const at = bit >>> 3;
    const before = changed[at] as number;
    changed[at] = before ^ (1 << (bit & 7));
    const decoded = decode(changed);
    if (typeof decoded !== "string") return decoded;
    changed[at] = before;
  }
  return undefined;
}

function framed(magic: string, name: string, length: number): { readonly bytes: Uint8Array; readonly view: DataView } {
  assert(isLogName(name), `"${name}" is no name for a log`);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  for (let i = 0; i < magic.length; i++) bytes[i] = magic.charCodeAt(i);
  view.setUint16(8, formatVersion, true);
  view.setUint16(10, length, true);
  for (let i = 0; i < name.length; i++) bytes[36 + i] = name.charCodeAt(i);
  return { bytes, view };
}

function sealed(bytes: Uint8Array, view: DataView): Uint8Array {
  view.setUint32(60, crc32c(bytes, 0, 0, 60), true);
  return bytes;
}

function checkFrame(bytes: Uint8Array, magic: string, length: number, what: string): string | undefined {
  if (bytes.length < length) return `the ${what} is cut off`;
  for (let i = 0; i < magic.length; i++) if (bytes[i] !== magic.charCodeAt(i)) return `the ${what} does not begin with ${magic}`;
  const view = viewOf(bytes);
  if (view.getUint32(60, true) !== crc32c(bytes, 0, 0, 60)) return `the checksum of the ${what} does not match`;
  const version = view.getUint16(8, true);
  // Behind the checksum: this is a file of another version of Fogbank, not a damaged one.
  if (version !== formatVersion) return `the ${what} has format version ${version}, this Fogbank reads version ${formatVersion}`;
  return view.getUint16(10, true) === length ? undefined : `the ${what} has a wrong length`;
}

function decodeName(bytes: Uint8Array): string {
  let name = "";
  for (let i = 36; i < 36 + nameBytesMax && bytes[i] !== 0; i++) name += String.fromCharCode(bytes[i] as number);
  return name;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function putUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
}

function getUint32(bytes: Uint8Array, at: number): number {
  const high = (bytes[at + 3] as number) * 0x1000000;
  return high + ((bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16));
}

function putUint48(target: Uint8Array, at: number, value: number): void {
  putUint32(target, at, value % 0x100000000);
  const high = Math.floor(value / 0x100000000);
  target[at + 4] = high;
  target[at + 5] = high >>> 8;
}

function getUint48(bytes: Uint8Array, at: number): number {
  return getUint32(bytes, at) + ((bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8)) * 0x100000000;
}
