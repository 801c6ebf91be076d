import { Argument, type Command } from "commander";
import type { Done } from "./command.ts";
import { type DrillOptions, drillKinds } from "./commands/drill-options.ts";
import { duration, examples, outputOption, wholeNumber } from "./options.ts";
import type { World } from "./world.ts";

/** `fogbank drill`: names, options and help texts. */
export function addDrillCommand(program: Command, world: World, done: Done): void {
  program
    .command("drill")
    .description("lose a gateway of a site of its own while devices publish, bring it back, and ask for everything that was acknowledged")
    .addArgument(
      new Argument("<what>", "power-off: SIGKILL; cut: its links to the other gateways; wipe: SIGKILL, and its disk").choices(drillKinds),
    )
    .argument("[gateway]", "which gateway", "gw-b")
    .option("--gateways <count>", "number of gateways; two do not survive the loss of one", wholeNumber(3, 9), 3)
    .option("--port-base <port>", "gateway i (0, 1, …) has mqtt N+10i+1, mesh N+10i+2, http N+10i+3", wholeNumber(1024, 65_400), 18_000)
    .option("--data <dir>", "keep everything in this folder (default: a temporary one, removed when nothing was lost)")
    .option("--for <duration>", "how long the gateway is away", duration, 10_000)
    .addOption(outputOption(["text", "json"]))
    .addHelpText(
      "after",
      `\nIt starts real gateway processes on this machine, and touches no other site. At the end each gateway is asked for each
acknowledged reading. Exit status 1 when one is lost or answered twice, when anything could not be asked for, stayed
unacknowledged or did not heal, and after Ctrl-C.
${examples("fogbank drill power-off", "fogbank drill wipe gw-c --gateways 5", "fogbank drill cut gw-a --for 30s -o json")}`,
    )
    .action(async (what: DrillOptions["what"], gateway: string, options: Omit<DrillOptions, "what" | "gateway">) =>
      done(await (await import("./commands/drill.ts")).drill(world, { ...options, what, gateway })),
    );
}
