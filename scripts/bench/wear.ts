// `node --import tsx scripts/bench/wear.ts [--seconds 600] [--delays 0,10,50,200] [--rate 1000] [--devices 100]` (after `npm run build`)
//
// Bytes that one gateway has written to its disk for each reading that it keeps: a site of three gateways, devices spread over
// them, each with one JSON reading in so many ms, for each `store.commitDelay` a new site. /proc/PID/io counts the pages that a process
// makes dirty: records, checkpoints, LevelDB's compaction, the Raft log, documents; not the journal of the file system.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runLoad } from "./mqtt-load.ts";
import { startFogbank } from "./servers.ts";

const { values } = parseArgs({
  options: { seconds: { type: "string" }, delays: { type: "string" }, rate: { type: "string" }, devices: { type: "string" } },
});
const seconds = Number(values.seconds ?? "600");
const delays = (values.delays ?? "0,10,50,200").split(",").map(Number);
const rate = Number(values.rate ?? "1000");
const devices = Number(values.devices ?? "100");
const root = join(import.meta.dirname, "../..");

for (const delayMs of delays) {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-wear-"));
  const servers = await startFogbank(folder, 24_300, root, { yaml: [`store: { commitDelay: ${delayMs}ms }`] });
  try {
    let before: number[] = [];
    let after: number[] = [];
    const figures = await runLoad({
      ports: servers.mqttPorts,
      connections: devices,
      inFlight: 1,
      seconds,
      warmUpSeconds: 5,
      topicOf: (connection) => `bench/d${connection}`,
      everyMs: (1_000 * devices) / rate,
      onSecond: (second) => {
        if (second === 0) before = servers.writtenBytes();
        if (second === seconds) after = servers.writtenBytes();
      },
    });
    const each = after.map((bytes, i) => (bytes - (before[i] ?? 0)) / figures.acknowledged);
    console.log(
      `commitDelay ${String(delayMs).padStart(3)} ms: ${(each.reduce((sum, one) => sum + one, 0) / each.length).toFixed(1).padStart(6)} bytes a reading ` +
        `(${each.map((one) => one.toFixed(1)).join("/")}), ${figures.acknowledged} readings, PUBACK p50 ${figures.p50Ms.toFixed(1)} ms ` +
        `p99 ${figures.p99Ms.toFixed(1)} ms, memory ${servers.memory().join("/")} MiB${figures.broken > 0 ? `, ${figures.broken} BROKEN` : ""}`,
    );
  } finally {
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
