/** One real gateway: its adapters, its HTTP surface, and how it ends. The second half of the composition root. */

import { createServer } from "node:net";
import { join } from "node:path";
import { openDataFolder } from "./adapters/data-folder.ts";
import { DeviceBroker } from "./adapters/device-broker/device-broker.ts";
import { FileDocuments } from "./adapters/file-documents.ts";
import { FileLogDirectory } from "./adapters/file-log.ts";
import { FileResults } from "./adapters/file-results.ts";
import { FileSystemSpace } from "./adapters/file-system-space.ts";
import { LevelStoreDirectory } from "./adapters/level-store.ts";
import { NodeFiles } from "./adapters/log/node-files.ts";
import { LowdbStoreDirectory } from "./adapters/lowdb-store.ts";
import { MeshTransport } from "./adapters/mesh/mesh-transport.ts";
import { NodeCron } from "./adapters/node-cron.ts";
import { createPinoDiagnostics } from "./adapters/pino-diagnostics.ts";
import { SystemClock } from "./adapters/system-clock.ts";
import { SystemEntropy } from "./adapters/system-entropy.ts";
import { loadHash64 } from "./adapters/xxhash.ts";
import { createApi } from "./api/create-api.ts";
import type { GatewayStartOptions, RecoverReport, RunningGateway } from "./cli/world.ts";
import type { GatewaySettings, ListenAddress, SiteSettings } from "./config/settings.ts";
import type { SiteEnvironment } from "./config/site-reader.ts";
import { Gateway } from "./gateway/gateway.ts";
import { LocalGatewayService } from "./gateway/gateway-service.ts";
import { recoverAlone } from "./gateway/recover.ts";
import { describeKey } from "./gateway/series/describe-key.ts";
import type { GatewayService } from "./gateway/service.ts";
import { type Failure, failure, type Result, success } from "./lib/errors.ts";
import { version } from "./lib/version.ts";
import { WholeFiles } from "./lib/whole-files.ts";
import type { StoreDirectory } from "./ports/store.ts";

const loopback = "127.0.0.1";
const stopTimeoutMs = 10_000;

/** Where a listener binds: what the YAML says, otherwise everywhere with a secret and loopback without. */
function bindHost(settings: SiteSettings, listen: ListenAddress): string {
  return listen.host ?? (settings.secret === undefined ? loopback : "0.0.0.0");
}

/** One stopped gateway becomes the whole site; the folder's lock says that it is stopped. */
export async function recoverGateway(options: GatewayStartOptions, env: SiteEnvironment): Promise<Result<RecoverReport>> {
  const { settings, gateway: self, dataFolder } = options;
  const folder = await openDataFolder(dataFolder);
  if (!folder.ok) return folder;
  try {
    const ports = {
      clock: new SystemClock(),
      documents: new FileDocuments({ folder: join(dataFolder, "documents") }),
      entropy: new SystemEntropy(),
      logs: new FileLogDirectory({ folder: join(dataFolder, "logs") }),
      snapshots: new WholeFiles(new NodeFiles(join(dataFolder, "snapshots"))),
      diagnostics: createPinoDiagnostics({ level: env["FOGBANK_LOG"] ?? "warn", gateway: self }),
    };
    return await recoverAlone(ports, { site: settings.site, self });
  } finally {
    await folder.value.release();
  }
}

/** What a program has that starts a gateway within itself. */
export interface EmbeddedGateway extends RunningGateway {
  readonly service: GatewayService;
}

