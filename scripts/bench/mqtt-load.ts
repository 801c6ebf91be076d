// A load of MQTT publishers that costs little itself: raw sockets, packets made by hand, PUBACKs found by scanning.
import { connect, type Socket } from "node:net";
import { Latencies } from "./latencies.ts";

export interface LoadOptions {
  readonly ports: readonly number[];
  readonly connections: number;
  /** PUBLISH packets of one connection that wait for their PUBACK. */
  readonly inFlight: number;
  readonly seconds: number;
  /** Left out of the figures. */
  readonly warmUpSeconds: number;
  readonly topicOf: (connection: number) => string;
  /** Each connection publishes once in so many ms, with the present time, instead of whenever a PUBACK comes. */
  readonly everyMs?: number;
  /** JSON of a message at this time (epoch ms); one number `v` when absent. */
  readonly payloadOf?: (ts: number) => string;
  /** The time of each connection's first message, epoch ms; an hour ago when absent. Each next one is a millisecond later. */
  readonly fromMs?: number;
  /** Called when the warm-up is over, and with each second of the run. */
  readonly onSecond?: (second: number) => void;
}

export interface LoadFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly acknowledged: number;
  /** Connections that broke. */
  readonly broken: number;
}

function remainingLength(bytes: number): number[] {
  const encoded: number[] = [];
  do {
    encoded.push((bytes & 0x7f) | (bytes > 0x7f ? 0x80 : 0));
    bytes >>>= 7;
  } while (bytes > 0);
  return encoded;
}

function connectPacket(clientId: string): Buffer {
  const id = Buffer.from(clientId);
  const body = Buffer.concat([Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, id.length >> 8, id.length & 0xff]), id]);
  return Buffer.concat([Buffer.from([0x10, ...remainingLength(body.length)]), body]);
}

const onePayload = (ts: number): string => `{"ts":${ts},"v":${(20 + (ts % 1000) / 100).toFixed(2)}}`;

class Publisher {
  readonly #socket: Socket;
  readonly #topic: Buffer;
  readonly #sentMs = new Float64Array(65_536);
  readonly #onAck: (latencyMs: number) => void;
  readonly #inFlight: number;
  readonly #everyMs: number | undefined;
  readonly #payloadOf: (ts: number) => string;
  #timer: NodeJS.Timeout | undefined;
  #nextId = 1;
  #timestampMs: number;
  #connected = false;
  #rest: Buffer = Buffer.alloc(0);
  stopped = false;

  constructor(options: {
    port: number;
    clientId: string;
    topic: string;
    inFlight: number;
    everyMs: number | undefined;
    payloadOf: ((ts: number) => string) | undefined;
    fromMs: number | undefined;
    onAck: (latencyMs: number) => void;
    onBroken: () => void;
  }) {
    this.#topic = Buffer.from(options.topic);
    this.#inFlight = options.inFlight;
    this.#everyMs = options.everyMs;
    this.#payloadOf = options.payloadOf ?? onePayload;
    this.#onAck = options.onAck;
    // A history of its own per connection, so that no reading is said twice.
    this.#timestampMs = options.fromMs ?? Date.now() - 3_600_000;
    this.#socket = connect({ port: options.port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("connect", () => this.#socket.write(connectPacket(options.clientId)));
    this.#socket.on("data", (chunk) => this.#data(chunk));
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => {
      if (!this.stopped) options.onBroken();
    });
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }

  #data(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const now = performance.now();
    let at = 0;
    let acknowledged = 0;
    // CONNACK and PUBACK both have four bytes.
    for (; at + 4 <= data.length; at += 4) {
      if (data[at] === 0x20) {
        if (data[at + 3] !== 0) throw new Error(`refused with code ${data[at + 3]}`);
        this.#connected = true;
        if (this.#everyMs === undefined) acknowledged += this.#inFlight;
        else this.#pace(this.#everyMs, performance.now() + Math.random() * this.#everyMs);
      } else {
        this.#onAck(now - (this.#sentMs[((data[at + 2] as number) << 8) | (data[at + 3] as number)] as number));
        acknowledged++;
      }
    }
    this.#rest = at === data.length ? Buffer.alloc(0) : data.subarray(at);
    if (this.#everyMs === undefined && this.#connected && !this.stopped && acknowledged > 0) this.#send(acknowledged);
  }

  /** Counted from the beginning: a late timer is made up for. */
  #pace(everyMs: number, dueMs: number): void {
    this.#timer = setTimeout(
      () => {
        this.#timestampMs = Math.max(this.#timestampMs + 1, Date.now());
        this.#send(1);
        this.#pace(everyMs, dueMs + everyMs);
      },
      Math.max(0, dueMs - performance.now()),
    );
  }

  #send(count: number): void {
    const packets: Buffer[] = [];
    const now = performance.now();
    for (let i = 0; i < count; i++) {
      const id = this.#nextId;
      this.#nextId = id === 65_535 ? 1 : id + 1;
      this.#sentMs[id] = now;
      const ts = this.#timestampMs++;
      const payload = this.#payloadOf(ts);
      const length = 2 + this.#topic.length + 2 + payload.length;
      const head = remainingLength(length);
      const begin = 1 + head.length;
      const packet = Buffer.allocUnsafe(begin + length);
      packet[0] = 0x32;
      packet.set(head, 1);
      packet.writeUInt16BE(this.#topic.length, begin);
      this.#topic.copy(packet, begin + 2);
      packet.writeUInt16BE(id, begin + 2 + this.#topic.length);
      packet.write(payload, begin + 4 + this.#topic.length, "latin1");
      packets.push(packet);
    }
    this.#socket.write(packets.length === 1 ? (packets[0] as Buffer) : Buffer.concat(packets));
  }
}

export async function runLoad(options: LoadOptions): Promise<LoadFigures> {
  let latencies = new Latencies();
  let broken = 0;
  const publishers = Array.from(
    { length: options.connections },
    (_, i) =>
      new Publisher({
        port: options.ports[i % options.ports.length] as number,
        clientId: `load-${i}`,
        topic: options.topicOf(i),
        inFlight: options.inFlight,
        everyMs: options.everyMs,
        payloadOf: options.payloadOf,
        fromMs: options.fromMs,
        onAck: (ms) => latencies.add(ms),
        onBroken: () => broken++,
      }),
  );
  const wait = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  await wait(options.warmUpSeconds);
  latencies = new Latencies();
  const startedMs = performance.now();
  for (let second = 0; second < options.seconds; second++) {
    options.onSecond?.(second);
    await wait(Math.min(1, options.seconds - second));
  }
  options.onSecond?.(options.seconds);
  const seconds = (performance.now() - startedMs) / 1_000;
  const figures = {
    perSecond: latencies.count / seconds,
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
    acknowledged: latencies.count,
    broken,
  };
  for (const publisher of publishers) publisher.stop();
  await wait(0.3);
  return figures;
}
