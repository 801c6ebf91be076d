/**
 * What goes on at a simulated site: devices that publish and reconnect like real ones, and clients of the kv space.
 * Both remember what they were told, for the checkers.
 */

import type { GatewayService, KvExpectation } from "../gateway/service.ts";
import type { Random } from "../lib/random.ts";
import type { DeviceLink } from "./broker.ts";
import type { HistoryEntry, RegisterOperation, RegisterOutcome } from "./linearizability.ts";
import type { RunningGateway, SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";

export interface PublishedReading {
  readonly device: string;
  readonly ms: number;
  readonly value: number;
}

const windowMax = 5;
/** A burst fills the window at once: several rounds' worth in flight, at the price of one event. */
const burstProbability = 0.5;
const againProbabilityDefault = 0.05;
const giveUpMs = 25_000;
/** A broken connection shows within this time. */
const brokenMs = 200;
/** Then a client of the kv space takes it that no answer will come. */
const kvTimeoutMs = 12_000;

/** Publishes with its own timestamps at QoS 1, a few in flight; after a disconnect it resends what was not acknowledged. */
export class SimulatedDevice {
  readonly id: string;
  readonly acknowledged: PublishedReading[] = [];
  readonly published = new Map<number, PublishedReading>();
  readonly #site: SimulatedSite;
  readonly #random: Random;
  readonly #unacknowledged: PublishedReading[] = [];
  #link: DeviceLink | undefined;
  #gateway: SimulatedGateway | undefined;
  #connection = 0;
  #sent = 0;
  #stopped = false;
  readonly #againProbability: number;
  #counter = 0;
  #lastMs = 0;

  constructor(options: {
    readonly site: SimulatedSite;
    readonly id: string;
    readonly random: Random;
    /** How often it says a greater value for the same time. */
    readonly againProbability?: number | undefined;
  }) {
    this.#site = options.site;
    this.#againProbability = options.againProbability ?? againProbabilityDefault;
    this.id = options.id;
    this.#random = options.random;
  }

  start(): void {
    this.#tick();
  }

  /** Publishes nothing new; resending goes on. */
  stop(): void {
    this.#stopped = true;
  }

  idle(): boolean {
    return this.#unacknowledged.length === 0;
  }

  /** The gateway that it is connected to. */
  connectedTo(): SimulatedGateway | undefined {
    return this.#link === undefined ? undefined : this.#gateway;
  }

  #tick(): void {
    const burst = this.#random.chance(burstProbability) ? windowMax : 1;
    for (let i = 0; i < burst && !this.#stopped && this.#unacknowledged.length < windowMax; i++) this.#make();
    if (this.#link === undefined) this.#connect();
    else this.#send();
    if (this.#stopped && this.idle()) return;
    this.#site.scheduler.schedule(400 + this.#random.below(3_200), `${this.id} tick`, () => this.#tick());
  }

  #make(): void {
    // Now and then a value is said again for the same time, as some devices do.
    const again = this.#random.chance(this.#againProbability) && this.#lastMs > 0;
    const ms = again ? this.#lastMs : Math.max(this.#lastMs + 1, this.#site.wallMs());
    this.#lastMs = ms;
    const reading = { device: this.id, ms, value: ++this.#counter };
    const known = this.published.get(ms);
    if (known === undefined || known.value < reading.value) this.published.set(ms, reading);
    this.#unacknowledged.push(reading);
  }

  #connect(): void {
    const gateway = this.#random.pick(this.#site.gateways);
    this.#gateway = gateway;
    const connection = ++this.#connection;
    const broker = gateway.running()?.broker;
    this.#link = broker?.connect({ clientId: `${this.id}-${connection}` }, () => this.#disconnected(connection));
    this.#sent = 0;
    if (this.#link === undefined) return;
    this.#send();
    // A device notices a dead or silent gateway by its keep-alive.
    this.#site.scheduler.schedule(giveUpMs, `${this.id} keep-alive`, () => this.#checkLink(connection, this.acknowledged.length));
    gateway
      .running()
      ?.process.whenEnded(() =>
        this.#site.scheduler.schedule(this.#random.below(brokenMs), `${this.id} connection broken`, () => this.#disconnected(connection)),
      );
  }

  #checkLink(connection: number, before: number): void {
    if (this.#connection !== connection || this.#link === undefined) return;
    if (this.acknowledged.length === before && this.#unacknowledged.length > 0) {
      this.#link.close();
      this.#disconnected(connection);
    } else {
      const now = this.acknowledged.length;
      this.#site.scheduler.schedule(giveUpMs, `${this.id} keep-alive`, () => this.#checkLink(connection, now));
    }
  }

  #disconnected(connection: number): void {
    if (this.#connection !== connection) return;
    this.#connection++;
    this.#link = undefined;
  }

  #send(): void {
    const connection = this.#connection;
    for (; this.#sent < this.#unacknowledged.length; this.#sent++) {
      const reading = this.#unacknowledged[this.#sent] as PublishedReading;
      const payload = new TextEncoder().encode(JSON.stringify({ ts: reading.ms, v: reading.value }));
      this.#link?.publish(`sensors/${this.id}/data`, payload, 1, () => {
        if (this.#connection !== connection) return;
        this.acknowledged.push(reading);
        // In order, by MQTT-4.6.0: what is acknowledged is the oldest.
        if (this.#unacknowledged[0] !== reading) throw new Error(`${this.id}: an acknowledgement out of order`);
        this.#unacknowledged.shift();
        this.#sent--;
      });
    }
  }
}

export interface SaidValue {
  readonly value: number;
  /** True time of its first sending. */
  readonly saidMs: number;
  /** Packet id, for as long as it is not acknowledged. */
  readonly packetId: number;
  acknowledgedMs: number | undefined;
}

/**
 * A device without a clock: says numbers at QoS 1 to one gateway, in a persistent session, and sends again what was not acknowledged,
 * with DUP. Its readings get the gateway's time.
 */
export class SimulatedSayer {
  readonly id: string;
  readonly said: SaidValue[] = [];
  readonly #site: SimulatedSite;
  readonly #gateway: SimulatedGateway;
  readonly #random: Random;
  #waiting: SaidValue[] = [];
  #link: DeviceLink | undefined;
  #connection = 0;
  #stopped = false;

  constructor(options: { readonly site: SimulatedSite; readonly gateway: SimulatedGateway; readonly random: Random }) {
    this.#site = options.site;
    this.#gateway = options.gateway;
    this.id = `sayer-${options.gateway.id}`;
    this.#random = options.random;
  }

  start(): void {
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
  }

  idle(): boolean {
    return this.#waiting.length === 0;
  }

  #tick(): void {
    if (!this.#stopped && this.#waiting.length < windowMax) this.#say();
    if (this.#link === undefined) this.#connect();
    if (this.#stopped && this.idle()) return;
    this.#site.scheduler.schedule(800 + this.#random.below(3_200), `${this.id} tick`, () => this.#tick());
  }

  #say(): void {
    const value = this.said.length + 1;
    const said: SaidValue = { value, saidMs: this.#site.wallMs(), packetId: ((value - 1) % 20) + 1, acknowledgedMs: undefined };
    this.said.push(said);
    this.#waiting.push(said);
    if (this.#link !== undefined) this.#send(said, false);
  }

  #connect(): void {
    const connection = ++this.#connection;
    const running = this.#gateway.running();
    const ended = (): void => {
      if (this.#connection === connection) this.#link = undefined;
    };
    this.#link = running?.broker.connect({ clientId: this.id, persistent: true }, ended);
    if (this.#link === undefined) return;
    for (const said of this.#waiting) this.#send(said, true);
    running?.process.whenEnded(() => this.#site.scheduler.schedule(this.#random.below(brokenMs), `${this.id} connection broken`, ended));
    this.#site.scheduler.schedule(giveUpMs, `${this.id} keep-alive`, () => this.#checkLink(connection));
  }

  #checkLink(connection: number): void {
    const oldest = this.#waiting[0];
    if (this.#connection !== connection || this.#link === undefined) return;
    if (oldest !== undefined && this.#site.wallMs() - oldest.saidMs > giveUpMs) {
      this.#link.close();
      this.#link = undefined;
      return;
    }
    this.#site.scheduler.schedule(giveUpMs, `${this.id} keep-alive`, () => this.#checkLink(connection));
  }

  #send(said: SaidValue, duplicate: boolean): void {
    const connection = this.#connection;
    const packet = { packetId: said.packetId, duplicate };
    const acknowledged = (): void => {
      if (this.#connection !== connection || said.acknowledgedMs !== undefined) return;
      said.acknowledgedMs = this.#site.wallMs();
      this.#waiting = this.#waiting.filter((other) => other !== said);
    };
    this.#link?.publish(`plain/${this.id}`, new TextEncoder().encode(String(said.value)), 1, acknowledged, packet);
  }
}

/** Puts, compares and sets, deletes and gets on a few keys, at whichever gateway. */
export class KvClient {
  readonly history = new Map<string, HistoryEntry[]>();
  readonly #site: SimulatedSite;
  readonly #name: string;
  readonly #random: Random;
  readonly #keys: readonly string[];
  /** Revision -> value, as answered. */
  readonly #values: Map<number, string>;
  #counter = 0;
  #stopped = false;

  constructor(options: {
    readonly site: SimulatedSite;
    readonly name: string;
    readonly random: Random;
    readonly keys: readonly string[];
    readonly values: Map<number, string>;
  }) {
    this.#site = options.site;
    this.#name = options.name;
    this.#random = options.random;
    this.#keys = options.keys;
    this.#values = options.values;
  }

  start(): void {
    this.#site.scheduler.schedule(500 + this.#random.below(2_500), `${this.#name} next`, () => {
      if (this.#stopped) return;
      this.#operate().then(
        () => this.start(),
        (cause: unknown) => this.#site.fail(cause),
      );
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  async #operate(): Promise<void> {
    const running = this.#random.pick(this.#site.gateways).running();
    const key = this.#random.pick(this.#keys);
    if (running === undefined) return;
    const calledMs = this.#site.nowMs();
    const kind = this.#random.below(10);
    const entry: { operation: RegisterOperation; outcome: RegisterOutcome } = { operation: { kind: "get" }, outcome: { kind: "unknown" } };
    const index = this.#record(key, { ...entry, calledMs, returnedMs: Number.POSITIVE_INFINITY });
    const finish = (outcome: RegisterOutcome): void => {
      const returnedMs = outcome.kind === "unknown" ? Number.POSITIVE_INFINITY : this.#site.nowMs();
      this.#replace(key, index, { operation: entry.operation, outcome, calledMs, returnedMs });
    };
    const describe = (operation: RegisterOperation): void => {
      entry.operation = operation;
      finish({ kind: "unknown" });
    };
    if (kind < 4) {
      const answer = await this.#ask(running, (service) => service.kvGet(key));
      if (answer?.ok === true)
        finish({ kind: "done", read: answer.value === undefined ? undefined : new TextDecoder().decode(answer.value.value) });
    } else if (kind < 9) {
      const value = `${this.#name}-${++this.#counter}`;
      const chosen = this.#expectation();
      describe({ kind: "put", value, expect: chosen.expect });
      const answer = await this.#ask(running, (service) => service.kvPut(key, new TextEncoder().encode(value), chosen.expectation));
      if (answer?.ok === true) this.#values.set(answer.value.revision, value);
      if (answer !== undefined) finishChange(answer, finish);
    } else {
      describe({ kind: "delete" });
      const answer = await this.#ask(running, (service) => service.kvDelete(key, { kind: "any" }));
      if (answer !== undefined) finishChange(answer, finish);
    }
  }

  /** What the gateway answers; `undefined` when its process ends before, or nothing comes for too long. */
  #ask<T>(running: RunningGateway, ask: (service: GatewayService) => Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const { process, service } = running;
      const { scheduler } = this.#site;
      const patience = scheduler.schedule(kvTimeoutMs, `${this.#name} gives up`, () => settle(() => resolve(undefined)));
      const forget = process.whenEnded(() => settle(() => resolve(undefined)));
      const settle = (how: () => void): void => {
        patience.cancelled = true;
        forget();
        how();
      };
      process.deliver(() => {
        ask(service).then((answer) => {
          if (process.alive()) settle(() => resolve(answer));
        }, reject);
      });
    });
  }

  #expectation(): { readonly expectation: KvExpectation; readonly expect: (RegisterOperation & { kind: "put" })["expect"] } {
    const kind = this.#random.below(3);
    const revisions = [...this.#values.keys()];
    if (kind === 0 || (kind === 1 && revisions.length === 0)) return { expectation: { kind: "any" }, expect: "any" };
    if (kind === 2) return { expectation: { kind: "absent" }, expect: "absent" };
    const revision = revisions[Math.max(0, revisions.length - 1 - this.#random.below(3))] as number;
    return { expectation: { kind: "revision", revision }, expect: { value: this.#values.get(revision) as string } };
  }

  #record(key: string, entry: HistoryEntry): number {
    const entries = this.history.get(key) ?? [];
    this.history.set(key, entries);
    return entries.push(entry) - 1;
  }

  #replace(key: string, index: number, entry: HistoryEntry): void {
    const entries = this.history.get(key);
    if (entries !== undefined) entries[index] = entry;
  }
}

function finishChange(
  answer: { readonly ok: true } | { readonly ok: false; readonly code: string },
  finish: (outcome: RegisterOutcome) => void,
): void {
  if (answer.ok) finish({ kind: "done" });
  else if (answer.code === "precondition-failed") finish({ kind: "refused" });
  // Certainly not applied: as if it had been refused, but whatever stood there.
  else if (answer.code === "not-applied" || answer.code === "not-ready") finish({ kind: "void" });
  else finish({ kind: "unknown" });
}
