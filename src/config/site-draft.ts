import type { Draft } from "./check-node.ts";
import type { PlacesView } from "./places.ts";
import type { InventoryFile, JobFile, ProfileFile, SiteFile } from "./schema.ts";

/** Something that one file (or one entry of a file) says, where it says it. */
export interface Located<T> {
  readonly draft: Draft<T>;
  readonly places: PlacesView;
}

/** All files of a site, as far as they could be read. */
export interface SiteDraft {
  readonly site: Located<SiteFile>;
  readonly profiles: readonly Located<ProfileFile>[];
  readonly inventories: readonly Located<InventoryFile>[];
  readonly jobs: readonly Located<JobFile>[];
  /** False: a file of the kind was unreadable, so that "there is no such profile" would be a guess. */
  readonly profilesComplete: boolean;
}
