/**
 * Reads a segment's records in order, in bounded memory (a window of 256 KiB, or one record where that is larger), and
 * judges what stands behind the last good one.
 */

import type { LogFile } from "./log-files.ts";
import {
  decodeRecordHeader,
  type RecordHeader,
  RecordKind,
  recordHeaderBytes,
  recordIsIntact,
  type SegmentHeader,
  segmentHeaderBytes,
} from "./log-format.ts";

const windowBytes = 256 * 1024;

export interface ScanOptions {
  /** Records from this sequence number on do not count here: a newer segment has them. */
  readonly before: number;
  readonly visit: (sequence: number, payload: Uint8Array) => void;
  /** Goes on behind damage, where it is damage. Without it, the first bytes that are no record end the scan. */
  readonly salvage?: Salvage;
}

export interface Salvage {
  /** Whether record `sequence`, which cannot be read at `offset`, had been durable: otherwise it is the torn tail. */
  readonly wasDurable: (sequence: number, offset: number) => Promise<boolean>;
  /** Records from `first` to `last` are lost (none, when only a marker is). */
  readonly lost: (first: number, last: number, offset: number, what: string) => void;
}

export interface ScanEnd {
  /** Behind the last good record. */
  readonly offset: number;
  /** Of the last good data record; base − 1 when there is none. */
  readonly sequence: number;
  /** Checksum of the last good record: the chain that the next one continues. */
  readonly chain: number;
  /** Checksum of the last good data record (markers left out), or the header's chain. */
  readonly dataChain: number;
  /** The highest watermark stated by a good record. */
  readonly watermark: number;
  /**
   * Where the data record of the watermark ends: an fsync had covered the file up to here. Nothing vouches for what
   * follows, the marker that states the watermark included.
   */
  readonly unvouchedOffset: number;
  readonly endsWithMarker: boolean;
  /** Of the last record that was visited; base − 1 when there is none. */
  readonly visited: number;
  /** Why what stands at `offset` is no record; undefined at the end of the file or at `before`. */
  readonly invalid: string | undefined;
  /** There stands a good record, which cannot be there: no damage of a disk explains it. */
  readonly contradicts: boolean;
}

/** A file seen through a window that moves forward. */
class Window {
  readonly #file: LogFile;
  readonly fileBytes: number;
  bytes: Uint8Array;
  /** Position in the file of the window's first byte. */
  start = 0;
  #filled = 0;

  constructor(file: LogFile, fileBytes: number) {
    this.#file = file;
    this.fileBytes = fileBytes;
    this.bytes = new Uint8Array(Math.min(windowBytes, fileBytes));
  }

