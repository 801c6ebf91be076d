/**
 * The `Documents` port: small JSON files through lowdb, with an adapter that does what lowdb's own does not: write to a
 * temporary file, fsync, rename, fsync the folder. Envelope: `{ version: 1, checksum, content }`, the checksum a CRC-32C
 * of the content's JSON. A file that cannot be read or does not match is an error, never an empty document.
 */

import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { type Adapter, Low } from "lowdb";
import { crc32c } from "../lib/crc32c.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import type { Documents } from "../ports/documents.ts";

interface Envelope {
  readonly version: 1;
  readonly checksum: string;
  readonly content: unknown;
}

export class FileDocuments implements Documents {
  readonly #folder: string;
  /** Writes of one document one after the other. */
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(options: { readonly folder: string }) {
    this.#folder = options.folder;
  }

  async read(name: string): Promise<Result<unknown>> {
    const file = this.#fileOf(name);
    try {
      const database = new Low<Envelope | null>(new DurableFile(file), null);
      await database.read();
      const envelope = database.data;
      if (envelope === null) return success(undefined);
      const sound = envelope.version === 1 && envelope.checksum === checksumOf(envelope.content);
      return sound ? success(envelope.content) : failure("data-damaged", `the document ${file} does not match its checksum`);
    } catch (error) {
      return failure("data-damaged", `the document ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  write(name: string, value: unknown): Promise<Result<void>> {
    const written = (this.#queues.get(name) ?? Promise.resolve()).then(() => this.#write(this.#fileOf(name), value));
    this.#queues.set(name, written);
    return written;
  }

  async #write(file: string, value: unknown): Promise<Result<void>> {
    try {
      await mkdir(this.#folder, { recursive: true });
      // What is written is what JSON makes of it, so that the checksum holds after reading it back.
      const content: unknown = JSON.parse(JSON.stringify(value));
      await new Low<Envelope | null>(new DurableFile(file), { version: 1, checksum: checksumOf(content), content }).write();
      return success(undefined);
    } catch (error) {
      const full = error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
      return failure(
        full ? "disk-full" : "store-failed",
        `the document ${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  #fileOf(name: string): string {
    return path.join(this.#folder, `${name}.json`);
  }
}

class DurableFile implements Adapter<Envelope | null> {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async read(): Promise<Envelope | null> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#file, "utf8"));
      if (typeof value !== "object" || value === null) throw new Error("it holds no object");
      return value as Envelope;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      throw error;
    }
  }

  async write(data: Envelope | null): Promise<void> {
    const temporary = `${this.#file}.new`;
    const handle = await open(temporary, "w");
    try {
      await handle.writeFile(JSON.stringify(data));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, this.#file).catch(async (error: unknown) => {
      await rm(temporary, { force: true });
      throw error;
    });
    const folder = await open(path.dirname(this.#file), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

function checksumOf(content: unknown): string {
  return crc32c(new TextEncoder().encode(JSON.stringify(content))).toString(16);
}
