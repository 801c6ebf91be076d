import { Command, CommanderError, Option } from "commander";
import { type ExitStatus, FailureError } from "../lib/errors.ts";
import { addBackupCommands } from "./backup-commands.ts";
import { type Done, defaultUrl, type RemoteOptions, reportFailure } from "./command.ts";
import type { DecodeOptions } from "./commands/decode.ts";
import type { DemoOptions } from "./commands/demo.ts";
import type { RangeOptions } from "./commands/job.ts";
import type { KvWriteOptions } from "./commands/kv.ts";
import type { QueryOptions } from "./commands/query.ts";
import type { ReplayOptions } from "./commands/replay.ts";
import type { StartOptions } from "./commands/start.ts";
import type { TailOptions } from "./commands/tail.ts";
import { addDrillCommand } from "./drill-commands.ts";
import { addGatewayCommands } from "./gateway-commands.ts";
import { duration, examples, outputOption, positiveNumber, remote, speedFactor, wholeNumber } from "./options.ts";
import { plainLines, printError } from "./terminal.ts";
import type { World } from "./world.ts";

/**
 * The command line: names, options and help texts. What a command does is loaded when it runs, so that `fogbank --help`
 * and `fogbank status` load no more than they need.
 *
 * Exit status: 0 done, 1 failed, 2 usage or invalid configuration, 3 unavailable.
 */
export async function runCli(argv: readonly string[], world: World): Promise<ExitStatus> {
  const outcome: { status: ExitStatus } = { status: 0 };
  const program = createProgram(world, (status) => {
    outcome.status = status;
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return outcome.status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof FailureError) return reportFailure(world, error.failure);
    printError(world, `unexpected: ${error instanceof Error ? error.message : String(error)} (a bug; FOGBANK_DEBUG=1 shows where)`);
    if (world.env["FOGBANK_DEBUG"] === "1" && error instanceof Error) world.err.write(`${plainLines(error.stack ?? "")}\n`);
    return 1;
  }
}

