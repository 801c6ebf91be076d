// A closed loop of clients that put values: each has one call under way, and keys of its own.
import { randomBytes } from "node:crypto";
import type { Caller, Protocol } from "./kv-callers.ts";
import { Latencies } from "./latencies.ts";

export interface KvLoadOptions {
  readonly protocol: Protocol;
  readonly ports: readonly number[];
  readonly clients: number;
  /** Clients that share a connection where the protocol can. */
  readonly clientsPerConnection: number;
  readonly valueBytes: number;
  readonly seconds: number;
  /** Left out of the figures. */
  readonly warmUpSeconds: number;
}

export interface KvLoadFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Puts that were not acknowledged, and what the first of them met. */
  readonly failed: number;
  readonly problem: string | undefined;
  /** Share of one core that the generator itself took. */
  readonly generatorLoad: number;
  /** CPU time of one put, all processes together, where it is known. */
  readonly cpuMicroseconds?: number;
}

const keysPerClient = 10;
/** A client whose put failed waits for a moment, so that a server that is down is not asked in a busy loop. */
const pauseAfterFailureMs = 50;

export async function runKvLoad(options: KvLoadOptions): Promise<KvLoadFigures> {
  const { protocol, ports, clients } = options;
  const lanes = Math.min(options.clientsPerConnection, protocol.lanesMax);
  const callers = await Promise.all(
    Array.from({ length: Math.ceil(clients / lanes) }, (_, i) => protocol.open(ports[i % ports.length] as number)),
  );
  let latencies = new Latencies();
  let failed = 0;
  let problem: string | undefined;
  let stopped = false;
  const loop = (client: number, caller: Caller): void => {
    const value = Buffer.from(randomBytes(options.valueBytes / 2).toString("hex"));
    let count = 0;
    const next = (): void => {
      if (stopped) return;
      const beganMs = performance.now();
      caller.put(`bench-${client}-${count++ % keysPerClient}`, value, (failure) => {
        if (failure === undefined) {
          latencies.add(performance.now() - beganMs);
          next();
        } else if (!stopped) {
          failed++;
          problem ??= failure;
          setTimeout(next, pauseAfterFailureMs);
        }
      });
    };
    next();
  };
  for (let client = 0; client < clients; client++) loop(client, callers[Math.floor(client / lanes)] as Caller);
  await new Promise((resolve) => setTimeout(resolve, options.warmUpSeconds * 1_000));
  latencies = new Latencies();
  const beganMs = performance.now();
  const cpu = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, options.seconds * 1_000));
  const measured = latencies;
  const seconds = (performance.now() - beganMs) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  stopped = true;
  for (const caller of callers) caller.close();
  return {
    perSecond: measured.count / seconds,
    p50Ms: measured.quantile(0.5),
    p99Ms: measured.quantile(0.99),
    failed,
    problem,
    generatorLoad: (user + system) / 1e6 / seconds,
  };
}
