import { validateDetailed } from "node-cron";
import { parseAggregateFunction } from "../lib/aggregate-function.ts";
import { durationExpected, parseDuration } from "../lib/duration.ts";
import { suggest } from "../lib/suggest.ts";
import { freeSpaceExpected, parseFreeSpace } from "./free-space.ts";
import { parsePayloadPath } from "./payload-path.ts";
import { topicFault } from "./topic-filter.ts";

/** The rules for texts in the site's files that a schema's types cannot say, by the name that the schema gives them. */

/** `what` continues the sentence `"key" …`. */
export interface TextFault {
  readonly what: string;
  readonly expected: string;
}

const nameExpected = "expected a name of letters, digits, dots, dashes and underscores, at most 64";
const control = /\p{Cc}/u;

export const textChecks = {
  name: pattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, nameExpected),
  // Part of file names and document names, on file systems that know no case too.
  sinkName: pattern(/^[a-z0-9][a-z0-9.-]{0,63}$/, "expected a name of lower-case letters, digits, dots and dashes, at most 64"),
  siteName: pattern(
    /^[^\s/+#$\p{Cc}](?:[^/+#\p{Cc}]{0,62}[^\s/+#\p{Cc}])?$/u,
    "expected 1 to 64 characters, none of / + # (the name is part of MQTT topics)",
  ),
  gatewayId: pattern(/^[a-z0-9-]{1,32}$/, "expected lower-case letters, digits and dashes, at most 32"),
  deviceId: (text: string) => deviceIdFault(text),
  metricName: pattern(/^[\p{L}_][\p{L}\p{N}_.:-]{0,63}$/u, "expected a letter, then letters, digits and _ . : -, at most 64"),
  labelName: pattern(/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/, "expected a letter, then letters, digits, dashes and underscores, at most 64"),
  labelValue: plain(256),
  plain: plain(128),
  unit: plain(32),
  userName: plain(128),
  secret: (text: string) => secretFault(text, 16),
  token: (text: string) => secretFault(text, 8),
  password: (text: string) => secretFault(text, 1),
  path: pattern(/^\P{Cc}{1,1024}$/u, "expected the path of a folder"),
  host: hostFault,
  listen: (text: string) =>
    parseListen(text) === undefined
      ? { what: `is ${quote(text)}`, expected: 'expected a port from 1 to 65535, or "host:port" ("[::1]:1883" for IPv6)' }
      : undefined,
  timeZone: timeZoneFault,
  duration: durationFault,
  freeSpace: freeSpaceFault,
  window: windowFault,
  commitDelay: commitDelayFault,
  ackTimeout: ackTimeoutFault,
  cron: cronFault,
  topic: topicFault,
  payloadPath: (text: string) =>
    parsePayloadPath(text) === undefined
      ? { what: `is ${quote(text)}`, expected: 'expected steps such as t, data.temp, samples[0].value or "a.b".c' }
      : undefined,
  glob: globFault,
  aggregate: aggregateFault,
  groupKey: groupKeyFault,
} satisfies Record<string, (text: string) => TextFault | undefined>;

export type TextCheck = keyof typeof textChecks;

export function quote(text: string): string {
  const characters = Array.from(text);
  return JSON.stringify(characters.length > 60 ? `${characters.slice(0, 60).join("")}…` : text);
}

function pattern(expression: RegExp, expected: string): (text: string) => TextFault | undefined {
  return (text) => {
    // Names become keys of plain objects: one that every object has already would be found where it is not.
    if (Object.hasOwn(Object.prototype, text)) return { what: `is ${quote(text)}, a reserved word`, expected: "expected another name" };
    return expression.test(text) ? undefined : { what: `is ${quote(text)}`, expected };
  };
}

function plain(lengthMax: number): (text: string) => TextFault | undefined {
  return (text) => {
    if (text.length >= 1 && text.length <= lengthMax && !control.test(text)) return undefined;
    return { what: `is ${quote(text)}`, expected: `expected 1 to ${lengthMax} characters, no control characters` };
  };
}

