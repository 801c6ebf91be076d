// The end of a trial: every gateway is asked for every reading, at every level, and what is wrong is described with all that is known of it.
import type { FogbankClient } from "../../../src/client/fogbank-client.ts";
import type { Points } from "./readings.ts";
import { must, type TestGateway } from "./site.ts";
import { type Finding, SeriesComparison } from "./trial-compare.ts";
import type { Journal, SentSeries } from "./trial-journal.ts";

/** One: a gateway answers from its own store for the partitions that it owns, so that all copies are looked at. It mends nothing. */
export const trialLevels = ["one", "quorum", "all"] as const;

/** A fault from its beginning until the site was well again, in milliseconds of `performance.now()`. */
export interface Befallen {
  readonly what: string;
  readonly fromMs: number;
  readonly toMs: number;
}

const pagesMax = 100_000;
const describedMax = 10;
const aroundMs = 5_000;

export class TrialCheck {
  readonly #journal: Journal;
  readonly #gateways: readonly TestGateway[];
  readonly #befallen: readonly Befallen[];
  readonly #comparisons = new Map<string, SeriesComparison>();

  constructor(options: { readonly journal: Journal; readonly gateways: readonly TestGateway[]; readonly befallen: readonly Befallen[] }) {
    this.#journal = options.journal;
    this.#gateways = options.gateways;
    this.#befallen = options.befallen;
  }

  /** What is wrong with a gateway's answers at one level; `readings`: how many there were. */
  async check(gateway: TestGateway, level: string): Promise<{ readonly problems: readonly string[]; readonly readings: number }> {
    const problems: string[] = [];
    let readings = 0;
    let found = 0;
    for (const metric of ["v", "n"]) {
      const expected = this.#journal.ofMetric(metric);
      const missing = new Set(expected.keys());
      for await (const { device, points } of answeredSeries(gateway.client, metric, level)) {
        readings += points.length;
        const series = expected.get(device);
        if (series === undefined)
          problems.push(`${gateway.id}, ${level}: ${device} never sent ${metric}, and has ${points.length} readings`);
        if (!missing.delete(device)) problems.push(`${gateway.id}, ${level}: ${device} comes twice, or was never there`);
        else if (series !== undefined) {
          const findings = this.#comparison(series).compare(points);
          found += findings.length;
          for (const finding of findings.slice(0, describedMax - problems.length))
            problems.push(`${gateway.id}, ${level}: ${await this.#describe(series, finding)}`);
        }
      }
      for (const device of missing) {
        const series = expected.get(device) as SentSeries;
        if (series.acknowledgedCount > 0) problems.push(`${gateway.id}, ${level}: no reading of ${device} ${metric} is there`);
      }
    }
    if (found > problems.length) problems.push(`${gateway.id}, ${level}: ${found} findings in all`);
    return { problems, readings };
  }

  #comparison(series: SentSeries): SeriesComparison {
    const key = `${series.metric} ${series.device}`;
    let comparison = this.#comparisons.get(key);
    if (comparison === undefined) {
      comparison = new SeriesComparison(series);
      this.#comparisons.set(key, comparison);
    }
    return comparison;
  }

  async #describe(series: SentSeries, { what, detail, index }: Finding): Promise<string> {
    const { device } = series;
    const said = index === undefined ? `${device} ${series.metric}` : series.describe(index, this.#journal.beganMs);
    const [first] = this.#gateways as [TestGateway];
    const ring = must(await first.client.ring(device)).device;
    const where = `partition ${ring?.partition}, owners ${ring?.owners.join()}`;
    const time = index === undefined ? Number.NaN : (series.times[index] as number);
    const copies = Number.isNaN(time) ? "" : `; own copies at its time: ${await this.#copies(series, time, ring?.owners ?? [])}`;
    const around = index === undefined ? "" : this.#around(series, index);
    return `${what.toUpperCase()} ${said}; ${detail}; ${where}${copies}${around}`;
  }

  /** The faults while it was on its way, and a little before and after. */
  #around({ sentMs, acknowledgedMs }: SentSeries, index: number): string {
    const fromMs = (sentMs[index] as number) - aroundMs;
    const toMs = Math.max(sentMs[index] as number, acknowledgedMs[index] || 0) + aroundMs;
    const near = this.#befallen.filter((fault) => fault.fromMs <= toMs && fault.toMs >= fromMs);
    const at = (ms: number): string => ((ms - this.#journal.beganMs) / 1_000).toFixed(1);
    return `; faults around: ${near.map((fault) => `${fault.what} ${at(fault.fromMs)}–${at(fault.toMs)} s`).join(", ") || "none"}`;
  }

  /** What each owner has at that time in its own store. */
  async #copies({ device, metric }: SentSeries, ms: number, owners: readonly string[]): Promise<string> {
    const said = this.#gateways
      .filter(({ id }) => owners.includes(id))
      .map(async ({ id, client }) => {
        const answer = await client.readings({ metric, device, from: String(ms), to: String(ms + 1), consistency: "one" });
        return `${id} ${answer.ok ? JSON.stringify(answer.value.series.flatMap(({ points }) => points)) : answer.message}`;
      });
    return (await Promise.all(said)).join(", ");
  }
}

/** The series of an answer one by one, each whole; fails when a page is not complete. */
async function* answeredSeries(
  client: FogbankClient,
  metric: string,
  consistency: string,
): AsyncGenerator<{ readonly device: string; readonly points: Points }> {
  let current: { readonly device: string; readonly points: (readonly [number, Points[number][1]])[] } | undefined;
  let cursor: string | undefined;
  for (let page = 0; page < pagesMax; page++) {
    const answer = must(await client.readings({ metric, device: "*", consistency, limit: 10_000, cursor }));
    if (!answer.complete) throw new Error(`${client.baseUrl}: page ${page} of ${metric} at level ${consistency} is not complete`);
    for (const { device, points } of answer.series) {
      if (current !== undefined && current.device !== device) {
        yield current;
        current = undefined;
      }
      current ??= { device, points: [] };
      for (const [ms, value] of points) current.points.push([ms, value]);
    }
    cursor = answer.cursor;
    if (cursor === undefined) {
      if (current !== undefined) yield current;
      return;
    }
  }
  throw new Error(`${client.baseUrl}: the answer has more than ${pagesMax} pages`);
}
