/**
 * Texts, each distinct one once, as they come; a column of whole numbers says which one each reading has, which costs next to nothing where
 * none repeats. UTF-8, or UTF-16 where a lone surrogate would be lost; deflated (RFC 1951) when that is shorter.
 *
 *     varint  texts (more than 0; the column is no bytes when there are no readings)
 *     column  bytes of each text
 *     u8      1 UTF-16, 2 deflated
 *     varint  when deflated: bytes that follow
 *     bytes   of all texts, one after the other
 *     column  the text of each reading
 */

import { deflateSync, inflateSync } from "fflate/browser";
import type { ByteWriter } from "../../lib/byte-writer.ts";
import { ByteWriter as Writer } from "../../lib/byte-writer.ts";
import type { ColumnSource } from "./bit-packing.ts";
import { allWhole, planIntegers, readIntegers } from "./integers.ts";

const flagUtf16 = 1;
const flagDeflated = 2;
/** What is longer is written as it is, so that no chunk makes its reader allocate more than this on its word. */
const inflatedBytesMax = 16 * 1024 * 1024;
const deflatedBytesMin = 48;
const deflateLevel = 6;
/** What one byte of a deflate stream can stand for at most, generously. */
const inflateRatioMax = 1100;

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** `indexes`: of each reading's text in `texts`, of which each is distinct and used. */
export function writeTexts(writer: ByteWriter, texts: readonly string[], indexes: Float64Array): void {
  if (indexes.length === 0) return;
  const utf16 = texts.some(hasLoneSurrogate);
  const lengths = new Float64Array(texts.length);
  const all = new Writer(texts.length * 16);
  texts.forEach((text, i) => {
    const before = all.length;
    if (utf16) for (let at = 0; at < text.length; at++) all.u16(text.charCodeAt(at));
    else all.raw(utf8Encoder.encode(text));
    lengths[i] = all.length - before;
  });
  writer.varint(texts.length);
  planIntegers(lengths).write(writer);
  writeBytes(writer, all.view(), utf16 ? flagUtf16 : 0);
  planIntegers(indexes).write(writer);
}

function writeBytes(writer: ByteWriter, bytes: Uint8Array, flags: number): void {
  const worthTrying = bytes.length >= deflatedBytesMin && bytes.length <= inflatedBytesMax;
  const deflated = worthTrying ? deflateSync(bytes, { level: deflateLevel }) : bytes;
  if (deflated.length + 2 < bytes.length) {
    writer.u8(flags | flagDeflated);
    writer.blob(deflated);
  } else {
    writer.u8(flags);
    writer.raw(bytes);
  }
}

/** Gives the texts and fills `indexes`. */
export function readTexts(source: ColumnSource, indexes: Float64Array): readonly string[] {
  if (indexes.length === 0) return [];
  const { reader } = source;
  const lengths = new Float64Array(reader.varintUpTo(indexes.length, "the number of texts"));
  readIntegers(source, lengths);
  const flags = reader.u8();
  if (flags > (flagUtf16 | flagDeflated) || !allWhole(lengths, 0, Number.MAX_SAFE_INTEGER))
    reader.fail("damaged", "texts of no known form");
  if (reader.problem !== undefined) return [];
  let total = 0;
  for (const length of lengths) total += length;
  const bytes = (flags & flagDeflated) === 0 ? reader.raw(total) : inflate(source, total);
  const texts: string[] = [];
  let at = 0;
  for (const length of lengths) {
    if (reader.problem !== undefined) return [];
    texts.push(textOf(source, bytes.subarray(at, at + length), flags));
    at += length;
  }
  readIntegers(source, indexes);
  if (reader.problem === undefined && !allWhole(indexes, 0, texts.length - 1)) reader.fail("damaged", "a chunk has no such text");
  return texts;
}

function inflate(source: ColumnSource, length: number): Uint8Array {
  const { reader } = source;
  const deflated = reader.blob();
  if (length > inflatedBytesMax || length > deflated.length * inflateRatioMax)
    reader.fail("damaged", `texts of ${length} bytes in ${deflated.length}`);
  if (reader.problem !== undefined) return deflated;
  try {
    const bytes = inflateSync(deflated, { out: new Uint8Array(length) });
    if (bytes.length === length) return bytes;
  } catch {
    // Reported below, with the same words.
  }
  reader.fail("damaged", "deflated texts do not inflate to their length");
  return deflated;
}

function textOf(source: ColumnSource, bytes: Uint8Array, flags: number): string {
  if ((flags & flagUtf16) !== 0) return utf16Text(source, bytes);
  try {
    return bytes.length === 0 ? "" : utf8Decoder.decode(bytes);
  } catch {
    source.reader.fail("damaged", "a text is not UTF-8");
    return "";
  }
}

const unitsAtOnce = 4096;

function utf16Text(source: ColumnSource, bytes: Uint8Array): string {
  if (bytes.length % 2 !== 0) source.reader.fail("damaged", "a text ends within a UTF-16 unit");
  const parts: string[] = [];
  for (let from = 0; from < bytes.length; from += unitsAtOnce * 2) {
    const units: number[] = [];
    for (let at = from; at + 1 < Math.min(from + unitsAtOnce * 2, bytes.length); at += 2)
      units.push((bytes[at] as number) | ((bytes[at + 1] as number) << 8));
    parts.push(String.fromCharCode(...units));
  }
  return parts.join("");
}

/** With the flag `u`, a pair is one character, and only a surrogate without its other half matches. */
function hasLoneSurrogate(text: string): boolean {
  return /[\ud800-\udfff]/u.test(text);
}
