// A real gateway whose clients live in its own process: what Raft, its log and the mesh do by themselves, without HTTP.
//
//     node --import tsx scripts/bench/proposing-gateway.ts SITE.YAML GATEWAY DATA CLIENTS VALUE_BYTES
//
// Says "ready" over IPC; on "go" the clients start, on "measure" the figures begin anew, on "stop" they are sent.
import { randomBytes } from "node:crypto";
import { NodeCliFiles } from "../../src/adapters/host/node-cli-files.ts";
import { loadSite } from "../../src/config/load-site.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { startGateway } from "../../src/main-gateway.ts";
import { until } from "../../test/e2e/support/until.ts";
import { Latencies } from "./latencies.ts";

/** Sent by this process at "stop". */
export interface ProposingFigures {
  readonly pairs: number[];
  /** CPU seconds of the whole process since "measure". */
  readonly cpuSeconds: number;
  readonly failed: number;
  readonly problem: string | undefined;
}

const keysPerClient = 10;
const [file = "", gateway = "", dataFolder = "", clients = "", valueBytes = ""] = process.argv.slice(2);
const loaded = loadSite(new NodeCliFiles(), file, process.env);
if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
const started = await startGateway({ settings: loaded.settings, gateway: gatewayId(gateway), dataFolder }, process.env);
if (!started.ok) throw new Error(started.message);
const { service } = started.value;
await until(`${gateway} is ready`, async () => (service.readiness().ready ? true : undefined), { withinMs: 30_000 });

let latencies = new Latencies();
let cpu = process.cpuUsage();
let failed = 0;
let problem: string | undefined;
let stopped = false;

async function client(name: string): Promise<void> {
  const value = randomBytes(Number(valueBytes));
  for (let count = 0; !stopped; count++) {
    const beganMs = performance.now();
    const written = await service.kvPut(`${name}-${count % keysPerClient}`, value, { kind: "any" });
    if (written.ok) {
      latencies.add(performance.now() - beganMs);
    } else {
      failed++;
      problem ??= written.message;
    }
  }
}

process.on("message", (message) => {
  if (message === "go") for (let i = 0; i < Number(clients); i++) void client(`${gateway}-${i}`);
  if (message === "measure") {
    latencies = new Latencies();
    cpu = process.cpuUsage();
  }
  if (message === "stop") {
    stopped = true;
    const { user, system } = process.cpuUsage(cpu);
    const figures: ProposingFigures = { pairs: latencies.pairs(), cpuSeconds: (user + system) / 1e6, failed, problem };
    process.send?.(figures, () => process.exit(0));
  }
});
process.on("disconnect", () => process.exit(1));
process.send?.("ready");
