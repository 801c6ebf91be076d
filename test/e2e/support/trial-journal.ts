// What the devices of a trial sent, when, through whom, and what of it was acknowledged: for each series in columns, since there are millions.
// Times are milliseconds of `performance.now()`, but for the readings' own.

/** What a device hands to its connection. */
export interface Outgoing {
  readonly topic: string;
  readonly payload: string;
  /** Each time that it is sent: a message may be sent again. */
  sent(gateway: string): void;
  acknowledged(): void;
}

/** One series as its device sent it. The entries of all columns at one index are one reading. */
export class SentSeries {
  readonly device: string;
  readonly metric: string;
  /** The device's own time; `NaN`: the gateway stamps. */
  readonly times: number[] = [];
  readonly values: number[] = [];
  readonly sends: number[] = [];
  readonly sentMs: number[] = [];
  /** `NaN`: it was not. */
  readonly acknowledgedMs: number[] = [];
  /** To whom it was sent last. */
  readonly gateways: string[] = [];

  constructor(device: string, metric: string) {
    this.device = device;
    this.metric = metric;
  }

  get isStamped(): boolean {
    return Number.isNaN(this.times[0]);
  }

  isAcknowledged(index: number): boolean {
    return !Number.isNaN(this.acknowledgedMs[index] as number);
  }

  get acknowledgedCount(): number {
    let count = 0;
    for (let index = 0; index < this.times.length; index++) if (this.isAcknowledged(index)) count++;
    return count;
  }

  /** Enters a reading, as not sent yet. */
  add(ms: number | undefined, value: number, message: { readonly topic: string; readonly payload: string }): Outgoing {
    const index = this.times.push(ms ?? Number.NaN) - 1;
    this.values.push(value);
    this.sends.push(0);
    this.sentMs.push(Number.NaN);
    this.acknowledgedMs.push(Number.NaN);
    this.gateways.push("");
    return {
      ...message,
      sent: (gateway) => {
        if (this.sends[index] === 0) this.sentMs[index] = performance.now();
        (this.sends[index] as number)++;
        this.gateways[index] = gateway;
      },
      acknowledged: () => {
        this.acknowledgedMs[index] = performance.now();
      },
    };
  }

  /** What is known of one reading, for a person; times as seconds after `beganMs`. */
  describe(index: number, beganMs: number): string {
    const at = (ms: number | undefined): string => `${(((ms as number) - beganMs) / 1_000).toFixed(3)} s`;
    const time = this.isStamped ? "(stamped)" : `${this.times[index]} (${new Date(this.times[index] as number).toISOString()})`;
    const acknowledged = this.isAcknowledged(index) ? `acknowledged at ${at(this.acknowledgedMs[index])}` : "never acknowledged";
    return (
      `${this.device} ${this.metric} at ${time} = ${this.values[index]}: first sent at ${at(this.sentMs[index])}, ` +
      `${this.sends[index]} times, last to ${this.gateways[index]}; ${acknowledged}`
    );
  }
}

export class Journal {
  readonly beganMs = performance.now();
  readonly #series = new Map<string, SentSeries>();

  /** The same one for the same device and metric. */
  series(device: string, metric: string): SentSeries {
    const key = `${metric} ${device}`;
    let found = this.#series.get(key);
    if (found === undefined) {
      found = new SentSeries(device, metric);
      this.#series.set(key, found);
    }
    return found;
  }

  ofMetric(metric: string): Map<string, SentSeries> {
    return new Map([...this.#series.values()].filter((series) => series.metric === metric).map((series) => [series.device, series]));
  }

  get acknowledgedCount(): number {
    let count = 0;
    for (const series of this.#series.values()) count += series.acknowledgedCount;
    return count;
  }
}
