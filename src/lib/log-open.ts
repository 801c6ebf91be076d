/**
 * Opens a log's folder: finishes what a crash interrupted, reads every segment, cuts a torn tail, and refuses what was
 * durable and is damaged or missing. After it, everything that was visited is durable.
 */
import { type Failure, failure } from "./errors.ts";
import { IoError, type LogFile, type LogFiles, type LogHost, replaceFile, syncFile, temporarySuffix, writeFully } from "./log-files.ts";
import {
  decodeHead,
  decodeSegmentHeader,
  encodeHead,
  encodeSegmentHeader,
  headBytes,
  headFileName,
  type LogHead,
  parseSegmentFileName,
  type SegmentHeader,
  segmentFileName,
  segmentHeaderBytes,
} from "./log-format.ts";
import { findProof, type ScanEnd, scanRecords } from "./log-scan.ts";

/** One segment file, as the writer keeps it in mind. */
export interface Segment {
  readonly ordinal: number;
  readonly base: number;
  readonly fileName: string;
  bytes: number;
}

/** What the writer goes on from. */
export interface OpenedLog {
  readonly head: LogHead;
  /** Oldest first; the last one is written to. */
  readonly segments: Segment[];
  readonly file: LogFile;
  readonly header: SegmentHeader;
  /** The last sequence number; all up to it are durable. */
  readonly sequence: number;
  /** Checksum of the last record, markers included. */
  readonly chain: number;
  /** Checksum of the last data record. */
  readonly dataChain: number;
  readonly endsWithMarker: boolean;
  readonly tornTailBytes: number;
}

/** Thrown while opening; carries the `log-damaged` failure. */
export class LogDamage extends Error {
  override readonly name = "LogDamage";
  readonly failure: Failure;

  constructor(log: string, where: { readonly fileName: string; readonly offset?: number; readonly sequence?: number }, what: string) {
    const offset = where.offset === undefined ? "" : `, byte ${where.offset}`;
    const sequence = where.sequence === undefined ? "" : `, sequence ${where.sequence}`;
    const message =
      `The log "${log}" is damaged: ${where.fileName}${offset}${sequence}: ${what}. Nothing of it is served. ` +
      "Check the disk. The way out: put back a copy of the data folder that was made since its last start, or move the folder away and " +
      'admit this gateway anew ("fogbank gateway replace"); the other gateways keep serving meanwhile.';
    super(message);
    this.failure = failure("log-damaged", message);
  }
}

export interface OpenOptions {
  readonly name: string;
  readonly files: LogFiles;
  readonly host: LogHost;
  readonly visit: (sequence: number, payload: Uint8Array) => void;
}

/** Rejects with `LogDamage`, or with the `IoError` of the disk. */
export async function openLog(options: OpenOptions): Promise<OpenedLog> {
  const { files, name } = options;
  const fileNames = await files.list();
  // A process that died between a rename and the folder's fsync leaves a name that a power cut may take back, and with it
  // everything that is written under it from now on.
  await files.syncFolder();
  for (const fileName of fileNames) if (fileName.endsWith(temporarySuffix)) await files.remove(fileName);
  let found = listSegments(fileNames);
  if (!fileNames.includes(headFileName)) return createLog(options, found);
  const head = await readHead(options);
  // What was trimmed and still stands: the crash came between the head file and the deletion.
  for (const segment of found) if (segment.ordinal < head.firstOrdinal) await files.remove(segment.fileName);
  found = found.filter((segment) => segment.ordinal >= head.firstOrdinal);
  found = await dropUnfinished(options, head, found);
  checkComplete(name, head, found);
  return readSegments(options, head, found);
}

function listSegments(fileNames: readonly string[]): Segment[] {
  const segments: Segment[] = [];
  for (const fileName of fileNames) {
    const parsed = parseSegmentFileName(fileName);
    if (parsed !== undefined) segments.push({ ...parsed, fileName, bytes: 0 });
  }
  return segments.sort((a, b) => a.ordinal - b.ordinal);
}

/** No head file: a new log, or the crash came while the first segment was made. Otherwise the head file was lost. */
async function createLog(options: OpenOptions, found: readonly Segment[]): Promise<OpenedLog> {
  const { files, name } = options;
  for (const segment of found) {
    if (segment.ordinal !== 1 || (await segmentBytes(files, segment)) > segmentHeaderBytes) {
      throw new LogDamage(name, { fileName: headFileName }, `the file is missing, and there is ${segment.fileName}`);
    }
  }
  const created = await createSegment(files, { name, ordinal: 1, base: 1, chain: 0, salt: options.host.salt(), supersedes: false });
  const head: LogHead = { name, firstOrdinal: 1, lastOrdinal: 1, durable: 0 };
  await replaceFile(files, headFileName, encodeHead(head));
  const { file, segment, header } = created;
  return { head, segments: [segment], file, header, sequence: 0, chain: 0, dataChain: 0, endsWithMarker: false, tornTailBytes: 0 };
}

