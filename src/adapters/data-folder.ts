/**
 * A gateway's data folder: created durably, and held by one process at a time. The lock is the one that LevelDB takes on
 * a database of its own (`lock/`): the kernel frees it when the process dies, however it dies, so there is no stale lock
 * to judge and no process id to trust. The id in `holder.json` is for the message only.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { ClassicLevel } from "classic-level";
import { failure, type Result, success } from "../lib/errors.ts";
import { IoError } from "../lib/log-files.ts";
import { createFolder, ioError } from "./log/node-files.ts";

export interface DataFolder {
  readonly path: string;
  /** Lets another process have the folder. Idempotent. */
  release(): Promise<void>;
}

/**
 * Takes the folder for this process. Fails with `data-in-use` (naming the process that has it), `disk-full` or
 * `store-failed`.
 */
export async function openDataFolder(folder: string): Promise<Result<DataFolder>> {
  try {
    await createFolder(folder);
    const lock = path.join(folder, "lock");
    let database = await openLock(lock);
    if (database === "damaged") {
      // It holds nothing: a power cut while it was made must not stop the gateway. `destroy` respects a lock that is held.
      await ClassicLevel.destroy(lock).catch(() => undefined);
      database = await openLock(lock);
    }
    if (database === "locked") return inUse(folder);
    if (database === "damaged") return failure("store-failed", `The lock of the data folder ${folder} cannot be made. Check the disk.`);
    const holder = path.join(folder, "holder.json");
    await fs.promises.writeFile(holder, `${JSON.stringify({ pid: process.pid, since: new Date().toISOString() })}\n`);
    const held = database;
    return success({
      path: folder,
      release: async () => {
        if (held.status === "closed") return;
        await fs.promises.rm(holder, { force: true });
        await held.close();
      },
    });
  } catch (error) {
    const translated = ioError(error);
    if (!(translated instanceof IoError)) throw error;
    const full = translated.code === "ENOSPC" || translated.code === "EDQUOT";
    const advice = full ? "Free some space." : "Check the path and its rights.";
    return failure(full ? "disk-full" : "store-failed", `The data folder ${folder} cannot be used: ${translated.message}. ${advice}`);
  }
}

async function openLock(folder: string): Promise<ClassicLevel | "locked" | "damaged"> {
  const database = new ClassicLevel(folder, { cacheSize: 0, writeBufferSize: 64 * 1024 });
  try {
    await database.open();
    return database;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (!(cause instanceof Error) || !("code" in cause)) throw error;
    if (cause.code === "LEVEL_LOCKED") return "locked";
    if (cause.code === "LEVEL_CORRUPTION" || cause.message.includes("No such file")) return "damaged";
    throw new IoError(/No space left/i.test(cause.message) ? "ENOSPC" : "EIO", cause.message);
  }
}

async function inUse(folder: string): Promise<Result<DataFolder>> {
  const text = await fs.promises.readFile(path.join(folder, "holder.json"), "utf8").catch(() => "");
  const pid = /"pid":(\d+)/.exec(text)?.[1];
  const holder = pid === undefined ? "another process" : `process ${pid}`;
  return failure(
    "data-in-use",
    `The data folder ${folder} is in use by ${holder}. Stop that one first, or give this gateway a folder of its own with --data.`,
  );
}
