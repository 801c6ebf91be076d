import type { FogbankClient } from "../../client/fogbank-client.ts";
import type { RestoredBlock } from "../../client/schema.ts";
import { type BackupBlock, BackupKind, restoreMarkerKey, type SeriesDigest } from "../../lib/backup-file.ts";
import { type ErrorCode, type ExitStatus, FailureError, failure, type Result } from "../../lib/errors.ts";
import { add, blocksOf, differences, type Inspected, inspect } from "../backup/inspect.ts";
import { connect, type RemoteOptions, unwrap } from "../command.ts";
import { confirm } from "../confirm.ts";
import { formatBytes, formatTime, ProgressLine, plain, plainLines, printError, printJson, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";
import { warnOfMissing } from "./backup.ts";

export interface RestoreOptions extends RemoteOptions {
  readonly merge?: boolean;
  readonly yes?: boolean;
}

const wholeKinds: ReadonlySet<number> = new Set([
  BackupKind.Kv,
  BackupKind.Devices,
  BackupKind.Readings,
  BackupKind.Results,
  BackupKind.Jobs,
]);
const mergedKinds: ReadonlySet<number> = new Set([BackupKind.Devices, BackupKind.Readings]);
/** What passes by itself: a gateway restarts, a leader is elected, a queue is full. */
const passing: ReadonlySet<ErrorCode> = new Set([
  "busy",
  "not-ready",
  "not-applied",
  "outcome-unknown",
  "quorum-unavailable",
  "ring-changed",
  "unreachable",
]);
const retryMs = 1_000;
/** A step that does not succeed for so long ends the restore; it can be repeated. */
const patienceMs = 120_000;
const differencesShown = 20;

/**
 * `fogbank restore`: verifies the whole file, puts it into an empty site block by block, and compares the site with it. Each block is
 * acknowledged when it is durable; the command can be repeated, and then goes on with what is missing.
 */
export async function restore(world: World, path: string, options: RestoreOptions): Promise<ExitStatus> {
  const progress = new ProgressLine(world);
  const inspected = await inspect(world, path, (bytes) => progress.update(() => `${formatBytes(bytes)} verified`)).finally(() =>
    progress.clear(),
  );
  warnOfMissing(world, inspected.trailer);
  const client = connect(world, options);
  if (options.merge === true) {
    if (!(await confirmed(world, client, inspected, options))) return 1;
  } else if (!(await claimSite(world, client, inspected, options))) return 1;
  const run = new RestoreRun(world, client, path, inspected, options.merge === true);
  const totals = await run.send(progress);
  const found = await run.compare(progress);
  if (options.merge !== true && found.length === 0) unwrap(await client.kvDelete(restoreMarkerKey, {}));
  return report(world, options, { path, inspected, totals, found });
}

/** False: the answer was no. A site that holds something else than a part of this backup is refused. */
async function claimSite(world: World, client: FogbankClient, inspected: Inspected, options: RestoreOptions): Promise<boolean> {
  const marker = unwrap(await client.kvGet(restoreMarkerKey));
  if (marker !== undefined) {
    if (new TextDecoder().decode(marker.value) !== inspected.id)
      throw refused(`the site holds a part of another backup: finish that restore first, or begin with an empty site`);
    world.err.write("the site holds a part of this backup: going on with the rest\n");
    return true;
  }
  const contents = unwrap(await client.siteContents());
  if (!contents.complete)
    throw new FailureError(
      failure("quorum-unavailable", "too few gateways answer to know that the site is empty: try again when they are back"),
    );
  const has = [contents.readings ? "readings" : "", contents.results ? "results" : "", contents.kv > 0 ? `${contents.kv} keys` : ""].filter(
    (what) => what !== "",
  );
  if (has.length > 0)
    throw refused(`the site is not empty, it has ${has.join(", ")}: restore into a new site, or add only the readings with --merge`);
  if (!(await confirmed(world, client, inspected, options))) return false;
  const claimed = await client.kvPut(restoreMarkerKey, new TextEncoder().encode(inspected.id), { ifAbsent: true });
  // Somebody else's restore, or this one's whose answer was lost: repeating the command finds out.
  unwrap(claimed);
  return true;
}

async function confirmed(world: World, client: FogbankClient, { manifest, trailer }: Inspected, options: RestoreOptions): Promise<boolean> {
  const { site } = unwrap(await client.status());
  const what = options.merge === true ? "the readings of" : "everything of";
  const warning = [
    `This puts ${what} site ${manifest.site} as of ${formatTime(manifest.startedMs)} (${trailer.counts.readings} readings) into site ${site} at ${client.baseUrl}.`,
  ];
  if (options.merge === true)
    warning.push("What the site has stays; where both have a reading of the same time, the greater value stands.");
  return await confirm(world, warning, options);
}

interface Totals {
  readonly kind: string;
  items: number;
  applied: number;
  present: number;
  conflicts: number;
}

class RestoreRun {
  readonly #world: World;
  readonly #client: FogbankClient;
  readonly #path: string;
  readonly #inspected: Inspected;
  readonly #merge: boolean;

  constructor(world: World, client: FogbankClient, path: string, inspected: Inspected, merge: boolean) {
    this.#world = world;
    this.#client = client;
    this.#path = path;
    this.#inspected = inspected;
    this.#merge = merge;
  }

  /** In the order of the file: a job goes on by its schedule only once its results are here. */
  async send(progress: ProgressLine): Promise<ReadonlyMap<string, Totals>> {
    const totals = new Map<string, Totals>();
    await this.#eachBlock(async (block, sent) => {
      if (!(this.#merge ? mergedKinds : wholeKinds).has(block.kind)) return;
      const done = await this.#persist(() => this.#client.restoreBlock(block.bytes, { check: false }));
      const total = totals.get(done.kind) ?? { kind: done.kind, items: 0, applied: 0, present: 0, conflicts: 0 };
      total.items += done.items;
      total.applied += done.applied;
      total.present += done.present;
      total.conflicts += done.conflicts;
      totals.set(done.kind, total);
      progress.update(() => `${formatBytes(sent)} of ${formatBytes(this.#inspected.trailer.bytes)} restored`);
    });
    progress.clear();
    return totals;
  }

  /** Where the site is not what the backup says, in words. */
  async compare(progress: ProgressLine): Promise<string[]> {
    const found: string[] = [];
    await this.#eachBlock(async (block) => {
      if (block.kind === BackupKind.Readings || !(this.#merge ? mergedKinds : wholeKinds).has(block.kind)) return;
      const compared = await this.#persist(() => this.#client.restoreBlock(block.bytes, { check: true }));
      found.push(...examplesOf(compared));
      progress.update(() => "comparing the site with the backup");
    });
    const site = new Map<string, SeriesDigest>();
    let readings = 0;
    let cursor: string | undefined;
    do {
      const at = cursor;
      const page = await this.#persist(() => this.#client.digests(at));
      for (const part of page.series) {
        add(site, part);
        readings += part.count;
      }
      progress.update(() => `${readings} readings compared with the backup`);
      cursor = page.cursor;
    } while (cursor !== undefined);
    progress.clear();
    found.push(...differences(this.#inspected.series, site, { more: this.#merge }));
    return found;
  }

  /** The file is read again, and has to be the one that was verified. */
  async #eachBlock(take: (block: BackupBlock, bytes: number) => Promise<void>): Promise<void> {
    const blocks = blocksOf(this.#world, this.#path);
    let bytes = 0;
    for (let next = await blocks.next(); ; next = await blocks.next()) {
      if (next.done === true) {
        if (next.value.checksum === this.#inspected.trailer.checksum && next.value.bytes === this.#inspected.trailer.bytes) return;
        throw refused(`${this.#path} was changed while it was restored`);
      }
      bytes += next.value.bytes.length;
      await take(next.value, bytes);
    }
  }

  /** Tries again what fails for a moment: all that is asked is harmless when it is done twice. */
  async #persist<T>(ask: () => Promise<Result<T>>): Promise<T> {
    const { clock } = this.#world;
    const giveUpMs = clock.monotonicMs() + patienceMs;
    for (;;) {
      const answer = await ask();
      if (answer.ok) return answer.value;
      if (!passing.has(answer.code)) throw new FailureError(answer);
      if (clock.monotonicMs() >= giveUpMs)
        throw new FailureError(failure(answer.code, `${answer.message}; repeat the command to go on from here`));
      await clock.sleep(retryMs);
    }
  }
}

function examplesOf({ kind, missing, conflicts, examples }: RestoredBlock): string[] {
  const more = missing + conflicts - examples.length;
  return more > 0 ? [...examples, `${more} more ${kind} of the same block`] : [...examples];
}

function report(
  world: World,
  options: RestoreOptions,
  done: {
    readonly path: string;
    readonly inspected: Inspected;
    readonly totals: ReadonlyMap<string, Totals>;
    readonly found: readonly string[];
  },
): ExitStatus {
  const { path, inspected, totals, found } = done;
  if (options.output === "json") {
    const { manifest, trailer } = inspected;
    printJson(world, {
      file: path,
      site: manifest.site,
      started: formatTime(manifest.startedMs),
      missing: trailer.missing,
      restored: [...totals.values()],
      differences: found,
    });
  } else {
    for (const { kind, items, present, conflicts } of totals.values()) {
      const notes = [present > 0 ? `${present} were there` : "", conflicts > 0 ? `${conflicts} in conflict, left as they were` : ""];
      const said = notes.filter((note) => note !== "").join(", ");
      world.out.write(`${plain(kind)}: ${items}${said === "" ? "" : ` (${said})`}\n`);
    }
  }
  if (found.length === 0) {
    if (options.output !== "json") world.out.write("verified: the site has what the backup has\n");
    if (options.merge === true) printWarning(world, "merged: only the number of readings of each series could be compared");
    return 0;
  }
  const shown = found.slice(0, differencesShown).map((one) => `  ${one}`);
  if (found.length > shown.length) shown.push(`  and ${found.length - shown.length} more`);
  printError(world, `the site differs from the backup in ${found.length} places; repeat the command to try again`);
  world.err.write(`${plainLines(shown.join("\n"))}\n`);
  return 1;
}

function refused(message: string): FailureError {
  return new FailureError(failure("precondition-failed", message));
}
