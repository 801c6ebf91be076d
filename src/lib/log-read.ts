/**
 * Reads the segments of a log that is being opened, oldest first. A torn tail is cut. Damage ends the opening, or, with
 * `salvage`, is stepped over and noted, as long as the newest record that had been durable is there: it is what vouches
 * for the rest. Whatever is visited has its checksum, and its true sequence number.
 */
import { type DamagedPlace, type DamageNotes, LogDamage } from "./log-damage.ts";
import { type LogFile, type LogFiles, type LogHost, syncFile, writeFully } from "./log-files.ts";
import { decodeSegmentHeader, type LogHead, repairOneBit, type SegmentHeader, segmentFileName, segmentHeaderBytes } from "./log-format.ts";
import { findProof, type ScanEnd, scanRecords } from "./log-scan.ts";
import type { Segment } from "./log-segment.ts";

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
  /** What is missing; only where `salvage` was asked for. */
  readonly damage: DamageNotes;
}

export interface OpenOptions {
  readonly name: string;
  readonly files: LogFiles;
  readonly host: LogHost;
  readonly visit: (sequence: number, payload: Uint8Array) => void;
  /** Opens over damage where what is left can be told apart from what is lost, and the newest durable record is not lost. */
  readonly salvage?: boolean;
}

interface OpenSegment {
  readonly segment: Segment;
  readonly file: LogFile;
  /** `undefined`: it cannot be read, and nothing of the segment can. */
  readonly header: SegmentHeader | undefined;
}

interface Reading {
  readonly head: LogHead;
  readonly segments: readonly Segment[];
  readonly damage: DamageNotes;
}

/** The head file knows the segments up to the last of these; with `salvage`, some before it may be missing. */
export async function readSegments(options: OpenOptions, reading: Reading): Promise<OpenedLog> {
  const [first, ...others] = reading.segments as [Segment, ...Segment[]];
  const state = { options, ...reading, visited: 0 };
  noteMissing(state, undefined, first);
  let current = await openSegment(state, first);
  try {
    for (const segment of others) {
      const next = await openSegment(state, segment);
      try {
        await readSealed(state, current, next);
      } catch (error) {
        await next.file.close();
        throw error;
      }
      await current.file.close();
      current = next;
    }
    return await readLast(state, current);
  } catch (error) {
    await current.file.close().catch(() => undefined);
    throw error;
  }
}

interface ReadState extends Reading {
  readonly options: OpenOptions;
  /** Sequence number of the last record that was visited. */
  visited: number;
}

/** Segments between these two (or before the first) are not there. Their records are, with all that names them, unknown but by number. */
function noteMissing(
  { head, damage }: ReadState,
  current: { readonly ordinal: number; readonly end: number } | undefined,
  next: Segment,
): void {
  const expected = current === undefined ? head.firstOrdinal : current.ordinal + 1;
  if (next.ordinal === expected) return;
  const last = next.base - 1;
  // How far back the first ones went stands nowhere, unless nothing was ever trimmed.
  const first = current === undefined ? (expected === 1 ? 1 : last) : current.end + 1;
  const what = next.ordinal - expected === 1 ? `segment ${expected} is missing` : `segments ${expected} to ${next.ordinal - 1} are missing`;
  const fileName = `*-${expected.toString(16).padStart(8, "0")}.log`;
  damage.add(next.ordinal - 1, { fileName }, what, { first, last });
}

