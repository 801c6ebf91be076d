/** `minFreeDisk` as people write it: a share of the disk (`10%`), or bytes (`500MiB`, `2GiB`). `0%` is never. */

/** What is to stay free on the disk of a gateway's data folder. */
export type FreeSpace = { readonly kind: "share"; readonly share: number } | { readonly kind: "bytes"; readonly bytes: number };

export const defaultFreeSpace: FreeSpace = { kind: "share", share: 0.1 };

/** For messages: what `parseFreeSpace` accepts. */
export const freeSpaceExpected = "a share of the disk from 0% to 90%, or bytes such as 500MiB or 2GiB";

const unitBytes = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
const percentMax = 90;

/** `undefined` for what is neither. */
export function parseFreeSpace(text: string): FreeSpace | undefined {
  const share = /^(\d{1,2}(?:\.\d{1,3})?)%$/.exec(text);
  if (share !== null) return Number(share[1]) <= percentMax ? { kind: "share", share: Number(share[1]) / 100 } : undefined;
  const size = /^(\d{1,6}(?:\.\d{1,3})?)(KiB|MiB|GiB|TiB)$/.exec(text);
  if (size === null) return undefined;
  return { kind: "bytes", bytes: Math.round(Number(size[1]) * unitBytes[size[2] as keyof typeof unitBytes]) };
}

/** The bytes that are to stay free on a disk of this size; 0: never anything. */
export function freeBytesWanted(wanted: FreeSpace, totalBytes: number): number {
  return wanted.kind === "bytes" ? wanted.bytes : Math.ceil(totalBytes * wanted.share);
}
