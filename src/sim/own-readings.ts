/** What one gateway's own store holds, as it would answer it to a peer: no other owner is asked. */

import { partitionsOf } from "../core/ring/owner-table.ts";
import type { PagePosition } from "../gateway/query/wire.ts";
import type { Result } from "../lib/errors.ts";
import { failure, success } from "../lib/errors.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";

const limit = 500;

/** By device, milliseconds and number of each reading of the partitions that it owns and has filled. Fails as its reader does. */
export async function ownReadings(site: SimulatedSite, gateway: SimulatedGateway): Promise<Result<Map<string, Map<number, number>>>> {
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) return failure("not-ready", `${gateway.id} does not serve`);
  const ring = serving.replication.ring();
  const partitions = partitionsOf(ring.table, gateway.id).filter((at) => ring.filling.get(at)?.includes(gateway.id) !== true);
  const found = new Map<string, Map<number, number>>();
  let after: PagePosition | undefined;
  for (;;) {
    const request = {
      epoch: ring.table.epoch,
      partitions,
      selector: { metric: "value", device: "*", labels: {} },
      fromUs: Number.MIN_SAFE_INTEGER,
      toUs: Number.MAX_SAFE_INTEGER,
      after,
      limit,
    };
    const page = await site.answer(serving.localReader.page(request));
    if (!page.ok) return page;
    for (const { device, metric, run } of page.value.series) {
      const readings = found.get(device) ?? new Map<number, number>();
      found.set(device, readings);
      for (let row = 0; row < run.count; row++) readings.set((run.times[row] as number) / 1_000, run.numbers[row] as number);
      after = { device, metric, us: run.times[run.count - 1] as number };
    }
    if (page.value.end) return success(found);
  }
}