/** A device id comes from a topic level: 1 to 128 characters, no `/`, no control characters, no half of a surrogate pair. */
export function isDeviceId(text: string): boolean {
  return text.length >= 1 && text.length <= 128 && !/[/\p{Cc}\p{Cs}]/u.test(text);
}

function deviceIdFault(text: string): TextFault | undefined {
  if (isDeviceId(text)) return undefined;
  return { what: `is ${quote(text)}`, expected: "expected a device id: 1 to 128 characters, no / and no control characters" };
}

/** Names the length only: a secret is never shown. */
function secretFault(text: string, lengthMin: number): TextFault | undefined {
  if (text.length === 0) return { what: "is empty", expected: `expected at least ${lengthMin} characters` };
  if (text.length < lengthMin) return { what: `has ${text.length} characters`, expected: `expected at least ${lengthMin}` };
  if (text.length > 1024) return { what: `has ${text.length} characters`, expected: "expected at most 1024" };
  return control.test(text) ? { what: "has a control character or more than one line", expected: "expected one line of text" } : undefined;
}

function hostFault(text: string): TextFault | undefined {
  if (isHost(text)) return undefined;
  const hint = /^[^:]+:\d+$/.test(text) ? ' (ports go under "listen")' : "";
  return { what: `is ${quote(text)}`, expected: `expected a host name or an IP address${hint}` };
}

export function isHost(text: string): boolean {
  if (/^[\d.]+$/.test(text)) return /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(text);
  if (text.includes(":")) return /^[0-9a-fA-F:.]+$/.test(text) && URL.canParse(`http://[${text}]/`);
  return text.length <= 253 && /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?$/.test(text);
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isHost(host) && /^127\.[\d.]+$/.test(host));
}

/** `1883`, `host:1883`, `[::1]:1883`. */
export function parseListen(text: string): { readonly host: string | undefined; readonly port: number } | undefined {
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? match[2];
  const port = Number(match[3]);
  if (port < 1 || port > 65535 || (host !== undefined && !isHost(host))) return undefined;
  return { host, port };
}

function timeZoneFault(text: string): TextFault | undefined {
  const expected = "expected an IANA time zone such as UTC or Europe/Berlin";
  try {
    if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(text)) return { what: `is ${quote(text)}`, expected };
    new Intl.DateTimeFormat("en", { timeZone: text });
    return undefined;
  } catch {
    const near = suggest(text, Intl.supportedValuesOf("timeZone"));
    return {
      what: `is ${quote(text)}, which no time zone is called`,
      expected: near === undefined ? expected : `did you mean ${quote(near)}?`,
    };
  }
}

function durationFault(text: string): TextFault | undefined {
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined) return { what: `is ${quote(text)}`, expected: `expected ${durationExpected}` };
  return milliseconds > 0 ? undefined : { what: `is ${quote(text)}`, expected: "expected more than zero" };
}

/** Above this, devices would wait longer for a PUBACK than a client is patient, and rounds would pile up behind each other. */
const commitDelayMaxMs = 1_000;

function commitDelayFault(text: string): TextFault | undefined {
  const milliseconds = parseDuration(text);
  return milliseconds !== undefined && milliseconds <= commitDelayMaxMs
    ? undefined
    : { what: `is ${quote(text)}`, expected: "expected a duration from 0ms to 1s" };
}

/** Shorter than an owner's resend is no patience at all; longer than that a device has given up by itself. */
const ackTimeoutMs = { min: 1_000, max: 300_000 };

function ackTimeoutFault(text: string): TextFault | undefined {
  const milliseconds = parseDuration(text);
  return milliseconds !== undefined && milliseconds >= ackTimeoutMs.min && milliseconds <= ackTimeoutMs.max
    ? undefined
    : { what: `is ${quote(text)}`, expected: "expected a duration from 1s to 5m" };
}

