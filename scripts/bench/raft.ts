// `node --import tsx scripts/bench/raft.ts [--seconds 8] [--warm-up 6] [--rounds 3] [--clients 100]
//     [--only fogbank,fogbank-inside,etcd-grpc,etcd-json] [--failover N]`
//
// Puts of 256 bytes per second, each acknowledged once a majority of three has fsynced it: three gateways over HTTP, and with the
// clients inside the gateways' own processes (what Raft does by itself), against three members of etcd, over its own gRPC and over its
// JSON gateway, in turns within one run; what counts is the ratio of the medians.
// `--failover 20` instead kills the leader that many times and measures how long it takes until a put succeeds again.
import { parseArgs } from "node:util";
import { etcdGrpc, etcdJsonPut, fogbankPut, http, type Protocol } from "./kv-callers.ts";
import { measureFailovers } from "./kv-failover.ts";
import { type InsideLoadOptions, runInsideLoad } from "./kv-inside.ts";
import { type KvLoadFigures, runKvLoad } from "./kv-load.ts";
import { etcdVersion, type KvServers, startEtcd, startFogbankKv } from "./kv-servers.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "8" },
    rounds: { type: "string", default: "3" },
    "warm-up": { type: "string", default: "6" },
    clients: { type: "string", default: "100" },
    only: { type: "string" },
    failover: { type: "string" },
    "clients-per-connection": { type: "string", default: "10" },
  },
});

const valueBytes = 256;
const failoverMsMax = 3_000;

function whole(name: "seconds" | "warm-up" | "rounds" | "clients" | "failover" | "clients-per-connection"): number {
  const text = values[name] ?? "";
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`--${name} ${text}: expected a whole number from 1 on`);
  process.exit(2);
}

interface Contender {
  readonly name: string;
  readonly measure: () => Promise<KvLoadFigures>;
}

const contenders: readonly Contender[] = [
  { name: "fogbank", measure: () => overNetwork(http(fogbankPut), startFogbankKv) },
  { name: "fogbank-inside", measure: () => runInsideLoad(loadOptions()) },
  { name: "etcd-grpc", measure: () => overNetwork(etcdGrpc, startEtcd) },
  { name: "etcd-json", measure: () => overNetwork(http(etcdJsonPut), startEtcd) },
];

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

function loadOptions(): InsideLoadOptions {
  return { clients: whole("clients"), valueBytes, seconds: whole("seconds"), warmUpSeconds: whole("warm-up") };
}

async function overNetwork(protocol: Protocol, start: () => Promise<KvServers>): Promise<KvLoadFigures> {
  const servers = await start();
  try {
    const clientsPerConnection = whole("clients-per-connection");
    return await runKvLoad({ ...loadOptions(), protocol, ports: servers.ports, clientsPerConnection });
  } finally {
    await servers.stop();
  }
}

function chosen(): readonly Contender[] {
  const names = values.only?.split(",");
  const unknown = names?.find((name) => !contenders.some((contender) => contender.name === name));
  if (unknown !== undefined) {
    console.error(`--only ${unknown}: expected ${contenders.map(({ name }) => name).join(", ")}`);
    process.exit(2);
  }
  const version = etcdVersion();
  console.log(version === undefined ? "etcd: not on PATH, so there is nothing to compare with (Debian: etcd-server)" : `etcd ${version}`);
  return contenders.filter(({ name }) => (names?.includes(name) ?? true) && (version !== undefined || !name.startsWith("etcd")));
}

async function compare(): Promise<void> {
  const taking = chosen();
  const results = new Map<string, KvLoadFigures[]>(taking.map(({ name }) => [name, []]));
  for (let round = 1; round <= whole("rounds"); round++) {
    for (const contender of taking) {
      const figures = await contender.measure();
      results.get(contender.name)?.push(figures);
      const { perSecond, p50Ms, p99Ms, failed, problem, generatorLoad, cpuMicroseconds } = figures;
      const cpu = cpuMicroseconds === undefined ? "" : ` | ${Math.round(cpuMicroseconds)} µs of CPU a put`;
      const failures = failed === 0 ? "" : ` | ${failed} FAILED: ${problem ?? ""}`;
      console.log(
        `round ${round} ${contender.name.padEnd(14)} ${Math.round(perSecond)} puts/s, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms | generator ${Math.round(generatorLoad * 100)} % of a core${cpu}${failures}`,
      );
    }
  }
  const medianOf = (name: string, figure: (figures: KvLoadFigures) => number): number => median((results.get(name) ?? []).map(figure));
  const rate = (name: string): number => medianOf(name, (figures) => figures.perSecond);
  const p99 = (name: string): number => medianOf(name, (figures) => figures.p99Ms);
  for (const { name } of taking) {
    const p50 = medianOf(name, (figures) => figures.p50Ms);
    console.log(`median  ${name.padEnd(14)} ${Math.round(rate(name))} puts/s, p50 ${p50.toFixed(2)} ms, p99 ${p99(name).toFixed(2)} ms`);
  }
  for (const { name } of taking) {
    if (!name.startsWith("etcd")) continue;
    for (const own of ["fogbank", "fogbank-inside"].filter((each) => results.has(each))) {
      const [times, share] = [rate(own) / rate(name), p99(own) / p99(name)];
      console.log(`${own} / ${name}: ${times.toFixed(2)} × the rate, ${share.toFixed(2)} × the p99`);
    }
  }
}

async function failover(): Promise<void> {
  const times = await measureFailovers(whole("failover"), (line) => console.log(line));
  const worst = Math.max(...times);
  console.log(
    `fail-over, ${times.length} times: median ${Math.round(median(times))} ms, worst ${Math.round(worst)} ms (at most ${failoverMsMax})`,
  );
  if (worst > failoverMsMax) process.exitCode = 1;
}

// What gateways say in passing is not what is measured.
process.env["FOGBANK_LOG"] ??= "warn";
if (values.failover === undefined) await compare();
else await failover();
