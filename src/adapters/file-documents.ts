/**
 * The `Documents` port: one lowdb file for each document, `<name>.json`, with an adapter that writes a temporary file,
 * fsyncs it, renames it and fsyncs the folder. The file holds `{ version: 1, checksum, content }`; the checksum is the
 * CRC-32C (8 hex digits) of the content as JSON, so a changed bit is an error and never another document.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { type Adapter, Low } from "lowdb";
import { assert } from "../lib/assert.ts";
import { crc32c } from "../lib/crc32c.ts";
import { type Failure, FailureError, failure, type Result, success } from "../lib/errors.ts";
import { IoError, replaceFile } from "../lib/log-files.ts";
import type { Documents } from "../ports/documents.ts";
import { createFolder, ioError, NodeFiles } from "./log/node-files.ts";

interface Envelope {
  readonly version: 1;
  readonly checksum: string;
  readonly content: unknown;
}

const none: Envelope = { version: 1, checksum: "", content: undefined };

export class FileDocuments implements Documents {
  readonly #folder: string;
  /** Writes of one document come one after the other. */
  readonly #writes = new Map<string, Promise<unknown>>();

  constructor(options: { readonly folder: string }) {
    this.#folder = options.folder;
  }

  async read(name: string): Promise<Result<unknown>> {
    const database = this.#database(name);
    try {
      await database.read();
      return success(database.data.content);
    } catch (error) {
      return asFailure(`The document ${database.file} cannot be read`, error);
    }
  }

  async write(name: string, value: unknown): Promise<Result<void>> {
    const database = this.#database(name);
    const content = JSON.stringify(value);
    assert(content !== undefined, `the document ${name} is no JSON value`);
    database.data = { version: 1, checksum: checksumOf(content), content: JSON.parse(content) };
    const before = this.#writes.get(name) ?? Promise.resolve();
    const write = before.then(async (): Promise<Result<void>> => {
      try {
        await createFolder(this.#folder);
        await database.write();
        return success(undefined);
      } catch (error) {
        return asFailure(`The document ${database.file} cannot be written`, ioError(error));
      }
    });
    this.#writes.set(name, write);
    const result = await write;
    if (this.#writes.get(name) === write) this.#writes.delete(name);
    return result;
  }

  #database(name: string): Document {
    assert(/^[a-z0-9][a-z0-9.-]*$/.test(name), `"${name}" is no name for a document`);
    return new Document(this.#folder, `${name}.json`);
  }
}

class Document extends Low<Envelope> {
  readonly file: string;

  constructor(folder: string, fileName: string) {
    super(new DurableAdapter(folder, fileName), none);
    this.file = path.join(folder, fileName);
  }
}

class DurableAdapter implements Adapter<Envelope> {
  readonly #folder: string;
  readonly #fileName: string;

  constructor(folder: string, fileName: string) {
    this.#folder = folder;
    this.#fileName = fileName;
  }

  async read(): Promise<Envelope | null> {
    const file = path.join(this.#folder, this.#fileName);
    let text: string;
    try {
      text = await fs.promises.readFile(file, "utf8");
    } catch (error) {
      const translated = ioError(error);
      if (translated instanceof IoError && translated.code === "ENOENT") return null;
      throw translated;
    }
    return decodeEnvelope(file, text);
  }

  async write(envelope: Envelope): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(envelope, undefined, 2)}\n`);
    await replaceFile(new NodeFiles(this.#folder), this.#fileName, bytes);
  }
}

const checksumOf = (json: string): string => crc32c(new TextEncoder().encode(json)).toString(16).padStart(8, "0");

function decodeEnvelope(file: string, text: string): Envelope {
  const damaged = (what: string) =>
    new FailureError(
      failure("data-damaged", `The document ${file} is damaged: ${what}. Restore it from a backup; never delete it to get going again.`),
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw damaged("it is no JSON");
  }
  if (typeof parsed !== "object" || parsed === null || !("version" in parsed) || !("checksum" in parsed) || !("content" in parsed)) {
    throw damaged("it lacks version, checksum or content");
  }
  // The checksum first: only then is an odd version a newer Fogbank's and not damage.
  if (parsed.checksum !== checksumOf(JSON.stringify(parsed.content))) throw damaged("its checksum does not match");
  if (parsed.version !== 1) throw damaged(`it has version ${JSON.stringify(parsed.version)}, this Fogbank reads version 1`);
  return { version: 1, checksum: parsed.checksum, content: parsed.content };
}

function asFailure(what: string, error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  if (!(error instanceof IoError)) throw error;
  const full = error.code === "ENOSPC" || error.code === "EDQUOT";
  return failure(
    full ? "disk-full" : "store-failed",
    `${what}: ${error.message}. ${full ? "Free some space." : "Check the disk and the rights of the data folder."}`,
  );
}
