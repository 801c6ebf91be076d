/**
 * A record of the write-ahead log as bytes. Version 1, numbers as LEB128 varints:
 *
 *     u8 version (1) | u8 flags (1: hard state) | [term | commitIndex | votedFor, a text, "" for none] | firstIndex | entries
 *
 * `firstIndex` is 0 exactly when there are no entries. The log port guards the bytes by a checksum chain; what is
 * checked here is that they make sense.
 */

import { ByteReader, type Decoded } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { gatewayId } from "../../lib/ids.ts";
import { entriesCapacity, readEntries, writeEntries } from "./entry-codec.ts";
import type { RaftRecord } from "./events-effects.ts";
import type { HardState } from "./messages.ts";

const version = 1;
const flagHardState = 1;
const headerBytesMax = 64;

export function encodeRecord(record: RaftRecord): Uint8Array {
  const { hardState, firstIndex, entries } = record;
  const writer = new ByteWriter(headerBytesMax + entriesCapacity(entries));
  writer.u8(version);
  writer.u8(hardState === undefined ? 0 : flagHardState);
  if (hardState !== undefined) {
    writer.varint(hardState.term);
    writer.varint(hardState.commitIndex);
    writer.text(hardState.votedFor ?? "");
  }
  writer.varint(firstIndex);
  writeEntries(writer, entries);
  return writer.view();
}

/** The record owns its memory: `payload` may be reused. */
export function decodeRecord(payload: Uint8Array): Decoded<RaftRecord> {
  const reader = new ByteReader(copyBytes(payload));
  const found = reader.u8();
  if (found !== version) reader.fail("unsupported-version", `a record has version ${found}, this program knows ${version}`);
  const flags = reader.u8();
  if ((flags & ~flagHardState) !== 0) reader.fail("unsupported-version", `a record has the unknown flags ${flags}`);
  const hardState = (flags & flagHardState) === 0 ? undefined : readHardState(reader);
  const firstIndex = reader.varint();
  const entries = readEntries(reader, { firstIndex, termMin: 1, termMax: Number.MAX_SAFE_INTEGER });
  if ((firstIndex === 0) !== (entries.length === 0)) reader.fail("damaged", "a record's first index and entries contradict each other");
  return reader.finish({ hardState, firstIndex, entries });
}

function readHardState(reader: ByteReader): HardState {
  const term = reader.varint();
  const commitIndex = reader.varint();
  const votedFor = reader.text();
  return { term, commitIndex, votedFor: votedFor === "" ? undefined : gatewayId(votedFor) };
}
