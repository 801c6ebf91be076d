/** How much room the disk of the data folder has left for this process. */
export interface DiskSpace {
  /** Bytes; `undefined` where the file system does not say. Never rejects. */
  freeBytes(): Promise<number | undefined>;
}
