import { type ExitStatus, type Failure, FailureError, failure, type Result } from "../../lib/errors.ts";
import { print, reportFailure, unwrap, usageError } from "../command.ts";
import { type BadRow, type CsvRow, readHeader, readRow } from "../csv-rows.ts";
import { createTimeReader, type TimeReader } from "../local-time.ts";
import { type MqttTarget, ReliablePublisher } from "../reliable-publisher.ts";
import { formatElapsed, ProgressLine, plain, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";

export interface ReplayOptions {
  readonly device: string;
  readonly topic: string;
  readonly mqtt: string;
  readonly metric?: string;
  readonly rate?: number;
  readonly speed?: number;
  readonly timeZone: string;
  readonly shiftToNow?: boolean;
  readonly acks?: string;
  readonly window: number;
  readonly timeout: number;
  readonly username?: string;
  readonly output: string;
}

const stallMs = 25_000;
const badRowsShown = 10;
const credentialsHint = "give --username, and the password in FOGBANK_MQTT_PASSWORD";

/** `fogbank replay`: a CSV file as one device. Exit 1 when anything stays unacknowledged, a row was skipped, or it was interrupted. */
export async function replay(world: World, file: string, options: ReplayOptions): Promise<ExitStatus> {
  const targets = parseTargets(options.mqtt);
  const topic = topicOf(options);
  const readTime = createTimeReader(options.timeZone);
  if (readTime === undefined)
    throw usageError(`there is no time zone ${JSON.stringify(options.timeZone)}; expected an IANA name such as Europe/Berlin`);
  const source = new CsvSource(world, file, readTime, options.metric);
  const shiftMs = options.shiftToNow === true ? world.clock.wallMs() - (await source.lastMs()) : 0;
  const acks = options.acks === undefined ? undefined : unwrap(world.files.createWriter(options.acks));
  const run = new Replay(world, options, { topic, targets, shiftMs, acknowledge: (line) => acks?.write(line) });
  try {
    return await run.run(source);
  } finally {
    acks?.close();
  }
}

interface ReplayPlan {
  readonly topic: string;
  readonly targets: readonly MqttTarget[];
  readonly shiftMs: number;
  readonly acknowledge: (line: string) => void;
}

class Replay {
  readonly #world: World;
  readonly #options: ReplayOptions;
  readonly #plan: ReplayPlan;
  readonly #publisher: ReliablePublisher;
  readonly #progress: ProgressLine;
  readonly #interrupt = new AbortController();
  readonly #startMs: number;
  #published = 0;
  #acknowledged = 0;
  #acksFailure: Failure | undefined;

  constructor(world: World, options: ReplayOptions, plan: ReplayPlan) {
    this.#world = world;
    this.#options = options;
    this.#plan = plan;
    this.#startMs = world.clock.monotonicMs();
    this.#progress = new ProgressLine(world);
    this.#publisher = new ReliablePublisher(world, {
      targets: plan.targets,
      clientId: `replay-${options.device}-${world.secret(4)}`,
      username: options.username,
      password: world.env["FOGBANK_MQTT_PASSWORD"],
      windowMax: options.window,
      stallMs,
      giveUpMs: options.timeout,
    });
  }

  async run(source: CsvSource): Promise<ExitStatus> {
    const remove = this.#world.onInterrupt(() => {
      this.#interrupt.abort();
      // Whatever waits for the publisher goes on.
      void this.#publisher.close();
    });
    const end = new AbortController();
    const ticking = this.#tick(end.signal);
    try {
      await this.#publishAll(source);
      const drained = await this.#publisher.drain();
      await this.#publisher.close();
      return this.#finish(source, drained);
    } finally {
      remove();
      end.abort();
      await this.#publisher.close();
      await ticking;
    }
  }

  async #publishAll(source: CsvSource): Promise<void> {
    let firstMs: number | undefined;
    let rows = 0;
    for await (const row of source.rows()) {
      if (this.#interrupt.signal.aborted) return;
      firstMs ??= row.ms;
      await this.#pace(rows++, row.ms - firstMs);
      if (this.#interrupt.signal.aborted) return;
      if (!(await this.#publishRow(row, source.valueColumns))) return;
    }
  }

  /** Sleeps until the row is due. */
  async #pace(index: number, sinceFirstMs: number): Promise<void> {
    const { rate, speed } = this.#options;
    const dueMs = rate !== undefined ? (index * 1000) / rate : speed !== undefined ? sinceFirstMs / speed : 0;
    const waitMs = this.#startMs + dueMs - this.#world.clock.monotonicMs();
    if (waitMs >= 1) await this.#world.clock.sleep(waitMs, this.#interrupt.signal);
  }

  async #publishRow(row: CsvRow, columns: number): Promise<boolean> {
    const ts = row.ms + this.#plan.shiftMs;
    const payload = JSON.stringify({ ts, ...Object.fromEntries(row.values) });
    const count = row.values.length;
    const acknowledged = () => {
      this.#acknowledged += count;
      const lines = row.values.map(([name, value]) => `${ts},${ackField(value)}${columns === 1 ? "" : `,${ackField(name)}`}\n`);
      this.#note(lines.join(""));
    };
    const sent = await this.#publisher.publish(this.#plan.topic, payload, acknowledged);
    if (sent.ok) this.#published += count;
    return sent.ok;
  }

  /** Without the note, what was acknowledged would be in doubt: a full disk ends the replay. */
  #note(lines: string): void {
    if (this.#acksFailure !== undefined) return;
    try {
      this.#plan.acknowledge(lines);
    } catch (error) {
      this.#acksFailure = failure(
        "disk-full",
        `cannot write ${this.#options.acks ?? "the acks"}: ${error instanceof Error ? error.message : String(error)}`,
      );
      void this.#publisher.close();
    }
  }

  async #tick(end: AbortSignal): Promise<void> {
    while (!end.aborted) {
      await this.#world.clock.sleep(100, end);
      this.#progress.update(() => `${this.#published} published, ${this.#acknowledged} acknowledged, ${this.#rate()}/s`);
    }
  }

  #rate(): number {
    const seconds = (this.#world.clock.monotonicMs() - this.#startMs) / 1000;
    return seconds <= 0 ? 0 : Math.round(this.#acknowledged / seconds);
  }

  #finish(source: CsvSource, drained: Result<void>): ExitStatus {
    this.#progress.clear();
    const wasInterrupted = this.#interrupt.signal.aborted;
    const summary = {
      published: this.#published,
      acknowledged: this.#acknowledged,
      unacknowledged: this.#published - this.#acknowledged,
      skippedRows: source.badRows,
      reconnects: this.#publisher.reconnects,
      seconds: (this.#world.clock.monotonicMs() - this.#startMs) / 1000,
      interrupted: wasInterrupted,
    };
    print(this.#world, this.#options, summary, (all) => {
      const rest = `${all.unacknowledged} unacknowledged, ${all.skippedRows} rows skipped, ${all.reconnects} reconnects`;
      this.#world.out.write(
        `${all.published} published, ${all.acknowledged} acknowledged (${this.#rate()}/s), ${rest}, in ${formatElapsed(all.seconds * 1000)}${wasInterrupted ? "; interrupted" : ""}\n`,
      );
    });
    if (this.#acksFailure !== undefined) reportFailure(this.#world, this.#acksFailure);
    else if (!drained.ok && !wasInterrupted) reportFailure(this.#world, drained, credentialsHint);
    return this.#acksFailure !== undefined || !drained.ok || summary.unacknowledged > 0 || summary.skippedRows > 0 || wasInterrupted
      ? 1
      : 0;
  }
}

