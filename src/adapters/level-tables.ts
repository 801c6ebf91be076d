/**
 * Looks at the tables of a LevelDB folder before LevelDB does. LevelDB, as classic-level builds it, checks neither the index of a table
 * nor its blocks against the checksums that it wrote, and believes what they say: one turned bit there ends the process with an
 * assertion, or makes it look in places that do not exist. What its journal of versions names is looked at and nothing else: a
 * power cut may leave half a table that nothing relies on.
 *
 * Formats: LevelDB's doc/table_format.md, doc/log_format.md, db/version_edit.cc.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { crc32c } from "../lib/crc32c.ts";

const footerBytes = 48;
const trailerBytes = 5;
/** Little endian, the last eight bytes of a table: 0xdb4775248b80fb57. */
const magic = Uint8Array.of(0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb);
const journalBlockBytes = 32_768;
const journalHeaderBytes = 7;

/** Says what is damaged; `undefined` when every table's index can be relied on, and where only LevelDB itself can tell. */
export async function findTableDamage(folder: string): Promise<string | undefined> {
  const numbers = await liveTables(folder);
  for (const number of numbers ?? []) {
    const name = String(number).padStart(6, "0");
    for (const extension of ["ldb", "sst"]) {
      const problem = await tableProblem(path.join(folder, `${name}.${extension}`));
      if (problem !== undefined) return `${name}.${extension}: ${problem}`;
    }
  }
  return undefined;
}

/** A file that is missing is LevelDB's to miss. */
async function tableProblem(file: string): Promise<string | undefined> {
  let handle: fs.promises.FileHandle;
  try {
    handle = await fs.promises.open(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size < footerBytes) return "it is too short";
    const footer = await bytesOf(handle, size - footerBytes, footerBytes);
    if (!magic.every((byte, at) => footer[footerBytes - magic.length + at] === byte)) return "it does not end like a table";
    const fields = new Fields(footer);
    for (const block of ["list of blocks beside the data", "index"]) {
      const offset = fields.number();
      const length = fields.number();
      if (offset === undefined || length === undefined || offset + length + trailerBytes > size - footerBytes)
        return `its footer does not say where its ${block} is`;
      const bytes = await bytesOf(handle, offset, length + trailerBytes);
      const stated = new DataView(bytes.buffer, bytes.byteOffset + length + 1).getUint32(0, true);
      if (masked(crc32c(bytes, 0, 0, length + 1)) !== stated) return `the checksum of its ${block} does not match`;
    }
    return undefined;
  } finally {
    await handle.close();
  }
}

async function bytesOf(handle: fs.promises.FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
    // It was shortened meanwhile: zeros match no checksum.
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes;
}

/** LevelDB stores checksums so, lest those of data that contains checksums are of no use. */
function masked(checksum: number): number {
  return (((checksum >>> 15) | (checksum << 17)) + 0xa282ead8) >>> 0;
}

/** Of the newest version; `undefined` where the journal of versions is missing or damaged, which LevelDB finds out by itself. */
async function liveTables(folder: string): Promise<ReadonlySet<number> | undefined> {
  let journal: Uint8Array;
  try {
    const current = (await fs.promises.readFile(path.join(folder, "CURRENT"), "utf8")).trim();
    if (!/^MANIFEST-\d+$/.test(current)) return undefined;
    journal = await fs.promises.readFile(path.join(folder, current));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const live = new Set<number>();
  for (const edit of journalRecords(journal)) if (!applyEdit(edit, live)) return undefined;
  return live;
}

/** Whole records of a journal, put together from their fragments; ends where the journal does not go on. */
function* journalRecords(journal: Uint8Array): Iterable<Uint8Array> {
  const view = new DataView(journal.buffer, journal.byteOffset, journal.length);
  let fragments: Uint8Array[] = [];
  for (let at = 0; at + journalHeaderBytes <= journal.length; ) {
    const left = journalBlockBytes - (at % journalBlockBytes);
    if (left < journalHeaderBytes) {
      at += left;
      continue;
    }
    const length = view.getUint16(at + 4, true);
    // 1 whole, 2 first, 3 middle, 4 last
    const type = journal[at + 6] as number;
    const end = at + journalHeaderBytes + length;
    if (type < 1 || type > 4 || end > journal.length) return;
    if (type <= 2) fragments = [];
    fragments.push(journal.subarray(at + journalHeaderBytes, end));
    if (type === 1 || type === 4) yield Buffer.concat(fragments);
    at = end;
  }
}

/** The tables that come and go with a change of versions; false when it is of a form that is not known. */
function applyEdit(edit: Uint8Array, live: Set<number>): boolean {
  const fields = new Fields(edit);
  while (!fields.isAtEnd()) {
    switch (fields.number()) {
      case 1: // name of the order of keys
        fields.skipText();
        break;
      case 2: // journal
      case 3: // next file
      case 4: // last sequence number
      case 9: // journal before
        fields.number();
        break;
      case 5: // where compaction of a level goes on
        fields.number();
        fields.skipText();
        break;
      case 6: {
        fields.number();
        const gone = fields.number();
        if (gone !== undefined) live.delete(gone);
        break;
      }
      case 7: {
        fields.number();
        const come = fields.number();
        fields.number();
        fields.skipText();
        fields.skipText();
        if (come !== undefined) live.add(come);
        break;
      }
      default:
        return false;
    }
    if (fields.failed) return false;
  }
  return true;
}

/** Base-128 numbers, and texts behind their length. */
class Fields {
  failed = false;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number | undefined {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    this.failed = true;
    return undefined;
  }

  skipText(): void {
    const length = this.number() ?? 0;
    this.#at += length;
    if (this.#at > this.#bytes.length) this.failed = true;
  }
}
