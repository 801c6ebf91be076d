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
    settle: (promise) => promise,
    dispose: async () => {
      await running?.kill();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
});
