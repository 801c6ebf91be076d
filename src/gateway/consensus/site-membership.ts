/**
 * The members of the site in operation: what an operator asks for becomes a command; the leader sees to the rest, one step a
 * second at most: raises the feature level when every version can, and moves Raft's configuration, one voter at a time,
 * to what the members are and who of them is healthy (`core/raft/voter-plan.ts`).
 */

import type { RaftView } from "../../core/raft/raft-node.ts";
import { quorumSize } from "../../core/raft/rules.ts";
import { nextConfiguration, type PlannedMember } from "../../core/raft/voter-plan.ts";
import { type OwnerTable, ownersOf } from "../../core/ring/owner-table.ts";
import type { MemberRefusal } from "../../core/site/apply-result.ts";
import type { SiteCommand } from "../../core/site/commands.ts";
import { placesPlannedLevel } from "../../core/site/features.ts";
import { gatewayOfMember } from "../../core/site/member-id.ts";
import type { Member } from "../../core/site/membership.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import { type ErrorCode, type Failure, failure, type Result, success } from "../../lib/errors.ts";
import { type GatewayId, gatewayId, type Incarnation, type MemberId, partition, partitionCount } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import type { Requests } from "../requests.ts";
import type { ForceOption, GatewayMemberRequest, MemberAddress, MemberChange, MemberState, MembershipOperations } from "../service.ts";
import type { Consensus } from "./consensus.ts";
import { PlacePlan, plannedPlaces } from "./place-plan.ts";

export interface SiteMembershipOptions {
  readonly context: GatewayContext;
  readonly consensus: Consensus;
  readonly requests: Requests;
  readonly state: SiteState;
  /** This gateway's own folder. */
  readonly selfMember: MemberId;
  /** The highest feature level of a peer's version, while it is linked. */
  readonly featureMaxOf: (gateway: GatewayId) => number | undefined;
  readonly reachable: (gateway: GatewayId) => boolean;
  /** Where a gateway is reached of which the site's state says nothing: what the YAML says. */
  readonly addressOf: (gateway: GatewayId) => MemberAddress | undefined;
}

const planMs = 1_000;
const proposeTimeoutMs = 10_000;
/** A learner that lacks no more entries than this is as good as caught up: it gets the rest with the next message. */
const lagMax = 1_000;
const transferTimeoutMs = 5_000;
const pollMs = 50;

export class SiteMembership implements MembershipOperations {
  readonly #options: SiteMembershipOptions;
  readonly #context: GatewayContext;
  #stopped = false;
  #changing = false;
  readonly #admitting = new Set<GatewayId>();
  /** Of the last look at what is planned. */
  #planned: { readonly table: OwnerTable; readonly picture: string; readonly places: ReadonlyMap<GatewayId, number> } | undefined;
  readonly #placePlan = new PlacePlan();

