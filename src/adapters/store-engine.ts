/** A data folder belongs to the engine that wrote it: under another one it would look empty, and be taken for a loss. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type Failure, failure } from "../lib/errors.ts";

export type StoreEngine = "level" | "lowdb";

/** What the other engine has left for the store `name`, as a refusal; `undefined` when there is nothing of it. */
export async function foreignStore(folder: string, name: string, engine: StoreEngine): Promise<Failure | undefined> {
  const other: StoreEngine = engine === "level" ? "lowdb" : "level";
  const trace = other === "lowdb" ? path.join(folder, `${name}.json`) : path.join(folder, name);
  if (!(await (other === "lowdb" ? exists(trace) : holdsLevelDb(trace)))) return undefined;
  return failure(
    "data-foreign",
    `The data folder was written with store: { engine: ${other} } (there is ${trace}), and the settings say ${engine}. Set the engine ` +
      `back to ${other}; or, to change it, move the data folder away and admit this gateway anew ("fogbank gateway replace").`,
  );
}

export async function exists(file: string): Promise<boolean> {
  return await fs.promises.stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

async function holdsLevelDb(folder: string): Promise<boolean> {
  const names = await fs.promises.readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names.some((file) => file === "CURRENT" || /\.(ldb|sst|log)$|^MANIFEST-/.test(file));
}
