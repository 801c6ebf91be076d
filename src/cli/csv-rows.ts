import type { ReadingValue } from "../lib/reading.ts";
import type { TimeReader } from "./local-time.ts";

/** A CSV file (RFC 4180, without line ends inside of fields) as rows of one device: a time, then named values. */

export interface CsvRow {
  readonly line: number;
  readonly ms: number;
  /** Empty fields are left out. */
  readonly values: readonly (readonly [string, ReadingValue])[];
}

export interface BadRow {
  readonly line: number;
  readonly reason: string;
}

/** The names of the value columns, or what is wrong with the first line. */
export function readHeader(line: string, readTime: TimeReader): readonly string[] | string {
  const fields = splitFields(line.replace(/^\ufeff/, ""));
  if (fields === undefined) return "a quote is not closed";
  const [time, ...names] = fields.map((field) => field.trim());
  if (time === undefined || names.length === 0) return "expected at least two columns, the time and a value";
  if (readTime(time) !== undefined) return `expected the names of the columns in the first line, but it begins with the time ${time}`;
  const odd = names.find((name, index) => name === "" || name === "ts" || names.indexOf(name) !== index);
  return odd === undefined ? names : `the column ${JSON.stringify(odd)} has no name, one that stands twice, or "ts", which is the time's`;
}

export function readRow(text: string, line: number, names: readonly string[], readTime: TimeReader): CsvRow | BadRow {
  const fields = splitFields(text);
  if (fields === undefined) return { line, reason: "a quote is not closed" };
  if (fields.length !== names.length + 1)
    return { line, reason: `it has ${fields.length} columns, the first line has ${names.length + 1}` };
  const time = (fields[0] ?? "").trim();
  const ms = readTime(time);
  if (ms === undefined) return { line, reason: `${JSON.stringify(time)} is no time` };
  const values: [string, ReadingValue][] = [];
  for (const [index, name] of names.entries()) {
    const value = readValue(fields[index + 1] ?? "");
    if (value !== undefined) values.push([name, value]);
  }
  return values.length === 0 ? { line, reason: "it has no value" } : { line, ms, values };
}

function readValue(field: string): ReadingValue | undefined {
  const text = field.trim();
  if (text === "") return undefined;
  if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text))) return Number(text);
  if (text === "true" || text === "false") return text === "true";
  return text;
}

function splitFields(line: string): string[] | undefined {
  if (!line.includes('"')) return line.split(",");
  const fields: string[] = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  while (pattern.lastIndex <= line.length) {
    const match = pattern.exec(line);
    if (match === null) return undefined;
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (match[3] === "") return fields;
  }
  return undefined;
}
