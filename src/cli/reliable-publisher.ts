import { type Failure, failure, type Result, success } from "../lib/errors.ts";
import type { CliClock, MqttPublisher, World } from "./world.ts";

/**
 * Publishes at QoS 1 until acknowledged, over the first gateway of a list that answers: a connection that is lost, or that
 * acknowledges nothing for a while, is given up for the next, and all that is unacknowledged is sent again, in order.
 * At least once, therefore; a reading with its own time is stored once.
 */

export interface PublisherOptions {
  readonly targets: readonly MqttTarget[];
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Messages sent and not acknowledged at once. */
  readonly windowMax: number;
  /** A connection without acknowledgement for this long is given up. Above the gateways' ackTimeout (20 s) they say why. */
  readonly stallMs: number;
  /** Nothing acknowledged anywhere for this long, with something to send, whatever it is that it waits for: `failed`. */
  readonly giveUpMs: number;
}

export interface MqttTarget {
  readonly host: string;
  readonly port: number;
}

interface Message {
  readonly topic: string;
  readonly payload: string;
  readonly acknowledged: () => void;
  isAcknowledged: boolean;
}

const connectTimeoutMs = 5_000;
const watchMs = 250;

export class ReliablePublisher {
  readonly #connect: World["connectMqtt"];
  readonly #clock: CliClock;
  readonly #options: PublisherOptions;
  /** In the order of `publish`. The first is unacknowledged. */
  #pending: Message[] = [];
  #publisher: MqttPublisher | undefined;
  #lastProgressMs: number;
  #connections = 0;
  #failed: Failure | undefined;
  readonly #stop = new AbortController();
  /** Resolved when something changed that a waiting `publish` or `drain` may wait for. */
  #wake: (() => void)[] = [];
  readonly #loops: Promise<unknown>;
  /** Why nothing is acknowledged, as far as it is known. */
  #reason = "no gateway answered";

  constructor(world: Pick<World, "connectMqtt" | "clock">, options: PublisherOptions) {
    this.#connect = world.connectMqtt.bind(world);
    this.#clock = world.clock;
    this.#options = options;
    this.#lastProgressMs = this.#clock.monotonicMs();
    this.#loops = Promise.all([this.#run(), this.#watch()]);
  }

  get unacknowledged(): number {
    return this.#pending.reduce((count, message) => count + (message.isAcknowledged ? 0 : 1), 0);
  }

