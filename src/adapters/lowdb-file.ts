/**
 * The file of a lowdb store: JSON that a person can read, one line for each entry.
 *
 *     {
 *     "format": "fogbank lowdb store",
 *     "version": 1,
 *     "entries": [
 *     {"key":"<hex>","is":"<what a reader wants to know>","value":"<base64>"},
 *     ],
 *     "checksum": "<CRC-32C of all bytes before this line, 8 hex digits>"
 *     }
 *
 * Written to a temporary file in slices, with the event loop free in between, fsynced, renamed, the folder fsynced: the
 * file is there whole, old or new. (lowdb's own adapters never fsync, and its presets use memory under NODE_ENV=test.)
 */
import * as fs from "node:fs";
import * as path from "node:path";
import type { Adapter } from "lowdb";
import { crc32c } from "../lib/crc32c.ts";
import { fromHex } from "../lib/hex.ts";
import { IoError, type LogFile, syncFile, temporarySuffix, writeFully } from "../lib/log-files.ts";
import { ioError, NodeFiles } from "./log/node-files.ts";

/** Key in hex -> value. */
export type LowdbContents = Map<string, Uint8Array>;

export class LowdbFileDamaged extends Error {
  override readonly name = "LowdbFileDamaged";
}

const format = "fogbank lowdb store";
const version = 1;
const sliceBytes = 256 * 1024;
const encoder = new TextEncoder();

export class LowdbFile implements Adapter<LowdbContents> {
  readonly #folder: string;
  readonly #fileName: string;
  readonly #describeKey: ((key: Uint8Array) => string | undefined) | undefined;

  constructor(options: {
    readonly folder: string;
    readonly fileName: string;
    readonly describeKey: ((key: Uint8Array) => string | undefined) | undefined;
  }) {
    this.#folder = options.folder;
    this.#fileName = options.fileName;
    this.#describeKey = options.describeKey;
  }

  async read(): Promise<LowdbContents | null> {
    let bytes: Uint8Array;
    try {
      bytes = await fs.promises.readFile(path.join(this.#folder, this.#fileName));
    } catch (error) {
      const translated = ioError(error);
      if (translated instanceof IoError && translated.code === "ENOENT") return null;
      throw translated;
    }
    return decodeFile(bytes);
  }

  /** The contents must not change until this is done. */
  async write(contents: LowdbContents): Promise<void> {
    const files = new NodeFiles(this.#folder);
    const temporary = `${this.#fileName}${temporarySuffix}`;
    try {
      const file = await files.open(temporary, "create");
      try {
        await this.#writeContents(file, contents);
        await syncFile(file);
      } finally {
        await file.close();
      }
      await files.rename(temporary, this.#fileName);
      await files.syncFolder();
    } catch (error) {
      // A full disk gets its space back.
      await files.remove(temporary).catch(() => undefined);
      throw error;
    }
  }

  async #writeContents(file: LogFile, contents: LowdbContents): Promise<void> {
    let position = 0;
    let checksum = 0;
    const write = async (text: string): Promise<void> => {
      const bytes = encoder.encode(text);
      checksum = crc32c(bytes, checksum);
      await writeFully(file, bytes, position);
      position += bytes.length;
    };
    let slice = `{\n"format": "${format}",\n"version": ${version},\n"entries": [`;
    let first = true;
    for (const [key, value] of contents) {
      slice += `${first ? "" : ","}\n${this.#line(key, value)}`;
      first = false;
      if (slice.length < sliceBytes) continue;
      await write(slice);
      slice = "";
    }
    await write(`${slice}\n],\n`);
    await write(`"checksum": "${checksum.toString(16).padStart(8, "0")}"\n}\n`);
  }

  #line(key: string, value: Uint8Array): string {
    const is = this.#describeKey?.(Buffer.from(key, "hex"));
    const base64 = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    return `{"key":"${key}",${is === undefined ? "" : `"is":${JSON.stringify(is)},`}"value":"${base64}"}`;
  }
}

const checksumLine = /^"checksum": "([0-9a-f]{8})"\n\}\n$/;
const checksumLineBytes = '"checksum": "00000000"\n}\n'.length;

function decodeFile(bytes: Uint8Array): LowdbContents {
  const end = bytes.length - checksumLineBytes;
  const stated = end < 0 ? null : checksumLine.exec(Buffer.from(bytes.subarray(end)).toString("latin1"));
  if (stated === null) throw new LowdbFileDamaged("it does not end with its checksum");
  // The checksum first: only then is an odd version a newer Fogbank's and not damage.
  if (crc32c(bytes, 0, 0, end) !== Number.parseInt(stated[1] as string, 16))
    throw new LowdbFileDamaged("its checksum does not match; it must not be changed by hand");
  const parsed = parseJson(bytes);
  if (!isRecord(parsed) || parsed["format"] !== format || !Array.isArray(parsed["entries"]))
    throw new LowdbFileDamaged("it is no lowdb store of Fogbank's");
  if (parsed["version"] !== version)
    throw new LowdbFileDamaged(`it has version ${JSON.stringify(parsed["version"])}, this Fogbank reads version ${version}`);
  const contents: LowdbContents = new Map();
  for (const entry of parsed["entries"] as unknown[]) {
    const key = isRecord(entry) ? entry["key"] : undefined;
    const value = isRecord(entry) ? entry["value"] : undefined;
    if (typeof key !== "string" || typeof value !== "string" || fromHex(key) === undefined || contents.has(key))
      throw new LowdbFileDamaged("an entry has no key or no value, or is there twice");
    contents.set(key, new Uint8Array(Buffer.from(value, "base64")));
  }
  return contents;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new LowdbFileDamaged("it is no JSON");
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
