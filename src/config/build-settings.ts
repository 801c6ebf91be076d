import { type GroupKey, parseAggregateFunction } from "../lib/aggregate-function.ts";
import { defined } from "../lib/assert.ts";
import { parseDuration } from "../lib/duration.ts";
import { deviceId, gatewayId } from "../lib/ids.ts";
import { stableDigest } from "../lib/stable-digest.ts";
import { defaultFreeSpace, parseFreeSpace } from "./free-space.ts";
import { bindHost, defaultPorts } from "./listen.ts";
import { parsePayloadPath } from "./payload-path.ts";
import type { InventoryFile, JobFile, ProfileFile, SiteFile } from "./schema.ts";
import type {
  GatewaySettings,
  InventoryEntry,
  JobSettings,
  ListenAddress,
  MqttSettings,
  ProfileSettings,
  RetentionSettings,
  SiteSettings,
} from "./settings.ts";
import { isLoopback } from "./text-check.ts";

/** Files without problems -> settings, with the defaults filled in. */

export interface SiteParts {
  readonly site: SiteFile;
  readonly profiles: readonly ProfileFile[];
  readonly inventories: readonly InventoryFile[];
  readonly jobs: readonly JobFile[];
}

export function buildSettings({ site, profiles, inventories, jobs }: SiteParts): SiteSettings {
  const gateways = Object.entries(site.gateways).map(([id, gateway]) => buildGateway(id, gateway));
  const devices = inventories.flatMap((inventory) => Object.entries(inventory.devices));
  const shared = {
    site: site.site,
    timeZone: site.timezone ?? "UTC",
    secret: site.secret,
    gateways,
    replication: {
      factor: site.replication?.factor ?? 3,
      write: site.replication?.write ?? "quorum",
      read: site.replication?.read ?? "quorum",
      // Left out where it is not said, like `rollup` below.
      ...(site.replication?.ackTimeout === undefined
        ? {}
        : { ackTimeoutMs: defined(parseDuration(site.replication.ackTimeout), "a checked duration") }),
    },
    raft: { preset: site.raft?.preset ?? "lan" },
    mqtt: buildMqtt(site, gateways, devices),
    http: { token: site.http?.token },
    profiles: profiles.map(buildProfile),
    inventory: devices.map(([id, device]): InventoryEntry => ({ id: deviceId(id), profile: device.profile, labels: device.labels ?? {} })),
    jobs: jobs.map(buildJob),
    sinks: Object.entries(site.sinks ?? {}).map(([name, { type }]) => ({ name, type })),
    retention: buildRetention(site.retention ?? {}),
  } as const;
  const store = {
    engine: site.store?.engine ?? "level",
    commitDelayMs: defined(parseDuration(site.store?.commitDelay ?? "0ms"), "a checked duration"),
  } as const;
  return { ...shared, store, digest: digestOf(shared), listDigest: listDigestOf(shared) };
}

/** Without the store, which is each gateway's own, and without secrets, but with whether there are any: a gateway without the secret could not join. */
function digestOf(settings: Omit<SiteSettings, "digest" | "listDigest" | "store">): string {
  const { retention, ...others } = settings;
  return stableDigest({
    ...others,
    ...retentionInDigest(retention),
    gateways: settings.gateways.map(({ role, ...gateway }) => ({ ...gateway, ...roleInDigest(role) })),
    secret: settings.secret !== undefined,
    http: { token: settings.http.token !== undefined },
    mqtt: { anonymous: settings.mqtt.anonymous, users: settings.mqtt.users.map((user) => user.name) },
  });
}

function listDigestOf({ site, gateways, replication }: Pick<SiteSettings, "site" | "gateways" | "replication">): string {
  return stableDigest({
    site,
    replication,
    gateways: gateways.map(({ id, host, zone, weight, listen, role }) => ({
      id,
      host,
      zone,
      weight,
      mesh: listen.mesh.port,
      ...roleInDigest(role),
    })),
  });
}

