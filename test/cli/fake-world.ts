import { runCli } from "../../src/cli/fogbank.ts";
import type {
  ChildGateway,
  GatewayStartOptions,
  MeshLinks,
  MqttOptions,
  MqttPublisher,
  Output,
  RecoverReport,
  RunningGateway,
  World,
} from "../../src/cli/world.ts";
import type { FetchFunction } from "../../src/client/fogbank-client.ts";
import { digestsOfBlock } from "../../src/gateway/backup/readings-block.ts";
import type { BackupBlock, SeriesDigest } from "../../src/lib/backup-file.ts";
import type { ExitStatus } from "../../src/lib/errors.ts";
import { failure, type Result, success } from "../../src/lib/errors.ts";
import { resolveFrom } from "../../src/lib/file-path.ts";
import { Packing } from "../../src/lib/packing.ts";

/** The outside of the command line in memory: files, a clock that sleeps by moving on, and no network but what a test gives. */
export class FakeWorld implements World {
  readonly version = "0.1.0";
  readonly out = new FakeOutput();
  readonly err = new FakeOutput();
  readonly env: Record<string, string | undefined> = {};
  readonly clock = new FakeClock();
  readonly contents = new Map<string, string>();
  /** Files that are no text, by the path that they were named with. */
  readonly binaries = new Map<string, Uint8Array>();
  /** Whole files that were given up. */
  readonly abandoned: string[] = [];
  readonly modes = new Map<string, number>();
  readonly host = { name: "pi-1.example", addresses: ["10.0.0.11"] };
  readonly busyPorts = new Set<number>();
  readonly spawned: string[][] = [];
  readonly started: GatewayStartOptions[] = [];
  readonly interrupts = new Set<() => void>();
  readonly stdinEnds = new Set<() => void>();
  readonly removed: string[] = [];
  /** What was asked of the links between gateways. */
  readonly links: string[] = [];
  fetch: FetchFunction = () =>
    Promise.reject(Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }) }));
  broker: (options: MqttOptions) => Promise<Result<MqttPublisher>> = async ({ host, port }) =>
    failure("unreachable", `${host}:${port} refused`);
  child: (args: readonly string[], logFile: string) => ChildGateway = () => ({
    pid: 1,
    exited: Promise.resolve({ code: 1, signal: undefined }),
    kill: () => {},
  });
  /** What the one at the terminal types; `undefined`: nobody is there. */
  answer: string | undefined;
  readonly questions: string[] = [];
  readonly recovered: GatewayStartOptions[] = [];
  recovery: Result<RecoverReport> = success({ term: 8, lastIndex: 120, removed: ["gw-b", "gw-c"], entriesUncertain: 2 });
  gateway: () => Promise<Result<RunningGateway>> = async () => failure("port-in-use", "mqtt port 1883 is in use");
  #secrets = 0;

  readonly files: World["files"] = {
    readFile: (path) => {
      const text = this.contents.get(resolveFrom("", path));
      return text === undefined
        ? { ok: false, missing: true, reason: "no such file" }
        : { ok: true, value: new TextEncoder().encode(text) };
    },
    listFolder: (path) => {
      const folder = `${resolveFrom("", path)}/`;
      const names = [...this.contents.keys()].filter((key) => key.startsWith(folder)).map((key) => key.slice(folder.length));
      return names.length === 0
        ? { ok: false, missing: true, reason: "no such folder" }
        : { ok: true, value: names.filter((name) => !name.includes("/")) };
    },
    exists: (path) => this.contents.has(resolveFrom("", path)) || this.binaries.has(path),
    makeFolder: () => success(undefined),
    createFile: (path, text, { mode }) => {
      const key = resolveFrom("", path);
      if (this.contents.has(key)) return failure("usage", `${path} exists`);
      this.contents.set(key, text);
      this.modes.set(key, mode);
      return success(undefined);
    },
    temporaryFolder: (prefix) => success(`/tmp/${prefix}1`),
    removeFolder: (path) => {
      this.removed.push(path);
    },
    lines: (path) => linesOf(this.contents.get(path), path),
    createWriter: (path) => {
      this.contents.set(path, "");
      return success({ write: (text: string) => void this.contents.set(path, (this.contents.get(path) ?? "") + text), close: () => {} });
    },
    bytes: (path) => piecesOf(this.binaries.get(path), path),
    createWhole: (path) => {
      const pieces: Uint8Array[] = [];
      return success({
        write: (bytes) => void pieces.push(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes.slice()),
        finish: () => {
          this.binaries.set(path, new Uint8Array(Buffer.concat(pieces)));
          return success(undefined);
        },
        abandon: () => {
          this.abandoned.push(path);
        },
      });
    },
  };

  secret(bytes: number): string {
    return String(++this.#secrets).padStart(bytes * 2, "0");
  }

  onInterrupt(handler: () => void): () => void {
    this.interrupts.add(handler);
    return () => this.interrupts.delete(handler);
  }

  onStdinEnd(handler: () => void): () => void {
    this.stdinEnds.add(handler);
    return () => this.stdinEnds.delete(handler);
  }

  async isPortFree({ port }: { readonly port: number }): Promise<boolean> {
    return !this.busyPorts.has(port);
  }

  spawnFogbank(args: readonly string[], { logFile }: { readonly logFile: string }): ChildGateway {
    this.spawned.push([...args]);
    return this.child(args, logFile);
  }

  connectMqtt(options: MqttOptions): Promise<Result<MqttPublisher>> {
    return this.broker(options);
  }

  async openMeshLinks(): Promise<MeshLinks> {
    const say = (what: string) => void this.links.push(what);
    return {
      add: async ({ to, host, port, behind }) => {
        say(`${host}:${port} to ${to} at ${behind.host}:${behind.port}`);
        return success(undefined);
      },
      cut: (links) => say(`cut ${links.map(([from, to]) => `${from}>${to}`).join(" ")}`),
      mend: () => say("mend"),
      close: async () => say("close"),
    };
  }

  startGateway(options: GatewayStartOptions): Promise<Result<RunningGateway>> {
    this.started.push(options);
    return this.gateway();
  }

  async ask(question: string): Promise<string | undefined> {
    this.questions.push(question);
    return this.answer;
  }

  async recover(options: GatewayStartOptions): Promise<Result<RecoverReport>> {
    this.recovered.push(options);
    return this.recovery;
  }

  async digestsOfReadings(block: BackupBlock): Promise<Result<readonly SeriesDigest[]>> {
    return digestsOfBlock(new Packing(), block);
  }

  interrupt(): void {
    for (const handler of this.interrupts) handler();
  }

  run(...argv: string[]): Promise<ExitStatus> {
    return runCli(argv, this);
  }
}