/** The rows of the file; bad ones are reported as file:line and counted. */
class CsvSource {
  badRows = 0;
  valueColumns = 0;
  readonly #world: World;
  readonly #file: string;
  readonly #readTime: TimeReader;
  readonly #metric: string | undefined;

  constructor(world: World, file: string, readTime: TimeReader, metric: string | undefined) {
    this.#world = world;
    this.#file = file;
    this.#readTime = readTime;
    this.#metric = metric;
  }

  async *rows(): AsyncGenerator<CsvRow> {
    for await (const row of this.#all()) {
      if ("reason" in row) this.#report(row);
      else yield row;
    }
    if (this.badRows > badRowsShown) printWarning(this.#world, `${this.badRows - badRowsShown} more rows were skipped`);
  }

  /** The greatest time in the file. */
  async lastMs(): Promise<number> {
    let last = Number.NEGATIVE_INFINITY;
    for await (const row of this.#all()) if (!("reason" in row)) last = Math.max(last, row.ms);
    return Number.isFinite(last) ? last : this.#world.clock.wallMs();
  }

  async *#all(): AsyncGenerator<CsvRow | BadRow> {
    let names: readonly string[] | undefined;
    let line = 0;
    for await (const text of this.#lines()) {
      line++;
      if (names === undefined) names = this.#header(text);
      else if (text !== "") yield readRow(text, line, names, this.#readTime);
    }
    if (names === undefined) throw usageError(`${this.#file} is empty; expected a first line with the names of the columns`);
  }

  async *#lines(): AsyncGenerator<string> {
    try {
      yield* this.#world.files.lines(this.#file);
    } catch (error) {
      if (error instanceof FailureError || !(error instanceof Error && "code" in error)) throw error;
      throw usageError(`${this.#file} cannot be read: ${error.message}`);
    }
  }

  #header(text: string): readonly string[] {
    const names = readHeader(text, this.#readTime);
    if (typeof names === "string") throw usageError(`${this.#file}:1: ${names}`);
    this.valueColumns = names.length;
    if (this.#metric === undefined) return names;
    if (names.length > 1) throw usageError(`--metric names one value column, but ${this.#file} has ${names.length}: ${names.join(", ")}`);
    if (this.#metric === "" || this.#metric === "ts")
      throw usageError(`--metric ${JSON.stringify(this.#metric)} is not possible; "ts" is the time's`);
    return [this.#metric];
  }

  #report(row: BadRow): void {
    this.badRows++;
    if (this.badRows <= badRowsShown) printWarning(this.#world, `${this.#file}:${row.line}: ${row.reason}; the row is skipped`);
  }
}

function parseTargets(text: string): readonly MqttTarget[] {
  return text.split(",").map((entry) => {
    const match = /^(?:mqtt:\/\/)?(\[[0-9a-fA-F:.]+\]|[^:[\]/\s]+)(?::(\d{1,5}))?$/.exec(entry.trim());
    const port = Number(match?.[2] ?? 1883);
    if (match?.[1] === undefined || port < 1 || port > 65_535) throw usageError(`--mqtt: ${JSON.stringify(entry)} is not HOST:PORT`);
    return { host: match[1].replace(/^\[|\]$/g, ""), port };
  });
}

function topicOf({ topic, device }: ReplayOptions): string {
  if (device === "" || /[+#/\p{Cc}]/u.test(device))
    throw usageError(`--device ${JSON.stringify(plain(device))} cannot be one level of a topic`);
  const whole = topic.replaceAll("{device}", device);
  if (whole === "" || /[+#\p{Cc}]/u.test(whole))
    throw usageError(`--topic ${JSON.stringify(plain(topic))} cannot be published to: no wildcards or control characters`);
  return whole;
}

/** As published; a text is quoted where it must be. */
function ackField(value: number | string | boolean): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
