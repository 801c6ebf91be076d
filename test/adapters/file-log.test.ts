// Goal: the log on real files keeps the contract. Method: the suite that every Log passes; a crash is a process that was
// killed: the system call under way ends, nothing else of the old log reaches the folder, and the folder is opened again.
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { FileLogDirectory } from "../../src/adapters/file-log.ts";
import { logContract } from "../contracts/log.ts";
import { FaultyFiles } from "../lib/faulty-files.ts";

logContract("adapters/file-log", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-log-"));
  let running: FaultyFiles | undefined;
  let directory: FileLogDirectory;
  const start = () => {
    directory = new FileLogDirectory({
      folder,
      wrap: (files) => {
        running = new FaultyFiles(files);
        return running;
      },
    });
  };
  start();
  return {
    open: (options) => directory.open("readings", options),
    crash: async () => {
      await running?.kill();
      start();
    },
    flipBit: (segment, offset) => {
      const names = fs.readdirSync(path.join(folder, "readings")).filter((name) => name.endsWith(".log"));
      const file = path.join(folder, "readings", names.sort().at(segment === "oldest" ? 0 : -1) as string);
      const bytes = fs.readFileSync(file);
      bytes[offset] = (bytes[offset] as number) ^ 4;
      fs.writeFileSync(file, bytes);
    },
    settle: (promise) => promise,
    dispose: async () => {
      await running?.kill();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
});
