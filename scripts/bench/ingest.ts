// `node --import tsx scripts/bench/ingest.ts [--seconds 8] [--rounds 3] [--only fogbank,nats,aedes] [--connections 100] [--inflight 20]`
// `… --minutes 10`: Fogbank alone under that load, its memory each half minute
//
// Acknowledged readings per second at 100 connections × 20 in flight, QoS 1: three Fogbank gateways (PUBACK after fsync on two),
// NATS JetStream over MQTT with three replicas, and an Aedes that stores nothing, one after the other in the same run, in turns.
// Then one connection with one in flight, and the memory of idle gateways. What counts are the ratios: medians of the rounds.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type LoadFigures, type LoadOptions, runLoad } from "./mqtt-load.ts";
import { type Servers, startAedes, startFogbank, startNats } from "./servers.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { seconds: text, rounds: text, only: text, connections: text, inflight: text, minutes: text } });
const seconds = Number(values.seconds ?? "8");
const rounds = Number(values.rounds ?? "3");
const connections = Number(values.connections ?? "100");
const inFlight = Number(values.inflight ?? "20");
const only = values.only?.split(",") ?? ["fogbank", "nats", "aedes"];
const root = join(import.meta.dirname, "../..");

interface Measured {
  readonly figures: LoadFigures;
  readonly single: LoadFigures;
  readonly idleMemory: readonly number[];
  /** The highest of each process, looked at once a second. */
  readonly memory: readonly number[];
  /** Processor time of all processes for each message, in µs. */
  readonly cpuUs: number;
}

async function withServers<T>(start: (folder: string) => Promise<Servers>, work: (servers: Servers) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-bench-"));
  const servers = await start(folder);
  try {
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    return await work(servers);
  } finally {
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const topicOf = (connection: number) => `bench/d${connection}`;
const load = (ports: readonly number[]): Omit<LoadOptions, "seconds" | "onSecond"> => ({
  ports,
  connections,
  inFlight,
  warmUpSeconds: 3,
  topicOf,
});
const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);

async function measure(servers: Servers): Promise<Measured> {
  const idleMemory = servers.memory();
  const single = await runLoad({
    ports: servers.mqttPorts.slice(0, 1),
    connections: 1,
    inFlight: 1,
    seconds: 3,
    warmUpSeconds: 1,
    topicOf,
  });
  let memory = idleMemory;
  let cpuBefore = 0;
  let cpuAfter = 0;
  const onSecond = (second: number): void => {
    memory = servers.memory().map((now, i) => Math.max(now, memory[i] ?? 0));
    if (second === 0) cpuBefore = sum(servers.cpuSeconds());
    if (second === seconds) cpuAfter = sum(servers.cpuSeconds());
  };
  const figures = await runLoad({ ...load(servers.mqttPorts), seconds, onSecond });
  return { figures, single, idleMemory, memory, cpuUs: ((cpuAfter - cpuBefore) * 1e6) / figures.acknowledged };
}

/** Whether memory is flat: the highest of each half minute, and the rate in it. */
async function endure(minutes: number): Promise<void> {
  await withServers(
    (folder) => startFogbank(folder, 24_000, root),
    async (servers) => {
      let memory: readonly number[] = [];
      const figures = await runLoad({
        ...load(servers.mqttPorts),
        seconds: minutes * 60,
        onSecond: (second) => {
          memory = servers.memory().map((now, i) => Math.max(now, memory[i] ?? 0));
          if (second % 30 !== 0 || second === 0) return;
          console.log(`${String(second).padStart(4)} s: memory up to ${memory.join("/")} MiB`);
          memory = [];
        },
      });
      console.log(
        `${Math.round(figures.perSecond)}/s p50 ${figures.p50Ms.toFixed(1)} ms p99 ${figures.p99Ms.toFixed(1)} ms, ${figures.broken} broken`,
      );
    },
  );
}

const starts: Record<string, (folder: string) => Promise<Servers>> = {
  fogbank: (folder) => startFogbank(folder, 24_000, root),
  nats: (folder) => startNats(folder, 24_100),
  aedes: () => startAedes(24_201, root),
};

async function compare(): Promise<void> {
  const results = new Map<string, Measured[]>();
  for (let round = 1; round <= rounds; round++) {
    for (const name of only) {
      const start = starts[name];
      if (start === undefined) throw new Error(`--only: there is no "${name}"`);
      const measured = await withServers(start, measure);
      results.set(name, [...(results.get(name) ?? []), measured]);
      const { figures, single, memory, idleMemory, cpuUs } = measured;
      console.log(
        `round ${round} ${name.padEnd(8)} ${Math.round(figures.perSecond)}/s p50 ${figures.p50Ms.toFixed(1)} ms p99 ${figures.p99Ms.toFixed(1)} ms` +
          ` cpu ${cpuUs.toFixed(1)} µs | 1×1 p50 ${single.p50Ms.toFixed(2)} ms | memory idle ${idleMemory.join("/")} MiB, up to ${memory.join("/")} MiB` +
          `${figures.broken > 0 ? ` | ${figures.broken} BROKEN` : ""}`,
      );
    }
  }
  const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;
  const of = (name: string, figure: (measured: Measured) => number) => median((results.get(name) ?? []).map(figure));
  const rate = (name: string) => of(name, ({ figures }) => figures.perSecond);
  const p99 = (name: string) => of(name, ({ figures }) => figures.p99Ms);
  for (const name of results.keys()) {
    const single = of(name, (measured) => measured.single.p50Ms);
    console.log(`median ${name.padEnd(8)} ${Math.round(rate(name))}/s, p99 ${p99(name).toFixed(1)} ms, 1×1 p50 ${single.toFixed(2)} ms`);
  }
  for (const peer of ["nats", "aedes"]) {
    if (results.has("fogbank") && results.has(peer))
      console.log(
        `fogbank / ${peer}: ${(rate("fogbank") / rate(peer)).toFixed(2)} × the rate, ${(p99("fogbank") / p99(peer)).toFixed(2)} × the p99`,
      );
  }
}

if (values.minutes === undefined) await compare();
else await endure(Number(values.minutes));
