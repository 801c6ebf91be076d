// A file system of a few MiB in memory, which fills up like a disk. It takes the rights to mount one: where they are missing,
// `whyNoSmallDisk` says so and the tests are skipped.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const mebibyte = 1 << 20;

export class SmallDisk {
  readonly folder: string;
  readonly #ballast: string;

  constructor(folder: string, mebibytes: number) {
    const mounted = spawnSync("/bin/mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0755`, "tmpfs", folder], { encoding: "utf8" });
    if (mounted.status !== 0) throw new Error(`mount: ${mounted.error?.message ?? mounted.stderr.trim()}`);
    this.folder = folder;
    this.#ballast = join(folder, "ballast");
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  /** Something else fills the disk until so much is free; 0: until nothing fits any more. */
  fillUpTo(freeBytes: number): void {
    const file = openSync(this.#ballast, "a");
    try {
      const piece = new Uint8Array(mebibyte);
      for (let left = this.freeBytes() - freeBytes; left > 0; left = this.freeBytes() - freeBytes)
        writeSync(file, piece, 0, Math.min(piece.length, left));
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error) || error.code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  makeRoom(): void {
    rmSync(this.#ballast, { force: true });
  }

  unmount(): void {
    // Lazily: what a killed process held open goes with it.
    spawnSync("/bin/umount", ["-l", this.folder]);
  }
}

/** `undefined` where a small disk can be had. */
export function whyNoSmallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-small-"));
  try {
    new SmallDisk(folder, 1).unmount();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmdirSync(folder);
  }
}
