import { type LoadResult, loadSite } from "../../src/config/load-site.ts";
import { formatProblem } from "../../src/config/problem.ts";
import type { SiteSettings } from "../../src/config/settings.ts";
import type { SiteEnvironment, SiteReader } from "../../src/config/site-reader.ts";

/** A site's files in memory. A file given as `Error` exists, but cannot be read. */
export type MemoryFiles = Readonly<Record<string, string | Uint8Array | Error>>;

export function memoryReader(files: MemoryFiles): SiteReader {
  return {
    readFile(path) {
      const content = Object.hasOwn(files, path) ? files[path] : undefined;
      if (content === undefined) return { ok: false, missing: true, reason: "no such file" };
      if (content instanceof Error) return { ok: false, missing: false, reason: content.message };
      return { ok: true, value: typeof content === "string" ? new TextEncoder().encode(content) : content };
    },
    listFolder(path) {
      if (files[path] instanceof Error) return { ok: false, missing: false, reason: files[path].message };
      const names = Object.keys(files).flatMap((name) => (name.startsWith(`${path}/`) ? [name.slice(path.length + 1)] : []));
      if (names.length === 0) return { ok: false, missing: true, reason: "no such folder" };
      return { ok: true, value: names.filter((name) => !name.includes("/")).reverse() };
    },
  };
}

export function load(files: MemoryFiles, env: SiteEnvironment = {}): LoadResult {
  return loadSite(memoryReader(files), "site.yaml", env);
}

export function problemsOf(files: MemoryFiles, env: SiteEnvironment = {}): readonly string[] {
  const result = load(files, env);
  return result.ok ? [] : result.problems.map(formatProblem);
}

export function settingsOf(files: MemoryFiles, env: SiteEnvironment = {}): SiteSettings {
  const result = load(files, env);
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.settings;
}

export const minimalSite = "site: s\ngateways: { gw-a: { host: 127.0.0.1 } }\n";
export const climateProfile = "profile: climate\ntopic: sensors/{device}/climate\npayload: json\nmetrics: { temperature: { path: t } }\n";
