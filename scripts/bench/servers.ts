// The servers that are measured, each as the processes that its users run, on loopback ports and in folders of their own.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { watched } from "../watched-child.ts";

export interface Servers {
  readonly name: string;
  readonly mqttPorts: readonly number[];
  /** Resident memory of each process, MiB. */
  memory(): number[];
  /** What each process has had written to disk so far, in bytes (/proc/PID/io): whole pages, as the disk gets them. */
  writtenBytes(): number[];
  /** Processor time of each process so far, in seconds. */
  cpuSeconds(): number[];
  stop(): Promise<void>;
}

export interface FogbankOptions {
  /** Options of the gateways' own Node. */
  readonly node?: readonly string[];
  /** Further lines of the site's YAML. */
  readonly yaml?: readonly string[];
  /** How many; three when absent. */
  readonly gateways?: number;
  /** Metrics that a message may have beside `v`: m0, m1, … */
  readonly metrics?: number;
  /** Further gateways of the YAML's list, which the caller starts when it has registered them. */
  readonly later?: number;
}

export interface FogbankServers extends Servers {
  readonly httpPorts: readonly number[];
  /** Starts the next one of those that come later; resolves when its listener answers. */
  startNext(): Promise<void>;
}

export async function startFogbank(folder: string, portBase: number, root: string, options: FogbankOptions = {}): Promise<FogbankServers> {
  const { gateways: first = 3, later = 0, metrics = 0 } = options;
  const all = Array.from({ length: first + later }, (_, i) => `gw-${String.fromCharCode(97 + i)}`);
  mkdirSync(join(folder, "devices"), { recursive: true });
  const lines = all.map(
    (id, i) =>
      `  ${id}: { host: 127.0.0.1, listen: { mqtt: ${portBase + 10 * i + 1}, mesh: ${portBase + 10 * i + 2}, http: ${portBase + 10 * i + 3} } }`,
  );
  const yaml = (count: number): string =>
    [
      "site: bench",
      "secret: a-secret-for-the-benchmark",
      "mqtt: { anonymous: true }",
      "gateways:",
      ...lines.slice(0, count),
      "devices: ./devices",
      ...(options.yaml ?? []),
      "",
    ].join("\n");
  writeFileSync(join(folder, "site.yaml"), yaml(first));
  writeFileSync(join(folder, "site-of-all.yaml"), yaml(all.length));
  writeFileSync(
    join(folder, "devices/sensor.yaml"),
    [
      "profile: sensor\ntopic: bench/{device}\npayload: json\ntimestamp: { path: ts, unit: ms }\nmetrics:\n  v: { path: v }",
      ...Array.from({ length: metrics }, (_, i) => `  m${i}: { path: m${i} }`),
      "",
    ].join("\n"),
  );
  const start = (id: string, site: string): ChildProcess =>
    watched(
      spawn(
        process.execPath,
        [...(options.node ?? []), join(root, "dist/fogbank.js"), "start", join(folder, site), "--gateway", id, "--data", join(folder, id)],
        {
          stdio: ["ignore", "ignore", "inherit"],
          env: { ...process.env, FOGBANK_LOG: "warn" },
        },
      ),
    );
  const children = all.slice(0, first).map((id) => start(id, "site.yaml"));
  const mqttPorts = children.map((_, i) => portBase + 10 * i + 1);
  const servers = await started("fogbank", children, mqttPorts);
  const httpPorts = all.map((_, i) => portBase + 10 * i + 3);
  const startNext = async (): Promise<void> => {
    const at = children.length;
    children.push(start(all[at] as string, "site-of-all.yaml"));
    await listens("fogbank", portBase + 10 * at + 1);
  };
  return { ...servers, httpPorts, startNext };
}

/** JetStream behind MQTT, three replicas, as nats-server's documentation sets it up. */
export function startNats(folder: string, portBase: number): Promise<Servers> {
  const ids = [0, 1, 2];
  const routes = ids.map((i) => `nats://127.0.0.1:${portBase + 10 * i + 2}`).join(", ");
  const children = ids.map((i) => {
    const own = join(folder, `nats-${i}`);
    mkdirSync(own, { recursive: true });
    const config = [
      `server_name: n${i}`,
      `listen: 127.0.0.1:${portBase + 10 * i + 1}`,
      `jetstream { store_dir: "${own}" }`,
      `cluster { name: bench, listen: 127.0.0.1:${portBase + 10 * i + 2}, routes: [${routes}] }`,
      `mqtt { listen: "127.0.0.1:${portBase + 10 * i + 3}", stream_replicas: 3 }`,
      "",
    ].join("\n");
    writeFileSync(join(own, "nats.conf"), config);
    return watched(spawn("nats-server", ["-c", join(own, "nats.conf")], { stdio: "ignore" }));
  });
  return started(
    "nats",
    children,
    ids.map((i) => portBase + 10 * i + 3),
  );
}

/** Aedes that stores nothing: the ceiling of the MQTT library. */
export function startAedes(port: number, root: string): Promise<Servers> {
  const child = spawn(process.execPath, ["--import", "tsx", join(root, "scripts/bench/bare-aedes.ts"), String(port)], {
    stdio: ["ignore", "ignore", "inherit"],
    cwd: root,
  });
  return started("aedes", [watched(child)], [port]);
}

async function started(name: string, children: readonly ChildProcess[], mqttPorts: readonly number[]): Promise<Servers> {
  const stop = async (): Promise<void> => {
    await Promise.all(
      children.map(
        (child) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) return resolve();
            child.once("exit", () => resolve());
            child.kill("SIGTERM");
            setTimeout(() => child.kill("SIGKILL"), 5_000).unref();
          }),
      ),
    );
  };
  try {
    for (const port of mqttPorts) await listens(name, port);
  } catch (cause) {
    await stop();
    throw cause;
  }
  const each = (of: (pid: number) => number) => () => children.map((child) => of(child.pid ?? 0));
  return { name, mqttPorts, memory: each(residentMebibytes), writtenBytes: each(writtenBytes), cpuSeconds: each(cpuSeconds), stop };
}

async function listens(name: string, port: number): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await answers(port))) {
    if (performance.now() > deadline) throw new Error(`${name} does not accept MQTT connections on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A CONNACK with code 0: a server that is up but not ready (JetStream without a leader) does not count. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const done = (ok: boolean): void => {
      socket.destroy();
      resolve(ok);
    };
    socket.setTimeout(2_000, () => done(false));
    socket.once("error", () => done(false));
    socket.once("close", () => done(false));
    socket.once("data", (data) => done(data[0] === 0x20 && data[3] === 0));
    socket.once("connect", () =>
      socket.write(Buffer.from([0x10, 17, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 5, 0x70, 0x72, 0x6f, 0x62, 0x65])),
    );
  });
}

function residentMebibytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Math.round(Number(line?.[1] ?? 0) / 1024);
}

function writtenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1] ?? 0);
}

/** Linux counts in hundredths of a second for everybody who reads it. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
