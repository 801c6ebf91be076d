/**
 * The `DiskSpace` port by `statfs`: what an unprivileged process may still write to the file system of the data folder.
 * A file system that cannot be asked counts as one that does not say.
 */
import { statfs } from "node:fs/promises";
import type { DiskSpace, Space } from "../ports/disk-space.ts";

export class FileSystemSpace implements DiskSpace {
  readonly #folder: string;

  constructor(options: { readonly folder: string }) {
    this.#folder = options.folder;
  }

  async space(): Promise<Space | undefined> {
    try {
      const { bavail, bfree, bsize, blocks } = await statfs(this.#folder);
      // Some file systems report zero blocks for "not known".
      if (blocks === 0) return undefined;
      // Blocks kept for root are nobody's to fill: they count as neither free nor there.
      return { freeBytes: bavail * bsize, totalBytes: (blocks - (bfree - bavail)) * bsize };
    } catch {
      return undefined;
    }
  }
}
