import { type DeviceId, deviceId } from "../lib/ids.ts";
import { ValueType } from "../lib/reading.ts";
import type { DecodedMessage, MetricReject, PayloadReject, TopicMatch } from "./decoded-message.ts";
import { timestampUs } from "./payload-timestamp.ts";
import type { InventoryEntry, MetricSettings, ProfileSettings } from "./settings.ts";
import { isDeviceId } from "./text-check.ts";
import { TopicTrie } from "./topic-trie.ts";

/** Profiles at work: from the topic and payload of a PUBLISH to the values of its metrics. */
export interface ProfileSet {
  readonly profiles: readonly ProfileSettings[];
  /** What the inventory says about a device. The profile named there is for people: any profile's topic maps any device. */
  readonly inventory: ReadonlyMap<DeviceId, InventoryEntry>;
  /**
   * `undefined`: no profile maps the topic, or what stands for `{device}` is no device id (empty, over 128 characters, or
   * with control characters). Splits the topic; callers keep the answer per topic.
   */
  match(topic: string): TopicMatch | undefined;
}

export function compileProfiles(profiles: readonly ProfileSettings[], inventory: readonly InventoryEntry[]): ProfileSet {
  const trie = new TopicTrie<ProfileSettings>();
  for (const profile of profiles) trie.add(profile.topic, profile);
  return {
    profiles,
    inventory: new Map(inventory.map((entry) => [entry.id, entry])),
    match(topic) {
      const found = trie.find(topic);
      if (found === undefined || !isDeviceId(found.device)) return undefined;
      return { profile: found.value, device: deviceId(found.device) };
    },
  };
}

export interface PayloadDecoder {
  /**
   * In this order: path, scale, range. A metric whose path is missing is absent; one of the wrong type or out of range is
   * rejected alone. The answer is a scratch object, valid until the next call. Deadbands are the caller's.
   */
  decode(match: TopicMatch, payload: Uint8Array): DecodedMessage | PayloadReject;
}

export function createDecoder(): PayloadDecoder {
  return new Decoder();
}

/** Longest text value in UTF-8 bytes. */
export const textBytesMax = 64 * 1024;
/** Texts up to this many UTF-16 units are short enough in any case. */
const surelyShort = Math.floor(textBytesMax / 3);
const noRejects: readonly MetricReject[] = [];

class Scratch implements DecodedMessage {
  count = 0;
  metrics = new Uint16Array(16);
  types = new Uint8Array(16);
  numbers = new Float64Array(16);
  texts: string[] = [];
  timeUs: number | undefined = undefined;
  rejects: readonly MetricReject[] = noRejects;

  begin(metricCount: number): void {
    this.count = 0;
    this.timeUs = undefined;
    this.rejects = noRejects;
    if (this.texts.length > 0) this.texts = [];
    if (metricCount <= this.metrics.length) return;
    this.metrics = new Uint16Array(metricCount);
    this.types = new Uint8Array(metricCount);
    this.numbers = new Float64Array(metricCount);
  }

  push(metric: number, type: ValueType, number: number): void {
    this.metrics[this.count] = metric;
    this.types[this.count] = type;
    this.numbers[this.count] = number;
    this.count++;
  }

  pushText(metric: number, text: string): void {
    this.push(metric, ValueType.Text, this.texts.length);
    this.texts.push(text);
  }

  reject(metric: string, reason: MetricReject["reason"], detail: string): void {
    this.rejects = [...this.rejects, { metric, reason, detail }];
  }
}

class Decoder implements PayloadDecoder {
  readonly #scratch = new Scratch();
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #encoder = new TextEncoder();

  decode({ profile }: TopicMatch, payload: Uint8Array): DecodedMessage | PayloadReject {
    this.#scratch.begin(profile.metrics.length);
    const text = this.#textOf(payload);
    if (text === undefined) return { reason: "bad-payload", detail: "the payload is not valid UTF-8" };
    switch (profile.payload) {
      case "json":
        return this.#json(profile, text);
      case "number":
        return this.#number(profile, text);
      case "text":
        return this.#text(profile, text, payload.length);
    }
  }

