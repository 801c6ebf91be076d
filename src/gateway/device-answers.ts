/** What this gateway answers about devices: their readings, the latest of them, and what they are. */

import type { ConsistencyLevel, InventoryEntry } from "../config/settings.ts";
import { ownersOf } from "../core/ring/owner-table.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type DeviceId, type GatewayId, partitionOf } from "../lib/ids.ts";
import { mergeRuns } from "../series/merge.ts";
import { runValueAt } from "../series/run.ts";
import type { Gateway } from "./gateway.ts";
import { decodeCursor, encodeCursor } from "./query/cursor.ts";
import { type LatestRow, mergeLatest } from "./query/latest.ts";
import type { DeviceView, ReadingsAnswer, ReadingsQuery } from "./service.ts";
import type { Serving } from "./serving.ts";

const askTimeoutMs = 3_000;
const timeMaxUs = Number.MAX_SAFE_INTEGER;
const aggregatePointsMax = 1_000_000;

export class DeviceAnswers {
  readonly #gateway: Gateway;
  readonly #inventory: ReadonlyMap<DeviceId, InventoryEntry>;

  constructor(gateway: Gateway, inventory: ReadonlyMap<DeviceId, InventoryEntry>) {
    this.#gateway = gateway;
    this.#inventory = inventory;
  }

  async readings(serving: Serving, query: ReadingsQuery): Promise<Result<ReadingsAnswer>> {
    const level = query.consistency ?? this.#gateway.settings.replication.read;
    const range = {
      fromUs: query.fromMs === undefined ? 0 : Math.ceil(query.fromMs * 1_000),
      toUs: query.toMs === undefined ? timeMaxUs : Math.ceil(query.toMs * 1_000),
    };
    if (range.fromUs > range.toUs) return failure("bad-request", "`from` is after `to`");
    return query.everyMs === undefined
      ? this.#raw(serving, query, { ...range, level })
      : this.#aggregated(serving, query, { ...range, level, everyMs: query.everyMs });
  }

  device(serving: Serving, id: DeviceId): DeviceView {
    const registered = serving.state.devices().get(id);
    const listed = this.#inventory.get(id);
    const at = partitionOf(id, this.#gateway.options.ports.hash64);
    return {
      id,
      profile: registered?.profile ?? listed?.profile,
      labels: listed?.labels ?? {},
      metrics: registered?.metrics ?? [],
      firstSeenMs: registered?.firstSeenMs,
      partition: at,
      owners: ownersOf(serving.replication.table(), at),
    };
  }

  async #raw(
    serving: Serving,
    query: ReadingsQuery,
    asked: { fromUs: number; toUs: number; level: ConsistencyLevel },
  ): Promise<Result<ReadingsAnswer>> {
    const after = query.cursor === undefined ? success(undefined) : decodeCursor(query.cursor);
    if (!after.ok) return after;
    const selector = { metric: query.metric, device: query.device, labels: {} };
    const page = await serving.queries.page({ selector, ...asked, after: after.value, limit: query.limit });
    if (!page.ok) return page;
    const series = page.value.series.map(({ device, metric, run }) => {
      const points = Array.from({ length: run.count }, (_, row) => [(run.times[row] as number) / 1_000, runValueAt(run, row)] as const);
      if (query.clockFlags !== true) return { device, metric, points };
      const unsynchronised = this.#isDated(serving, device) ? [] : unconfirmedRanges(serving, run.times, run.count);
      return { device, metric, points, flags: { unsynchronised } };
    });
    const { complete, next } = page.value;
    return success(next === undefined ? { series, complete } : { series, complete, cursor: encodeCursor(next) });
  }

  /** Devices that say the time themselves owe nothing to a gateway's clock. */
  #isDated(serving: Serving, device: DeviceId): boolean {
    const name = serving.state.devices().get(device)?.profile ?? this.#inventory.get(device)?.profile;
    return this.#gateway.settings.profiles.find((profile) => profile.name === name)?.timestamp !== undefined;
  }

  async #aggregated(
    serving: Serving,
    query: ReadingsQuery,
    asked: { fromUs: number; toUs: number; level: ConsistencyLevel; everyMs: number },
  ): Promise<Result<ReadingsAnswer>> {
    const { fromUs, toUs, level, everyMs } = asked;
    const answer = await serving.queries.aggregate({
      selector: { metric: query.metric, device: query.device, labels: {} },
      fromUs,
      toUs,
      windowMs: everyMs,
      functions: [query.aggregate ?? { kind: "mean" }],
      groupBy: [{ kind: "device" }, { kind: "metric" }],
      level,
    });
    if (!answer.ok) return answer;
    if (answer.value.rows.length > aggregatePointsMax)
      return failure("too-large", `${answer.value.rows.length} windows: ask for a shorter range or a longer \`every\``);
    const series = new Map<string, { device: string; metric: string; points: [number, ReturnType<typeof runValueAt> | null][] }>();
    for (const row of answer.value.rows) {
      const [device, metric] = row.key as [string, string];
      const name = `${device}\u0000${metric}`;
      const known = series.get(name) ?? { device, metric, points: [] };
      known.points.push([row.fromMs, row.state.finish()[0] ?? null]);
      series.set(name, known);
    }
    return success({
      series: [...series].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([, found]) => found),
      complete: answer.value.complete,
    });
  }

  async latest(serving: Serving, device: DeviceId): Promise<ReturnType<typeof mergeLatest>> {
    const owners = ownersOf(serving.replication.table(), partitionOf(device, this.#gateway.options.ports.hash64));
    const requests = this.#gateway.requests();
    const ask = async (owner: GatewayId): Promise<Result<unknown>> => {
      if (owner === this.#gateway.self) return this.localLatest(serving, device);
      return requests === undefined
        ? failure("not-ready", `${this.#gateway.self} starts`)
        : requests.call(owner, "latest", { device }, { timeoutMs: askTimeoutMs, channel: "job" });
    };
    const answers = await Promise.all(owners.map(ask));
    return mergeLatest(answers.map((answer) => (answer.ok ? answer.value : undefined)));
  }

  /** Of this gateway's own readings. */
  async localLatest(serving: Serving, device: DeviceId): Promise<Result<LatestRow[]>> {
    const found = await serving.localReader.latest(device);
    if (!found.ok) return found;
    return success(
      found.value.map(({ metric, run }) => {
        const { run: merged } = mergeRuns([run]);
        return [metric, merged.times[merged.count - 1] as number, runValueAt(merged, merged.count - 1)] as const;
      }),
    );
  }
}

/** First and last time, in milliseconds, of readings next to each other whose stamps nobody confirmed. */
function unconfirmedRanges({ state }: Serving, times: ArrayLike<number>, count: number): readonly (readonly [number, number])[] {
  const flags = state.clockFlags();
  const ranges: [number, number][] = [];
  let isOpen = false;
  for (let row = 0; row < count; row++) {
    const us = times[row] as number;
    const isFlagged = flags.has(us);
    const last = ranges.at(-1);
    if (isFlagged && isOpen && last !== undefined) last[1] = us / 1_000;
    else if (isFlagged) ranges.push([us / 1_000, us / 1_000]);
    isOpen = isFlagged;
  }
  return ranges;
}
