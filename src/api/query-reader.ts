import type { ParameterDescription } from "../client/surface.ts";
import { type AggregateFunction, parseAggregateFunction } from "../lib/aggregate-function.ts";
import { durationExpected, parseDuration } from "../lib/duration.ts";
import { type Failure, failure, type Result, success } from "../lib/errors.ts";
import { suggest } from "../lib/suggest.ts";
import { parseTime, timeExpected } from "./time.ts";

const textCharsMax = 1024;
/** A cursor that a gateway gives out names a device and a metric, in hexadecimal. */
const cursorCharsMax = 8192;
/** Longer windows are a mistake of units. */
const everyMsMax = 3_660 * 86_400_000;

/**
 * The query parameters of one request, each read by type. An empty value counts as absent. The first thing that is
 * wrong is kept in `failed`; a route reads all that it needs, then asks.
 */
export class QueryReader {
  readonly #values: ReadonlyMap<string, string>;
  readonly #nowMs: number;
  #failed: Failure | undefined;

  constructor(values: ReadonlyMap<string, string>, nowMs: number) {
    this.#values = values;
    this.#nowMs = nowMs;
  }

  get failed(): Failure | undefined {
    return this.#failed;
  }

  text(name: string): string | undefined {
    return this.#bounded(name, textCharsMax);
  }

  cursor(name: string): string | undefined {
    return this.#bounded(name, cursorCharsMax);
  }

  /** Epoch milliseconds. */
  time(name: string): number | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    const ms = parseTime(value, this.#nowMs);
    if (ms !== undefined) return ms;
    const hint = value.includes(" ") ? ' (a "+" in a URL must be written %2B)' : "";
    return this.#refuse(name, value, `${timeExpected}${hint}`);
  }

  /** `from` (inclusive) and `to` (exclusive). */
  range(): { readonly fromMs: number | undefined; readonly toMs: number | undefined } {
    const fromMs = this.time("from");
    const toMs = this.time("to");
    if (fromMs !== undefined && toMs !== undefined && fromMs > toMs) {
      this.reject(`"from" (${this.#values.get("from")}) is after "to" (${this.#values.get("to")}); expected from <= to`);
    }
    return { fromMs, toMs };
  }

  duration(name: string): number | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    const ms = parseDuration(value);
    return ms !== undefined && ms > 0 && ms <= everyMsMax
      ? ms
      : this.#refuse(name, value, `${durationExpected}, greater than zero and at most 3660d`);
  }

  integer(name: string, range: { readonly min: number; readonly max: number }): number | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    return number >= range.min && number <= range.max
      ? number
      : this.#refuse(name, value, `a whole number from ${range.min} to ${range.max}`);
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    return choices.find((choice) => choice === value) ?? this.#refuse(name, value, `${choices.join(" | ")}${didYouMean(value, choices)}`);
  }

  aggregate(name: string): AggregateFunction | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    return (
      parseAggregateFunction(value) ??
      this.#refuse(name, value, "count | sum | min | max | mean | first | last | quantile(Q) with Q from 0 to 1")
    );
  }

  /** For what is wrong between parameters. */
  reject(message: string): void {
    this.#failed ??= failure("bad-request", message);
  }

  #bounded(name: string, charsMax: number): string | undefined {
    const value = this.#values.get(name);
    if (value === undefined || value.length <= charsMax) return value;
    return this.#refuse(name, value, `at most ${charsMax} characters`);
  }

  #refuse(name: string, value: string, expected: string): undefined {
    this.reject(`parameter "${name}": ${quoted(value)} is not valid; expected ${expected}`);
    return undefined;
  }
}

const noValues: ReadonlyMap<string, string> = new Map();

/** Refuses names that the endpoint does not know, and names given twice. */
export function readQuery(query: string, known: Readonly<Record<string, ParameterDescription>>, nowMs: number): Result<QueryReader> {
  if (query === "") return success(new QueryReader(noValues, nowMs));
  const values = new Map<string, string>();
  const names = Object.keys(known);
  for (const [name, value] of new URLSearchParams(query)) {
    if (!Object.hasOwn(known, name)) {
      const expected = names.length === 0 ? "this path takes none" : `known are ${names.join(", ")}`;
      return failure("bad-request", `unknown parameter ${quoted(name)}${didYouMean(name, names)}; ${expected}`);
    }
    if (values.has(name)) return failure("bad-request", `parameter "${name}" is given twice`);
    if (value !== "") values.set(name, value);
  }
  return success(new QueryReader(values, nowMs));
}

function didYouMean(word: string, candidates: readonly string[]): string {
  const near = suggest(word, candidates);
  return near === undefined ? "" : `, did you mean "${near}"?`;
}

/** A value of the caller's in a message: cut and escaped. */
export function quoted(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}
