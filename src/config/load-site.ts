import type { TSchema } from "typebox";
import { Value } from "typebox/value";
import { isMap, isSeq } from "yaml";
import { InvariantError } from "../lib/assert.ts";
import { folderOf, resolveFrom } from "../lib/file-path.ts";
import { buildSettings, type SiteParts } from "./build-settings.ts";
import { type Checked, checkFile, type Draft } from "./check-node.ts";
import { checkSite, findWarnings } from "./cross-checks.ts";
import type { InterpolationSources } from "./interpolate.ts";
import type { PlacesView } from "./places.ts";
import { type Place, type Problem, ProblemList } from "./problem.ts";
import {
  type InventoryFile,
  inventorySchema,
  type JobFile,
  jobListSchema,
  jobSchema,
  jobsFileSchema,
  type ProfileFile,
  profileSchema,
  type SiteFile,
  siteSchema,
} from "./schema.ts";
import type { SiteSettings } from "./settings.ts";
import type { Located, SiteDraft } from "./site-draft.ts";
import type { SiteEnvironment, SiteReader } from "./site-reader.ts";
import { parseYamlFile, type YamlFile } from "./yaml-file.ts";

export type LoadResult =
  /** Warnings do not stop a start: the site works, but hardly as it was meant. */
  | { readonly ok: true; readonly settings: SiteSettings; readonly warnings: readonly Problem[] }
  /** Every problem of every file, never just the first. */
  | { readonly ok: false; readonly problems: readonly Problem[] };

const folderFilesMax = 2_000;

/**
 * Reads `site.yaml`, the devices folder (each file one profile, or `inventory.yaml`) and the jobs folder (each file one
 * job, a list of jobs, or a mapping with `jobs`). Reads files only through `reader`. Paths in the YAML are relative to the folder of
 * `path`; without a `devices` key, `./devices` is taken if there is one.
 */
export function loadSite(reader: SiteReader, path: string, env: SiteEnvironment): LoadResult {
  const loader = new Loader(reader, env);
  const draft = loader.load(path);
  if (draft !== undefined) checkSite(draft, loader.problems);
  if (draft === undefined || !loader.problems.isEmpty) return { ok: false, problems: loader.problems.sorted() };
  const settings = buildSettings(completeParts(draft));
  const warnings = new ProblemList();
  findWarnings(draft, settings, warnings);
  return { ok: true, settings, warnings: warnings.sorted() };
}

/** With no problem found, the drafts are whole. The schema itself is asked once more, so that the types say the truth. */
function completeParts(draft: SiteDraft): SiteParts {
  return {
    site: complete(siteSchema, draft.site.draft),
    profiles: draft.profiles.map((profile) => complete(profileSchema, profile.draft)),
    inventories: draft.inventories.map((inventory) => complete(inventorySchema, inventory.draft)),
    jobs: draft.jobs.map((job) => complete(jobSchema, job.draft)),
  };
}

function complete<Schema extends TSchema>(schema: Schema, draft: unknown) {
  if (!Value.Check(schema, draft)) throw new InvariantError("a draft without problems does not fit its schema");
  return draft;
}

class Loader {
  readonly problems = new ProblemList();
  readonly #reader: SiteReader;
  readonly #sources: InterpolationSources;
  #profilesComplete = true;

  constructor(reader: SiteReader, env: SiteEnvironment) {
    this.#reader = reader;
    this.#sources = { reader, env };
  }

  load(path: string): SiteDraft | undefined {
    const checked = this.#checkFile(path, { file: path, line: 1, column: 1 }, siteSchema);
    const site = checked === undefined ? undefined : located(checked);
    // A site file that cannot be read names no folders: the default one is still worth a look.
    const folder = folderOf(path);
    const devices = this.#devices(folder, site);
    const jobs = this.#jobs(folder, site);
    return site === undefined ? undefined : { site, ...devices, jobs, profilesComplete: this.#profilesComplete };
  }

  #devices(folder: string, site: Located<SiteFile> | undefined) {
    const named = site?.draft.devices;
    const profiles: Located<ProfileFile>[] = [];
    const inventories: Located<InventoryFile>[] = [];
    const place = named === undefined ? undefined : site?.places.value("devices");
    for (const path of this.#yamlFiles(resolveFrom(folder, named ?? "./devices"), place)) {
      if (/(?:^|\/)inventory\.ya?ml$/.test(path)) {
        const checked = this.#checkFile(path, undefined, inventorySchema);
        if (checked?.draft !== undefined) inventories.push(located(checked));
      } else {
        const checked = this.#checkFile(path, undefined, profileSchema);
        if (checked?.draft !== undefined) profiles.push(located(checked));
        if (checked?.draft?.profile === undefined || checked.draft.metrics === undefined) this.#profilesComplete = false;
      }
    }
    return { profiles, inventories };
  }

