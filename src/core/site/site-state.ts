/**
 * The state that all gateways of a site agree on: what the committed commands add up to. Applying is deterministic: it
 * reads no clock and draws no random number, so equal logs give equal states, whose digests the simulator compares.
 */

import { unreachable } from "../../lib/assert.ts";
import type { ClusterId, DeviceId, GatewayId, SessionId } from "../../lib/ids.ts";
import type {
  BootstrapCommand,
  GatewayStartedCommand,
  KvDeleteCommand,
  KvPutCommand,
  RegisterDevicesCommand,
  RunClaimCommand,
  RunCommitCommand,
  SiteCommand,
} from "./commands.ts";

export interface RegisteredDevice {
  readonly id: DeviceId;
  readonly profile: string;
  readonly metrics: readonly string[];
  readonly firstSeenMs: number;
}

export interface KvRecord {
  readonly value: Uint8Array;
  readonly revision: number;
}

export interface WindowState {
  readonly toMs: number;
  /** The highest attempt claimed, and by whom. */
  attempt: number;
  claimedBy: GatewayId | undefined;
  /** Revision of the last commit; 0 when there is none. */
  revision: number;
  /** The attempt that made that commit: a runner whose answer was lost recognises its own. */
  committedAttempt: number;
}

export interface JobState {
  sinceMs: number | undefined;
  /** By window start. */
  readonly windows: Map<number, WindowState>;
  commits: number;
  lastCommitted: { readonly fromMs: number; readonly toMs: number } | undefined;
}

/** A committed run, in commit order: what sinks follow. */
export interface CommittedRun {
  readonly index: number;
  readonly job: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly attempt: number;
  readonly revision: number;
  readonly rows: number;
  readonly digest: string;
  readonly sinks: readonly string[];
}

export type ApplyResult =
  | { readonly t: "done" }
  | { readonly t: "kv"; readonly ok: true; readonly revision: number; readonly existed: boolean }
  | { readonly t: "kv"; readonly ok: false; readonly revision: number }
  /** In the order of the windows asked for. */
  | { readonly t: "claim"; readonly claims: readonly { readonly attempt: number; readonly baseRevision: number }[] }
  /** The windows that were committed; the others had another commit before. */
  | { readonly t: "commit"; readonly runs: readonly CommittedRun[] };

export class SiteState {
  #appliedIndex = 0;
  #bootstrap: BootstrapCommand | undefined;
  readonly #starts = new Map<GatewayId, { startCount: number; session: SessionId }>();
  readonly #devices = new Map<DeviceId, RegisteredDevice>();
  readonly #kv = new Map<string, KvRecord>();
  readonly #jobs = new Map<string, JobState>();

  appliedIndex(): number {
    return this.#appliedIndex;
  }

  bootstrap(): BootstrapCommand | undefined {
    return this.#bootstrap;
  }

  clusterId(): ClusterId | undefined {
    return this.#bootstrap?.clusterId;
  }

  startOf(gateway: GatewayId): { readonly startCount: number; readonly session: SessionId } | undefined {
    return this.#starts.get(gateway);
  }

  devices(): ReadonlyMap<DeviceId, RegisteredDevice> {
    return this.#devices;
  }

  kv(key: string): KvRecord | undefined {
    return this.#kv.get(key);
  }

  job(name: string): JobState | undefined {
    return this.#jobs.get(name);
  }

  jobs(): ReadonlyMap<string, JobState> {
    return this.#jobs;
  }

  /** Applies the entry at `index`; entries come in order, each once. `undefined`: a leader's no-op. */
  apply(index: number, command: SiteCommand | undefined): ApplyResult {
    this.#appliedIndex = index;
    if (command === undefined) return { t: "done" };
    switch (command.t) {
      case "bootstrap":
        this.#bootstrap = command;
        return { t: "done" };
      case "gateway-started":
        return this.#gatewayStarted(command);
      case "register-devices":
        return this.#registerDevices(command);
      case "kv-put":
        return this.#kvPut(index, command);
      case "kv-delete":
        return this.#kvDelete(command);
      case "job-seen":
        this.#jobOf(command.job).sinceMs ??= command.sinceMs;
        return { t: "done" };
      case "run-claim":
        return this.#runClaim(command);
      case "run-commit":
        return this.#runCommit(index, command);
      default:
        return unreachable(command);
    }
  }