function freeSpaceFault(text: string): TextFault | undefined {
  if (parseFreeSpace(text) !== undefined) return undefined;
  const near = /^(\d+(?:\.\d+)?)\s*([KMGT])i?B?$/i.exec(text);
  const meant = near === null ? undefined : `${near[1]}${near[2]?.toUpperCase()}iB`;
  const isNear = meant !== undefined && parseFreeSpace(meant) !== undefined;
  return { what: `is ${quote(text)}`, expected: isNear ? `did you mean ${quote(meant)}?` : `expected ${freeSpaceExpected}` };
}

const dayMs = 86_400_000;

/** Windows are aligned to days, so that one which does not fit would drift over midnight. */
function windowFault(text: string): TextFault | undefined {
  const fault = durationFault(text);
  if (fault !== undefined) return fault;
  const milliseconds = parseDuration(text) ?? 0;
  if (milliseconds < 1_000 || milliseconds > 366 * dayMs) return { what: `is ${quote(text)}`, expected: "expected from 1s to 366d" };
  if (milliseconds % dayMs === 0 || dayMs % milliseconds === 0) return undefined;
  return {
    what: `is ${quote(text)}, which does not divide a day`,
    expected: "expected a divisor of a day (5s, 1m, 15m, 1h, 6h, …) or whole days",
  };
}

function cronFault(text: string): TextFault | undefined {
  const expected = 'expected a cron expression of 5 fields ("0 * * * *": every hour) or 6 with seconds first';
  // node-cron counts ranges out, number by number: a field such as 0-99999999 must not reach it.
  if (text.length > 256 || /\d{3}/.test(text)) return { what: `is ${quote(text)}`, expected };
  try {
    const checked = validateDetailed(text);
    if (checked.valid) return undefined;
    const message = checked.errors[0]?.message.replace(" a invalid expression", " an invalid expression");
    return { what: `is ${quote(text)}${message === undefined ? "" : `: ${message}`}`, expected };
  } catch {
    return { what: `is ${quote(text)}`, expected };
  }
}

function globFault(text: string): TextFault | undefined {
  const expected = "expected a device id in which * stands for any characters and ? for one";
  if (text.length === 0 || text.length > 128 || control.test(text) || text.includes("/")) return { what: `is ${quote(text)}`, expected };
  return /[[\]{}\\]/.test(text) ? { what: `is ${quote(text)}; only * and ? are wildcards`, expected } : undefined;
}

function aggregateFault(text: string): TextFault | undefined {
  if (parseAggregateFunction(text) !== undefined) return undefined;
  const percentile = /^p(\d{1,2}(?:\.\d+)?)$/i.exec(text);
  const words: Readonly<Record<string, string>> = {
    avg: "mean",
    average: "mean",
    median: "quantile(0.5)",
    minimum: "min",
    maximum: "max",
    n: "count",
  };
  const known = ["count", "sum", "min", "max", "mean", "first", "last", "quantile(0.95)"];
  const near =
    percentile === null
      ? (words[text.toLowerCase()] ?? suggest(text, known))
      : `quantile(${Number((Number(percentile[1]) / 100).toFixed(6))})`;
  const all = "expected one of count, sum, min, max, mean, first, last, quantile(0 … 1)";
  return { what: `is ${quote(text)}`, expected: near === undefined ? all : `did you mean ${quote(near)}?` };
}

function groupKeyFault(text: string): TextFault | undefined {
  if (text === "device" || text === "metric") return undefined;
  const label = /^label\.(.*)$/su.exec(text)?.[1];
  if (label !== undefined && textChecks.labelName(label) === undefined) return undefined;
  const near = suggest(text, ["device", "metric"]);
  return {
    what: `is ${quote(text)}`,
    expected: near === undefined ? "expected device, metric or label.<name>" : `did you mean ${quote(near)}?`,
  };
}
