/**
 * Snapshots of the site's state as bytes, version 1. The same state at the same log index gives the same bytes.
 *
 *     snapshot: block, block, …
 *     block:    content length u32 | CRC-32C u32 of the content, chained to the block before | content   (little-endian)
 *     content:  item, item, …     item: section u8 | length varint | MessagePack
 *
 *     section                 item
 *       1 Header              [1 (version), applied index, feature level]; the first
 *       2 Bootstrap           the command as it was committed
 *       3 Start               [gateway, start count, session]
 *       4 Device              [id, profile, metrics, first seen ms]
 *       5 Kv                  [key, value, revision]
 *       6 Member              [gateway, member id?, incarnation?, slot, role, zone?, weight, address?]
 *       7 Membership          { greatestSlot, retired: [incarnation], ring? }
 *       8 Job                 [name, since ms?, commits, last committed from ms?, to ms?, windows begun since the last merge]
 *       9 Window              [job, from ms, to ms, attempt, claimed by?, revision, committed attempt]
 *      10 WindowRange         [job, from ms, step ms, count, attempt, claimed by?, revision, committed attempt]
 *      11 Outbox              { firstOrdinal, stored: [[gateway, ordinal]] }
 *      12 Run                 [index, job, from ms, to ms, attempt, revision, rows, digest, sinks], from `firstOrdinal` on
 *      13 Session             [gateway, session, floor, log index of its last command]
 *      14 Remembered          [session, sequence, result]
 *      15 EndedSessions       [session, …]
 *      16 Retention           [windows whose readings went before they were committed]; since level 3, with the first horizon
 *      17 Horizon             ["raw" or "rollup", horizon µs, 128 bytes: a bit for each partition that has it]; since level 3
 *      18 ClockFlags          [slot, [from µs of a range that goes on], [from µs, to µs, from µs, …]]; since level 4, with the first range
 *     255 End                 [number of items before it]; the last, so that no shorter snapshot is taken for whole
 *
 * What may be absent (?) is null. Maps are in the order in which the log made them, which every gateway shares.
 */

import { ByteReader } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { crc32c } from "../../lib/crc32c.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";
import { count, tuple } from "./shapes.ts";

export const stateFormatVersion = 1;

/** Never renumber. */
export const Section = {
  Header: 1,
  Bootstrap: 2,
  Start: 3,
  Device: 4,
  Kv: 5,
  Member: 6,
  Membership: 7,
  Job: 8,
  Window: 9,
  WindowRange: 10,
  Outbox: 11,
  Run: 12,
  Session: 13,
  Remembered: 14,
  EndedSessions: 15,
  Retention: 16,
  Horizon: 17,
  ClockFlags: 18,
  End: 255,
} as const;
export type Section = (typeof Section)[keyof typeof Section];

/** Items of one section as they were when captured, made one by one when they are encoded. */
export interface Part {
  readonly section: Section;
  readonly size: number;
  readonly item: (at: number) => unknown;
}

/** Content of a block, unless one item alone is larger. */
const blockBytes = 64 << 10;
const blockHeaderBytes = 8;

/** Encodes lazily, a block for each `next()`. */
export function* encodeParts(parts: readonly Part[], packing: Packing): Generator<Uint8Array> {
  const writer = new ByteWriter(blockBytes);
  let checksum = 0;
  let items = 0;
  const flush = (): Uint8Array => {
    const content = writer.view();
    checksum = crc32c(content, checksum);
    const block = new Uint8Array(blockHeaderBytes + content.length);
    const view = new DataView(block.buffer);
    view.setUint32(0, content.length, true);
    view.setUint32(4, checksum, true);
    block.set(content, blockHeaderBytes);
    writer.reset();
    return block;
  };
  for (const part of parts) {
    for (let at = 0; at < part.size; at++) {
      const packed = packing.pack(part.item(at));
      if (writer.length > 0 && writer.length + packed.length > blockBytes) yield flush();
      writer.u8(part.section);
      writer.blob(packed);
      items++;
    }
  }
  writer.u8(Section.End);
  writer.blob(packing.pack([items]));
  yield flush();
}

/**
 * Reads a whole snapshot item by item, the end left out; `visit` refuses what it cannot take. Anything missing, changed or
 * too much is `data-damaged`.
 */
export function decodeParts(encoded: Uint8Array, packing: Packing, visit: (section: number, item: unknown) => boolean): Result<void> {
  const reader = new ByteReader(encoded);
  let checksum = 0;
  let items = 0;
  let ended = false;
  while (reader.remaining > 0) {
    const length = reader.u32();
    const expected = reader.u32();
    const content = reader.raw(length);
    if (reader.problem !== undefined) return damaged(reader.problem.message);
    if (ended) return damaged("something follows its end");
    checksum = crc32c(content, checksum);
    if (checksum !== expected) return damaged("a block does not match its checksum");
    const inside = new ByteReader(content);
    while (inside.remaining > 0) {
      const section = inside.u8();
      const packed = inside.blob();
      if (inside.problem !== undefined) return damaged(inside.problem.message);
      if (ended) return damaged("something follows its end");
      const item = packing.unpack(packed);
      if (!item.ok) return damaged(item.message);
      if (section === Section.End) {
        if (!isEndOf(item.value, items)) return damaged(`it does not hold the ${items} items that it should`);
        ended = true;
      } else {
        if (!visit(section, item.value)) return damaged(`item ${items} of section ${section} is malformed`);
        items++;
      }
    }
  }
  return ended ? success(undefined) : damaged("its end is missing");
}

const isEnd = tuple(count);

function isEndOf(item: unknown, items: number): boolean {
  return isEnd(item) && (item as readonly [number])[0] === items;
}

function damaged(what: string): Result<never> {
  return failure("data-damaged", `the snapshot of the site's state is damaged: ${what}`);
}
