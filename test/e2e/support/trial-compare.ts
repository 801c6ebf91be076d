// Compares what a gateway answers about a series with what its device sent: nothing missing that was acknowledged, nothing twice, nothing
// altered, nothing invented. What was sent and never acknowledged may be there.
import type { Points } from "./readings.ts";
import type { SentSeries } from "./trial-journal.ts";

export interface Finding {
  readonly what: "missing" | "twice" | "altered" | "invented" | "disordered";
  readonly detail: string;
  /** The reading in its series, where it is one that was sent. */
  readonly index: number | undefined;
}

/** Readings of one series with the same device time: of these, one is kept. */
interface Identity {
  readonly ms: number;
  readonly indices: readonly number[];
}

export class SeriesComparison {
  readonly #series: SentSeries;
  #identities: readonly Identity[] | undefined;

  constructor(series: SentSeries) {
    this.#series = series;
  }

  compare(points: Points): Finding[] {
    return this.#series.isStamped ? this.#compareStamped(points) : this.#compareTimed(points);
  }

  #compareTimed(points: Points): Finding[] {
    this.#identities ??= identitiesOf(this.#series);
    const findings: Finding[] = [];
    const identities = this.#identities;
    let at = 0;
    let previousMs = Number.NEGATIVE_INFINITY;
    for (const [ms, value] of points) {
      if (ms <= previousMs) {
        const what = ms === previousMs ? "twice" : "disordered";
        findings.push({ what, detail: `${ms} = ${String(value)} behind ${previousMs}`, index: undefined });
        continue;
      }
      previousMs = ms;
      for (; at < identities.length && (identities[at] as Identity).ms < ms; at++) this.#expectAbsent(identities[at] as Identity, findings);
      const identity = identities[at];
      if (identity === undefined || identity.ms !== ms) {
        findings.push({ what: "invented", detail: `${ms} = ${String(value)} was never sent`, index: undefined });
        continue;
      }
      at++;
      this.#expectValue(identity, value, findings);
    }
    for (; at < identities.length; at++) this.#expectAbsent(identities[at] as Identity, findings);
    return findings;
  }

  #expectAbsent({ indices }: Identity, findings: Finding[]): void {
    const index = indices.find((each) => this.#series.isAcknowledged(each));
    if (index !== undefined) findings.push({ what: "missing", detail: "", index });
  }

  /** One of those sent, and not less than what was acknowledged: the greater value of an identity wins. */
  #expectValue({ indices }: Identity, value: Points[number][1], findings: Finding[]): void {
    const { values } = this.#series;
    const sent = indices.find((index) => Object.is(values[index], value));
    const greater = indices.find((index) => this.#series.isAcknowledged(index) && (values[index] as number) > Number(value));
    if (sent === undefined) findings.push({ what: "altered", detail: `it is ${String(value)}`, index: indices[0] });
    else if (greater !== undefined) findings.push({ what: "altered", detail: `it is the lesser ${String(value)}`, index: greater });
  }

  /** A value stands for a reading, which was stored at least once when it was acknowledged and at most as often as it was sent. */
  #compareStamped(points: Points): Finding[] {
    const findings: Finding[] = [];
    const { values, sends } = this.#series;
    const indexOf = new Map(values.map((value, index) => [value, index]));
    const met = new Uint32Array(values.length);
    let previousMs = Number.NEGATIVE_INFINITY;
    for (const [ms, value] of points) {
      if (ms < previousMs) findings.push({ what: "disordered", detail: `${ms} = ${String(value)} behind ${previousMs}`, index: undefined });
      previousMs = ms;
      const index = indexOf.get(Number(value));
      if (index === undefined) findings.push({ what: "invented", detail: `${ms} = ${String(value)} was never sent`, index });
      else if (++(met[index] as number) === (sends[index] as number) + 1)
        findings.push({ what: "twice", detail: `more often than it was sent, also at ${ms}`, index });
    }
    for (let index = 0; index < met.length; index++)
      if (met[index] === 0 && this.#series.isAcknowledged(index)) findings.push({ what: "missing", detail: "", index });
    return findings;
  }
}

function identitiesOf(series: SentSeries): Identity[] {
  const { times } = series;
  const order = Uint32Array.from(times.keys()).sort((a, b) => (times[a] as number) - (times[b] as number));
  const identities: { ms: number; indices: number[] }[] = [];
  for (const index of order) {
    const ms = times[index] as number;
    const last = identities.at(-1);
    if (last?.ms === ms) last.indices.push(index);
    else identities.push({ ms, indices: [index] });
  }
  return identities;
}