function createProgram(world: World, done: Done): Command {
  const program = new Command("fogbank")
    .description("Gateways that form one dependable site: MQTT in, readings on a quorum of disks, aggregates beside the data.")
    .version(world.version, "-V, --version", "print the version")
    .helpCommand("help [command]", "explain a command")
    // What is behind a command's name is that command's: `backup verify` takes no option of `backup`.
    .enablePositionalOptions()
    .showHelpAfterError("(fogbank help COMMAND explains it)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => world.out.write(text),
      writeErr: (text) => world.err.write(plainLines(text)),
      getOutHelpWidth: () => world.out.columns,
      getErrHelpWidth: () => world.err.columns,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText(
      "after",
      `\nExit status: 0 done, 1 failed, 2 usage or invalid configuration, 3 unavailable.\nEnvironment: FOGBANK_URL (default ${defaultUrl}), FOGBANK_TOKEN, NO_COLOR.`,
    );
  addSiteCommands(program, world, done);
  addDataCommands(program, world, done);
  addJobCommands(program, world, done);
  addKvCommands(program, world, done);
  addBackupCommands(program, world, done);
  addTryCommands(program, world, done);
  addDrillCommand(program, world, done);
  program
    .command("version")
    .description("print the version")
    .addOption(outputOption(["text", "json"]))
    .action((options: { output: string }) => {
      world.out.write(options.output === "json" ? `${JSON.stringify({ version: world.version })}\n` : `${world.version}\n`);
    });
  return program;
}

function addSiteCommands(program: Command, world: World, done: Done): void {
  program
    .command("init")
    .description("write a starter site: site.yaml with a fresh secret, devices/, a job")
    .argument("[dir]", "folder to write into; overwrites nothing", ".")
    .addOption(outputOption(["text", "json"]))
    .addHelpText("after", examples("fogbank init my-site && cd my-site && fogbank start"))
    .action(async (dir: string, options: { output: string }) => done(await (await import("./commands/init.ts")).init(world, dir, options)));
  program
    .command("check")
    .description("validate a site's files: each problem as file:line:column")
    .argument("[site.yaml]", "the site's file (default: ./site.yaml)")
    .addOption(outputOption(["text", "json"]))
    .addHelpText("after", examples("fogbank check", "fogbank check plant-7/site.yaml -o json"))
    .action(async (file: string | undefined, options: { output: string }) =>
      done(await (await import("./commands/check.ts")).check(world, file, options)),
    );
  program
    .command("start")
    .description("run this host's gateway in the foreground")
    .argument("[site.yaml]", "the site's file (default: ./site.yaml)")
    .option("--gateway <id>", "which gateway of the site this is (default: the entry whose host is this machine)")
    .option("--data <dir>", "its data folder (default: data/GATEWAY beside the site's file)")
    .addOption(new Option("--stop-with-stdin", "end when standard input closes").hideHelp())
    .addHelpText("after", examples("fogbank start", "fogbank start plant-7/site.yaml --gateway gw-a --data /var/lib/fogbank"))
    .action(async (file: string | undefined, options: StartOptions) =>
      done(await (await import("./commands/start.ts")).start(world, file, options)),
    );
  remote(program.command("status"), ["text", "json"])
    .description("what a gateway knows about itself and the site")
    .addHelpText("after", examples("fogbank status", "fogbank status --url http://10.0.0.12:7880 -o json"))
    .action(async (options: RemoteOptions) => done(await (await import("./commands/status.ts")).status(world, options)));
  addGatewayCommands(program, world, done);
  const sync = program.command("sync").description("the way of results into the sinks");
  remote(sync.command("status"))
    .description("what each sink holds, and what waits")
    .action(async (options: RemoteOptions) => done(await (await import("./commands/sync.ts")).syncStatus(world, options)));
}

function addDataCommands(program: Command, world: World, done: Done): void {
  remote(program.command("query"), ["table", "csv", "json"])
    .description("readings of a metric: raw, or aggregated with --every")
    .argument("<metric>", "name of the metric")
    .option("--device <glob>", "only these devices (default: all)")
    .option("--from <time>", "from, inclusive: RFC 3339, epoch ms, or -1h")
    .option("--to <time>", "to, exclusive: the same forms")
    .option("--every <duration>", "length of the windows, aligned to the site's calendar, such as 1m")
    .option("--agg <function>", "count, sum, min, max, mean, first, last or quantile(Q) (default: mean)")
    .option("--consistency <level>", "one, quorum or all (default: the site's)")
    .option("--flags", "show which raw readings got their time from a gateway's clock that nothing confirmed")
    .option("--limit <points>", "stop after this many points (default for a table: 1000)", wholeNumber(1, 1_000_000_000))
    .addHelpText(
      "after",
      examples(
        "fogbank query temperature --device 'room-*' --from -1h --every 5m --agg 'quantile(0.95)'",
        "fogbank query temperature --from 2026-01-01T00:00:00Z -o csv > january.csv",
      ),
    )
    .action(async (metric: string, options: QueryOptions) =>
      done(await (await import("./commands/query.ts")).query(world, metric, options)),
    );
  remote(program.command("tail"), ["text", "json"])
    .description("show readings as they are acknowledged, until Ctrl-C (-o json: one object a line)")
    .option("--device <glob>", "only these devices", "*")
    .addHelpText("after", examples("fogbank tail --device 'room-*'"))
    .action(async (options: TailOptions) => done(await (await import("./commands/tail.ts")).tail(world, options)));
  remote(program.command("repair"))
    .description("have every gateway compare all that it holds with the other owners now, and fetch what it lacks")
    .addHelpText("after", `\nExit status 1 when something stays unequal, 3 when a gateway cannot be reached.${examples("fogbank repair")}`)
    .action(async (options: RemoteOptions) => done(await (await import("./commands/repair.ts")).repair(world, options)));
  const device = program.command("device").description("the site's devices");
  remote(device.command("list"))
    .description("list the devices")
    .action(async (options: RemoteOptions) => done(await (await import("./commands/device.ts")).deviceList(world, options)));
  remote(device.command("show"), ["text", "json"])
    .description("one device with its latest readings")
    .argument("<id>", "device id")
    .action(async (id: string, options: RemoteOptions) =>
      done(await (await import("./commands/device.ts")).deviceShow(world, id, options)),
    );
  const deadLetter = program.command("dead-letter").description("payloads that the gateways refused");
  remote(deadLetter.command("list"))
    .description("list them, newest first, with the reasons")
    .action(async (options: RemoteOptions) => done(await (await import("./commands/dead-letter.ts")).deadLetterList(world, options)));
}

function addJobCommands(program: Command, world: World, done: Done): void {
  const job = program.command("job").description("aggregations that run on a schedule");
  remote(job.command("list"))
    .description("list the jobs")
    .action(async (options: RemoteOptions) => done(await (await import("./commands/job.ts")).jobList(world, options)));
  remote(job.command("run"))
    .description("run a job now over the closed windows of a range")
    .argument("<name>", "the job")
    .option("--from <time>", "from, inclusive: RFC 3339, epoch ms, or -1h")
    .option("--to <time>", "to, exclusive")
    .addHelpText("after", examples("fogbank job run hourly-climate --from -24h"))
    .action(async (name: string, options: RangeOptions) => done(await (await import("./commands/job.ts")).jobRun(world, name, options)));
  remote(job.command("results"))
    .description("committed results of a job")
    .argument("<name>", "the job")
    .option("--from <time>", "windows from, inclusive")
    .option("--to <time>", "windows to, exclusive")
    .addHelpText("after", examples("fogbank job results hourly-climate --from -7d -o json"))
    .action(async (name: string, options: RangeOptions) =>
      done(await (await import("./commands/job.ts")).jobResults(world, name, options)),
    );
}

function addKvCommands(program: Command, world: World, done: Done): void {
  const kv = program.command("kv").description("the site's linearizable key-value space");
  remote(kv.command("get"), ["raw", "json"])
    .description("print a key's value")
    .argument("<key>", "the key; slashes are part of it")
    .action(async (key: string, options: RemoteOptions) => done(await (await import("./commands/kv.ts")).kvGet(world, key, options)));
  remote(kv.command("put"), ["text", "json"])
    .description("write a key")
    .argument("<key>", "the key")
    .argument("[value]", "the value as text")
    .option("--file <path>", "the value from a file")
    .addOption(
      new Option("--if-match <revision>", "only if the key stands at this revision")
        .argParser(wholeNumber(1, Number.MAX_SAFE_INTEGER))
        .conflicts("ifAbsent"),
    )
    .option("--if-absent", "only if there is no such key")
    .addHelpText("after", examples("fogbank kv put setpoints/hall-2 21.5", "fogbank kv put setpoints/hall-2 22 --if-match 17"))
    .action(async (key: string, value: string | undefined, options: KvWriteOptions) =>
      done(await (await import("./commands/kv.ts")).kvPut(world, key, value, options)),
    );
  remote(kv.command("delete"), ["text", "json"])
    .description("delete a key")
    .argument("<key>", "the key")
    .option("--if-match <revision>", "only if the key stands at this revision", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .action(async (key: string, options: KvWriteOptions) => done(await (await import("./commands/kv.ts")).kvDelete(world, key, options)));
}

function addTryCommands(program: Command, world: World, done: Done): void {
  program
    .command("demo")
    .description("a whole site on this machine: gateways as separate processes, a dozen simulated devices")
    .option("--gateways <count>", "number of gateways", wholeNumber(1, 9), 3)
    .option("--port-base <port>", "gateway i (0, 1, …) has mqtt N+10i+1, mesh N+10i+2, http N+10i+3", wholeNumber(1024, 65_400), 18_000)
    .option("--data <dir>", "keep everything in this folder (default: a temporary one, removed at the end)")
    .option("--for <duration>", "end after this long, such as 30s (default: until Ctrl-C)", duration)
    .addOption(new Option("--store <engine>", "what keeps the readings on disk").choices(["level", "lowdb"]).default("level"))
    .addOption(outputOption(["text", "json"]))
    .addHelpText("after", examples("fogbank demo", "fogbank demo --for 30s --port-base 20000"))
    .action(async (options: DemoOptions) => done(await (await import("./commands/demo.ts")).demo(world, options)));
  program
    .command("replay")
    .description("publish a CSV file as one device's readings (QoS 1), each until it is acknowledged")
    .argument("<data.csv>", "first line: names; first column: time (YYYY-MM-DD HH:MM:SS[.fff], RFC 3339, epoch s or ms)")
    .requiredOption("--device <id>", "device id; replaces {device} in the topic")
    .requiredOption("--topic <topic>", "topic to publish to, such as sensors/{device}/climate")
    .requiredOption("--mqtt <host:port,…>", "gateways; the first that answers is used, the next when it is lost")
    .option("--metric <name>", "publish the only value column under this name (default: the column's)")
    .addOption(
      new Option("--rate <n>", "rows per second (default: as fast as they are acknowledged)").argParser(positiveNumber).conflicts("speed"),
    )
    .option("--speed <factor>", "as they were recorded, this much faster: 60x", speedFactor)
    .option("--time-zone <zone>", "of times without one", "UTC")
    .option("--shift-to-now", "move all times so that the last reading is now")
    .option("--acks <file>", "write a line `ts,value` for each acknowledged reading")
    .option("--window <n>", "messages on their way at once", wholeNumber(1, 10_000), 100)
    .option("--timeout <duration>", "give up when nothing is acknowledged for this long", duration, 120_000)
    .option("--username <name>", "MQTT user name; the password comes from FOGBANK_MQTT_PASSWORD")
    .addOption(outputOption(["text", "json"]))
    .addHelpText(
      "after",
      `\nPublishes {"ts": milliseconds, "COLUMN": value, …}. A row that cannot be read is reported and skipped.
Numbers below 100,000,000,000 are taken for seconds, others for milliseconds. Where clocks were set back, a time without
zone is the earlier of the two. With several value columns the lines of --acks are \`ts,value,column\`.
Exit status 1 when anything stays unacknowledged, a row was skipped, or Ctrl-C ended it.
${examples("fogbank replay room.csv --device room-1 --topic 'sensors/{device}/climate' --mqtt 10.0.0.11:1883,10.0.0.12:1883 --speed 60x")}`,
    )
    .action(async (file: string, options: ReplayOptions) =>
      done(await (await import("./commands/replay.ts")).replay(world, file, options)),
    );
  program
    .command("decode")
    .description("what the site's profiles make of a payload; needs no gateway")
    .argument("<topic>", "MQTT topic")
    .argument("<payload>", "payload as text")
    .option("--site <site.yaml>", "the site's file (default: ./site.yaml)")
    .addOption(outputOption(["text", "json"]))
    .addHelpText("after", examples(`fogbank decode sensors/room-1/climate '{"ts": 1767225600000, "t": 21.5}'`))
    .action(async (topic: string, payload: string, options: DecodeOptions) =>
      done(await (await import("./commands/decode.ts")).decode(world, topic, payload, options)),
    );
}
