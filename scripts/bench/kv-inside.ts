// The same closed loop of clients as `kv-load.ts`, with the clients inside the three gateways.
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TestSite } from "../../test/e2e/support/site.ts";
import { bundleScript } from "../bundle.ts";
import type { KvLoadFigures } from "./kv-load.ts";
import { Latencies } from "./latencies.ts";
import type { ProposingFigures } from "./proposing-gateway.ts";

export interface InsideLoadOptions {
  readonly clients: number;
  readonly valueBytes: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** The next message of a child; rejects when it ends instead. */
function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once("message", (received) => resolve(received as T));
    child.once("exit", (code) => reject(new Error(`a gateway of the benchmark ended with ${code}`)));
  });
}

export async function runInsideLoad(options: InsideLoadOptions): Promise<KvLoadFigures> {
  const script = bundleScript(new URL("proposing-gateway.ts", import.meta.url));
  const site = await TestSite.create({ site: "bench", files: {} });
  const children = site.gateways.map((gateway, i) => {
    const share = Math.floor(options.clients / site.gateways.length) + (i < options.clients % site.gateways.length ? 1 : 0);
    return fork(
      script,
      [join(site.folder, "site.yaml"), gateway.id, gateway.dataFolder, String(share), String(options.valueBytes)],
      // As in dist/fogbank.js: fsync, LevelDB and DNS share libuv's threads.
      { execArgv: [], env: { ...process.env, UV_THREADPOOL_SIZE: "16" } },
    );
  });
  try {
    await Promise.all(children.map((child) => message(child)));
    for (const child of children) child.send("go");
    await sleep(options.warmUpSeconds * 1_000);
    for (const child of children) child.send("measure");
    const beganMs = performance.now();
    await sleep(options.seconds * 1_000);
    const seconds = (performance.now() - beganMs) / 1_000;
    const answers = children.map((child) => message<ProposingFigures>(child));
    for (const child of children) child.send("stop");
    const figures = await Promise.all(answers);
    const latencies = new Latencies();
    for (const { pairs } of figures) latencies.merge(pairs);
    return {
      perSecond: latencies.count / seconds,
      p50Ms: latencies.quantile(0.5),
      p99Ms: latencies.quantile(0.99),
      failed: figures.reduce((sum, { failed }) => sum + failed, 0),
      problem: figures.find(({ problem }) => problem !== undefined)?.problem,
      generatorLoad: 0,
      cpuMicroseconds: (figures.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0) * 1e6) / latencies.count,
    };
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await site.end();
  }
}
