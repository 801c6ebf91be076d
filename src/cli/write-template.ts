import type { TemplateFile } from "../config/starter-site.ts";
import { type Result, success } from "../lib/errors.ts";
import { folderOf, resolveFrom } from "../lib/file-path.ts";
import type { World } from "./world.ts";

/** Writes new files below a folder; secrets are readable by their owner only. Stops at the first that fails. */
export function writeTemplate(world: World, folder: string, files: readonly TemplateFile[]): Result<void> {
  for (const file of files) {
    const path = resolveFrom(folder, file.path);
    const above = folderOf(path);
    const made = above === "" ? success(undefined) : world.files.makeFolder(above);
    if (!made.ok) return made;
    const written = world.files.createFile(path, file.text, { mode: file.isSecret ? 0o600 : 0o644 });
    if (!written.ok) return written;
  }
  return success(undefined);
}
