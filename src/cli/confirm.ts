import { usageError } from "./command.ts";
import { plainLines } from "./terminal.ts";
import type { World } from "./world.ts";

/**
 * Tells what is about to happen and asks for a yes, unless `--yes` gave it. False: the answer was no, and nothing may be
 * done. Without anybody to ask it is a usage error.
 */
export async function confirm(world: World, warning: readonly string[], options: { readonly yes?: boolean }): Promise<boolean> {
  world.err.write(`${plainLines(warning.join("\n"))}\n`);
  if (options.yes === true) return true;
  const answer = await world.ask("Go on? [y/N]");
  if (answer === undefined) throw usageError("nothing was changed: say --yes, there is no terminal to ask at");
  if (/^y(es)?$/i.test(answer.trim())) return true;
  world.err.write("nothing was changed\n");
  return false;
}
