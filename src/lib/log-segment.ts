/** Segment files on their own: made durably, replaced, verified after a failed write. */
import { LogDamage } from "./log-damage.ts";
import { IoError, type LogFile, type LogFiles, replaceFile, syncFile, writeFully } from "./log-files.ts";
import { decodeSegmentHeader, encodeSegmentHeader, type SegmentHeader, segmentFileName, segmentHeaderBytes } from "./log-format.ts";
import { scanRecords } from "./log-scan.ts";

/** One segment file, as the writer keeps it in mind. */
export interface Segment {
  readonly ordinal: number;
  readonly base: number;
  readonly fileName: string;
  bytes: number;
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

export async function segmentBytes(files: LogFiles, segment: Segment): Promise<number> {
  const file = await files.open(segment.fileName, "open");
  try {
    return await file.size();
  } finally {
    await file.close();
  }
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
