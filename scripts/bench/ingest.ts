// `node --import tsx scripts/bench/ingest.ts [--seconds 8] [--rounds 3] [--only fogbank,nats,aedes]`
//
// Acknowledged readings per second at 100 connections × 20 in flight, QoS 1: three Fogbank gateways (PUBACK after fsync on two),
// NATS JetStream over MQTT with three replicas, and an Aedes that stores nothing, one after the other in the same run, in turns.
// Then one connection with one in flight, and the memory of idle gateways. What counts are the ratios: medians of the rounds.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type LoadFigures, runLoad } from "./mqtt-load.ts";
import { type Servers, startAedes, startFogbank, startNats } from "./servers.ts";

const { values } = parseArgs({ options: { seconds: { type: "string" }, rounds: { type: "string" }, only: { type: "string" } } });
const seconds = Number(values.seconds ?? "8");
const rounds = Number(values.rounds ?? "3");
const only = values.only?.split(",") ?? ["fogbank", "nats", "aedes"];
const root = join(import.meta.dirname, "../..");

interface Measured {
  readonly figures: LoadFigures;
  readonly single: LoadFigures;
  readonly idleMemory: readonly number[];
  readonly memory: readonly number[];
}

async function measure(start: (folder: string) => Promise<Servers>): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-bench-"));
  const servers = await start(folder);
  try {
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const idleMemory = servers.memory();
    const topicOf = (connection: number) => `bench/d${connection}`;
    const single = await runLoad({
      ports: servers.mqttPorts.slice(0, 1),
      connections: 1,
      inFlight: 1,
      seconds: 3,
      warmUpSeconds: 1,
      topicOf,
    });
    const figures = await runLoad({ ports: servers.mqttPorts, connections: 100, inFlight: 20, seconds, warmUpSeconds: 3, topicOf });
    return { figures, single, idleMemory, memory: servers.memory() };
  } finally {
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const starts: Record<string, (folder: string) => Promise<Servers>> = {
  fogbank: (folder) => startFogbank(folder, 24_000, root),
  nats: (folder) => startNats(folder, 24_100),
  aedes: () => startAedes(24_201, root),
};

const results = new Map<string, Measured[]>();
for (let round = 1; round <= rounds; round++) {
  for (const name of only) {
    const start = starts[name];
    if (start === undefined) throw new Error(`--only: there is no "${name}"`);
    const measured = await measure(start);
    results.set(name, [...(results.get(name) ?? []), measured]);
    const { figures, single, memory, idleMemory } = measured;
    console.log(
      `round ${round} ${name.padEnd(8)} ${Math.round(figures.perSecond)}/s p50 ${figures.p50Ms.toFixed(1)} ms p99 ${figures.p99Ms.toFixed(1)} ms` +
        ` | 1×1 p50 ${single.p50Ms.toFixed(2)} ms | memory idle ${idleMemory.join("/")} MiB, after ${memory.join("/")} MiB${figures.broken > 0 ? ` | ${figures.broken} BROKEN` : ""}`,
    );
  }
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;
const rate = (name: string) => median((results.get(name) ?? []).map((measured) => measured.figures.perSecond));
const p99 = (name: string) => median((results.get(name) ?? []).map((measured) => measured.figures.p99Ms));
for (const name of results.keys()) console.log(`median ${name.padEnd(8)} ${Math.round(rate(name))}/s, p99 ${p99(name).toFixed(1)} ms`);
for (const peer of ["nats", "aedes"]) {
  if (results.has("fogbank") && results.has(peer))
    console.log(
      `fogbank / ${peer}: ${(rate("fogbank") / rate(peer)).toFixed(2)} × the rate, ${(p99("fogbank") / p99(peer)).toFixed(2)} × the p99`,
    );
}