  /** Makes `length` bytes from `offset` available (fewer at the end of the file); returns how many there are. */
  async need(offset: number, length: number): Promise<number> {
    const available = this.start + this.#filled - offset;
    const wanted = Math.min(length, this.fileBytes - offset);
    if (offset >= this.start && available >= wanted) return available;
    const kept = offset >= this.start && available > 0 ? this.bytes.subarray(offset - this.start, this.#filled) : new Uint8Array(0);
    const target = wanted > this.bytes.length ? new Uint8Array(wanted) : this.bytes;
    target.set(kept);
    const room = target.subarray(kept.length, Math.min(target.length, this.fileBytes - offset));
    const read = room.length === 0 ? 0 : await this.#file.read(room, offset + kept.length);
    this.bytes = target;
    this.start = offset;
    this.#filled = kept.length + read;
    return this.#filled;
  }

  view(): Uint8Array {
    return this.bytes.subarray(0, this.#filled);
  }
}

/** Visits the good records of a segment up to the end, to `before`, or to the first that is none. */
export async function scanRecords(file: LogFile, fileBytes: number, header: SegmentHeader, options: ScanOptions): Promise<ScanEnd> {
  const window = new Window(file, fileBytes);
  let offset = segmentHeaderBytes;
  let sequence = header.base - 1;
  let visited = sequence;
  let chain = header.chain;
  let dataChain = header.chain;
  let watermark = header.base - 1;
  let endsWithMarker = false;
  let invalid: string | undefined;
  let contradicts = false;
  let unvouchedOffset = offset;
  /** Where the data records behind the watermark end, in order; the first is that of record watermark + 1. */
  let unvouched: number[] = [];
  while (offset < fileBytes) {
    const record = await readRecord(window, offset, header.salt);
    if (typeof record === "string") {
      invalid = record;
      const { salvage } = options;
      if (salvage === undefined || !(await salvage.wasDurable(sequence + 1, offset))) break;
      const found = await findRecord(window, header.salt, offset + 1, (next) => firstBehind(next) > sequence);
      if (found === undefined || firstBehind(found.record) > options.before) break;
      salvage.lost(sequence + 1, firstBehind(found.record) - 1, offset, record);
      offset = found.offset;
      sequence = firstBehind(found.record) - 1;
      chain = found.record.chain;
      unvouched = [];
      invalid = undefined;
      continue;
    }
    const expected = record.kind === RecordKind.Data ? sequence + 1 : sequence;
    if (record.chain !== chain || record.sequence !== expected) {
      invalid = `record ${record.sequence} does not continue record ${sequence}`;
      contradicts = true;
      break;
    }
    const length = recordHeaderBytes + record.length;
    if (record.kind === RecordKind.Data) {
      if (record.sequence >= options.before) break;
      sequence = record.sequence;
      visited = sequence;
      dataChain = record.crc;
      unvouched.push(offset + length);
      const at = offset - window.start;
      options.visit(sequence, window.view().subarray(at + recordHeaderBytes, at + length));
    }
    if (record.watermark > watermark) {
      // Fewer than none where damage lies between: what was vouched for before stands.
      const vouched = Math.max(0, unvouched.length - (sequence - record.watermark));
      unvouchedOffset = unvouched[vouched - 1] ?? unvouchedOffset;
      unvouched = unvouched.slice(vouched);
      watermark = record.watermark;
    }
    endsWithMarker = record.kind === RecordKind.Marker;
    chain = record.crc;
    offset += length;
  }
  return { offset, sequence, chain, dataChain, watermark, unvouchedOffset, endsWithMarker, visited, invalid, contradicts };
}

/** The sequence number of a data record; of a marker, that of the data record which would follow it. */
const firstBehind = (record: RecordHeader): number => (record.kind === RecordKind.Data ? record.sequence : record.sequence + 1);

/** The record at `offset`, whole in the window, or why what stands there is none. */
async function readRecord(window: Window, offset: number, salt: number): Promise<RecordHeader | string> {
  await window.need(offset, recordHeaderBytes);
  const record = decodeRecordHeader(window.view(), offset - window.start, salt);
  if (record === undefined) return "no record begins here";
  const length = recordHeaderBytes + record.length;
  if ((await window.need(offset, length)) < length) return "the record is cut off";
  return recordIsIntact(window.view(), offset - window.start, salt, record) ? record : "the checksum does not match";
}

/**
 * Looks behind a bad record for a good one that states a watermark >= `sequence`: the proof that the bad one had been
 * durable. Only records with such a watermark have their checksum computed, so hostile payloads cost no time.
 */
export async function findProof(
  file: LogFile,
  fileBytes: number,
  options: { readonly salt: number; readonly offset: number; readonly sequence: number },
): Promise<number | undefined> {
  const found = await findRecord(
    new Window(file, fileBytes),
    options.salt,
    options.offset,
    (record) => record.watermark >= options.sequence,
  );
  return found?.record.sequence;
}

/** The first good record at or behind `offset` that is `wanted`. */
async function findRecord(
  window: Window,
  salt: number,
  from: number,
  wanted: (record: RecordHeader) => boolean,
): Promise<{ readonly offset: number; readonly record: RecordHeader } | undefined> {
  const { fileBytes } = window;
  let offset = from;
  while (offset + recordHeaderBytes <= fileBytes) {
    await window.need(offset, recordHeaderBytes);
    const found = indexOfSalt(window.view(), salt, offset - window.start);
    if (found < 0) {
      // The last three bytes may be the beginning of a salt.
      const end = window.start + window.view().length;
      if (end >= fileBytes) return undefined;
      offset = end - 3;
      continue;
    }
    offset = window.start + found;
    await window.need(offset, recordHeaderBytes);
    const record = decodeRecordHeader(window.view(), offset - window.start, salt);
    if (record !== undefined && wanted(record)) {
      const length = recordHeaderBytes + record.length;
      if ((await window.need(offset, length)) >= length && recordIsIntact(window.view(), offset - window.start, salt, record))
        return { offset, record };
    }
    offset++;
  }
  return undefined;
}

function indexOfSalt(bytes: Uint8Array, salt: number, from: number): number {
  const first = salt & 0xff;
  const second = (salt >>> 8) & 0xff;
  const third = (salt >>> 16) & 0xff;
  const fourth = salt >>> 24;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (bytes[at + 1] === second && bytes[at + 2] === third && bytes[at + 3] === fourth) return at;
  }
  return -1;
}