  constructor(options: SiteMembershipOptions) {
    this.#options = options;
    this.#context = options.context;
    options.requests.serve("transfer", (_from, body) => this.#transferForPeer(body));
  }

  start(): void {
    if (this.#stopped) return;
    this.#context.clock.schedule(planMs, () => {
      this.#context.inbox.post(() => this.#plan());
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  async add(request: GatewayMemberRequest): Promise<Result<void>> {
    const { role, zone, weight, address } = request;
    const id = gatewayId(request.id);
    const added = await this.#change({ t: "gateway-add", gateway: id, role, ...(zone === undefined ? {} : { zone }), weight, address });
    if (added.ok || added.code !== "member-exists") return added;
    // Perhaps this request, whose first answer was lost: it is no mistake while nobody has come under that name.
    const fresh = await this.#options.consensus.fresh(proposeTimeoutMs);
    const known = this.#options.state.members().get(id);
    const same = known?.memberId === undefined && known?.role === role && known.zone === zone && known.weight === weight;
    return fresh.ok && same && sameAddress(known.address, address) ? success(undefined) : added;
  }

  async update(id: string, { weight, zone }: MemberChange): Promise<Result<void>> {
    const { state } = this.#options;
    const gateway = gatewayId(id);
    if (weight !== undefined && state.members().get(gateway)?.role === "witness")
      return failure("bad-request", `${id} is a witness, which owns no readings: a weight says nothing`);
    if (state.featureLevel() < placesPlannedLevel)
      return failure("not-applied", "no partitions move before all gateways run a version that can do it: update them one at a time");
    const change = { ...(weight === undefined ? {} : { weight }), ...(zone === undefined ? {} : { zone }) };
    return this.#change({ t: "gateway-update", gateway, ...change });
  }

  async replace(id: string, { force }: ForceOption): Promise<Result<void>> {
    const gateway = gatewayId(id);
    const missed = force ? undefined : this.#votesMissed(gateway);
    if (missed !== undefined) return missed;
    await this.#leadElsewhere(gateway);
    return this.#change({ t: "gateway-replace", gateway, ...this.#folderOf(gateway), force });
  }

  async remove(id: string, { force }: ForceOption): Promise<Result<void>> {
    const gateway = gatewayId(id);
    const missed = force ? undefined : this.#votesMissed(gateway);
    if (missed !== undefined) return missed;
    await this.#leadElsewhere(gateway);
    return this.#change({ t: "gateway-remove", gateway, ...this.#folderOf(gateway), force });
  }

  /**
   * Once a folder is given up nobody listens to it any more, and the change of Raft's configuration that follows needs a quorum of
   * the voters that are left. Where those do not answer, giving up one that does would end all changes, this one's rest included.
   */
  #votesMissed(gateway: GatewayId): Failure | undefined {
    const { consensus, state, selfMember, reachable } = this.#options;
    const leaving = state.members().get(gateway)?.memberId;
    const { voters } = consensus.view().configuration;
    if (leaving === undefined || !voters.includes(leaving)) return undefined;
    const left = voters.filter((voter) => voter !== leaving);
    const silent = left.filter((voter) => voter !== selfMember && !reachable(gatewayOfMember(voter))).map(gatewayOfMember);
    if (left.length - silent.length >= quorumSize(left.length)) return undefined;
    const why = silent.length === 0 ? `${gateway} is the only voter` : `of the other voters, ${silent.join(", ")} cannot be reached`;
    return failure(
      "quorum-unavailable",
      `without ${gateway} the site could agree on nothing any more: ${why}. Start or replace the others first (--force gives ${gateway} up all the same)`,
    );
  }

  /** A leader that is about to go passes its leadership on first, where it can: nobody has to miss it. */
  async #leadElsewhere(gateway: GatewayId): Promise<void> {
    if (this.#options.consensus.leader() === gateway) await this.transfer(undefined);
  }

  async transfer(to: string | undefined): Promise<Result<{ readonly leader: string }>> {
    const { consensus, state } = this.#options;
    const target = to === undefined ? undefined : state.members().get(gatewayId(to));
    if (to !== undefined && target?.memberId === undefined) return failure("member-unknown", `the site has no gateway ${to}`);
    if (target?.role === "witness") return failure("bad-request", `${to ?? ""} is a witness: it votes, and does not lead`);
    if (target?.memberId !== undefined && !consensus.view().configuration.voters.includes(target.memberId))
      return failure("bad-request", `${to ?? ""} is no voter: it cannot lead`);
    const before = consensus.leader();
    if (before === undefined) return failure("quorum-unavailable", "the site has no leader at the moment");
    if (to === before) return success({ leader: before });
    if (before === this.#context.self) await consensus.handOver(target?.memberId);
    else {
      const asked = await this.#options.requests.call(before, "transfer", { to }, { timeoutMs: transferTimeoutMs, channel: "raft" });
      if (!asked.ok && asked.code !== "outcome-unknown") return asked;
    }
    const deadlineMs = this.#context.clock.monotonicMs() + transferTimeoutMs;
    for (;;) {
      const leader = consensus.leader();
      if (leader !== undefined && leader !== before && (to === undefined || leader === to)) return success({ leader });
      if (this.#context.inbox.closed() || this.#context.clock.monotonicMs() >= deadlineMs)
        return failure("not-applied", `${leader ?? "nobody"} leads: ${to ?? "no other voter"} did not take over in time`);
      await pause(this.#context.clock, pollMs);
    }
  }

  async #transferForPeer(body: unknown): Promise<Result<unknown>> {
    const to = typeof body === "object" && body !== null && "to" in body && typeof body.to === "string" ? body.to : undefined;
    const { consensus, state } = this.#options;
    if (!consensus.isLeader()) return failure("not-applied", `${this.#context.self} does not lead`);
    await consensus.handOver(to === undefined ? undefined : state.members().get(gatewayId(to))?.memberId);
    return success({});
  }

  #folderOf(gateway: GatewayId): { readonly incarnation?: Incarnation } {
    const incarnation = this.#options.state.members().get(gateway)?.incarnation;
    return incarnation === undefined ? {} : { incarnation };
  }

  async #change(command: SiteCommand & { readonly gateway: GatewayId }): Promise<Result<void>> {
    const { consensus, state } = this.#options;
    if (state.featureLevel() < 2)
      return failure(
        "not-applied",
        "the members cannot change before all gateways run a version that can do it: update them one at a time",
      );
    const result = await consensus.propose(command, proposeTimeoutMs);
    if (!result.ok) return result;
    if (result.value.t !== "member") return failure("not-applied", "the site's gateways do not agree on changes of the members yet");
    return result.value.ok ? success(undefined) : refusal(result.value.why, command.gateway);
  }

  /** An expected gateway has reported with an empty folder. */
  admitFolder(gateway: GatewayId, incarnation: Incarnation): void {
    if (this.#admitting.has(gateway) || this.#options.state.featureLevel() < 2) return;
    this.#admitting.add(gateway);
    void this.#options.consensus.propose({ t: "gateway-admit", gateway, incarnation }, proposeTimeoutMs).then((result) => {
      this.#admitting.delete(gateway);
      const refused = result.ok && result.value.t === "member" && !result.value.ok ? result.value.why : undefined;
      if (!result.ok || refused !== undefined)
        this.#context.diagnostics.warn("folder-not-admitted", { gateway, why: result.ok ? refused : result.message });
    });
  }

  members(): readonly MemberState[] {
    const { state, consensus, addressOf } = this.#options;
    const view = consensus.view();
    const filling = placesToFill(state);
    const leaving = new Map<GatewayId, number>();
    const planned = this.#plannedPlaces();
    for (const { from } of state.ring()?.moves.values() ?? []) leaving.set(from, (leaving.get(from) ?? 0) + 1);
    return [...state.members().values()]
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .map((member) => ({
        id: member.id,
        kind: member.role,
        membership: membershipOf(member, view),
        incarnation: member.incarnation,
        zone: member.zone,
        weight: member.weight,
        address: member.address ?? addressOf(member.id) ?? { host: "", mqtt: 0, mesh: 0, http: 0 },
        matchIndex: view.followers.find((follower) => follower.id === member.memberId)?.matchIndex,
        filling: filling.get(member.id) ?? 0,
        leaving: leaving.get(member.id) ?? 0,
        planned: planned.get(member.id) ?? 0,
      }));
  }

  /** As the leader will plan, as far as this gateway sees who is there. */
  #plannedPlaces(): ReadonlyMap<GatewayId, number> {
    const { state, reachable } = this.#options;
    const ring = state.ring();
    if (ring === undefined || state.featureLevel() < placesPlannedLevel) return new Map();
    const isThere = (gateway: GatewayId): boolean => gateway === this.#context.self || reachable(gateway);
    const members = [...state.members().values()];
    const picture = JSON.stringify(members.map(({ id, weight, zone, memberId }) => [id, weight, zone, memberId, isThere(id)]));
    if (this.#planned?.table !== ring.table || this.#planned.picture !== picture) {
      const factor = state.bootstrap()?.factor ?? 1;
      this.#planned = { table: ring.table, picture, places: plannedPlaces({ ring, members, factor, isThere }) };
    }
    return this.#planned.places;
  }

