// `node --import tsx scripts/bench/scale.ts [--gateways 3,5,7,9] [--rate 5000] [--seconds 15]`
//
// What a reading costs the whole site as it grows, with three copies of each: processor time of all gateways and bytes that they hand
// to their mesh links, for each acknowledged reading, at a fixed rate that all sizes keep up with. Both should stay flat.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runLoad } from "./mqtt-load.ts";
import { startFogbank } from "./servers.ts";
import { metricOf } from "./site-figures.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { gateways: text, rate: text, seconds: text } });
const sizes = (values.gateways ?? "3,5,7,9").split(",").map(Number);
const rate = Number(values.rate ?? "5000");
const seconds = Number(values.seconds ?? "15");
const root = join(import.meta.dirname, "../..");
const connections = 200;
const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);

for (const gateways of sizes) {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-scale-"));
  const servers = await startFogbank(folder, 24_600, root, { gateways });
  try {
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const sent = async () =>
      sum(await Promise.all(servers.httpPorts.slice(0, gateways).map((port) => metricOf(port, "mesh_bytes_sent_total"))));
    const idle = { cpu: sum(servers.cpuSeconds()), bytes: await sent() };
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    // What the site does without readings is not theirs.
    const idleCpu = (sum(servers.cpuSeconds()) - idle.cpu) / 5;
    const idleBytes = ((await sent()) - idle.bytes) / 5;
    let cpu = 0;
    let bytes = 0;
    const figures = await runLoad({
      ports: servers.mqttPorts,
      connections,
      inFlight: 1,
      seconds,
      warmUpSeconds: 5,
      everyMs: (1_000 * connections) / rate,
      topicOf: (connection) => `bench/d${connection}`,
      onSecond: (second) => {
        if (second === 0) {
          cpu = sum(servers.cpuSeconds());
          void sent().then((now) => {
            bytes = now;
          });
        }
        if (second === seconds) cpu = sum(servers.cpuSeconds()) - cpu;
      },
    });
    const spent = cpu - idleCpu * seconds;
    const moved = (await sent()) - bytes - idleBytes * seconds;
    console.log(
      `${gateways} gateways: ${figures.perSecond.toFixed(0)}/s, ${((spent * 1e6) / figures.acknowledged).toFixed(1)} µs of CPU and ` +
        `${(moved / figures.acknowledged).toFixed(0)} bytes sent a reading; idle ${(idleCpu * 100).toFixed(0)} % of a core, ${(idleBytes / 1e3).toFixed(1)} kB/s; ` +
        `memory ${servers.memory().join("/")} MiB${figures.broken > 0 ? `; ${figures.broken} BROKEN` : ""}`,
    );
  } finally {
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
