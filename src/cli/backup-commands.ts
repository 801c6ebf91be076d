import { type Command, Option } from "commander";
import type { Done } from "./command.ts";
import type { BackupOptions } from "./commands/backup.ts";
import type { ExportOptions } from "./commands/export.ts";
import type { RestoreOptions } from "./commands/restore.ts";
import { examples, outputOption, remote } from "./options.ts";
import type { World } from "./world.ts";

/** `fogbank backup`, `restore` and `export`: names, options and help texts. `-o` is how to print, here too; files have `--file`. */
export function addBackupCommands(program: Command, world: World, done: Done): void {
  const backup = remote(program.command("backup"), ["text", "json"])
    // What is behind `verify` is its own.
    .enablePositionalOptions()
    .description("write all readings, results, keys and devices of the running site into one file")
    .option("-f, --file <path>", "the file (default: SITE-TIME.fogbank in this folder)")
    .option("--force", "replace a file that exists")
    .option("--allow-incomplete", "go on where something cannot be read now; the file says what is missing")
    .addHelpText("after", examples("fogbank backup", "fogbank backup --url http://10.0.0.12:7880 -f /mnt/usb/plant-7.fogbank"))
    .action(async (options: BackupOptions) => done(await (await loadBackup()).backup(world, options)));
  backup
    .command("verify")
    .description("verify a backup's file; needs no gateway")
    .argument("<file>", "the file")
    .addOption(outputOption(["text", "json"]))
    .addHelpText("after", examples("fogbank backup verify plant-7.fogbank"))
    .action(async (file: string, options: { output: string }) => done(await (await loadBackup()).verifyBackup(world, file, options)));
  remote(program.command("restore"), ["text", "json"])
    .description("put a backup into a new, empty site, and compare the site with it; repeated after a failure, it goes on")
    .argument("<file>", "the backup's file")
    .option("--merge", "into a site that is not empty: only readings, and devices that it does not know, are added")
    .option("--yes", "do not ask")
    .addHelpText("after", examples("fogbank restore plant-7.fogbank", "fogbank restore plant-7.fogbank --url http://10.0.0.21:7880 --yes"))
    .action(async (file: string, options: RestoreOptions) =>
      done(await (await import("./commands/restore.ts")).restore(world, file, options)),
    );
  remote(program.command("export"), ["text", "json"])
    .description("raw readings as csv, ndjson or parquet, in the order of device, metric and time")
    .addOption(new Option("--format <format>", "of the file").choices(["csv", "ndjson", "parquet"]).makeOptionMandatory())
    .option("--metric <name>", "only this metric (default: all)")
    .option("--device <glob>", "only these devices (default: all)")
    .option("--from <time>", "from, inclusive: RFC 3339, epoch ms, or -1h")
    .option("--to <time>", "to, exclusive: the same forms")
    .option("-f, --file <path>", "the file (default: standard output)")
    .option("--force", "replace a file that exists")
    .option("--allow-incomplete", "go on where too few gateways answer for some of the readings")
    .addHelpText(
      "after",
      examples(
        "fogbank export --format parquet --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z -f january.parquet",
        "fogbank export --format csv --metric temperature --device 'room-*' > temperature.csv",
      ),
    )
    .action(async (options: ExportOptions) => done(await (await import("./commands/export.ts")).exportReadings(world, options)));
}

const loadBackup = () => import("./commands/backup.ts");