  /** The leader's next step, if there is one to take. */
  #plan(): void {
    const { consensus, state } = this.#options;
    if (!consensus.isLeader() || this.#changing || this.#stopped) return;
    if (this.#raisesFeatureLevel() || state.featureLevel() < 2) return;
    const view = consensus.view();
    if (view.commitIndex < view.lastIndex - lagMax || this.#plansPlaces(view) || view.configurationIndex > view.commitIndex) return;
    const next = nextConfiguration({ self: this.#options.selfMember, current: view.configuration, members: this.#plannedMembers(view) });
    if (next === undefined) return;
    this.#context.diagnostics.info("membership-step", { voters: next.voters.join(" "), learners: next.learners.join(" ") });
    this.#changing = true;
    void consensus.changeConfiguration(next).then((changed) => {
      this.#changing = false;
      if (!changed.ok) this.#context.diagnostics.info("membership-step-failed", { why: changed.message, next: "tried again" });
    });
  }

  /** Copies come before votes: while a place is free another loss may be one too many. */
  #plansPlaces(view: RaftView): boolean {
    const { state, consensus, reachable } = this.#options;
    const ring = state.ring();
    if (ring === undefined || state.featureLevel() < placesPlannedLevel) return false;
    const nowMs = this.#context.clock.monotonicMs();
    const { self, tuning } = this.#context;
    const heardMs = new Map(view.followers.map((follower) => [follower.id, follower.heardMs]));
    const isThere = (gateway: GatewayId): boolean => gateway === self || reachable(gateway);
    const command = this.#placePlan.next({
      ring,
      members: state.members().values(),
      factor: state.bootstrap()?.factor ?? 1,
      movesMax: tuning.movesMax,
      isThere,
      isGone: (gateway) => {
        const member = state.members().get(gateway)?.memberId;
        // Of one that has just been admitted nothing was heard yet as a follower.
        return !isThere(gateway) && (member === undefined || nowMs - (heardMs.get(member) ?? nowMs) > tuning.voterDeadMs);
      },
    });
    if (command === undefined) return false;
    this.#context.diagnostics.info("places-step", { epoch: ring.table.epoch, what: command.t });
    this.#changing = true;
    void consensus.propose(command, proposeTimeoutMs).then((result) => {
      this.#changing = false;
      if (result.ok && result.value.t === "member" && result.value.ok) return;
      this.#placePlan.forget();
      this.#context.diagnostics.info("places-step-failed", { why: result.ok ? "the owners changed meanwhile" : result.message });
    });
    return true;
  }

  #plannedMembers(view: RaftView): PlannedMember[] {
    const { state, selfMember } = this.#options;
    const nowMs = this.#context.clock.monotonicMs();
    const followers = new Map(view.followers.map((follower) => [follower.id, follower]));
    const planned: PlannedMember[] = [];
    for (const { memberId, role } of state.members().values()) {
      if (memberId === undefined) continue;
      const follower = followers.get(memberId);
      const self = memberId === selfMember;
      planned.push({
        id: memberId,
        witness: role === "witness",
        healthy: self || (follower !== undefined && nowMs - follower.heardMs < this.#context.tuning.voterDeadMs),
        caughtUp: self || (follower !== undefined && follower.matchIndex > 0 && follower.matchIndex + lagMax >= view.commitIndex),
      });
    }
    return planned;
  }

  /**
   * Only once every member's version can apply what comes with it, as it says over its link. One that has been gone for long
   * does not hold up the rest: with an older version it is not let in any more before it is updated. True: it is being raised.
   */
  #raisesFeatureLevel(): boolean {
    const { consensus, state, featureMaxOf } = this.#options;
    const { featureMax, voterDeadMs } = this.#context.tuning;
    if (state.featureLevel() >= featureMax) return false;
    const nowMs = this.#context.clock.monotonicMs();
    const heardMs = new Map(consensus.view().followers.map((follower) => [follower.id, follower.heardMs]));
    let level = featureMax;
    for (const { id, memberId } of state.members().values()) {
      if (id === this.#context.self || memberId === undefined) continue;
      const said = featureMaxOf(id);
      if (said === undefined && nowMs - (heardMs.get(memberId) ?? nowMs) < voterDeadMs) return false;
      level = Math.min(level, said ?? featureMax);
    }
    if (level <= state.featureLevel()) return false;
    this.#changing = true;
    void consensus.propose({ t: "feature-level", level }, proposeTimeoutMs).then(() => {
      this.#changing = false;
    });
    return true;
  }
}

/**
 * How many partitions each gateway has not all readings of. A place that is still to be given away counts for one that may get it: for
 * whoever waits until the copies are whole it is the same.
 */
function placesToFill(state: SiteState): ReadonlyMap<GatewayId, number> {
  const found = new Map<GatewayId, number>();
  const ring = state.ring();
  if (ring === undefined) return found;
  const count = (id: GatewayId) => found.set(id, (found.get(id) ?? 0) + 1);
  for (const gateways of ring.filling.values()) for (const id of gateways) count(id);
  if (state.featureLevel() < placesPlannedLevel) return found;
  const takers = [...state.members().values()].filter(
    ({ role, memberId, weight }) => role === "full" && memberId !== undefined && weight > 0,
  );
  const wanted = Math.min(state.bootstrap()?.factor ?? 1, takers.length);
  for (let at = 0; at < partitionCount; at++) {
    const owners = ownersOf(ring.table, partition(at));
    const taker = owners.length < wanted ? takers.find(({ id }) => !owners.includes(id)) : undefined;
    if (taker !== undefined) count(taker.id);
  }
  return found;
}

function membershipOf(member: Member, { configuration }: RaftView): MemberState["membership"] {
  if (member.memberId === undefined) return "expected";
  return configuration.voters.includes(member.memberId) ? "voter" : "learner";
}

function sameAddress(a: MemberAddress | undefined, b: MemberAddress): boolean {
  return a !== undefined && a.host === b.host && a.mqtt === b.mqtt && a.mesh === b.mesh && a.http === b.http;
}

function refusal(why: MemberRefusal, gateway: GatewayId): Result<void> {
  const [code, message]: readonly [ErrorCode, string] = refusals(gateway)[why];
  return failure(code, message);
}

function refusals(gateway: GatewayId): Readonly<Record<MemberRefusal, readonly [ErrorCode, string]>> {
  return {
    exists: ["member-exists", `the site has a gateway ${gateway} already: use "gateway replace" for a new data folder`],
    unknown: ["member-unknown", `the site has no gateway ${gateway}`],
    "not-expected": [
      "member-change-pending",
      `${gateway} has another data folder by now than the one that was meant: see "gateway list", and ask again if need be`,
    ],
    "slots-full": ["busy", "the site has 1,000 gateways: remove one first"],
    last: ["member-needed", `${gateway} is the last gateway that keeps readings`],
    "under-replicated": [
      "under-replicated",
      `readings that ${gateway} has may be nowhere else: those of another gateway that was lost or removed are not restored yet. ` +
        `Let a gateway take its place and fill first ("gateway progress"); --force gives them up`,
    ],
  };
}
