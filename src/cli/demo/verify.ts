import type { FogbankClient } from "../../client/fogbank-client.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { World } from "../world.ts";
import type { AckedSeries } from "./ledger.ts";

/** Asks the gateways for every acknowledged reading and counts what is missing, has another value, or comes twice. */

const answerWithinMs = 15_000;

export interface Verdict {
  readonly checked: number;
  readonly lost: number;
  /** Readings that were answered more than once. */
  readonly duplicated: number;
  /** Series that could not be asked for, with the reason: neither proven nor lost. */
  readonly unproven: readonly string[];
}

export async function verify(world: World, clients: readonly FogbankClient[], acked: readonly AckedSeries[]): Promise<Verdict> {
  let checked = 0;
  let lost = 0;
  let duplicated = 0;
  const unproven: string[] = [];
  for (const [index, series] of acked.entries()) {
    const answer = await readBack(world, clients, series, index);
    if (!answer.ok) {
      unproven.push(`${series.device} ${series.metric}: ${answer.message}`);
      continue;
    }
    duplicated += answer.value.duplicated;
    for (const [ms, value] of series.values) {
      checked++;
      if (answer.value.values.get(ms) !== value) lost++;
    }
  }
  return { checked, lost, duplicated, unproven };
}

interface ReadBack {
  readonly values: ReadonlyMap<number, unknown>;
  readonly duplicated: number;
}

/** From one gateway, then from the others; an answer that says that it is complete is believed at once. */
async function readBack(world: World, clients: readonly FogbankClient[], series: AckedSeries, first: number): Promise<Result<ReadBack>> {
  const startMs = world.clock.monotonicMs();
  let last: Result<ReadBack> = failure("unreachable", "there is no gateway to ask");
  for (let turn = 0; world.clock.monotonicMs() - startMs < answerWithinMs; turn++) {
    const client = clients[(first + turn) % clients.length];
    if (client === undefined) return last;
    last = await readAll(client, series);
    if (last.ok) return last;
    await world.clock.sleep(250);
  }
  return last;
}

async function readAll(client: FogbankClient, { device, metric, values }: AckedSeries): Promise<Result<ReadBack>> {
  const found = new Map<number, unknown>();
  let duplicated = 0;
  const times = [...values.keys()];
  const from = String(times.reduce((least, ms) => Math.min(least, ms), Number.POSITIVE_INFINITY));
  const to = String(times.reduce((most, ms) => Math.max(most, ms), 0) + 1);
  let cursor: string | undefined;
  do {
    const page = await client.readings({ device, metric, from, to, cursor, limit: 10_000 });
    if (!page.ok) return page;
    if (!page.value.complete) return failure("quorum-unavailable", "the answer was not complete");
    for (const { points } of page.value.series) {
      for (const [ms, value] of points) {
        if (found.has(ms)) duplicated++;
        found.set(ms, value);
      }
    }
    cursor = page.value.cursor;
  } while (cursor !== undefined);
  return success({ values: found, duplicated });
}
