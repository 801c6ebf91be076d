import { type Command, Option } from "commander";
import type { Done, RemoteOptions } from "./command.ts";
import type { AddOptions, ChangeOptions, RemoveOptions, SetOptions } from "./commands/gateway.ts";
import type { ProgressOptions } from "./commands/progress.ts";
import type { RecoverOptions } from "./commands/recover.ts";
import { duration, examples, outputOption, remote, wholeNumber } from "./options.ts";
import type { World } from "./world.ts";

const waitDefault = "60s";
const port = wholeNumber(1, 65_535);

/** `fogbank gateway …`: names, options and help texts. */
export function addGatewayCommands(program: Command, world: World, done: Done): void {
  const gateway = program
    .command("gateway")
    .description("the site's gateways: list, add, set, remove, replace, see progress, move the leadership, recover");
  remote(gateway.command("list"))
    .description("list the gateways")
    .action(async (options: RemoteOptions) => done(await (await load()).gatewayList(world, options)));
  waiting(remote(gateway.command("add"), ["text", "json"]))
    .description("register a new gateway; it joins when it is started with an empty data folder")
    .argument("<id>", "its id; the rest is taken from its entry in the site's file, where there is one")
    .option("--site <site.yaml>", "the site's file (default: ./site.yaml when it exists)")
    .option("--host <host>", "host name or address under which the others reach it")
    .option("--mqtt <port>", "its MQTT port (default: 1883)", port)
    .option("--mesh <port>", "its mesh port (default: 7883)", port)
    .option("--http <port>", "its HTTP port (default: 7880)", port)
    .option("--zone <name>", "copies of a device go to different zones first")
    .option("--weight <n>", "its share of the readings (default: 1)", wholeNumber(1, 64))
    .addOption(new Option("--witness", "it votes and keeps the state, and no readings").conflicts("weight"))
    .addHelpText("after", examples("fogbank gateway add gw-d", "fogbank gateway add gw-d --host 10.0.0.14 --zone hall-2 --wait 5m"))
    .action(async (id: string, options: AddOptions) => done(await (await load()).gatewayAdd(world, id, options)));
  remote(gateway.command("set"), ["text", "json"])
    .description("give a gateway another share of the readings, or another zone, while the site works")
    .argument("<id>", "the gateway")
    .option("--weight <n>", "its share; 0: it gives away all that it has", wholeNumber(0, 64))
    .option("--zone <name>", "copies of a device go to different zones first")
    .option("--no-zone", "it is a zone of its own")
    .addHelpText("after", examples("fogbank gateway set gw-d --weight 2", "fogbank gateway set gw-d --zone hall-2"))
    .action(async (id: string, options: SetOptions) => done(await (await load()).gatewaySet(world, id, options)));
  remote(gateway.command("progress"), ["text", "json"])
    .description("how far the gateways are with the readings that they are still to get, or to give away")
    .addOption(
      new Option("--wait [duration]", "until nothing is left, with a progress bar (exit 1 when that takes longer; default: 1h)")
        .argParser(duration)
        .preset("1h"),
    )
    .addHelpText("after", examples("fogbank gateway progress --wait"))
    .action(async (options: ProgressOptions) => done(await (await import("./commands/progress.ts")).gatewayProgress(world, options)));
  changing(gateway.command("replace"))
    .description("retire a gateway's data folder (its disk is lost, or damaged) and expect a new, empty one")
    .addHelpText("after", examples("fogbank gateway replace gw-b"))
    .action(async (id: string, options: ChangeOptions) => done(await (await load()).gatewayReplace(world, id, options)));
  changing(gateway.command("remove"))
    .description("take a gateway out of the site for good; its copies move to the others first, where there are enough of them")
    .option("--now", "do not wait for that: the others restore its copies afterwards")
    .addHelpText("after", examples("fogbank gateway remove gw-b", "fogbank gateway remove gw-b --now"))
    .action(async (id: string, options: RemoveOptions) => done(await (await load()).gatewayRemove(world, id, options)));
  remote(gateway.command("transfer"), ["text", "json"])
    .description("move the Raft leadership, such as before the leader's host is shut down")
    .argument("[id]", "who is to lead (default: the voter whose log is furthest)")
    .action(async (id: string | undefined, options: RemoteOptions) => done(await (await load()).gatewayTransfer(world, id, options)));
  gateway
    .command("recover")
    .description("LAST RESORT, on a stopped gateway: go on from its data folder alone when the majority is lost for good")
    .argument("[site.yaml]", "the site's file (default: ./site.yaml)")
    .requiredOption("--gateway <id>", "the gateway to go on from")
    .option("--data <dir>", "its data folder (default: data/GATEWAY beside the site's file)")
    .option("--yes", "do not ask")
    .addOption(outputOption(["text", "json"]))
    .addHelpText("after", examples("fogbank gateway recover plant-7/site.yaml --gateway gw-a --data /var/lib/fogbank"))
    .action(async (file: string | undefined, options: RecoverOptions) =>
      done(await (await import("./commands/recover.ts")).gatewayRecover(world, file, options)),
    );
}

const load = () => import("./commands/gateway.ts");

function waiting(command: Command): Command {
  return command.addOption(
    new Option("--wait [duration]", `wait until its data folder is admitted (default: ${waitDefault})`)
      .argParser(duration)
      .preset(waitDefault),
  );
}

function changing(command: Command): Command {
  return remote(command, ["text", "json"])
    .argument("<id>", "the gateway")
    .option("--force", "also when readings of another lost gateway are not restored yet; they may be lost")
    .option("--yes", "do not ask");
}
