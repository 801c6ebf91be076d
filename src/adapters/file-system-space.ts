/**
 * The `DiskSpace` port by `statfs`: what an unprivileged process may still write to the file system of the data folder.
 * A file system that cannot be asked counts as one that does not say.
 */
import { statfs } from "node:fs/promises";
import type { DiskSpace } from "../ports/disk-space.ts";

export class FileSystemSpace implements DiskSpace {
  readonly #folder: string;

  constructor(options: { readonly folder: string }) {
    this.#folder = options.folder;
  }

  async freeBytes(): Promise<number | undefined> {
    try {
      const { bavail, bsize, blocks } = await statfs(this.#folder);
      // Some file systems report zero blocks for "not known".
      return blocks === 0 ? undefined : bavail * bsize;
    } catch {
      return undefined;
    }
  }
}
