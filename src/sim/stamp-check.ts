/** What readings without device time are promised, looked up at the end of a seed: the acknowledged ones are there, in order, at their time. */

import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";
import { SafetyViolation } from "./violations.ts";
import type { SaidValue, SimulatedSayer } from "./workload.ts";

/** Clocks that agree differ by a second; stamps begin up to two above the time after a restart. */
const stampWithinMs = 4_000;
const pageLimit = 500;

export interface StampPromise {
  /** Most clocks were right and heard all the time, and no disk was lost: stamps are near true time, and in the order of what was said. */
  readonly timely: boolean;
}

/** Throws a `SafetyViolation` for the first promise that `gateway`'s answer breaks. */
export async function checkSayers(
  site: SimulatedSite,
  gateway: SimulatedGateway,
  sayers: readonly SimulatedSayer[],
  promise: StampPromise,
): Promise<void> {
  const found = await stampsAt(site, gateway);
  for (const sayer of sayers) {
    const stamps = found.get(sayer.id) ?? [];
    const last = new Map(stamps.map(([ms, value]) => [value, ms]));
    let before = 0;
    for (const said of sayer.said) {
      if (said.acknowledgedMs === undefined) continue;
      const ms = last.get(said.value);
      if (ms === undefined) throw new SafetyViolation(`${gateway.id} lost ${said.value} of ${sayer.id}, which was acknowledged`);
      if (promise.timely && ms <= before)
        throw new SafetyViolation(
          `${gateway.id} has ${said.value} of ${sayer.id} at ${ms}, not behind what was said before it, at ${before}`,
        );
      before = ms;
    }
    if (promise.timely) for (const [ms, value] of stamps) checkTime(gateway, sayer, { ms, said: sayer.said[value - 1] });
  }
}

function checkTime(
  gateway: SimulatedGateway,
  sayer: SimulatedSayer,
  stamp: { readonly ms: number; readonly said: SaidValue | undefined },
): void {
  const { ms, said } = stamp;
  if (said === undefined) throw new SafetyViolation(`${gateway.id} has something of ${sayer.id} that was never said`);
  const latestMs = (said.acknowledgedMs ?? Number.POSITIVE_INFINITY) + stampWithinMs;
  if (ms >= said.saidMs - stampWithinMs && ms <= latestMs) return;
  throw new SafetyViolation(
    `${gateway.id} has ${said.value} of ${sayer.id} with the stamp ${new Date(ms).toISOString()}, said at ${new Date(said.saidMs).toISOString()}`,
  );
}

/** By device, in order of time. */
async function stampsAt(
  site: SimulatedSite,
  gateway: SimulatedGateway,
): Promise<ReadonlyMap<string, readonly (readonly [number, number])[]>> {
  const found = new Map<string, (readonly [number, number])[]>();
  let cursor: string | undefined;
  do {
    const service = gateway.running()?.service;
    if (service === undefined) throw new SafetyViolation(`${gateway.id} is not running`);
    const range = { fromMs: undefined, toMs: undefined, consistency: undefined, everyMs: undefined, aggregate: undefined };
    const answer = await site.answer(service.readings({ metric: "value", device: "sayer-*", ...range, limit: pageLimit, cursor }));
    if (!answer.ok) throw new SafetyViolation(`${gateway.id} cannot answer: ${answer.message}`);
    if (!answer.value.complete) throw new SafetyViolation(`${gateway.id} says that its answer is not complete`);
    for (const { device, points } of answer.value.series)
      found.set(device, [...(found.get(device) ?? []), ...points.map(([ms, value]) => [ms, Number(value)] as const)]);
    cursor = answer.value.cursor;
  } while (cursor !== undefined);
  return found;
}
