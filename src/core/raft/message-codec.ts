/**
 * Raft messages as frames. Version 1: u8 version (1) | u8 type | term | the fields of the type, in the order of the
 * functions below; numbers are LEB128 varints, truth values a byte. New types get new tags; a field is never removed.
 */

import { unreachable } from "../../lib/assert.ts";
import { ByteReader, type Decoded } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { entriesCapacity, readEntries, writeEntries } from "./entry-codec.ts";
import type { AppendRequest, RaftMessage, RaftMessageType } from "./messages.ts";

const version = 1;
const headerBytesMax = 64;

/** Never renumber. */
const typeTags: Readonly<Record<RaftMessageType, number>> = {
  "pre-vote-request": 1,
  "pre-vote-response": 2,
  "vote-request": 3,
  "vote-response": 4,
  append: 5,
  "append-accepted": 6,
  "append-rejected": 7,
  "install-snapshot": 8,
  "timeout-now": 9,
};
/** A vote request that follows a `timeout-now`: a type of its own on the wire, so that the form of type 3 stays what it was. */
const transferVoteTag = 10;

export function encodeMessage(message: RaftMessage): Uint8Array {
  const writer = new ByteWriter(headerBytesMax + (message.type === "append" ? entriesCapacity(message.entries) : 0));
  writer.u8(version);
  writer.u8(message.type === "vote-request" && message.transfer ? transferVoteTag : typeTags[message.type]);
  writer.varint(message.term);
  writeFields(writer, message);
  return writer.view();
}

function writeFields(writer: ByteWriter, message: RaftMessage): void {
  switch (message.type) {
    case "pre-vote-request":
    case "vote-request":
      writer.varint(message.lastLogIndex);
      return writer.varint(message.lastLogTerm);
    case "pre-vote-response":
    case "vote-response":
      return writer.u8(message.granted ? 1 : 0);
    case "append":
      writer.varint(message.prevIndex);
      writer.varint(message.prevTerm);
      writer.varint(message.commitIndex);
      writer.varint(message.readSequence);
      return writeEntries(writer, message.entries);
    case "append-accepted":
      writer.varint(message.matchIndex);
      writer.varint(message.receivedIndex);
      return writer.varint(message.readSequence);
    case "append-rejected":
      writer.varint(message.rejectedIndex);
      writer.varint(message.conflictIndex);
      writer.varint(message.conflictTerm);
      return writer.varint(message.readSequence);
    case "install-snapshot":
      writer.varint(message.snapshotIndex);
      writer.varint(message.snapshotTerm);
      return writer.varint(message.readSequence);
    case "timeout-now":
      return;
    default:
      return unreachable(message);
  }
}

/** A message that makes sense in itself, or what is wrong with the bytes. It owns its memory: `frame` may be reused. */
export function decodeMessage(frame: Uint8Array): Decoded<RaftMessage> {
  const reader = new ByteReader(copyBytes(frame));
  const found = reader.u8();
  if (found !== version) reader.fail("unsupported-version", `a Raft message has version ${found}, this program knows ${version}`);
  const tag = reader.u8();
  const term = reader.varint();
  const message = readFields(reader, tag, term);
  if (message === undefined) {
    reader.fail("unsupported-version", `a Raft message has the unknown type ${tag}`);
    return reader.finish({ type: "vote-response", term, granted: false });
  }
  if (term === 0) reader.fail("damaged", "a Raft message has term 0");
  return reader.finish(message);
}

function readFields(reader: ByteReader, tag: number, term: number): RaftMessage | undefined {
  switch (tag) {
    case typeTags["pre-vote-request"]:
      return { type: "pre-vote-request", term, ...readLast(reader) };
    case typeTags["vote-request"]:
      return { type: "vote-request", term, ...readLast(reader), transfer: false };
    case transferVoteTag:
      return { type: "vote-request", term, ...readLast(reader), transfer: true };
    case typeTags["pre-vote-response"]:
      return { type: "pre-vote-response", term, granted: readTruth(reader) };
    case typeTags["vote-response"]:
      return { type: "vote-response", term, granted: readTruth(reader) };
    case typeTags.append:
      return readAppend(reader, term);
    case typeTags["append-accepted"]:
      return { type: "append-accepted", term, matchIndex: reader.varint(), receivedIndex: reader.varint(), readSequence: reader.varint() };
    case typeTags["append-rejected"]:
      return {
        type: "append-rejected",
        term,
        rejectedIndex: reader.varint(),
        conflictIndex: reader.varint(),
        conflictTerm: reader.varint(),
        readSequence: reader.varint(),
      };
    case typeTags["install-snapshot"]:
      return {
        type: "install-snapshot",
        term,
        snapshotIndex: reader.varint(),
        snapshotTerm: reader.varint(),
        readSequence: reader.varint(),
      };
    case typeTags["timeout-now"]:
      return { type: "timeout-now", term };
    default:
      return undefined;
  }
}

function readLast(reader: ByteReader): { readonly lastLogIndex: number; readonly lastLogTerm: number } {
  return { lastLogIndex: reader.varint(), lastLogTerm: reader.varint() };
}

function readTruth(reader: ByteReader): boolean {
  return reader.varintUpTo(1, "a truth value") === 1;
}

function readAppend(reader: ByteReader, term: number): AppendRequest {
  const prevIndex = reader.varint();
  const prevTerm = reader.varint();
  const commitIndex = reader.varint();
  const readSequence = reader.varint();
  if (prevTerm > term) reader.fail("damaged", `an append of term ${term} follows an entry of term ${prevTerm}`);
  if ((prevIndex === 0) !== (prevTerm === 0)) reader.fail("damaged", "an append follows an entry that cannot be");
  const entries = readEntries(reader, { firstIndex: prevIndex + 1, termMin: Math.max(1, prevTerm), termMax: term });
  return { type: "append", term, prevIndex, prevTerm, commitIndex, readSequence, entries };
}
