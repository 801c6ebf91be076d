// `node --import tsx scripts/bench/rebalance.ts [--readings 50000000] [--seconds 10]`
//
// A fourth gateway joins a site of three that holds so many readings, under load: how long until it has its share, the bytes that
// reach it against the fewest that could (its share of the other gateways' stores), and the acknowledged readings per second while
// it fills against those before, and afterwards: a fourth process on the same cores costs something also when it has its share.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runLoad } from "./mqtt-load.ts";
import { type FogbankServers, startFogbank } from "./servers.ts";
import { gatewaysOf, metricOf, settled, storeBytesOf } from "./site-figures.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { readings: text, seconds: text } });
const wanted = Number(values.readings ?? "50000000");
const seconds = Number(values.seconds ?? "10");
const root = join(import.meta.dirname, "../..");
const connections = 100;
/** Of the history: many, so that every partition has some. Each publishes in one of the rounds of the fill, over and over. */
const deviceGroups = 10;
const dayMs = 86_400_000;
const metrics = 64;
const portBase = 24_500;

/** Of the readings that are published meanwhile: an hour of it for each measurement, so that none is said twice. */
const liveFromMs = Date.now() - 10 * dayMs;

const wide = (ts: number): string => {
  const fields = Array.from({ length: metrics }, (_, i) => `"m${i}":${(20 + ((ts * (i + 1)) % 1_000) / 100).toFixed(2)}`);
  return `{"ts":${ts},${fields.join(",")}}`;
};

/** Publishes until the site holds as many readings as wanted. */
async function fill(servers: FogbankServers): Promise<number> {
  const beganMs = performance.now();
  const historyFromMs = Date.now() - 1_000 * dayMs;
  let readings = 0;
  for (let turn = 0; readings < wanted; turn++) {
    const { acknowledged } = await runLoad({
      ports: servers.mqttPorts,
      connections,
      inFlight: 4,
      seconds: 10,
      warmUpSeconds: 0,
      topicOf: (connection) => `bench/wide-${turn % deviceGroups}-${connection}`,
      payloadOf: wide,
      // A day for each turn: what a device says in one is later than all that it said before.
      fromMs: historyFromMs + turn * dayMs,
    });
    readings += acknowledged * metrics;
    console.log(`${(readings / 1e6).toFixed(1)} million readings after ${((performance.now() - beganMs) / 1_000).toFixed(0)} s`);
  }
  return readings;
}

let turns = 0;
const ingest = (servers: FogbankServers, forSeconds: number) =>
  runLoad({
    ports: servers.mqttPorts,
    connections,
    inFlight: 20,
    seconds: forSeconds,
    warmUpSeconds: 2,
    topicOf: (connection) => `bench/live-${connection}`,
    fromMs: liveFromMs + turns++ * 3_600_000,
  });

const folder = mkdtempSync(join(tmpdir(), "fogbank-rebalance-"));
const servers = await startFogbank(folder, portBase, root, { later: 1, metrics });
try {
  const readings = await fill(servers);
  // Heads become chunks, and the load's own disk traffic ends.
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  const before = await ingest(servers, seconds);
  const storeBytes = await storeBytesOf(servers.httpPorts[0] as number);
  const beganMs = performance.now();
  const port = (offset: number): number => portBase + 30 + offset;
  const added = await fetch(`http://127.0.0.1:${servers.httpPorts[0]}/api/v1/gateways`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: "gw-d", address: { host: "127.0.0.1", mqtt: port(1), mesh: port(2), http: port(3) } }),
  });
  if (!added.ok) throw new Error(`gw-d is not added: ${await added.text()}`);
  await servers.startNext();
  let isOver = false;
  const filled = settled(servers.httpPorts[0] as number, "gw-d").finally(() => {
    isOver = true;
  });
  const during: number[] = [];
  while (!isOver) during.push((await ingest(servers, 5)).perSecond);
  await filled;
  const tookS = (performance.now() - beganMs) / 1_000;
  const after = await ingest(servers, seconds);
  const listed = await gatewaysOf(servers.httpPorts[0] as number);
  const share = (listed.find(({ id }) => id === "gw-d")?.partitions ?? 0) / 1_024;
  const newcomer = servers.httpPorts[3] as number;
  const received = await metricOf(newcomer, "mesh_bytes_received_total");
  const [chunks, chunkBytes] = await Promise.all([
    metricOf(newcomer, "chunks_fetched_total"),
    metricOf(newcomer, "chunk_bytes_fetched_total"),
  ]);
  const median = during.toSorted((a, b) => a - b)[Math.floor(during.length / 2)] ?? 0;
  const least = storeBytes * share;
  console.log(`${(readings / 1e6).toFixed(1)} million readings, ${(storeBytes / 1e6).toFixed(0)} MB a store before`);
  console.log(`gw-d owns ${(share * 1_024).toFixed(0)} of 1024 partitions after ${tookS.toFixed(0)} s`);
  console.log(
    `moved as chunks: ${chunks} of ${(chunkBytes / 1e6).toFixed(1)} MB; received in all, live rounds included: ${(received / 1e6).toFixed(1)} MB; its share of a store: ${(least / 1e6).toFixed(1)} MB`,
  );
  console.log(
    `ingest: ${before.perSecond.toFixed(0)}/s before, ${median.toFixed(0)}/s meanwhile (median of ${during.length}): ${(median / before.perSecond).toFixed(2)} ×, ${after.perSecond.toFixed(0)}/s with four: ${(after.perSecond / before.perSecond).toFixed(2)} ×`,
  );
} finally {
  await servers.stop();
  rmSync(folder, { recursive: true, force: true });
}