  #gatewayStarted(command: GatewayStartedCommand): ApplyResult {
    const known = this.#starts.get(command.gateway);
    if (known === undefined || command.startCount > known.startCount) {
      this.#starts.set(command.gateway, { startCount: command.startCount, session: command.session });
    }
    return { t: "done" };
  }

  #registerDevices(command: RegisterDevicesCommand): ApplyResult {
    for (const seen of command.devices) {
      const known = this.#devices.get(seen.id);
      const metrics = known === undefined ? seen.metrics : [...new Set([...known.metrics, ...seen.metrics])].sort();
      this.#devices.set(seen.id, {
        id: seen.id,
        profile: seen.profile,
        metrics,
        firstSeenMs: Math.min(seen.firstSeenMs, known?.firstSeenMs ?? seen.firstSeenMs),
      });
    }
    return { t: "done" };
  }

  #kvPut(index: number, command: KvPutCommand): ApplyResult {
    const known = this.#kv.get(command.key);
    if (!expectationHolds(command.expect, known)) return { t: "kv", ok: false, revision: known?.revision ?? 0 };
    // The log index as revision grows over deletions too, so that an ETag never comes back for other content.
    this.#kv.set(command.key, { value: command.value, revision: index });
    return { t: "kv", ok: true, revision: index, existed: known !== undefined };
  }

  #kvDelete(command: KvDeleteCommand): ApplyResult {
    const known = this.#kv.get(command.key);
    if (!expectationHolds(command.expect, known)) return { t: "kv", ok: false, revision: known?.revision ?? 0 };
    this.#kv.delete(command.key);
    return { t: "kv", ok: true, revision: known?.revision ?? 0, existed: known !== undefined };
  }

  #runClaim(command: RunClaimCommand): ApplyResult {
    const job = this.#jobOf(command.job);
    const claims = command.windows.map(({ fromMs, toMs }) => {
      const window = job.windows.get(fromMs) ?? { toMs, attempt: 0, claimedBy: undefined, revision: 0, committedAttempt: 0 };
      window.attempt++;
      window.claimedBy = command.gateway;
      job.windows.set(fromMs, window);
      return { attempt: window.attempt, baseRevision: window.revision };
    });
    return { t: "claim", claims };
  }

  #runCommit(index: number, command: RunCommitCommand): ApplyResult {
    const job = this.#jobOf(command.job);
    const runs: CommittedRun[] = [];
    for (const { fromMs, toMs, attempt, baseRevision, rows, digest } of command.windows) {
      const window = job.windows.get(fromMs);
      // The first commit on a base wins; a slower attempt, or the same command applied twice, finds the base gone.
      if (window === undefined || attempt > window.attempt || window.revision !== baseRevision) continue;
      window.revision++;
      window.committedAttempt = attempt;
      job.commits++;
      if (job.lastCommitted === undefined || fromMs > job.lastCommitted.fromMs) job.lastCommitted = { fromMs, toMs };
      runs.push({ index, job: command.job, fromMs, toMs, attempt, revision: window.revision, rows, digest, sinks: command.sinks });
    }
    return { t: "commit", runs };
  }

  #jobOf(name: string): JobState {
    let job = this.#jobs.get(name);
    if (job === undefined) {
      job = { sinceMs: undefined, windows: new Map(), commits: 0, lastCommitted: undefined };
      this.#jobs.set(name, job);
    }
    return job;
  }

  /** A plain picture of everything, for comparing the states of gateways that applied the same index. */
  snapshot(): unknown {
    return {
      appliedIndex: this.#appliedIndex,
      clusterId: this.#bootstrap?.clusterId,
      starts: sorted(this.#starts),
      devices: sorted(this.#devices),
      kv: sorted(this.#kv).map(([key, record]) => [key, record.revision, [...record.value]]),
      jobs: sorted(this.#jobs).map(([name, job]) => [name, job.sinceMs, job.commits, [...job.windows].sort((a, b) => a[0] - b[0])]),
    };
  }
}

function expectationHolds(expect: number, known: KvRecord | undefined): boolean {
  if (expect === -1) return true;
  if (expect === -2) return known !== undefined;
  return (known?.revision ?? 0) === expect;
}

function sorted<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return [...map].sort((a, b) => (a[0] < b[0] ? -1 : 1));
}
