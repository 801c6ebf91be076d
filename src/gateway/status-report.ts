/** How this gateway is: whether it is ready, what is wrong, and the figures behind it. */

import type { SiteSettings } from "../config/settings.ts";
import { describeSurvival } from "../config/survival.ts";
import { lacksCopies } from "../core/ring/owner-changes.ts";
import type { Gateway } from "./gateway.ts";
import { listDifferences } from "./member-list.ts";
import type { MembersView } from "./members-view.ts";
import type { RetentionView } from "./retention/retention.ts";
import type { GatewayStatus, SinkView } from "./service.ts";
import type { Serving } from "./serving.ts";
import type { SiteClockView } from "./site-clock.ts";

const clockWarningMs = 2_000;

export class StatusReport {
  readonly #gateway: Gateway;
  readonly #members: MembersView;
  readonly #sinks: () => readonly SinkView[];

  constructor(gateway: Gateway, parts: { readonly members: MembersView; readonly sinks: () => readonly SinkView[] }) {
    this.#gateway = gateway;
    this.#members = parts.members;
    this.#sinks = parts.sinks;
  }

  healthy(): boolean {
    return this.#gateway.context()?.inbox.closed() !== true;
  }

  readiness(): { ready: boolean; reasons: string[] } {
    const reasons: string[] = [];
    const phase = this.#gateway.phase();
    const serving = this.#gateway.serving();
    if (serving !== undefined && !this.#knowsItself(serving) && this.#gateway.refusal() === undefined)
      reasons.push(`${this.#gateway.self} has not caught up with the site's log so far that it knows itself as a member`);
    else if (phase === "waiting-for-peers" && serving === undefined)
      reasons.push(`first start of the site: waiting for ${this.#gateway.waitingFor().join(", ") || "the founding gateway"}`);
    else if (phase !== "serving")
      reasons.push(this.#gateway.refusal()?.message ?? `the gateway is ${phase === "waiting-for-peers" ? "starting" : phase}`);
    if (serving !== undefined && serving.consensus.leader() === undefined) reasons.push("no Raft leader is known");
    reasons.push(...(serving?.logWatch.troubles() ?? []), ...(serving?.spaceWatch.troubles() ?? []));
    return { ready: reasons.length === 0 && this.healthy(), reasons };
  }

  /** By the site's state, as applied here: until then this gateway acts under no owner table. */
  #knowsItself({ state }: Serving): boolean {
    const { self } = this.#gateway;
    return state.members().get(self)?.incarnation === this.#gateway.context()?.incarnation;
  }

  status(): GatewayStatus {
    const { settings, self, options } = this.#gateway;
    const serving = this.#gateway.serving();
    const view = serving?.consensus.view();
    const clock = options.ports.clock;
    return {
      site: settings.site,
      clusterId: serving?.bootstrap.clusterId,
      gateway: self,
      version: options.version,
      uptimeMs: Math.round(clock.monotonicMs() - this.#gateway.startedMs),
      phase: this.#gateway.phase(),
      warnings: this.#warnings(),
      raft: {
        role: view?.role ?? "none",
        term: view?.term ?? 0,
        leader: serving?.consensus.leader(),
        commitIndex: view?.commitIndex ?? 0,
        lastIndex: view?.lastIndex ?? 0,
        featureLevel: serving?.state.featureLevel() ?? 0,
        snapshotIndex: view?.snapshotIndex ?? 0,
      },
      ring: {
        epoch: serving?.replication.table().epoch ?? 0,
        factor: serving?.replication.table().factor ?? Math.min(settings.replication.factor, fullGateways(settings)),
        partitions: this.#members.owned(serving),
        survives: this.#survives(serving),
      },
      disk: diskStatus(serving),
      retention: serving?.retention.view() ?? noRetention,
      clock: serving?.siteClock.view(),
      log: logStatus(serving),
      store: storeStatus(serving),
      repair: repairStatus(serving),
      ingest: this.#ingestStatus(serving),
      ...(serving === undefined ? {} : { hints: serving.hints.view() }),
      sync: this.#sinks(),
      process: { memoryBytes: options.ports.memoryBytes() },
    };
  }

  /** A gateway that is only expected keeps nothing yet, and one that fills keeps less than it should. */
  #survives(serving: Serving | undefined): string {
    const members = this.#members.of(serving).filter((member) => member.membership !== "expected");
    const sentence = describeSurvival({
      gateways: members.map(({ kind }) => ({ role: kind })),
      replication: this.#gateway.settings.replication,
      profiles: this.#gateway.settings.profiles,
      lacksCopies: serving !== undefined && lacksCopies(serving.replication.ring()),
    });
    const filling = members.filter((member) => member.filling > 0).map((member) => member.id);
    return filling.length === 0 ? sentence : `${sentence}; not before ${filling.join(", ")} has filled up: until then one loss less`;
  }

  #warnings(): string[] {
    const serving = this.#gateway.serving();
    const warnings = [...this.#gateway.peerNotes().values(), ...this.readiness().reasons];
    const { logWatch, seriesStore, retention } = serving ?? {};
    warnings.push(...(logWatch?.warnings() ?? []), ...(seriesStore?.quarantine.warnings() ?? []), ...(retention?.warnings() ?? []));
    warnings.push(...(serving?.hints.warnings() ?? []));
    const members = serving?.membership.members();
    if (members !== undefined) warnings.push(...listDifferences(this.#gateway.settings.gateways, members));
    for (const sink of this.#sinks()) if (sink.error !== undefined) warnings.push(`sink ${sink.name}: ${sink.error}`);
    warnings.push(...clockWarnings(serving?.siteClock.view()));
    const deviationMs = this.#gateway.router()?.clockDeviationMs(this.#members.of(serving).length) ?? 0;
    if (deviationMs > clockWarningMs)
      warnings.push(`the clock of ${this.#gateway.self} is ${(deviationMs / 1_000).toFixed(1)} s away from the other gateways' clocks`);
    return warnings;
  }

  #ingestStatus(serving: Serving | undefined): GatewayStatus["ingest"] {
    const { clock } = this.#gateway.options.ports;
    const counters = serving?.counters;
    return {
      clients: serving?.ingest.clients() ?? 0,
      acknowledged: counters?.acknowledged ?? 0,
      perSecond: counters?.perSecond(clock.monotonicMs()) ?? 0,
      pending: serving?.replication.pendingReadings() ?? 0,
      qos0Dropped: counters?.qos0Dropped ?? 0,
      deadLetters: serving?.ingest.deadLetters.total() ?? 0,
      conflicts: serving?.seriesStore.stats().conflicts ?? 0,
      suppressed: counters?.suppressed ?? 0,
      closed: Object.fromEntries(counters?.closed ?? []),
      unmatched: serving?.ingest.unmatched.view(clock.wallMs()) ?? [],
    };
  }
}

function clockWarnings(clock: SiteClockView | undefined): string[] {
  if (clock === undefined) return [];
  const { source, synchronised, ntp } = clock;
  if (source === "peers")
    return [`the system clock is wrong: readings without device time get the time that a majority of the gateways agrees on`];
  if (source === "held")
    return ["the system clock was set and no majority of the gateways confirms it: readings without device time get the time that it had"];
  if (synchronised || ntp !== "unsynchronised") return [];
  return [
    "the system clock is not synchronised, and no majority of the gateways confirms it: timestamps given by this gateway may be wrong",
  ];
}

const noRetention: RetentionView = {
  raw: { lowestMs: 0, highestMs: 0 },
  rollup: undefined,
  chunksDropped: 0,
  unprocessedWindows: 0,
  heldBackBy: undefined,
};

function diskStatus(serving: Serving | undefined): GatewayStatus["disk"] {
  const space = serving?.spaceWatch.space();
  return {
    state: serving?.retention.diskState() ?? "unknown",
    freeBytes: space?.freeBytes,
    totalBytes: space?.totalBytes,
    keepFreeBytes: serving?.retention.bytesKeptFree() ?? 0,
  };
}

function logStatus(serving: Serving | undefined): GatewayStatus["log"] {
  const log = serving?.readingsLog.log;
  const stats = log?.stats();
  const health = log?.health();
  return {
    segments: stats?.segments ?? 0,
    bytes: stats?.bytes ?? 0,
    bytesWritten: stats?.bytesWritten ?? 0,
    fsyncs: stats?.fsyncs ?? 0,
    lastFsyncMs: stats?.lastFsyncMs ?? 0,
    ok: health?.ok ?? true,
    error: health?.message,
  };
}

function storeStatus(serving: Serving | undefined): GatewayStatus["store"] {
  const stats = serving?.seriesStore.stats();
  return {
    bytes: serving?.storeBytes() ?? 0,
    series: stats?.series ?? 0,
    chunks: stats?.chunks ?? 0,
    headReadings: stats?.headReadings ?? 0,
    checkpoints: stats?.checkpoints ?? 0,
    damagedChunks: stats?.damagedChunks ?? 0,
  };
}

function repairStatus(serving: Serving | undefined): GatewayStatus["repair"] {
  const view = serving?.healing.repair.view();
  return {
    lastPassMs: view?.lastPassMs,
    partitionsCompared: view?.partitionsCompared ?? 0,
    partitionsEqual: view?.partitionsEqual ?? 0,
    hoursDiffering: view?.hoursDiffering ?? 0,
    readingsFetched: view?.readingsFetched ?? 0,
    readingsWritten: serving?.healing.readRepair.readings ?? 0,
    chunksRestored: view?.chunksRestored ?? 0,
    equal: view?.equal ?? false,
  };
}

function fullGateways({ gateways }: SiteSettings): number {
  return gateways.filter((gateway) => gateway.role === "full").length;
}