  #jobs(folder: string, site: Located<SiteFile> | undefined): readonly Located<JobFile>[] {
    const named = site?.draft.jobs;
    if (site === undefined || named === undefined) return [];
    if (typeof named !== "string")
      return named.flatMap((draft, index) => (draft === undefined ? [] : [{ draft, places: at(site.places, "jobs", index) }]));
    return this.#yamlFiles(resolveFrom(folder, named), site.places.value("jobs")).flatMap((path) => this.#jobsOfFile(path));
  }

  /** One job, a list of jobs, or a mapping with `jobs`: decided by the file's outline before anything is judged. */
  #jobsOfFile(path: string): readonly Located<JobFile>[] {
    const file = this.#parseFile(path, undefined);
    if (file === undefined) return [];
    const context = { problems: this.problems, sources: this.#sources };
    const items = (drafts: Draft<readonly JobFile[]> | undefined, places: PlacesView) =>
      (drafts ?? []).flatMap((draft, index) => (draft === undefined ? [] : [{ draft, places: at(places, index) }]));
    if (isSeq(file.root)) {
      const { draft, places } = checkFile(file, jobListSchema, context);
      return items(draft, places);
    }
    if (isMap(file.root) && file.root.has("jobs")) {
      const { draft, places } = checkFile(file, jobsFileSchema, context);
      return items(draft?.jobs, at(places, "jobs"));
    }
    const checked = checkFile(file, jobSchema, context);
    return checked.draft === undefined ? [] : [located(checked)];
  }

  /** Paths of the YAML files in a folder, by name. A folder that nobody named (`place` undefined) may be missing. */
  #yamlFiles(folder: string, place: Place | undefined): readonly string[] {
    const start = { file: folder, line: 1, column: 1 };
    const listed = this.#reader.listFolder(folder);
    if (!listed.ok) {
      if (place === undefined && listed.missing) return [];
      this.#profilesComplete = false;
      this.problems.add(
        place ?? start,
        `the folder ${folder} ${listed.missing ? "does not exist" : `cannot be read: ${listed.reason}`}`,
        "expected a readable folder",
      );
      return [];
    }
    const names = listed.value.filter((name) => /^[^.].*\.ya?ml$/i.test(name)).sort();
    if (names.length > folderFilesMax)
      this.problems.add(place ?? start, `the folder ${folder} has ${names.length} YAML files`, `expected at most ${folderFilesMax}`);
    return names.slice(0, folderFilesMax).map((name) => resolveFrom(folder, name));
  }

  #checkFile<Schema extends TSchema>(path: string, place: Place | undefined, schema: Schema) {
    const file = this.#parseFile(path, place);
    return file === undefined ? undefined : checkFile(file, schema, { problems: this.problems, sources: this.#sources });
  }

  #parseFile(path: string, place: Place | undefined): YamlFile | undefined {
    const read = this.#reader.readFile(path);
    if (read.ok) return parseYamlFile(path, read.value, this.problems);
    const where = place ?? { file: path, line: 1, column: 1 };
    this.problems.add(where, `the file ${read.missing ? "does not exist" : `cannot be read: ${read.reason}`}`, "expected a readable file");
    return undefined;
  }
}

function located<T>(checked: Checked<T>): Located<T> {
  return { draft: checked.draft ?? ({} as Draft<T>), places: checked.places };
}

function at(places: PlacesView, ...prefix: readonly (string | number)[]): PlacesView {
  return {
    value: (...path) => places.value(...prefix, ...path),
    key: (...path) => places.key(...prefix, ...path),
    has: (...path) => places.has(...prefix, ...path),
  };
}
