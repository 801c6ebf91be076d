import type { AggregateFunction, GroupKey } from "../lib/aggregate-function.ts";
import type { DeviceId, GatewayId } from "../lib/ids.ts";
import type { FreeSpace } from "./free-space.ts";

/** The validated settings of a site: what the YAML says, with defaults filled in. Made by `load-site.ts`. */
export interface SiteSettings {
  readonly site: string;
  /** IANA name. */
  readonly timeZone: string;
  /** The mesh's pre-shared secret; without one, all listeners bind loopback. */
  readonly secret: string | undefined;
  /**
   * In the order of the file. They seed the site's first start (index = slot, 0 … 999); afterwards who is a member is
   * replicated state, and this list says how this host's own gateway listens.
   */
  readonly gateways: readonly GatewaySettings[];
  readonly replication: ReplicationSettings;
  readonly raft: { readonly preset: "lan" | "slow-disk" };
  readonly store: StoreSettings;
  readonly mqtt: MqttSettings;
  readonly http: { readonly token: string | undefined };
  readonly profiles: readonly ProfileSettings[];
  readonly inventory: readonly InventoryEntry[];
  readonly jobs: readonly JobSettings[];
  readonly sinks: readonly SinkSettings[];
  readonly retention: RetentionSettings;
  /** Stable digest (16 hex digits) of everything above but secrets and `store`, which each gateway may have its own of; gateways compare it to warn about differing files. */
  readonly digest: string;
  /** Stable digest of site name, gateway list (ids, hosts, roles, mesh ports, zones, weights) and replication: what bootstrap compares. */
  readonly listDigest: string;
}

export interface GatewaySettings {
  readonly id: GatewayId;
  readonly host: string;
  /** A witness votes and keeps the log and the state, and owns no readings. */
  readonly role: "full" | "witness";
  readonly zone: string | undefined;
  readonly weight: number;
  readonly listen: { readonly mqtt: ListenAddress; readonly mesh: ListenAddress; readonly http: ListenAddress };
}

export interface ListenAddress {
  /** `undefined`: all interfaces where the site has a secret, loopback otherwise. */
  readonly host: string | undefined;
  readonly port: number;
}

export type ConsistencyLevel = "one" | "quorum" | "all";

/** `any`: like `quorum`, but while no quorum answers the gateway that took a reading keeps it alone, and acknowledges. */
export type WriteLevel = ConsistencyLevel | "any";

export interface ReplicationSettings {
  /** What takes effect is min(factor, full gateways): a witness keeps no readings. */
  readonly factor: number;
  readonly write: WriteLevel;
  readonly read: ConsistencyLevel;
  /** How long a message may wait for its copies; 20 s when absent. */
  readonly ackTimeoutMs?: number;
}

/** How this gateway keeps readings on its own disk. */
export interface StoreSettings {
  readonly engine: "level" | "lowdb";
  /** How long the readings log may wait for more to share an fsync; 0 to 1,000. */
  readonly commitDelayMs: number;
}

/** How long readings are kept. The Raft leader's file says the ages, each gateway's own file what is to stay free on its disk. */
export interface RetentionSettings {
  /** `undefined`: for ever, as far as the disk allows. */
  readonly rawMs: number | undefined;
  /** Below it the oldest raw readings go. */
  /** How long their rollups by the hour are kept; `undefined`: as long as the readings. */
  readonly rollupMs?: number;
  readonly minFreeDisk: FreeSpace;
}

export interface MqttSettings {
  readonly anonymous: boolean;
  readonly users: readonly { readonly name: string; readonly password: string }[];
}

export interface ProfileSettings {
  readonly name: string;
  /** MQTT topic filter with exactly one `{device}` level; other levels literal, `+`, or a final `#`. */
  readonly topic: string;
  readonly payload: "json" | "number" | "text";
  readonly timestamp: TimestampSettings | undefined;
  readonly metrics: readonly MetricSettings[];
  /** Of its readings; the site's when absent. */
  readonly write?: WriteLevel;
}

export interface TimestampSettings {
  readonly path: readonly string[];
  readonly unit: "s" | "ms" | "us" | "ns" | "iso8601";
}

export interface MetricSettings {
  readonly name: string;
  /** Steps into the JSON payload; empty for payloads `number` and `text`. */
  readonly path: readonly string[];
  readonly unit: string | undefined;
  readonly scale: number | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly deadband: number | undefined;
}

export interface InventoryEntry {
  readonly id: DeviceId;
  readonly profile: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface JobSettings {
  readonly name: string;
  readonly schedule: string;
  readonly windowMs: number;
  readonly source: {
    readonly metric: string;
    /** Glob; `*` when the file names none. */
    readonly devices: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly groupBy: readonly GroupKey[];
  /** Name of the output value -> aggregate. */
  readonly aggregate: readonly { readonly name: string; readonly function: AggregateFunction }[];
  readonly sinks: readonly string[];
}

export interface SinkSettings {
  readonly name: string;
  readonly type: "file";
}