  #textOf(payload: Uint8Array): string | undefined {
    try {
      return this.#utf8.decode(payload);
    } catch {
      return undefined;
    }
  }

  #json(profile: ProfileSettings, text: string): DecodedMessage | PayloadReject {
    let root: unknown;
    try {
      root = JSON.parse(text);
    } catch {
      return { reason: "bad-payload", detail: text.length === 0 ? "the payload is empty, expected JSON" : "the payload is not valid JSON" };
    }
    const scratch = this.#scratch;
    const { timestamp, metrics } = profile;
    if (timestamp !== undefined) {
      const value = valueAt(root, timestamp.path);
      const time = value === undefined ? "is missing" : timestampUs(value, timestamp.unit);
      if (typeof time === "string") return { reason: "bad-timestamp", detail: `the timestamp at ${timestamp.path.join(".")} ${time}` };
      scratch.timeUs = time;
    }
    for (let index = 0; index < metrics.length; index++) {
      const metric = metrics[index] as MetricSettings;
      const value = valueAt(root, metric.path);
      if (value !== undefined) this.#take(metric, index, value);
    }
    if (scratch.count === 0 && scratch.rejects.length === 0)
      return { reason: "no-metric", detail: "the payload has none of the profile's metrics" };
    return scratch;
  }

  #number({ metrics }: ProfileSettings, text: string): DecodedMessage | PayloadReject {
    const trimmed = text.trim();
    if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?$/.test(trimmed))
      return { reason: "bad-payload", detail: "the payload is no decimal number" };
    const [metric] = metrics;
    if (metric !== undefined) this.#take(metric, 0, Number(trimmed));
    return this.#scratch;
  }

  #text({ metrics }: ProfileSettings, text: string, bytes: number): DecodedMessage | PayloadReject {
    if (bytes > textBytesMax) return { reason: "bad-payload", detail: `the text has ${bytes} bytes, more than ${textBytesMax}` };
    if (metrics.length > 0) this.#scratch.pushText(0, text);
    return this.#scratch;
  }

  #take(metric: MetricSettings, index: number, value: unknown): void {
    const scratch = this.#scratch;
    if (typeof value === "number") {
      const scaled = metric.scale === undefined ? value : value * metric.scale;
      const fault = rangeFault(metric, scaled);
      if (fault === undefined) scratch.push(index, ValueType.Number, scaled);
      else scratch.reject(metric.name, "out-of-range", fault);
      return;
    }
    const numeric = metric.scale !== undefined || metric.min !== undefined || metric.max !== undefined;
    if ((typeof value !== "boolean" && typeof value !== "string") || numeric) {
      scratch.reject(metric.name, "wrong-type", `is ${kindOf(value)}, expected ${numeric ? "a number" : "a number, a text or a boolean"}`);
    } else if (typeof value === "boolean") {
      scratch.push(index, ValueType.Boolean, value ? 1 : 0);
    } else {
      this.#takeText(metric, index, value);
    }
  }

  /** Half of a surrogate pair (`"\ud800"`) has no UTF-8 form: it would come back from disk as something else. */
  #takeText(metric: MetricSettings, index: number, text: string): void {
    if (text.length > surelyShort && this.#encoder.encode(text).length > textBytesMax) {
      this.#scratch.reject(metric.name, "out-of-range", `is a text of more than ${textBytesMax} bytes`);
    } else if (/\p{Cs}/u.test(text)) {
      this.#scratch.reject(metric.name, "wrong-type", "is a text with half of a surrogate pair, expected valid Unicode");
    } else {
      this.#scratch.pushText(index, text);
    }
  }
}

/** `1e999` is valid JSON and reads as Infinity. */
function rangeFault({ min, max }: MetricSettings, value: number): string | undefined {
  if (!Number.isFinite(value)) return "is beyond what a double can hold";
  if (min !== undefined && value < min) return `is ${value}, below the minimum of ${min}`;
  if (max !== undefined && value > max) return `is ${value}, above the maximum of ${max}`;
  return undefined;
}

/** Own properties only: `constructor` or `__proto__` find nothing that the payload does not say. */
function valueAt(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (let i = 0; i < path.length; i++) {
    if (typeof value !== "object" || value === null) return undefined;
    const step = path[i] as string;
    if (!Object.hasOwn(value, step) || (Array.isArray(value) && step === "length")) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}
