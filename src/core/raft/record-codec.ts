/**
 * A record of the write-ahead log as bytes. Version 2, numbers as LEB128 varints:
 *
 *     u8 version (2) | u8 flags (2: base) | term | commitIndex | votedFor, a text, "" for none | lastIndex
 *     | [base: index | term | configuration] | firstIndex | entries
 *
 * Version 1, still read, has neither lastIndex nor base, and its hard state only with flag 1. `firstIndex` is 0 exactly
 * when there are no entries. The log port guards the bytes by a checksum chain; what is checked here is that they make sense.
 */

import { assert } from "../../lib/assert.ts";
import { ByteReader, type Decoded } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { memberId } from "../../lib/ids.ts";
import { readConfiguration, writeConfiguration } from "./configuration-codec.ts";
import { entriesCapacity, readEntries, writeEntries } from "./entry-codec.ts";
import type { RaftRecord } from "./events-effects.ts";
import type { HardState, SnapshotMeta } from "./messages.ts";

const version = 2;
/** Never renumber. */
const flagHardState = 1;
const flagBase = 2;
const headerBytesMax = 64;

/** A record of any version: those of version 1 say less. */
export interface DecodedRecord extends Omit<RaftRecord, "hardState" | "lastIndex"> {
  readonly version: 1 | 2;
  /** Only in version 1 `undefined`: as in the record before. */
  readonly hardState: HardState | undefined;
  /** `undefined` exactly in version 1. */
  readonly lastIndex: number | undefined;
}

export function encodeRecord(record: RaftRecord): Uint8Array {
  const { hardState, base, firstIndex, entries, lastIndex } = record;
  assert(lastIndex >= lastIndexOf(record), `a log with the entry ${lastIndexOf(record)} does not end at ${lastIndex}`);
  const writer = new ByteWriter(headerBytesMax + entriesCapacity(entries));
  writer.u8(version);
  writer.u8(base === undefined ? 0 : flagBase);
  writer.varint(hardState.term);
  writer.varint(hardState.commitIndex);
  writer.text(hardState.votedFor ?? "");
  writer.varint(lastIndex);
  if (base !== undefined) writeSnapshotMeta(writer, base);
  writer.varint(firstIndex);
  writeEntries(writer, entries);
  return writer.view();
}

/** The record owns its memory: `payload` may be reused. */
export function decodeRecord(payload: Uint8Array): Decoded<DecodedRecord> {
  const reader = new ByteReader(copyBytes(payload));
  const found = reader.u8();
  if (found !== 1 && found !== version)
    reader.fail("unsupported-version", `a record has version ${found}, this program knows 1 to ${version}`);
  const flags = reader.u8();
  if ((flags & ~(found === 1 ? flagHardState : flagBase)) !== 0)
    reader.fail("unsupported-version", `a record has the unknown flags ${flags}`);
  return found === 1 ? readVersion1(reader, flags) : readVersion2(reader, flags);
}

function readVersion1(reader: ByteReader, flags: number): Decoded<DecodedRecord> {
  const hardState = (flags & flagHardState) === 0 ? undefined : readHardState(reader);
  return reader.finish({ version: 1, hardState, base: undefined, ...readTail(reader), lastIndex: undefined });
}

function readVersion2(reader: ByteReader, flags: number): Decoded<DecodedRecord> {
  const hardState = readHardState(reader);
  const lastIndex = reader.varint();
  const base = (flags & flagBase) === 0 ? undefined : readSnapshotMeta(reader);
  const tail = readTail(reader);
  const least = lastIndexOf({ base, ...tail });
  if (reader.problem === undefined && lastIndex < least)
    reader.fail("damaged", `a record with the entry ${least} says that the log ends at ${lastIndex}`);
  return reader.finish({ version, hardState, base, ...tail, lastIndex });
}

function readTail(reader: ByteReader): Pick<RaftRecord, "firstIndex" | "entries"> {
  const firstIndex = reader.varint();
  const entries = readEntries(reader, { firstIndex, termMin: 1, termMax: Number.MAX_SAFE_INTEGER });
  if ((firstIndex === 0) !== (entries.length === 0)) reader.fail("damaged", "a record's first index and entries contradict each other");
  return { firstIndex, entries };
}

function readHardState(reader: ByteReader): HardState {
  const term = reader.varint();
  const commitIndex = reader.varint();
  const votedFor = reader.text();
  return { term, commitIndex, votedFor: votedFor === "" ? undefined : memberId(votedFor) };
}

export function writeSnapshotMeta(writer: ByteWriter, meta: SnapshotMeta): void {
  writer.varint(meta.index);
  writer.varint(meta.term);
  writeConfiguration(writer, meta.configuration);
}

/** The first problem stands in the reader. */
export function readSnapshotMeta(reader: ByteReader): SnapshotMeta {
  const meta = { index: reader.varint(), term: reader.varint(), configuration: readConfiguration(reader) };
  if (reader.problem === undefined && (meta.index === 0) !== (meta.term === 0))
    reader.fail("damaged", `a snapshot at entry ${meta.index} of term ${meta.term} cannot be`);
  return meta;
}

/** The least that the log holds after a record. */
function lastIndexOf({ base, firstIndex, entries }: Pick<RaftRecord, "base" | "firstIndex" | "entries">): number {
  return entries.length > 0 ? firstIndex + entries.length - 1 : (base?.index ?? 0);
}
