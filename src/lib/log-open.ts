/**
 * Opens a log's folder: finishes what a crash interrupted, reads every segment, cuts a torn tail, and refuses what was
 * durable and is damaged or missing. After it, everything that was visited is durable.
 */
import { DamageNotes, LogDamage } from "./log-damage.ts";
import { replaceFile, temporarySuffix } from "./log-files.ts";
import {
  decodeHead,
  encodeHead,
  headBytes,
  headFileName,
  type LogHead,
  parseSegmentFileName,
  repairOneBit,
  segmentHeaderBytes,
} from "./log-format.ts";
import { type OpenedLog, type OpenOptions, readSegments } from "./log-read.ts";
import { createSegment, type Segment, segmentBytes } from "./log-segment.ts";

/** Rejects with `LogDamage`, or with the `IoError` of the disk. */
export async function openLog(options: OpenOptions): Promise<OpenedLog> {
  const { files } = options;
  const fileNames = await files.list();
  // A process that died between a rename and the folder's fsync leaves a name that a power cut may take back, and with it
  // everything that is written under it from now on.
  await files.syncFolder();
  for (const fileName of fileNames) if (fileName.endsWith(temporarySuffix)) await files.remove(fileName);
  let found = listSegments(fileNames);
  if (!fileNames.includes(headFileName)) return createLog(options, found);
  const damage = new DamageNotes();
  const head = await readHead(options, damage);
  // What was trimmed and still stands: the crash came between the head file and the deletion.
  for (const segment of found) if (segment.ordinal < head.firstOrdinal) await files.remove(segment.fileName);
  found = found.filter((segment) => segment.ordinal >= head.firstOrdinal);
  found = await dropUnfinished(options, head, found);
  checkComplete(options, head, found);
  const opened = await readSegments(options, { head, segments: found, damage });
  return opened.damage.lastOrdinal === found.at(-1)?.ordinal ? await continueElsewhere(options, opened) : opened;
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
  const empty = { sequence: 0, chain: 0, dataChain: 0, endsWithMarker: false, tornTailBytes: 0 };
  return { head, segments: [segment], file, header, ...empty, damage: new DamageNotes() };
}

/** What is damaged is never written to: the next records go to a segment of their own, behind all that could be read. */
async function continueElsewhere(options: OpenOptions, opened: OpenedLog): Promise<OpenedLog> {
  const { files, name, host } = options;
  try {
    const ordinal = opened.head.lastOrdinal + 1;
    const base = opened.sequence + 1;
    const chain = opened.dataChain;
    const { file, segment, header } = await createSegment(files, { name, ordinal, base, chain, salt: host.salt(), supersedes: true });
    try {
      const head = { ...opened.head, lastOrdinal: ordinal, durable: opened.sequence };
      await replaceFile(files, headFileName, encodeHead(head));
      return { ...opened, head, segments: [...opened.segments, segment], file, header, chain, endsWithMarker: true };
    } catch (error) {
      await file.close().catch(() => undefined);
      throw error;
    }
  } finally {
    await opened.file.close().catch(() => undefined);
  }
}

async function readHead({ files, name, salvage }: OpenOptions, damage: DamageNotes): Promise<LogHead> {
  const file = await files.open(headFileName, "open");
  const bytes = new Uint8Array(headBytes);
  let size: number;
  try {
    size = await file.size();
    await file.read(bytes, 0);
  } finally {
    await file.close();
  }
  let head = size === headBytes ? decodeHead(bytes) : `the head file has ${size} bytes instead of ${headBytes}`;
  const repaired = salvage === true && size === headBytes && typeof head === "string" ? repairOneBit(bytes, decodeHead) : undefined;
  if (repaired !== undefined) {
    damage.add(0, { fileName: headFileName }, `one bit had changed (${head as string}); it is as it was again`, { first: 1, last: 0 });
    await replaceFile(files, headFileName, encodeHead(repaired));
    head = repaired;
  }
  if (typeof head === "string") throw new LogDamage(name, { fileName: headFileName }, head);
  if (head.name !== name) throw new LogDamage(name, { fileName: headFileName }, `it belongs to the log "${head.name}"`);
  return head;
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

function checkComplete({ name, salvage }: OpenOptions, head: LogHead, found: readonly Segment[]): void {
  if (head.firstOrdinal > head.lastOrdinal) throw new LogDamage(name, { fileName: headFileName }, "it names no segment");
  // Only now: several attempts at the next segment, each with a base of its own, may have been left behind.
  for (const [index, segment] of found.entries()) {
    if (found[index - 1]?.ordinal === segment.ordinal) throw new LogDamage(name, segment, "two segments have the same ordinal");
  }
  for (let ordinal = head.firstOrdinal, index = 0; ordinal <= head.lastOrdinal; ordinal++, index++) {
    if (found[index]?.ordinal === ordinal) continue;
    // The newest one says, by its name, where the one before it ended: any other may be missing.
    if (salvage === true && found.at(-1)?.ordinal === head.lastOrdinal) return;
    const missing = `segment ${ordinal} of ${head.firstOrdinal} … ${head.lastOrdinal} is missing`;
    throw new LogDamage(name, { fileName: `*-${ordinal.toString(16).padStart(8, "0")}.log` }, missing);
  }
}