export async function startGateway(options: GatewayStartOptions, env: SiteEnvironment): Promise<Result<EmbeddedGateway>> {
  const { settings, gateway: self, dataFolder } = options;
  const own = settings.gateways.find((gateway) => gateway.id === self);
  if (own === undefined) return failure("usage", `the site has no gateway "${self}"`);
  // The device port is opened only when the gateway can acknowledge; that it is free must be known before.
  const free = await portIsFree(bindHost(settings, own.listen.mqtt), own.listen.mqtt.port);
  if (!free.ok) return free;
  const folder = await openDataFolder(dataFolder);
  if (!folder.ok) return folder;
  const diagnostics = createPinoDiagnostics({ level: env["FOGBANK_LOG"] ?? "info", gateway: self });
  const clock = new SystemClock();
  const entropy = new SystemEntropy();
  const end = new Ending();
  const gateway = new Gateway({
    settings,
    self,
    version,
    stopped: (why) => end.now(why),
    ports: {
      clock,
      entropy,
      logs: new FileLogDirectory({ folder: join(dataFolder, "logs") }),
      stores: storesOf(settings, dataFolder),
      documents: new FileDocuments({ folder: join(dataFolder, "documents") }),
      resultFiles: new FileResults({ folder: join(dataFolder, "sinks") }),
      space: new FileSystemSpace({ folder: dataFolder }),
      snapshots: new WholeFiles(new NodeFiles(join(dataFolder, "snapshots"))),
      transport: new MeshTransport({
        site: settings.site,
        self,
        sessionPart: entropy.hex(4),
        secret: settings.secret,
        listen: { host: bindHost(settings, own.listen.mesh), port: own.listen.mesh.port },
        peers: settings.gateways.filter((peer) => peer.id !== self).map(meshPeer),
        diagnostics,
      }),
      broker: new DeviceBroker({ host: bindHost(settings, own.listen.mqtt), port: own.listen.mqtt.port, diagnostics }),
      cron: new NodeCron(),
      diagnostics,
      hash64: await loadHash64(),
      memoryBytes: () => process.memoryUsage.rss(),
    },
  });
  const service = new LocalGatewayService(gateway);
  const api = createApi({ service, token: settings.http.token, version, now: () => Date.now(), log: diagnostics });
  const stopAll = async (): Promise<void> => {
    await api.close();
    await gateway.stop();
    clock.cancelAll();
    await folder.value.release();
  };
  const listening = await api.listen({ host: bindHost(settings, own.listen.http), port: own.listen.http.port });
  const started = listening.ok ? await gateway.start() : listening;
  if (!started.ok) {
    await stopAll();
    return started;
  }
  service.serveRequests();
  // A bug must end the process rather than leave it half alive: its peers carry on.
  const unexpected = (cause: unknown): void => {
    const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    diagnostics.error("unexpected", { cause: text });
    end.now(failure("internal", `${self} stops because of a bug: ${text}`));
  };
  process.on("uncaughtException", unexpected);
  process.on("unhandledRejection", unexpected);
  const stopped = end.reached.then(async (why): Promise<Result<void>> => {
    await Promise.race([stopAll(), new Promise((resolve) => setTimeout(resolve, stopTimeoutMs).unref())]);
    return why ?? success(undefined);
  });
  diagnostics.info("gateway-started", { version, site: settings.site, data: dataFolder, phase: gateway.phase() });
  return success({
    service,
    stopped,
    stop: async () => {
      end.now(undefined);
      await stopped;
    },
  });
}

function storesOf({ store }: SiteSettings, folder: string): StoreDirectory {
  return store.engine === "lowdb" ? new LowdbStoreDirectory({ folder, describeKey }) : new LevelStoreDirectory({ folder });
}

function portIsFree(host: string, port: number): Promise<Result<void>> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) =>
      resolve(
        error.code === "EADDRINUSE"
          ? failure(
              "port-in-use",
              `mqtt port ${host}:${port} is in use: stop the process that has it, or give this gateway another one (listen.mqtt)`,
            )
          : failure("configuration-invalid", `mqtt ${host}:${port} cannot be bound: ${error.message}`),
      ),
    );
    probe.listen(port, host, () => probe.close(() => resolve(success(undefined))));
  });
}

function meshPeer(peer: GatewaySettings): { readonly id: GatewaySettings["id"]; readonly host: string; readonly port: number } {
  return { id: peer.id, host: peer.host, port: peer.listen.mesh.port };
}

/** The first reason to end, asked for or not. */
class Ending {
  readonly reached: Promise<Failure | undefined>;
  #resolve: (why: Failure | undefined) => void = () => undefined;

  constructor() {
    this.reached = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  now(why: Failure | undefined): void {
    this.#resolve(why);
  }
}
