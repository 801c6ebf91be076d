/**
 * Entries as bytes, the same in records and in messages: a count, then for each entry its term, its kind and its
 * command (length first). Numbers are LEB128 varints. Indexes follow from the first one. Append-only format.
 */
import { defined } from "../../lib/assert.ts";
import type { ByteReader } from "../../lib/byte-reader.ts";
import type { ByteWriter } from "../../lib/byte-writer.ts";
import type { Entry, EntryKind } from "./messages.ts";
import { entryBytes } from "./raft-log.ts";

/** Never renumber. */
const kindTags: Readonly<Record<EntryKind, number>> = { command: 1, "no-op": 2, configuration: 3 };
const kindOfTag: ReadonlyMap<number, EntryKind> = new Map([
  [kindTags.command, "command"],
  [kindTags["no-op"], "no-op"],
  [kindTags.configuration, "configuration"],
]);

/** Term, kind and length take a byte each at least: bounds a count before anything is allocated for it. */
const entryBytesMin = 3;

/** Room that is enough for the entries. */
export function entriesCapacity(entries: readonly Entry[]): number {
  let bytes = 8;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}

export function writeEntries(writer: ByteWriter, entries: readonly Entry[]): void {
  writer.varint(entries.length);
  for (const entry of entries) {
    writer.varint(entry.term);
    writer.u8(defined(kindTags[entry.kind], "tag of an entry's kind"));
    writer.blob(entry.command);
  }
}

/** Commands are views of the reader's bytes. Terms that fall, or lie outside [`termMin`, `termMax`], are damage. */
export function readEntries(
  reader: ByteReader,
  bounds: { readonly firstIndex: number; readonly termMin: number; readonly termMax: number },
): Entry[] {
  const count = reader.varintUpTo(Math.floor(reader.remaining / entryBytesMin), "the number of entries");
  if (bounds.firstIndex + count > Number.MAX_SAFE_INTEGER) reader.fail("damaged", "a log index is too large");
  const entries: Entry[] = [];
  let termMin = bounds.termMin;
  for (let i = 0; i < count && reader.problem === undefined; i++) {
    const term = reader.varint();
    const tag = reader.u8();
    const command = reader.blob();
    const kind = kindOfTag.get(tag);
    if (kind === undefined) reader.fail("unsupported-version", `an entry has the unknown kind ${tag}`);
    else if (term < termMin || term > bounds.termMax)
      reader.fail("damaged", `term ${term} of an entry is not from ${termMin} to ${bounds.termMax}`);
    else entries.push({ index: bounds.firstIndex + i, term, kind, command });
    termMin = term;
  }
  return entries;
}