  /** Connections after the first. */
  get reconnects(): number {
    return Math.max(0, this.#connections - 1);
  }

  /** Waits for room in the window. The failure says why nothing more is sent. */
  async publish(topic: string, payload: string, acknowledged: () => void): Promise<Result<void>> {
    while (this.#pending.length >= this.#options.windowMax && !this.#ended) await this.#change();
    if (this.#ended) return this.#failed ?? failure("unreachable", "the publisher was closed");
    const message: Message = { topic, payload, acknowledged, isAcknowledged: false };
    if (this.#pending.length === 0) this.#lastProgressMs = this.#clock.monotonicMs();
    this.#pending.push(message);
    if (this.#publisher !== undefined) this.#send(this.#publisher, message);
    return success(undefined);
  }

  /** Until all is acknowledged, or the publisher has given up or was closed. */
  async drain(): Promise<Result<void>> {
    while (this.#pending.length > 0 && !this.#ended) await this.#change();
    if (this.#pending.length === 0 && this.#failed === undefined) return success(undefined);
    return this.#failed ?? failure("unreachable", `${this.unacknowledged} messages were not acknowledged`);
  }

  /** Without waiting for what is unacknowledged. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#changed();
    await this.#loops;
  }

  get #ended(): boolean {
    return this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#ended; attempt++) {
      const target = this.#options.targets[attempt % this.#options.targets.length] as MqttTarget;
      const connected = await this.#attempt(target);
      if (connected === undefined) return;
      const where = `${target.host}:${target.port}`;
      if (connected.ok) {
        this.#reason = `${where} is connected, and acknowledges nothing`;
        this.#reason = `${where}: ${await this.#use(connected.value)}`;
      } else {
        this.#reason = connected.message;
        // Refused credentials are refused everywhere, and for good.
        if (connected.code === "unauthorized") this.#fail(connected);
      }
      // Each of the others is tried at once; then a pause, so that a site that is down is not hammered.
      const isRoundOver = (attempt + 1) % this.#options.targets.length === 0;
      if (isRoundOver) await this.#clock.sleep(500, this.#stop.signal);
    }
  }

  /** `undefined` when the publisher has ended meanwhile: a connection that comes too late is closed. */
  #attempt(target: MqttTarget): Promise<Result<MqttPublisher> | undefined> {
    const { clientId, username, password } = this.#options;
    const connecting = this.#connect({ ...target, clientId, username, password, connectTimeoutMs });
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      const stopped = () => resolve(undefined);
      signal.addEventListener("abort", stopped, { once: true });
      connecting.then((connected) => {
        signal.removeEventListener("abort", stopped);
        if (connected.ok && this.#ended) void connected.value.close({ force: true });
        resolve(this.#ended ? undefined : connected);
      }, reject);
    });
  }

  /** Connecting, being connected, waiting for the next turn: none of it may take longer than the time to give up. */
  async #watch(): Promise<void> {
    while (!this.#ended) {
      await this.#clock.sleep(watchMs, this.#stop.signal);
      this.#giveUpWhenDue();
    }
  }

  /** One connection's life. Returns why it ended. */
  async #use(publisher: MqttPublisher): Promise<string> {
    this.#connections++;
    this.#publisher = publisher;
    let ended: string | undefined;
    // Ends the sleep below; a race against `closed` would leave a reaction behind at each turn.
    const over = new AbortController();
    const end = () => over.abort();
    this.#stop.signal.addEventListener("abort", end, { once: true });
    void publisher.closed.then((reason) => {
      ended = reason;
      this.#publisher = undefined;
      end();
    });
    const connectedMs = this.#clock.monotonicMs();
    this.#pending = this.#pending.filter((message) => !message.isAcknowledged);
    for (const message of this.#pending) this.#send(publisher, message);
    while (ended === undefined && !this.#ended) {
      await this.#clock.sleep(watchMs, over.signal);
      const quietMs = this.#clock.monotonicMs() - Math.max(connectedMs, this.#lastProgressMs);
      if (ended !== undefined || this.#pending.length === 0 || quietMs < this.#options.stallMs) continue;
      ended = `it acknowledged nothing for ${Math.round(quietMs / 1000)} s`;
    }
    this.#stop.signal.removeEventListener("abort", end);
    this.#publisher = undefined;
    await publisher.close({ force: this.#pending.length > 0 });
    return ended ?? "closed";
  }

  #send(publisher: MqttPublisher, message: Message): void {
    publisher.publish(message.topic, message.payload, 1).then(
      () => this.#acknowledge(message),
      // The connection has ended: the next one sends it again.
      () => {},
    );
  }

  #acknowledge(message: Message): void {
    // The first of several acknowledgements counts, over whichever connection it came.
    if (message.isAcknowledged) return;
    message.isAcknowledged = true;
    this.#lastProgressMs = this.#clock.monotonicMs();
    let acknowledged = 0;
    while (this.#pending[acknowledged]?.isAcknowledged === true) acknowledged++;
    if (acknowledged > 0) this.#pending.splice(0, acknowledged);
    message.acknowledged();
    this.#changed();
  }

  #giveUpWhenDue(): void {
    const quietMs = this.#clock.monotonicMs() - this.#lastProgressMs;
    if (this.#pending.length === 0 || quietMs < this.#options.giveUpMs) return;
    this.#fail(failure("unreachable", `gave up: nothing was acknowledged for ${Math.round(quietMs / 1000)} s (${this.#reason})`));
  }

  #fail(failed: Failure): void {
    this.#failed ??= failed;
    this.#stop.abort();
    this.#changed();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}