/** Said only where it is not the default: a version that knew no roles has the same digest for the same file. */
function roleInDigest(role: GatewaySettings["role"]): { readonly role?: "witness" } {
  return role === "witness" ? { role } : {};
}

/** Likewise: a file that does not speak of retention has the digest that it had. */
function retentionInDigest(retention: RetentionSettings): { readonly retention?: RetentionSettings } {
  return stableDigest(retention) === stableDigest(buildRetention({})) ? {} : { retention };
}

function buildRetention({ raw, rollup, minFreeDisk }: NonNullable<SiteFile["retention"]>): RetentionSettings {
  return {
    rawMs: raw === undefined ? undefined : defined(parseDuration(raw), "a checked duration"),
    // Left out where it is not said: a version that did not know it has the same digest for the same file.
    ...(rollup === undefined ? {} : { rollupMs: defined(parseDuration(rollup), "a checked duration") }),
    minFreeDisk: minFreeDisk === undefined ? defaultFreeSpace : defined(parseFreeSpace(minFreeDisk), "a checked amount of space"),
  };
}

function buildGateway(id: string, gateway: SiteFile["gateways"][string]): GatewaySettings {
  const address = (name: keyof typeof defaultPorts): ListenAddress => {
    const { port, bind } = bindHost(gateway.host, gateway.listen?.[name] ?? defaultPorts[name]);
    return { host: bind, port };
  };
  return {
    id: gatewayId(id),
    host: gateway.host,
    role: gateway.role ?? "full",
    zone: gateway.zone,
    weight: gateway.weight ?? 1,
    listen: { mqtt: address("mqtt"), mesh: address("mesh"), http: address("http") },
  };
}

/** A device's password makes it a user of that name. Anonymous clients are let in by default only where nobody else can come. */
function buildMqtt(
  site: SiteFile,
  gateways: readonly GatewaySettings[],
  devices: readonly (readonly [string, InventoryFile["devices"][string]])[],
): MqttSettings {
  const bindsLoopback = ({ listen }: GatewaySettings) =>
    listen.mqtt.host === undefined ? site.secret === undefined : isLoopback(listen.mqtt.host);
  const deviceUsers = devices.flatMap(([name, { password }]) => (password === undefined ? [] : [{ name, password }]));
  return {
    anonymous: site.mqtt?.anonymous ?? gateways.every(bindsLoopback),
    users: [...(site.mqtt?.users ?? []).map(({ name, password }) => ({ name, password })), ...deviceUsers],
  };
}

function buildProfile(profile: ProfileFile): ProfileSettings {
  const pathOf = (text: string) => defined(parsePayloadPath(text), "a checked payload path");
  return {
    name: profile.profile,
    topic: profile.topic,
    payload: profile.payload,
    timestamp: profile.timestamp === undefined ? undefined : { path: pathOf(profile.timestamp.path), unit: profile.timestamp.unit },
    metrics: Object.entries(profile.metrics).map(([name, { path, unit, scale, min, max, deadband }]) => ({
      name,
      // Without a path, a JSON payload has the value under the metric's own name.
      path: profile.payload === "json" ? (path === undefined ? [name] : pathOf(path)) : [],
      unit,
      scale,
      min,
      max,
      deadband,
    })),
    ...(profile.write === undefined ? {} : { write: profile.write }),
  };
}

function buildJob(job: JobFile): JobSettings {
  return {
    name: job.name,
    schedule: job.schedule,
    windowMs: defined(parseDuration(job.window), "a checked duration"),
    source: { metric: job.source.metric, devices: job.source.devices ?? "*", labels: job.source.labels ?? {} },
    groupBy: (job.groupBy ?? []).map(parseGroupKey),
    aggregate: Object.entries(job.aggregate).map(([name, text]) => ({
      name,
      function: defined(parseAggregateFunction(text), "a checked aggregate"),
    })),
    sinks: job.sinks ?? [],
  };
}

function parseGroupKey(text: string): GroupKey {
  if (text === "device" || text === "metric") return { kind: text };
  return { kind: "label", name: text.slice("label.".length) };
}
