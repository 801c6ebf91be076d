import type { FetchFunction } from "../client/fogbank-client.ts";
import type { SiteSettings } from "../config/settings.ts";
import type { SiteEnvironment, SiteReader } from "../config/site-reader.ts";
import type { BackupBlock, SeriesDigest } from "../lib/backup-file.ts";
import type { Result } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";

/**
 * What the command line may touch: handed in by the composition root, by a fake in tests. Nothing under `cli/` opens a
 * file, a socket or a process by itself. Paths are relative to the working folder.
 */
export interface World {
  readonly version: string;
  readonly out: Output;
  readonly err: Output;
  readonly env: SiteEnvironment;
  readonly clock: CliClock;
  readonly files: CliFiles;
  readonly host: { readonly name: string; readonly addresses: readonly string[] };
  readonly fetch: FetchFunction;
  /**
   * A question on the terminal, and the line that answers it; "" when there is none (Ctrl-C, Ctrl-D). `undefined` where
   * nobody sits at one.
   */
  ask(question: string): Promise<string | undefined>;
  /** `bytes` unpredictable bytes as lower-case hex. */
  secret(bytes: number): string;
  /** SIGINT and SIGTERM; returns the removal. While a handler stands, the process does not end by itself at the first one. */
  onInterrupt(handler: () => void): () => void;
  /** The other end of standard input is closed: for a process that ends with the one that started it. */
  onStdinEnd(handler: () => void): () => void;
  isPortFree(address: { readonly host: string; readonly port: number }): Promise<boolean>;
  /**
   * Starts `fogbank ARGS` in a process group of its own (so that Ctrl-C in a terminal reaches this process only), with its
   * output appended to `logFile` and a pipe as its standard input that closes when this process ends, however it ends.
   */
  spawnFogbank(args: readonly string[], options: { readonly logFile: string }): ChildGateway;
  /** Proxies for the links between gateways of this host; none yet. */
  openMeshLinks(): Promise<MeshLinks>;
  /** Fails with `unreachable`, or `unauthorized` when the broker refuses the credentials. Never reconnects by itself. */
  connectMqtt(options: MqttOptions): Promise<Result<MqttPublisher>>;
  startGateway(options: GatewayStartOptions): Promise<Result<RunningGateway>>;
  /**
   * Makes a stopped gateway the only member of its site, from what its data folder holds. Fails with `data-in-use` while a
   * process has the folder, and like a start where the folder is not that of a member.
   */
  recover(options: GatewayStartOptions): Promise<Result<RecoverReport>>;
  /** What the readings of a backup's block are, from the readings themselves. Fails with `data-damaged`. */
  digestsOfReadings(block: BackupBlock): Promise<Result<readonly SeriesDigest[]>>;
}

export interface Output {
  write(data: string | Uint8Array): void;
  readonly isTTY: boolean;
  /** Width of the terminal; 80 where there is none. */
  readonly columns: number;
}

export interface CliClock {
  wallMs(): number;
  monotonicMs(): number;
  /** Resolves early, and never rejects, when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface CliFiles extends SiteReader {
  exists(path: string): boolean;
  /** With all folders above it. */
  makeFolder(path: string): Result<void>;
  /** A new file only: fails with `usage` when there is one already. `mode` 0600 for secrets. */
  createFile(path: string, text: string, options: { readonly mode: number }): Result<void>;
  /** A fresh folder below the system's temporary folder; the path is absolute. */
  temporaryFolder(prefix: string): Result<string>;
  removeFolder(path: string): void;
  /** Line by line, without line ends, so that a file of any size may be read. Throws what the file system says. */
  lines(path: string): AsyncIterable<string>;
  /** Replaces the file. What was written has left the process when `write` returns. */
  createWriter(path: string): Result<FileWriter>;
  /** The bytes of a file of any size, in order. Throws what the file system says. */
  bytes(path: string): AsyncIterable<Uint8Array>;
  /**
   * A file that is there only once it is whole: written as PATH.part, which an earlier attempt may have left. Fails with `usage`
   * where it cannot be made.
   */
  createWhole(path: string): Result<WholeFileWriter>;
}

export interface WholeFileWriter {
  /** Throws what the file system says. */
  write(bytes: string | Uint8Array): void;
  /** On disk, its name included, when this returns. `replace`: also in the place of a file that is there by now. */
  finish(options: { readonly replace: boolean }): Result<void>;
  /** Removes what was written. */
  abandon(): void;
}

export interface FileWriter {
  write(text: string): void;
  close(): void;
}

export interface ChildGateway {
  readonly pid: number;
  /** Never rejects; also when the process could not be started (`code` undefined, `signal` undefined). */
  readonly exited: Promise<{ readonly code: number | undefined; readonly signal: string | undefined }>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

/** Links between gateways that can be cut: each gateway is reached through a proxy, and listens behind it. */
export interface MeshLinks {
  /** Fails with `port-in-use` or `configuration-invalid`. */
  add(proxy: {
    /** The gateway behind it. */
    readonly to: string;
    readonly host: string;
    readonly port: number;
    readonly behind: { readonly host: string; readonly port: number };
  }): Promise<Result<void>>;
  /** A link has a direction: who connects, and to whom. Nothing passes any more, either way, and nobody is told. */
  cut(links: readonly (readonly [from: string, to: string])[]): void;
  /** All of them. */
  mend(): void;
  close(): Promise<void>;
}

export interface MqttOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly connectTimeoutMs: number;
}

export interface MqttPublisher {
  /** Resolves with the PUBACK (QoS 1) or when written (QoS 0); rejects when the connection ends before. Keeps the order. */
  publish(topic: string, payload: string, qos: 0 | 1): Promise<void>;
  /** Resolves with the reason when the connection has ended, by either side. */
  readonly closed: Promise<string>;
  /** `force`: without waiting for the other side. */
  close(options: { readonly force: boolean }): Promise<void>;
}

export interface GatewayStartOptions {
  readonly settings: SiteSettings;
  readonly gateway: GatewayId;
  readonly dataFolder: string;
}

export interface RecoverReport {
  /** Where Raft's log goes on. */
  readonly term: number;
  readonly lastIndex: number;
  /** The gateways that the site had besides. */
  readonly removed: readonly string[];
  /** Entries that were on this disk without being known to be committed, and that count from now on. */
  readonly entriesUncertain: number;
}

export interface RunningGateway {
  /** The gateway has ended: by `stop`, or by itself with the failure that made it. */
  readonly stopped: Promise<Result<void>>;
  stop(): Promise<void>;
}
