/** What is said about a damaged log: why it does not open, or what of it is lost. */
import { type Failure, failure } from "./errors.ts";

/** Thrown while opening; carries the `log-damaged` failure. */
export class LogDamage extends Error {
  override readonly name = "LogDamage";
  readonly failure: Failure;

  constructor(log: string, where: DamagedPlace, what: string) {
    const message =
      `The log "${log}" is damaged: ${placeOf(where)}: ${what}. Nothing of it is served. ` +
      "Check the disk. The way out: put back a copy of the data folder that was made since its last start, or move the folder away and " +
      'admit this gateway anew ("fogbank gateway replace"); the other gateways keep serving meanwhile.';
    super(message);
    this.failure = failure("log-damaged", message);
  }
}

export interface DamagedPlace {
  readonly fileName: string;
  readonly offset?: number;
  readonly sequence?: number;
}

export function placeOf({ fileName, offset, sequence }: DamagedPlace): string {
  return `${fileName}${offset === undefined ? "" : `, byte ${offset}`}${sequence === undefined ? "" : `, sequence ${sequence}`}`;
}

/** What a log that was opened with `salvage` is without. */
export interface LogDamageReport {
  /** Sequence numbers between which (both included) records are lost, as far as is known; none when `lostRecords` is 0. */
  readonly firstLost: number;
  readonly lastLost: number;
  readonly lostRecords: number;
  /** Files, bytes and sequence numbers, for a person. */
  readonly message: string;
}

/** Places that are named; what else is damaged is counted. */
const placesMax = 5;

/** Collects what a reader of the segments had to leave out. */
export class DamageNotes {
  readonly #places: string[] = [];
  #count = 0;
  #first = Number.POSITIVE_INFINITY;
  #last = 0;
  #lost = 0;
  /** The newest segment with damage; 0 when there is none. */
  lastOrdinal = 0;

  /** `lost`: sequence numbers; `first` above `last` when no record is. */
  add(ordinal: number, place: DamagedPlace, what: string, lost: { readonly first: number; readonly last: number }): void {
    this.lastOrdinal = Math.max(this.lastOrdinal, ordinal);
    if (++this.#count <= placesMax) this.#places.push(`${placeOf(place)}: ${what}`);
    if (lost.first > lost.last) return;
    this.#first = Math.min(this.#first, lost.first);
    this.#last = Math.max(this.#last, lost.last);
    this.#lost += lost.last - lost.first + 1;
  }

  report(): LogDamageReport | undefined {
    if (this.#count === 0) return undefined;
    const more = this.#count > placesMax ? `; and ${this.#count - placesMax} more` : "";
    const firstLost = this.#lost === 0 ? 0 : this.#first;
    return { firstLost, lastLost: this.#last, lostRecords: this.#lost, message: `${this.#places.join("; ")}${more}` };
  }
}
