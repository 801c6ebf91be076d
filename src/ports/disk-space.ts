/** In bytes. */
export interface Space {
  readonly freeBytes: number;
  /** What the disk would have free if it were empty. */
  readonly totalBytes: number;
}

/** How much room the disk of the data folder has left for this process. */
export interface DiskSpace {
  /** `undefined` where the file system does not say. Never rejects. */
  space(): Promise<Space | undefined>;
}