async function openSegment(state: ReadState, segment: Segment): Promise<OpenSegment> {
  const { files, name } = state.options;
  const file = await files.open(segment.fileName, "open");
  try {
    segment.bytes = await file.size();
    const bytes = new Uint8Array(segmentHeaderBytes);
    const read = await file.read(bytes, 0);
    const header = headerOf(state, segment, bytes.subarray(0, read));
    if (header === undefined) return { segment, file, header };
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

/** The header, as it is, or as it was before one bit of it changed. Throws where it is needed and cannot be read. */
function headerOf({ options, head, damage }: ReadState, segment: Segment, bytes: Uint8Array): SegmentHeader | undefined {
  const header = decodeSegmentHeader(bytes);
  if (typeof header !== "string") return header;
  const place = { fileName: segment.fileName, offset: 0 };
  if (options.salvage !== true) throw new LogDamage(options.name, place, header);
  const repaired = repairOneBit(bytes, decodeSegmentHeader);
  if (repaired !== undefined) damage.add(segment.ordinal, place, `${header}; one bit had changed`, { first: 1, last: 0 });
  else if (segment.ordinal === head.lastOrdinal) throw new LogDamage(options.name, place, header);
  return repaired;
}

/** A segment with a successor: every record below the successor's base had been durable when that one was made. */
async function readSealed(state: ReadState, current: OpenSegment, next: OpenSegment): Promise<void> {
  const { segment, header } = current;
  const { options, damage } = state;
  const { base } = next.segment;
  const adjacent = next.segment.ordinal === segment.ordinal + 1;
  if (header === undefined) {
    damage.add(segment.ordinal, { ...segment, offset: 0 }, "its header cannot be read", { first: segment.base, last: base - 1 });
    if (!adjacent) noteMissing(state, { ordinal: segment.ordinal, end: base - 1 }, next.segment);
    return;
  }
  const placeOf = (end: ScanEnd): DamagedPlace => ({ fileName: segment.fileName, offset: end.offset, sequence: end.sequence + 1 });
  // Behind a missing segment it is not known where that one began: its base may be below records that failed here. Only what
  // later records of this segment vouch for cannot have been superseded.
  const before = adjacent ? base : (await scan(state, current, base, () => undefined)).watermark + 1;
  const end = await scan(
    state,
    current,
    before,
    (sequence, payload) => {
      state.visited = sequence;
      options.visit(sequence, payload);
    },
    damage,
  );
  if (end.contradicts && end.sequence < before - 1) throw new LogDamage(options.name, placeOf(end), end.invalid ?? "");
  if (!adjacent) {
    noteMissing(state, { ordinal: segment.ordinal, end: end.sequence }, next.segment);
    return;
  }
  if (end.sequence < base - 1) {
    const what = `${end.invalid ?? "the file ends here"}, and ${next.segment.fileName} proves that it had been durable`;
    if (options.salvage !== true) throw new LogDamage(options.name, placeOf(end), what);
    damage.add(segment.ordinal, placeOf(end), what, { first: end.sequence + 1, last: base - 1 });
    return;
  }
  const continued = next.header === undefined || end.visited < base - 1 || end.dataChain === next.header.chain;
  if (end.sequence > base - 1 || !continued)
    throw new LogDamage(options.name, placeOf(end), `${next.segment.fileName} does not continue this segment`);
  if (next.header?.supersedes === false && (end.invalid !== undefined || end.offset < segment.bytes)) {
    const what = end.invalid ?? "there are records that the next segment has as well";
    // A marker may be what cannot be read: no record is lost with it.
    if (options.salvage !== true || end.invalid === undefined || end.contradicts) throw new LogDamage(options.name, placeOf(end), what);
    damage.add(segment.ordinal, placeOf(end), what, { first: 1, last: 0 });
  }
}

/** Reads a sealed segment; where `damage` is given, what is lost is noted there. */
function scan(
  { options }: ReadState,
  { segment, file, header }: OpenSegment,
  before: number,
  visit: (sequence: number, payload: Uint8Array) => void,
  damage?: DamageNotes,
): Promise<ScanEnd> {
  const lost = (first: number, last: number, offset: number, what: string) =>
    damage?.add(segment.ordinal, { fileName: segment.fileName, offset, sequence: first }, what, { first, last });
  const salvage = options.salvage === true ? { wasDurable: () => Promise.resolve(true), lost } : undefined;
  return scanRecords(file, segment.bytes, header as SegmentHeader, { before, visit, ...(salvage === undefined ? {} : { salvage }) });
}

/** The segment that is written to: its end is judged, a torn tail cut, and all that stays made durable. */
async function readLast(state: ReadState, last: OpenSegment): Promise<OpenedLog> {
  const { options, head, damage, segments } = state;
  const { segment, file } = last;
  const header = last.header as SegmentHeader;
  const proofOf = async (sequence: number, offset: number): Promise<string | undefined> => {
    if (head.durable >= sequence) return "the head file proves";
    const proof = await findProof(file, segment.bytes, { salt: header.salt, offset, sequence });
    return proof === undefined ? undefined : `record ${proof} proves`;
  };
  const visit = (sequence: number, payload: Uint8Array): void => {
    state.visited = sequence;
    options.visit(sequence, payload);
  };
  const salvage = {
    wasDurable: async (sequence: number, offset: number) => (await proofOf(sequence, offset)) !== undefined,
    lost: (first: number, lastLost: number, offset: number, what: string) =>
      damage.add(segment.ordinal, { fileName: segment.fileName, offset, sequence: first }, what, { first, last: lastLost }),
  };
  const scanOptions = { before: Number.POSITIVE_INFINITY, visit, ...(options.salvage === true ? { salvage } : {}) };
  const end = await scanRecords(file, segment.bytes, header, scanOptions);
  const next = end.sequence + 1;
  const where = { fileName: segment.fileName, offset: end.offset, sequence: next };
  const damaged = (proof: string) =>
    new LogDamage(options.name, where, `${end.invalid ?? "the file ends here"}, and ${proof} that it had been durable`);
  if (head.durable >= next) throw damaged("the head file proves");
  const tornTailBytes = segment.bytes - end.offset;
  if (end.invalid !== undefined) {
    const proof = await proofOf(next, end.offset);
    if (proof !== undefined) throw damaged(proof);
  }
  // What the newest record said, nothing else can say.
  const report = damage.report();
  if (report !== undefined && report.lostRecords > 0 && state.visited < end.sequence) {
    const place = { fileName: segment.fileName, sequence: end.sequence };
    throw new LogDamage(options.name, place, `the newest record that had been durable is lost (${report.message})`);
  }
  if (end.invalid !== undefined) {
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
    damage,
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
