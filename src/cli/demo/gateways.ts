import { FogbankClient } from "../../client/fogbank-client.ts";
import { demoGatewayId, demoPorts } from "../../config/demo-site.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { ChildGateway, World } from "../world.ts";

/** The gateways of the demo: one child process each, started together, ended with SIGTERM and waited for. */

export const demoHost = "127.0.0.1";
const readyWithinMs = 60_000;
const stopWithinMs = 15_000;
const logLinesShown = 15;

export interface DemoGateway {
  readonly id: string;
  readonly ports: { readonly mqtt: number; readonly mesh: number; readonly http: number };
  readonly logFile: string;
  readonly dataFolder: string;
  readonly client: FogbankClient;
  /** Its newest process. */
  child: ChildGateway;
  /** How that process ended, once it has. */
  ended: { readonly code: number | undefined; readonly signal: string | undefined } | undefined;
}

/** Fails with `port-in-use`, naming the port and the way out. */
export async function checkPorts(world: World, gateways: number, portBase: number): Promise<Result<void>> {
  for (let index = 0; index < gateways; index++) {
    for (const [use, port] of Object.entries(demoPorts(portBase, index))) {
      if (await world.isPortFree({ host: demoHost, port })) continue;
      return failure(
        "port-in-use",
        `port ${port} (${use} of ${demoGatewayId(index)}) is in use; choose other ports with --port-base, such as --port-base ${portBase > 55_000 ? 20_000 : portBase + 1000}`,
      );
    }
  }
  return success(undefined);
}

export function startGateways(
  world: World,
  folder: string,
  options: { readonly gateways: number; readonly portBase: number },
): readonly DemoGateway[] {
  return Array.from({ length: options.gateways }, (_, index) => {
    const id = demoGatewayId(index);
    const ports = demoPorts(options.portBase, index);
    const client = new FogbankClient({
      fetch: world.fetch,
      baseUrl: `http://${demoHost}:${ports.http}`,
      token: undefined,
      timeoutMs: 5_000,
    });
    const place = { id, ports, logFile: `${folder}/${id}.log`, dataFolder: `${folder}/${id}` };
    const gateway: DemoGateway = { ...place, client, child: spawnGateway(world, folder, place), ended: undefined };
    watchEnd(gateway);
    return gateway;
  });
}

/** A new process in the place of one that has ended. */
export function restartGateway(world: World, folder: string, gateway: DemoGateway): void {
  gateway.child = spawnGateway(world, folder, gateway);
  gateway.ended = undefined;
  watchEnd(gateway);
}

function spawnGateway(
  world: World,
  folder: string,
  { id, dataFolder, logFile }: Omit<DemoGateway, "client" | "child" | "ended">,
): ChildGateway {
  return world.spawnFogbank(["start", `${folder}/site.yaml`, "--gateway", id, "--data", dataFolder, "--stop-with-stdin"], { logFile });
}

function watchEnd(gateway: DemoGateway): void {
  const { child } = gateway;
  void child.exited.then((ended) => {
    if (gateway.child === child) gateway.ended = ended;
  });
}

/** Until all are ready. Fails when one ends before, with the end of its log, or when it takes too long. */
export async function awaitReady(world: World, gateways: readonly DemoGateway[], interrupt: AbortSignal): Promise<Result<void>> {
  const startMs = world.clock.monotonicMs();
  let waiting = [...gateways];
  while (!interrupt.aborted) {
    const dead = gateways.find((gateway) => gateway.ended !== undefined);
    if (dead !== undefined) return failure("internal", describeEnd(world, dead));
    const answers = await Promise.all(waiting.map((gateway) => gateway.client.readiness()));
    waiting = waiting.filter((_, index) => {
      const answer = answers[index];
      return answer?.ok !== true || !answer.value.ready;
    });
    const [first] = waiting;
    if (first === undefined) return success(undefined);
    if (world.clock.monotonicMs() - startMs > readyWithinMs) {
      const answer = await first.client.readiness();
      const why = answer.ok ? answer.value.reasons.join("; ") : answer.message;
      return failure(
        "not-ready",
        `${first.id} was not ready within ${readyWithinMs / 1000} s (${why}). The end of ${first.logFile}:\n${logTail(world, first.logFile)}`,
      );
    }
    await world.clock.sleep(100, interrupt);
  }
  return success(undefined);
}

export function describeEnd(world: World, gateway: DemoGateway): string {
  const { code, signal } = gateway.ended ?? { code: undefined, signal: undefined };
  const how =
    signal !== undefined ? `was ended by ${signal}` : code === undefined ? "could not be started" : `ended with exit status ${code}`;
  return `${gateway.id} ${how}. The end of ${gateway.logFile}:\n${logTail(world, gateway.logFile)}`;
}

function logTail(world: World, path: string): string {
  const read = world.files.readFile(path);
  if (!read.ok) return "  (no log)";
  const lines = new TextDecoder().decode(read.value).trimEnd().split("\n").slice(-logLinesShown);
  return lines.map((line) => `  ${line}`).join("\n");
}

/** SIGTERM to all, SIGKILL to what is still there later. Returns those that had to be killed. */
export async function stopGateways(world: World, gateways: readonly DemoGateway[]): Promise<readonly DemoGateway[]> {
  const left = gateways.filter((gateway) => gateway.ended === undefined);
  for (const gateway of left) gateway.child.kill("SIGTERM");
  const deadline = new AbortController();
  const all = Promise.all(left.map((gateway) => gateway.child.exited)).then(() => deadline.abort());
  await world.clock.sleep(stopWithinMs, deadline.signal);
  const stuck = left.filter((gateway) => gateway.ended === undefined);
  for (const gateway of stuck) gateway.child.kill("SIGKILL");
  await all;
  return stuck;
}
