import { formatProblem } from "../../config/problem.ts";
import { describeSurvival } from "../../config/survival.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { defaultSiteFile, readSite } from "../site-file.ts";
import { colorsOf, plain, printJson, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";

/** `fogbank check`: every problem of the site's files at once; exit 2 when there is any. */
export async function check(world: World, file: string | undefined, options: { readonly output: string }): Promise<ExitStatus> {
  const path = file ?? defaultSiteFile;
  const loaded = readSite(world, path);
  if (options.output === "json") {
    printJson(
      world,
      loaded.ok ? { valid: true, problems: [], warnings: loaded.warnings } : { valid: false, problems: loaded.problems, warnings: [] },
    );
    return loaded.ok ? 0 : 2;
  }
  if (!loaded.ok) {
    for (const problem of loaded.problems) world.err.write(`${plain(formatProblem(problem))}\n`);
    world.err.write(`${counted(loaded.problems.length, "problem")}\n`);
    return 2;
  }
  for (const warning of loaded.warnings) printWarning(world, formatProblem(warning));
  const { settings } = loaded;
  const ok = colorsOf(world, world.out).green("valid");
  const counts = [
    counted(settings.profiles.length, "profile"),
    counted(settings.inventory.length, "known device"),
    counted(settings.jobs.length, "job"),
    counted(settings.sinks.length, "sink"),
  ].join(", ");
  world.out.write(`${plain(path)}: ${ok}\nsite ${plain(settings.site)}: ${counts}\n${plain(describeSurvival(settings))}\n`);
  return 0;
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