/** Creates a segment that holds its header only, durably. The head file does not name it yet. */
export async function createSegment(
  files: LogFiles,
  header: SegmentHeader,
): Promise<{ readonly file: LogFile; readonly segment: Segment; readonly header: SegmentHeader }> {
  const fileName = segmentFileName(header.base, header.ordinal);
  const file = await files.open(fileName, "create");
  try {
    await writeFully(file, encodeSegmentHeader(header), 0);
    await syncFile(file);
    await files.syncFolder();
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
  return { file, segment: { ordinal: header.ordinal, base: header.base, fileName, bytes: segmentHeaderBytes }, header };
}

async function segmentBytes(files: LogFiles, segment: Segment): Promise<number> {
  const file = await files.open(segment.fileName, "open");
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

async function readHead({ files, name }: OpenOptions): Promise<LogHead> {
  const file = await files.open(headFileName, "open");
  const bytes = new Uint8Array(headBytes);
  let size: number;
  try {
    size = await file.size();
    await file.read(bytes, 0);
  } finally {
    await file.close();
  }
  const head = size === headBytes ? decodeHead(bytes) : `the head file has ${size} bytes instead of ${headBytes}`;
  if (typeof head === "string") throw new LogDamage(name, { fileName: headFileName }, head);
  if (head.name !== name) throw new LogDamage(name, { fileName: headFileName }, `it belongs to the log "${head.name}"`);
  return head;
}

/**
 * Replaces a segment that holds no durable record by a fresh file of the same name: all of it on other blocks of the
 * disk, and atomically, so that there is a good header under the name at any time.
 */
export async function replaceSegment(
  files: LogFiles,
  segment: Segment,
  header: SegmentHeader,
): Promise<{ readonly file: LogFile; readonly segment: Segment; readonly header: SegmentHeader }> {
  await replaceFile(files, segment.fileName, encodeSegmentHeader(header));
  segment.bytes = segmentHeaderBytes;
  return { file: await files.open(segment.fileName, "open"), segment, header };
}

export interface VerifyOptions {
  readonly log: string;
  readonly segment: Segment;
  readonly header: SegmentHeader;
  /** All up to this sequence number had been durable, the last of them with the checksum `dataChain`. */
  readonly durable: number;
  readonly dataChain: number;
}

/** Reads back what had been durable in a segment and cuts off the rest where the disk allows it. */
export async function verifySegment(files: LogFiles, options: VerifyOptions): Promise<void> {
  const { segment, header, durable } = options;
  const file = await files.open(segment.fileName, "open");
  try {
    const bytes = new Uint8Array(segmentHeaderBytes);
    const found = decodeSegmentHeader(bytes.subarray(0, await file.read(bytes, 0)));
    if (typeof found === "string" || found.salt !== header.salt)
      throw new LogDamage(options.log, { ...segment, offset: 0 }, "its header changed");
    const end = await scanRecords(file, await file.size(), header, { before: durable + 1, visit: () => undefined });
    if (end.sequence < durable || end.dataChain !== options.dataChain) {
      const where = { fileName: segment.fileName, offset: end.offset, sequence: end.sequence + 1 };
      throw new LogDamage(options.log, where, `${end.invalid ?? "the record is not the one that was written"}, and it had been durable`);
    }
    segment.bytes = end.offset;
    await cut(file, end.offset);
  } finally {
    await file.close().catch(() => undefined);
  }
}

async function cut(file: LogFile, size: number): Promise<void> {
  try {
    await file.truncate(size);
    await syncFile(file);
  } catch (error) {
    // What stands there is superseded by the segment that is made next.
    if (!(error instanceof IoError)) throw error;
  }
}

/** Segments that the head file does not name have no records: the crash came while they were made. */
async function dropUnfinished({ files, name }: OpenOptions, head: LogHead, found: readonly Segment[]): Promise<Segment[]> {
  const kept: Segment[] = [];
  for (const segment of found) {
    if (segment.ordinal <= head.lastOrdinal) {
      kept.push(segment);
    } else if ((await segmentBytes(files, segment)) <= segmentHeaderBytes) {
      await files.remove(segment.fileName);
    } else {
      throw new LogDamage(name, segment, `the head file knows segments up to ${head.lastOrdinal} only`);
    }
  }
  return kept;
}

function checkComplete(name: string, head: LogHead, found: readonly Segment[]): void {
  if (head.firstOrdinal > head.lastOrdinal) throw new LogDamage(name, { fileName: headFileName }, "it names no segment");
  // Only now: several attempts at the next segment, each with a base of its own, may have been left behind.
  for (const [index, segment] of found.entries()) {
    if (found[index - 1]?.ordinal === segment.ordinal) throw new LogDamage(name, segment, "two segments have the same ordinal");
  }
  for (let ordinal = head.firstOrdinal, index = 0; ordinal <= head.lastOrdinal; ordinal++, index++) {
    if (found[index]?.ordinal === ordinal) continue;
    const missing = `segment ${ordinal} of ${head.firstOrdinal} … ${head.lastOrdinal} is missing`;
    throw new LogDamage(name, { fileName: `*-${ordinal.toString(16).padStart(8, "0")}.log` }, missing);
  }
}

interface OpenSegment {
  readonly segment: Segment;
  readonly file: LogFile;
  readonly header: SegmentHeader;
}

async function readSegments(options: OpenOptions, head: LogHead, found: readonly Segment[]): Promise<OpenedLog> {
  let current = await openSegment(options, found[0] as Segment);
  try {
    for (const segment of found.slice(1)) {
      const next = await openSegment(options, segment);
      try {
        await readSealed(options, current, next);
      } catch (error) {
        await next.file.close();
        throw error;
      }
      await current.file.close();
      current = next;
    }
    return await readLast(options, head, found, current);
  } catch (error) {
    await current.file.close().catch(() => undefined);
    throw error;
  }
}

async function openSegment({ files, name }: OpenOptions, segment: Segment): Promise<OpenSegment> {
  const file = await files.open(segment.fileName, "open");
  try {
    segment.bytes = await file.size();
    const bytes = new Uint8Array(segmentHeaderBytes);
    const read = await file.read(bytes, 0);
    const header = decodeSegmentHeader(bytes.subarray(0, read));
    if (typeof header === "string") throw new LogDamage(name, { ...segment, offset: 0 }, header);
    if (header.name !== name) throw new LogDamage(name, { ...segment, offset: 0 }, `it belongs to the log "${header.name}"`);
    if (segmentFileName(header.base, header.ordinal) !== segment.fileName) {
      throw new LogDamage(name, { ...segment, offset: 0 }, `its header says that it is ${segmentFileName(header.base, header.ordinal)}`);
    }
    return { segment, file, header };
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

/** A segment with a successor: every record below the successor's base had been durable when that one was made. */
async function readSealed(options: OpenOptions, current: OpenSegment, next: OpenSegment): Promise<void> {
  const { segment, file, header } = current;
  const base = next.header.base;
  const damaged = (end: ScanEnd, what: string) =>
    new LogDamage(options.name, { fileName: segment.fileName, offset: end.offset, sequence: end.sequence + 1 }, what);
  const end = await scanRecords(file, segment.bytes, header, { before: base, visit: options.visit });
  if (end.sequence < base - 1) {
    throw damaged(end, `${end.invalid ?? "the file ends here"}, and ${next.segment.fileName} proves that it had been durable`);
  }
  if (end.sequence > base - 1 || end.dataChain !== next.header.chain) {
    throw damaged(end, `${next.segment.fileName} does not continue this segment`);
  }
  if (!next.header.supersedes && (end.invalid !== undefined || end.offset < segment.bytes)) {
    throw damaged(end, end.invalid ?? "there are records that the next segment has as well");
  }
}

/** The segment that is written to: its end is judged, a torn tail cut, and all that stays made durable. */
async function readLast(options: OpenOptions, head: LogHead, segments: readonly Segment[], last: OpenSegment): Promise<OpenedLog> {
  const { segment, file, header } = last;
  const end = await scanRecords(file, segment.bytes, header, { before: Number.POSITIVE_INFINITY, visit: options.visit });
  const next = end.sequence + 1;
  const where = { fileName: segment.fileName, offset: end.offset, sequence: next };
  if (head.durable >= next) {
    throw new LogDamage(options.name, where, `${end.invalid ?? "the file ends here"}, and the head file proves that it had been durable`);
  }
  const tornTailBytes = segment.bytes - end.offset;
  if (end.invalid !== undefined) {
    const proof = await findProof(file, segment.bytes, { salt: header.salt, offset: end.offset, sequence: next });
    if (proof !== undefined)
      throw new LogDamage(options.name, where, `${end.invalid}, and record ${proof} proves that it had been durable`);
    await file.truncate(end.offset);
    segment.bytes = end.offset;
  }
  await rewriteUnvouched(file, end);
  await syncFile(file);
  return {
    head,
    segments: [...segments],
    file,
    header,
    sequence: end.sequence,
    chain: end.chain,
    dataChain: end.dataChain,
    endsWithMarker: end.endsWithMarker,
    tornTailBytes,
  };
}

/**
 * Writes the records that nothing vouches for once more, in place and unchanged. An fsync that failed before a crash of
 * the process leaves pages that read well, count as clean, and are not on the disk: only writing dirties them again.
 */
async function rewriteUnvouched(file: LogFile, end: ScanEnd): Promise<void> {
  const chunk = new Uint8Array(Math.min(end.offset - end.unvouchedOffset, rewriteBytes));
  for (let offset = end.unvouchedOffset; offset < end.offset; ) {
    const read = await file.read(chunk.subarray(0, end.offset - offset), offset);
    if (read === 0) return;
    await writeFully(file, chunk.subarray(0, read), offset);
    offset += read;
  }
}

const rewriteBytes = 1024 * 1024;
