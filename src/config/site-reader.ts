/** How settings come in from outside: files by path, never by `node:fs`. The composition root and tests give one. */
export interface SiteReader {
  /** The bytes of a file. */
  readFile(path: string): ReadOutcome<Uint8Array>;
  /** Names (not paths) of the regular files in a folder, in any order. */
  listFolder(path: string): ReadOutcome<readonly string[]>;
}

export type ReadOutcome<T> =
  | { readonly ok: true; readonly value: T }
  /** `reason` is for a person, e.g. "permission denied". `missing`: there is nothing at that path. */
  | { readonly ok: false; readonly missing: boolean; readonly reason: string };

/** Environment variables by name, as `${env:NAME}` sees them. */
export type SiteEnvironment = Readonly<Record<string, string | undefined>>;
