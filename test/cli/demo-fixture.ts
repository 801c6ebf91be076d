import Type from "typebox";
import { Value } from "typebox/value";
import type { Api } from "../../src/api/create-api.ts";
import { demoGatewayId, demoPorts } from "../../src/config/demo-site.ts";
import type { ReadingsAnswer } from "../../src/gateway/service.ts";
import { success } from "../../src/lib/errors.ts";
import { matchesGlob } from "../../src/lib/glob.ts";
import { FakeService } from "../api/fake-service.ts";
import { FakeBroker } from "./fake-broker.ts";
import { apiOf, fetchFrom } from "./fake-site.ts";
import { FakeWorld } from "./fake-world.ts";

// A demo's site on a fake world: its gateways are the real API over one fake service that keeps what the fake broker acknowledges.

export interface DemoSetup {
  readonly world: FakeWorld;
  readonly broker: FakeBroker;
  readonly service: FakeService;
  readonly killed: string[];
  /** Ends the process that was started as number `index`, as if by itself or by a signal. */
  readonly end: (index: number, how: { code: number | undefined; signal: string | undefined }) => void;
}

export function setup(): DemoSetup {
  const world = new FakeWorld();
  const broker = new FakeBroker();
  const service = new FakeService();
  const apis = new Map<string, Api>();
  const ends: ((how: { code: number | undefined; signal: string | undefined }) => void)[] = [];
  const killed: string[] = [];
  world.broker = broker.connect;
  world.fetch = fetchFrom(apis);
  service.readings = async (query) =>
    success(readBack(broker, query.metric === "temperature" ? "t" : "h", query.metric ?? "", query.device));
  world.child = (args, logFile) => {
    const index = ends.length;
    const gateway = [0, 1, 2, 3, 4].find((at) => demoGatewayId(at) === args[args.indexOf("--gateway") + 1]) ?? 0;
    const host = `127.0.0.1:${demoPorts(18_000, gateway).http}`;
    apis.set(host, apiOf(service));
    world.contents.set(logFile, `starting\nlistening as ${args.join(" ")}\n`);
    const exited = new Promise<{ code: number | undefined; signal: string | undefined }>((resolve) => {
      ends.push((how) => {
        apis.delete(host);
        resolve(how);
      });
    });
    const kill = (signal: string) => {
      killed.push(signal);
      ends[index]?.(signal === "SIGKILL" ? { code: undefined, signal } : { code: 0, signal: undefined });
    };
    return { pid: 100 + index, exited, kill };
  };
  return { world, broker, service, killed, end: (index, how) => ends[index]?.(how) };
}

const Message = Type.Object({ ts: Type.Number(), t: Type.Number(), h: Type.Number() });

/** What the broker acknowledged of one device, as a gateway would answer it. */
function readBack(broker: FakeBroker, field: "t" | "h", metric: string, device: string): ReadingsAnswer {
  const points = broker.acknowledged
    .filter(({ topic }) => matchesGlob(device, topic.split("/")[1] ?? ""))
    .map(({ payload }) => {
      const message: unknown = JSON.parse(payload);
      if (!Value.Check(Message, message)) throw new Error(`not a message of the demo: ${payload}`);
      return [message.ts, message[field]] as const;
    });
  return { series: [{ device, metric, points }], complete: true };
}
