/**
 * A gateway's data folder: made when missing, and held by one process at a time. The lock is LevelDB's file lock on a
 * small database of its own, which the operating system lets go of with the process, however that ends.
 */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { ClassicLevel } from "classic-level";
import { failure, type Result, success } from "../lib/errors.ts";

export class DataFolder {
  readonly #lock: ClassicLevel;

  private constructor(lock: ClassicLevel) {
    this.#lock = lock;
  }

  /** Fails with `data-in-use`, naming the process that holds it, or `store-failed` where the folder cannot be made. */
  static async open(folder: string): Promise<Result<DataFolder>> {
    const holder = path.join(folder, "process-id");
    try {
      await mkdir(folder, { recursive: true });
      const lock = new ClassicLevel(path.join(folder, "lock"));
      await lock.open();
      await writeFile(holder, `${process.pid}\n`);
      return success(new DataFolder(lock));
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      if (cause instanceof Error && "code" in cause && cause.code === "LEVEL_LOCKED") {
        const pid = await readFile(holder, "utf8").catch(() => "unknown");
        return failure(
          "data-in-use",
          `the data folder ${folder} is in use by process ${pid.trim()}: stop that one first, or choose another folder (--data)`,
        );
      }
      return failure("store-failed", `the data folder ${folder} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }

  async close(): Promise<void> {
    await this.#lock.close();
  }
}
