/**
 * The state that all gateways of a site agree on: what the committed commands add up to. Applying is deterministic: it
 * reads no clock and draws no random number, so equal logs give equal states, whose pictures the simulator compares.
 * A capture is the state at one index, for a snapshot; restoring one replaces the state as a whole or not at all.
 */

import { unreachable } from "../../lib/assert.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { ClusterId, DeviceId, GatewayId, Incarnation, MemberId } from "../../lib/ids.ts";
import type { Packing } from "../../lib/packing.ts";
import type { RingState } from "../ring/owner-changes.ts";
import type { ApplyResult, CommittedRun, MemberResult } from "./apply-result.ts";
import { ClockFlags } from "./clock-flags.ts";
import { isSiteCommand } from "./command-codec.ts";
import type { BootstrapCommand, GatewayStartedCommand, PlainCommand, RetentionLevel, RunCommitCommand, SiteCommand } from "./commands.ts";
import { firstFeatureLevel, levelOf, placesPlannedLevel, slotPerFolderLevel } from "./features.ts";
import { JobRuns, type JobState } from "./job-runs.ts";
import { type KvRecord, KvSpace } from "./kv-space.ts";
import { type FreePlaces, type Member, Membership } from "./membership.ts";
import { Outbox } from "./outbox.ts";
import { type RegisteredDevice, type RegisteredStart, Registry } from "./registry.ts";
import { RetentionHorizons } from "./retention.ts";
import { Sessions } from "./sessions.ts";
import { count, oneOf, tuple } from "./shapes.ts";
import { decodeParts, encodeParts, type Part, Section, stateFormatVersion } from "./state-format.ts";

/** Bounds of the state. All gateways of a site must have the same, because they decide what applying a command does. */
export interface SiteStateOptions {
  /** Log entries without a command after which a session expires. */
  readonly sessionEntriesMax?: number;
  /** Runs in the outbox. */
  readonly outboxRunsMax?: number;
}

/** The state at one log index, whatever is applied later. */
export interface StateCapture {
  readonly appliedIndex: number;
  /** The snapshot piece by piece, each of about 64 KiB (a larger one holds one large value), encoded when asked for. */
  blocks(packing: Packing): Iterable<Uint8Array>;
}

export class SiteState {
  readonly #options: SiteStateOptions;
  #areas: Areas;

  constructor(options: SiteStateOptions = {}) {
    this.#options = options;
    this.#areas = new Areas(options);
  }

  appliedIndex(): number {
    return this.#areas.appliedIndex;
  }

  /** Commands up to this level are applied. */
  featureLevel(): number {
    return this.#areas.featureLevel;
  }

  bootstrap(): BootstrapCommand | undefined {
    return this.#areas.bootstrap;
  }

  clusterId(): ClusterId | undefined {
    return this.#areas.bootstrap?.clusterId;
  }

  /** In the order in which they became members. */
  members(): ReadonlyMap<GatewayId, Member> {
    return this.#areas.membership.members();
  }

  memberOf(id: MemberId): Member | undefined {
    return this.#areas.membership.memberOf(id);
  }

  /** Data folders that were given up, the oldest first. */
  retired(): ReadonlySet<Incarnation> {
    return this.#areas.membership.retired();
  }

  /** `undefined` until the site's first entry is applied. */
  ring(): RingState | undefined {
    return this.#areas.membership.ring();
  }

  startOf(gateway: GatewayId): RegisteredStart | undefined {
    return this.#areas.registry.startOf(gateway);
  }

  devices(): ReadonlyMap<DeviceId, RegisteredDevice> {
    return this.#areas.registry.devices();
  }

  kv(key: string): KvRecord | undefined {
    return this.#areas.kv.get(key);
  }

  /** Records are never changed, but the map is the state's own: whoever waits between two looks copies it first. */
  kvRecords(): ReadonlyMap<string, KvRecord> {
    return this.#areas.kv.records();
  }

  job(name: string): JobState | undefined {
    return this.#areas.jobs.jobs().get(name);
  }

  jobs(): ReadonlyMap<string, JobState> {
    return this.#areas.jobs.jobs();
  }

  /** Committed runs that some gateway may not have stored yet, in order; the first is `firstOrdinal`. */
  outbox(): { readonly firstOrdinal: number; readonly runs: readonly CommittedRun[] } {
    const { outbox } = this.#areas;
    return { firstOrdinal: outbox.firstOrdinal(), runs: outbox.runs() };
  }

  /** This gateway said that it has the rows of all runs below this ordinal. */
  resultsStoredBy(gateway: GatewayId): number {
    return this.#areas.outbox.storedBy(gateway);
  }

  /** Below it raw readings, or rollups, of the partition are given up; 0 where none are. It never goes back. */
  horizonUs(level: RetentionLevel, partition: number): number {
    return this.#areas.retention.horizonUs(level, partition);
  }

