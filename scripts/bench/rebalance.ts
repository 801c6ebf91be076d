// `node --import tsx scripts/bench/rebalance.ts [--readings 50000000] [--seconds 10]`
//
// A fourth gateway joins a site of three that holds so many readings, under load: how long until it has its share, the bytes that
// reach it against the fewest that could (its share of the other gateways' stores), and the acknowledged readings per second while
// it fills against those before.
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
const devices = 100;
const metrics = 64;
const portBase = 24_500;

const wide = (ts: number): string => {
  const fields = Array.from({ length: metrics }, (_, i) => `"m${i}":${(20 + ((ts * (i + 1)) % 1_000) / 100).toFixed(2)}`);
  return `{"ts":${ts},${fields.join(",")}}`;
};

/** Publishes until the site holds as many readings as wanted. */
async function fill(servers: FogbankServers): Promise<number> {
  const beganMs = performance.now();
  let readings = 0;
  while (readings < wanted) {
    const { acknowledged } = await runLoad({
      ports: servers.mqttPorts,
      connections: devices,
      inFlight: 4,
      seconds: 20,
      warmUpSeconds: 0,
      topicOf: (connection) => `bench/wide-${connection}-${readings}`,
      payloadOf: wide,
    });
    readings += acknowledged * metrics;
    console.log(`${(readings / 1e6).toFixed(1)} million readings after ${((performance.now() - beganMs) / 1_000).toFixed(0)} s`);
  }
  return readings;
}

const ingest = (servers: FogbankServers, forSeconds: number) =>
  runLoad({
    ports: servers.mqttPorts,
    connections: devices,
    inFlight: 20,
    seconds: forSeconds,
    warmUpSeconds: 2,
    topicOf: (connection) => `bench/live-${connection}`,
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
    `ingest: ${before.perSecond.toFixed(0)}/s before, ${median.toFixed(0)}/s meanwhile (median of ${during.length}): ${(median / before.perSecond).toFixed(2)} ×`,
  );
} finally {
  await servers.stop();
  rmSync(folder, { recursive: true, force: true });
}
