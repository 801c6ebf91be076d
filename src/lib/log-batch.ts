/**
 * Turns waiting records into one write: small parts are gathered in a scratch buffer, large ones go to the disk from
 * where they are.
 */
import { encodeRecordHeader, RecordKind, recordHeaderBytes } from "./log-format.ts";

/** Parts up to this size are copied: one more element of a gathering write costs more than the copy. */
const copiedPartBytesMax = 4096;
const scratchBytesMax = 1024 * 1024;
const batchRecordsMax = 4096;

export interface WaitingRecord {
  readonly parts: readonly Uint8Array[];
  /** Of the payload. */
  readonly bytes: number;
  readonly durable: () => void;
}

export interface Batch {
  /** 0 for a marker. */
  readonly records: number;
  readonly bytes: number;
  readonly parts: readonly Uint8Array[];
  /** Checksum of the last record. */
  readonly chain: number;
}

/** What a batch continues. */
export interface BatchBegin {
  readonly salt: number;
  readonly chain: number;
  /** Sequence number of the last record before the batch, which is the watermark as well: it is durable. */
  readonly sequence: number;
  /** A batch of more than one record is no larger than this. */
  readonly bytesMax: number;
}

export class BatchEncoder {
  #scratch = new Uint8Array(4096);

  /** A batch of the records from `queue[from]` on: at least one. It is valid until the next is encoded. */
  encode(queue: readonly WaitingRecord[], from: number, begin: BatchBegin): Batch {
    let records = 0;
    let bytes = 0;
    let copied = 0;
    while (from + records < queue.length && records < batchRecordsMax) {
      const record = queue[from + records] as WaitingRecord;
      const recordBytes = recordHeaderBytes + record.bytes;
      const recordCopied = recordHeaderBytes + copiedBytes(record);
      if (records > 0 && (bytes + recordBytes > begin.bytesMax || copied + recordCopied > scratchBytesMax)) break;
      records++;
      bytes += recordBytes;
      copied += recordCopied;
    }
    const scratch = this.#scratchOf(copied);
    const parts: Uint8Array[] = [];
    let chain = begin.chain;
    let at = 0;
    let partStart = 0;
    for (let i = 0; i < records; i++) {
      const record = queue[from + i] as WaitingRecord;
      const fields = { chain, sequence: begin.sequence + 1 + i, kind: RecordKind.Data, watermark: begin.sequence };
      chain = encodeRecordHeader(scratch, at, begin.salt, fields, record.parts);
      at += recordHeaderBytes;
      for (const part of record.parts) {
        if (part.length <= copiedPartBytesMax) {
          scratch.set(part, at);
          at += part.length;
        } else {
          parts.push(scratch.subarray(partStart, at), part);
          partStart = at;
        }
      }
    }
    if (at > partStart) parts.push(scratch.subarray(partStart, at));
    return { records, bytes, parts, chain };
  }

  /** A marker: states that everything up to `begin.sequence` is durable. */
  encodeMarker(begin: BatchBegin): Batch {
    const scratch = this.#scratchOf(recordHeaderBytes);
    const fields = { chain: begin.chain, sequence: begin.sequence, kind: RecordKind.Marker, watermark: begin.sequence };
    const chain = encodeRecordHeader(scratch, 0, begin.salt, fields, []);
    return { records: 0, bytes: recordHeaderBytes, parts: [scratch.subarray(0, recordHeaderBytes)], chain };
  }

  #scratchOf(bytes: number): Uint8Array {
    if (bytes > this.#scratch.length) {
      const grown = new Uint8Array(Math.max(bytes, Math.min(2 * this.#scratch.length, scratchBytesMax)));
      // A record of very many small parts may need more than is worth keeping.
      if (bytes > scratchBytesMax) return grown;
      this.#scratch = grown;
    }
    return this.#scratch;
  }
}

function copiedBytes(record: WaitingRecord): number {
  let bytes = 0;
  for (const part of record.parts) if (part.length <= copiedPartBytesMax) bytes += part.length;
  return bytes;
}

/** What is left of `parts` when their first `written` bytes are done: after a short write. */
export function remainingParts(parts: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = written;
  for (const part of parts) {
    if (skip >= part.length) skip -= part.length;
    else {
      rest.push(skip === 0 ? part : part.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}