  /** By partition: as it stands, and changed in place by the next command. */
  horizons(level: RetentionLevel): ArrayLike<number> {
    return this.#areas.retention.all(level);
  }

  /** Which stamps were given by clocks that nobody confirmed. */
  clockFlags(): Pick<ClockFlags, "has" | "openOf"> {
    return this.#areas.clockFlags;
  }

  /** Windows of jobs with sinks whose readings were given up before they were committed. */
  unprocessedWindows(): number {
    return this.#areas.retention.unprocessedWindows();
  }

  /** Applies the entry at `index`; entries come in order, each once. `undefined`: a leader's no-op. */
  apply(index: number, command: SiteCommand | undefined): ApplyResult {
    return this.#areas.apply(index, command);
  }

  /** Costs a shallow copy; records are never changed, so that later commands do not reach it. */
  capture(): StateCapture {
    const parts = this.#areas.capture();
    return { appliedIndex: this.#areas.appliedIndex, blocks: (packing) => encodeParts(parts, packing) };
  }

  /** Becomes what the blocks of a capture say, all of them in one; fails with `data-damaged` and changes nothing otherwise. */
  restore(encoded: Uint8Array, packing: Packing): Result<void> {
    const areas = new Areas(this.#options);
    const read = decodeParts(encoded, packing, (section, item) => areas.restore(section, item));
    if (!read.ok) return read;
    if (!areas.isHeaded()) return failure("data-damaged", "the snapshot of the site's state is damaged: its header is missing");
    this.#areas = areas;
    return success(undefined);
  }

  /** A plain picture of everything, for comparing the states of gateways that applied the same index. */
  snapshot(): unknown {
    return this.#areas.picture();
  }
}

type Header = readonly [version: number, appliedIndex: number, featureLevel: number];
const isHeader = tuple(oneOf(stateFormatVersion), count, count);

/** All parts of the state together, so that a restore can replace them at once. */
class Areas {
  appliedIndex = 0;
  featureLevel: number = firstFeatureLevel;
  bootstrap: BootstrapCommand | undefined;
  readonly registry = new Registry();
  readonly kv = new KvSpace();
  readonly membership = new Membership();
  readonly jobs = new JobRuns();
  readonly outbox: Outbox;
  readonly retention = new RetentionHorizons();
  readonly clockFlags = new ClockFlags();
  readonly #sessions: Sessions;
  #headed = false;

  constructor(options: SiteStateOptions) {
    this.outbox = new Outbox(options.outboxRunsMax);
    this.#sessions = new Sessions(options.sessionEntriesMax);
  }

  apply(index: number, command: SiteCommand | undefined): ApplyResult {
    this.appliedIndex = index;
    this.#sessions.expire(index);
    if (command === undefined) return { t: "done" };
    // An older version does not know it and passes over it: what the site has not agreed on is applied nowhere.
    if (command.t !== "feature-level" && levelOf(command) > this.featureLevel) return { t: "passed-over" };
    switch (command.t) {
      case "session-open":
        return this.#sessions.open(index, command);
      case "once":
        return this.#sessions.once(index, command, (plain) => this.#applyPlain(index, plain));
      default:
        return this.#applyPlain(index, command);
    }
  }

  #applyPlain(index: number, command: PlainCommand): ApplyResult {
    switch (command.t) {
      case "bootstrap":
        // A site is founded once.
        if (this.bootstrap !== undefined) return { t: "done" };
        this.bootstrap = command;
        this.membership.found(command);
        this.featureLevel = command.featureLevel ?? firstFeatureLevel;
        return { t: "done" };
      case "gateway-started":
        if (this.#isOwnStart(command)) this.registry.started(command);
        return { t: "done" };
      case "register-devices":
        this.registry.register(command);
        return { t: "done" };
      case "kv-put":
        return this.kv.put(index, command);
      case "kv-delete":
        return this.kv.delete(command);
      case "job-seen":
        return this.jobs.seen(command);
      case "run-claim":
        return this.jobs.claim(command);
      case "run-commit":
        return this.#runCommit(index, command);
      case "feature-level":
        this.featureLevel = Math.max(this.featureLevel, command.level);
        return { t: "done" };
      case "gateway-add":
        return this.membership.add(command);
      case "gateway-admit":
        return this.membership.admit(command, this.#freePlaces());
      case "gateway-replace":
        return this.#folderGivenUp(command.gateway, () => this.membership.replace(command, this.#slots()));
      case "gateway-remove":
        return this.#folderGivenUp(command.gateway, () => this.membership.remove(command, this.#freePlaces()));
      case "owner-filled":
        return this.membership.filled(command);
      case "owner-places":
        return this.membership.changePlaces(command, this.bootstrap?.factor ?? 1);
      case "moves-cancel":
        return this.membership.cancelMoves(command);
      case "gateway-update":
        return this.membership.update(command);
      case "retention-advance":
        this.retention.advance(command);
        return { t: "done" };
      case "clock-unconfirmed":
        this.clockFlags.apply(command);
        return { t: "done" };
      case "results-stored":
        if (this.membership.fullGateways().includes(command.gateway)) {
          this.outbox.stored(command.gateway, command.ordinal);
          this.#pruneOutbox();
        }
        return { t: "done" };
      default:
        return unreachable(command);
    }
  }

  #freePlaces(): FreePlaces {
    return this.featureLevel >= placesPlannedLevel ? "wait" : { factor: this.bootstrap?.factor ?? 1 };
  }

  #slots(): "kept" | "new" {
    return this.featureLevel >= slotPerFolderLevel ? "new" : "kept";
  }

  /** Not of a data folder that the gateway gave up; before membership changes nobody says whose start it is. */
  #isOwnStart(command: GatewayStartedCommand): boolean {
    if (command.incarnation === undefined) return true;
    return this.membership.members().get(command.gateway)?.incarnation === command.incarnation;
  }