/** In pieces that no block begins or ends with. */
async function* piecesOf(bytes: Uint8Array | undefined, path: string): AsyncGenerator<Uint8Array> {
  if (bytes === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
  for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000);
}

async function* linesOf(text: string | undefined, path: string): AsyncGenerator<string> {
  if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
  yield* text.replace(/\n$/, "").split("\n");
}

export class FakeOutput implements Output {
  text = "";
  isTTY = false;
  columns = 100;

  write(data: string | Uint8Array): void {
    this.text += typeof data === "string" ? data : new TextDecoder("latin1").decode(data);
  }
}

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** Sleepers wake one after the other, in the order of their time, each after everything that was ready has run. */
export class FakeClock {
  nowMs = Date.UTC(2026, 0, 31, 12);
  readonly #startMs = this.nowMs;
  readonly #sleepers = new Set<Sleeper>();
  #isTurning = false;

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs - this.#startMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const sleeper = { dueMs: this.nowMs + ms, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", wake);
      void this.#turn();
    });
  }

  async #turn(): Promise<void> {
    if (this.#isTurning) return;
    this.#isTurning = true;
    while (this.#sleepers.size > 0) {
      // A request to an API in this process takes a few turns of the event loop.
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      const [first, ...others] = this.#sleepers;
      const next = others.reduce(
        (earliest, sleeper) => (earliest === undefined || sleeper.dueMs < earliest.dueMs ? sleeper : earliest),
        first,
      );
      this.nowMs = Math.max(this.nowMs, next?.dueMs ?? 0);
      next?.wake();
    }
    this.#isTurning = false;
  }
}
