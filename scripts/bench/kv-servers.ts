// The clusters that are measured: three gateways, and three members of etcd with its own defaults, fsync included.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stablePorts } from "../../test/e2e/support/ports.ts";
import { TestSite } from "../../test/e2e/support/site.ts";
import { until } from "../../test/e2e/support/until.ts";

export interface KvServers {
  /** Where clients are served. */
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

export async function startFogbankKv(): Promise<KvServers & { readonly site: TestSite }> {
  const site = await TestSite.start({ site: "bench", files: {} });
  return { site, ports: site.gateways.map((gateway) => gateway.ports.http), stop: () => site.end() };
}

/** The version on PATH; `undefined`: there is none. */
export function etcdVersion(): string | undefined {
  const answer = spawnSync("etcd", ["--version"], { encoding: "utf8" });
  return answer.status === 0 ? (/etcd Version: (\S+)/.exec(answer.stdout)?.[1] ?? "unknown") : undefined;
}

export async function startEtcd(): Promise<KvServers> {
  const folder = mkdtempSync(join(tmpdir(), "etcd-bench-"));
  const ports = await stablePorts(6);
  const members = [0, 1, 2].map((i) => ({
    name: `n${i}`,
    client: `http://127.0.0.1:${ports[2 * i]}`,
    peer: `http://127.0.0.1:${ports[2 * i + 1]}`,
  }));
  const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const children = members.map(({ name, client, peer }) =>
    spawn(
      "etcd",
      [
        ...["--name", name, "--data-dir", join(folder, name), "--logger", "zap", "--log-level", "error"],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--listen-client-urls", client],
        ...["--advertise-client-urls", client, "--initial-cluster", cluster, "--initial-cluster-token", "bench"],
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    ),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(ended));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const { client } of members) await until(`etcd at ${client} is healthy`, () => healthy(client), { withinMs: 30_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  return { ports: members.map((_, i) => ports[2 * i] as number), stop };
}

async function healthy(url: string): Promise<true | undefined> {
  try {
    const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) });
    return (await answer.text()).includes('"true"') ? true : undefined;
  } catch {
    return undefined;
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), 5_000).unref();
  });
}
