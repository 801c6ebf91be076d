// The load of a trial: devices that publish recordings with their times at full speed, over and over, later copies shifted in time or under
// another device's name, and devices whose readings the gateways stamp. It goes on until it is told to end.
import { loadRows, type Row } from "./nab-data.ts";
import type { TestGateway } from "./site.ts";
import { TrialDevice } from "./trial-device.ts";
import { Journal, type Outgoing } from "./trial-journal.ts";
import { until } from "./until.ts";

/** What the devices speak: the path below the site's folder -> text. */
export const trialProfiles: Readonly<Record<string, string>> = {
  "devices/nab.yaml": `profile: nab
topic: nab/{device}
payload: json
timestamp: { path: ts, unit: ms }
metrics:
  v: { path: v }
`,
  "devices/plain.yaml": `profile: plain
topic: plain/{device}
payload: json
metrics:
  n: { path: n }
`,
};

export interface TrialLoadOptions {
  readonly gateways: () => readonly TestGateway[];
  /** Devices with times of their own, that publish at the same time. */
  readonly devices: number;
  readonly windowMax: number;
}

type Recording = readonly [device: string, rows: readonly Row[]];

const stampedDevices = 2;
/** Slow enough for a millisecond of its own for each reading. */
const stampedWindowMax = 2;
const dayMs = 86_400_000;
const drainMs = 60_000;
const moreWithinMs = 60_000;

export class TrialLoad {
  readonly journal = new Journal();
  acknowledged = 0;
  readonly #devices: readonly TrialDevice[];
  #lastMs = performance.now();
  #longestGapMs = 0;

  constructor(options: TrialLoadOptions) {
    const rows = [...loadRows()];
    const onAcknowledged = (): void => this.#acknowledge();
    const { gateways, windowMax } = options;
    const recorded = Array.from({ length: options.devices }, (_, at) => {
      const own = rows.filter((_row, index) => index % options.devices === at);
      return new TrialDevice({ clientId: `load-${at}`, windowMax, gateways, first: at, source: this.#recordings(own), onAcknowledged });
    });
    const stamped = Array.from({ length: stampedDevices }, (_, at) => {
      const clientId = `plain-${at}`;
      return new TrialDevice({
        clientId,
        windowMax: stampedWindowMax,
        gateways,
        first: at + 1,
        source: this.#counter(clientId),
        onAcknowledged,
      });
    });
    this.#devices = [...recorded, ...stamped];
  }

  /** The longest time without any acknowledgement since the last call. */
  takeLongestGapMs(): number {
    const longest = Math.max(this.#longestGapMs, performance.now() - this.#lastMs);
    this.#longestGapMs = 0;
    this.#lastMs = performance.now();
    return longest;
  }

  /** Resolves when so many more are acknowledged. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledged + count;
    await until(`${count} more readings are acknowledged`, () => this.acknowledged >= goal || undefined, { withinMs: moreWithinMs });
  }

  /** Nothing new; resolves when all is acknowledged. */
  async drain(): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.drain(drainMs)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.close()));
  }

  #acknowledge(): void {
    const now = performance.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastMs);
    this.#lastMs = now;
    this.acknowledged++;
  }

  /** The recordings one after the other, and again: every other time behind what was there, or by a device of another name. */
  *#recordings(own: readonly Recording[]): Generator<Outgoing, never> {
    for (let round = 0; ; round++) {
      for (const [name, rows] of own) {
        const device = round < 2 ? name : `${name}~${round >> 1}`;
        const shiftMs = round % 2 === 0 ? 0 : spanMs(rows);
        const series = this.journal.series(device, "v");
        for (const { ms, value } of rows) {
          const time = ms + shiftMs;
          yield series.add(time, value, { topic: `nab/${device}`, payload: JSON.stringify({ ts: time, v: value }) });
        }
      }
    }
  }

  *#counter(device: string): Generator<Outgoing, never> {
    const series = this.journal.series(device, "n");
    for (let value = 1; ; value++) yield series.add(undefined, value, { topic: `plain/${device}`, payload: JSON.stringify({ n: value }) });
  }
}

/** Whole days behind which a copy of the recording can follow. */
function spanMs(rows: readonly Row[]): number {
  const times = rows.map(({ ms }) => ms);
  return (Math.floor((Math.max(...times) - Math.min(...times)) / dayMs) + 1) * dayMs;
}
