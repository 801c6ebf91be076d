/** What was acknowledged, to be asked for at the end. Bounded: of a series only the newest readings are kept. */

const readingsOfSeriesMax = 20_000;

export interface AckedSeries {
  readonly device: string;
  readonly metric: string;
  /** By time, in the order of their acknowledgement. */
  readonly values: Map<number, number>;
}

export class AckLedger {
  acknowledged = 0;
  /** Acknowledged readings that were too many to be kept. */
  forgotten = 0;
  readonly #series = new Map<string, AckedSeries>();

  add(device: string, metric: string, ms: number, value: number): void {
    this.acknowledged++;
    const key = `${device} ${metric}`;
    const series = this.#series.get(key) ?? { device, metric, values: new Map<number, number>() };
    this.#series.set(key, series);
    series.values.set(ms, value);
    if (series.values.size <= readingsOfSeriesMax) return;
    for (const oldest of series.values.keys()) {
      series.values.delete(oldest);
      this.forgotten++;
      return;
    }
  }

  get series(): readonly AckedSeries[] {
    return [...this.#series.values()];
  }
}
