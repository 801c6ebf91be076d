import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap, usageError } from "../command.ts";
import { plain, plainLines, printError, printJson } from "../terminal.ts";
import type { World } from "../world.ts";

export interface KvWriteOptions extends RemoteOptions {
  readonly ifMatch?: number;
  readonly ifAbsent?: boolean;
  readonly file?: string;
}

/** The value's bytes as they are; in a terminal, and as JSON, as text (base64 where it is no UTF-8). */
export async function kvGet(world: World, key: string, options: RemoteOptions): Promise<ExitStatus> {
  const entry = unwrap(await connect(world, options).kvGet(key));
  if (entry === undefined) {
    printError(world, `there is no key "${key}"`);
    return 1;
  }
  const text = utf8(entry.value);
  if (options.output === "json") {
    printJson(world, {
      key,
      revision: entry.revision,
      ...(text === undefined ? { base64: Buffer.from(entry.value).toString("base64") } : { value: text }),
    });
  } else if (world.out.isTTY) {
    world.out.write(
      `${text === undefined ? `(${entry.value.length} bytes that are no UTF-8; redirect the output to get them)` : plainLines(text)}\n`,
    );
  } else {
    world.out.write(entry.value);
  }
  return 0;
}

export async function kvPut(world: World, key: string, text: string | undefined, options: KvWriteOptions): Promise<ExitStatus> {
  if ((text === undefined) === (options.file === undefined)) throw usageError("give the value either as an argument or with --file");
  const value = options.file === undefined ? new TextEncoder().encode(text) : readValue(world, options.file);
  const written = unwrap(await connect(world, options).kvPut(key, value, { ifMatch: options.ifMatch, ifAbsent: options.ifAbsent }));
  return print(world, options, { key, ...written }, ({ revision }) => world.out.write(`${plain(key)}: revision ${revision}\n`));
}

export async function kvDelete(world: World, key: string, options: KvWriteOptions): Promise<ExitStatus> {
  unwrap(await connect(world, options).kvDelete(key, { ifMatch: options.ifMatch }));
  return print(world, options, { key, deleted: true }, () => world.out.write(`${plain(key)}: deleted\n`));
}

function readValue(world: World, path: string): Uint8Array {
  const read = world.files.readFile(path);
  if (!read.ok) throw usageError(`${path} ${read.missing ? "does not exist" : `cannot be read: ${read.reason}`}`);
  return read.value;
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
