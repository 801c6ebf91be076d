/**
 * The `Log` port on the real disk: a folder with one sub-folder for each log. What it promises stands in
 * `ports/log.ts`, how it does so in `lib/segmented-log.ts`, the format in `lib/log-format.ts`.
 */
import { randomInt } from "node:crypto";
import * as path from "node:path";
import { assert } from "../lib/assert.ts";
import type { Result } from "../lib/errors.ts";
import type { LogFiles, LogHost } from "../lib/log-files.ts";
import { isLogName } from "../lib/log-format.ts";
import { openSegmentedLog } from "../lib/segmented-log.ts";
import type { Log, LogDirectory, LogOptions } from "../ports/log.ts";
import { NodeFiles } from "./log/node-files.ts";

export interface FileLogDirectoryOptions {
  /** Holds the logs' folders; created when missing. One process at a time: see `data-folder.ts`. */
  readonly folder: string;
  /** Tests put a disk that fails in between. */
  readonly wrap?: (files: LogFiles) => LogFiles;
}

export class FileLogDirectory implements LogDirectory {
  readonly #folder: string;
  readonly #wrap: (files: LogFiles) => LogFiles;
  readonly #open = new Set<string>();

  constructor(options: FileLogDirectoryOptions) {
    this.#folder = options.folder;
    this.#wrap = options.wrap ?? ((files) => files);
  }

  async open(name: string, options: LogOptions): Promise<Result<Log>> {
    assert(isLogName(name), `"${name}" is no name for a log`);
    assert(!this.#open.has(name), `the log "${name}" is open already`);
    this.#open.add(name);
    const files = this.#wrap(new NodeFiles(path.join(this.#folder, name), { writeThrough: true }));
    const released = () => {
      this.#open.delete(name);
    };
    let opened: Result<Log> | undefined;
    try {
      opened = await openSegmentedLog({ ...options, name, files, host, released });
      return opened;
    } finally {
      // Also when `visit` threw.
      if (opened?.ok !== true) released();
    }
  }
}

const host: LogHost = {
  after(delayMs, fire) {
    if (delayMs === 0) {
      const immediate = setImmediate(fire);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(fire, delayMs);
    return () => clearTimeout(timer);
  },
  salt: () => randomInt(1, 2 ** 32),
};