  #runCommit(index: number, command: RunCommitCommand): ApplyResult {
    const runs = this.jobs.commit({ index, firstOrdinal: this.outbox.nextOrdinal() }, command);
    this.outbox.push(runs);
    return { t: "commit", runs };
  }

  #folderGivenUp(gateway: GatewayId, change: () => MemberResult): MemberResult {
    const before = this.membership.members().get(gateway)?.incarnation;
    const result = change();
    if (before === undefined || this.membership.members().get(gateway)?.incarnation !== undefined) return result;
    this.registry.forgetStart(gateway);
    this.outbox.forget(gateway);
    this.#pruneOutbox();
    return result;
  }

  #pruneOutbox(): void {
    this.outbox.prune(this.membership.fullGateways());
  }

  capture(): Part[] {
    const header: Header = [stateFormatVersion, this.appliedIndex, this.featureLevel];
    const { bootstrap } = this;
    return [
      { section: Section.Header, size: 1, item: () => header },
      { section: Section.Bootstrap, size: bootstrap === undefined ? 0 : 1, item: () => bootstrap },
      ...this.registry.capture(),
      ...this.kv.capture(),
      ...this.membership.capture(),
      ...this.jobs.capture(),
      ...this.outbox.capture(),
      ...this.#sessions.capture(),
      ...this.retention.capture(),
      ...this.clockFlags.capture(),
    ];
  }

  /** False for an item that is malformed or in the wrong place. */
  restore(section: number, item: unknown): boolean {
    if (this.#headed !== (section !== Section.Header)) return false;
    switch (section) {
      case Section.Header:
        if (!isHeader(item)) return false;
        [, this.appliedIndex, this.featureLevel] = item as Header;
        this.#headed = true;
        return true;
      case Section.Bootstrap:
        return this.#restoreBootstrap(item);
      case Section.Start:
        return this.registry.restoreStart(item);
      case Section.Device:
        return this.registry.restoreDevice(item);
      case Section.Kv:
        return this.kv.restore(item);
      case Section.Member:
        return this.membership.restoreMember(item);
      case Section.Membership:
        return this.membership.restoreRest(item);
      case Section.Job:
        return this.jobs.restoreJob(item);
      case Section.Window:
        return this.jobs.restoreWindow(item);
      case Section.WindowRange:
        return this.jobs.restoreRange(item);
      case Section.Outbox:
        return this.outbox.restoreHead(item);
      case Section.Run:
        return this.outbox.restoreRun(item);
      case Section.Session:
        return this.#sessions.restoreSession(item);
      case Section.Remembered:
        return this.#sessions.restoreRemembered(item);
      case Section.EndedSessions:
        return this.#sessions.restoreEnded(item);
      case Section.Retention:
        return this.retention.restoreTotals(item);
      case Section.Horizon:
        return this.retention.restoreHorizon(item);
      case Section.ClockFlags:
        return this.clockFlags.restore(item);
      default:
        return false;
    }
  }

  isHeaded(): boolean {
    return this.#headed;
  }

  #restoreBootstrap(item: unknown): boolean {
    if (!isSiteCommand(item) || item.t !== "bootstrap") return false;
    this.bootstrap = { ...item, owners: { ...item.owners, partitions: copyBytes(item.owners.partitions) } };
    return true;
  }

  picture(): unknown {
    return {
      appliedIndex: this.appliedIndex,
      featureLevel: this.featureLevel,
      bootstrap: this.bootstrap && [this.bootstrap.clusterId, this.bootstrap.site, this.bootstrap.factor, this.bootstrap.gateways],
      registry: this.registry.picture(),
      kv: this.kv.picture(),
      membership: this.membership.picture(),
      jobs: this.jobs.picture(),
      outbox: this.outbox.picture(),
      sessions: this.#sessions.picture(),
      retention: this.retention.picture(),
      clockFlags: this.clockFlags.picture(),
    };
  }
}
