// Goal: snapshot files on the real disk keep the contract. Method: the suite of the port on a temporary folder; a crash is a
// process that was killed: nothing that it has under way reaches the folder.
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { NodeFiles } from "../../src/adapters/log/node-files.ts";
import { WholeFiles } from "../../src/lib/whole-files.ts";
import { snapshotFilesContract } from "../contracts/snapshot-files.ts";
import { FaultyFiles } from "../lib/faulty-files.ts";

snapshotFilesContract("adapters: snapshot files", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-snapshots-"));
  const start = () => new FaultyFiles(new NodeFiles(path.join(folder, "snapshots")));
  let running = start();
  return {
    open: () => new WholeFiles(running),
    crash: async () => {
      await running.kill();
      running = start();
    },
    everything: () => fs.readdirSync(path.join(folder, "snapshots")),
    settle: (promise) => promise,
    dispose: async () => {
      await running.kill();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
});
