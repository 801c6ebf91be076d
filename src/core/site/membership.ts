/**
 * The gateways of the site: who they are, where they are reached, which data folder speaks for each, and who owns which
 * partition. A data folder that was given up never comes back: its votes and acknowledgements are forgotten with it.
 */

import { assert } from "../../lib/assert.ts";
import { crc32c } from "../../lib/crc32c.ts";
import { type GatewayId, gatewayId, type Incarnation, incarnation as incarnationOf, type MemberId, memberId } from "../../lib/ids.ts";
import {
  addOwner,
  cancelMoves,
  changePlaces,
  decodeRing,
  encodeRing,
  foundRing,
  mayLose,
  ownerFilled,
  type PlaceChange,
  type RingRecord,
  type RingState,
  removeOwner,
  replaceOwner,
} from "../ring/owner-changes.ts";
import { partitionsOf } from "../ring/owner-table.ts";
import type { MemberRefusal, MemberResult } from "./apply-result.ts";
import { memberAddress } from "./command-codec.ts";
import type {
  BootstrapCommand,
  GatewayAddCommand,
  GatewayAdmitCommand,
  GatewayRemoveCommand,
  GatewayReplaceCommand,
  GatewayUpdateCommand,
  MemberAddress,
  MemberRole,
  MovesCancelCommand,
  OwnerFilledCommand,
  OwnerPlacesCommand,
} from "./commands.ts";
import { removeOwnerByForce, replaceOwnerByForce } from "./forced-loss.ts";
import { memberIdOf } from "./member-id.ts";
import { partitionsIn } from "./retention.ts";
import { fields, list, notNegative, nullable, oneOf, text, tuple, whole } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

export interface Member {
  readonly id: GatewayId;
  /** Undefined while a data folder is expected. */
  readonly memberId: MemberId | undefined;
  readonly incarnation: Incarnation | undefined;
  /** 0 … 999: the last three digits of this gateway's timestamps. */
  readonly slot: number;
  readonly role: MemberRole;
  readonly zone: string | undefined;
  /** 0: it is to own nothing. */
  readonly weight: number;
  readonly address: MemberAddress | undefined;
}

/** Who gets places that a command leaves free: whoever it is about or those that are left, up to so many owners; or they wait for a plan. */
export type FreePlaces = { readonly factor: number } | "wait";

/** Data folders given up that are remembered; an older one meets an incarnation that is not its own all the same. */
const retiredMax = 1_000;
const slotMax = 999;

type Item = readonly [
  id: string,
  memberId: string | null,
  incarnation: string | null,
  slot: number,
  role: MemberRole,
  zone: string | null,
  weight: number,
  address: MemberAddress | null,
];

interface Whole {
  readonly greatestSlot: number;
  readonly retired: readonly string[];
  readonly ring: RingRecord | null;
}

const isItem = tuple(
  text,
  nullable(text),
  nullable(text),
  whole,
  oneOf("full", "witness"),
  nullable(text),
  notNegative,
  nullable(memberAddress),
);
const isWhole = fields({ greatestSlot: whole, retired: list(text) });

const done: MemberResult = { t: "member", ok: true };
const refused = (why: MemberRefusal): MemberResult => ({ t: "member", ok: false, why });

export class Membership {
  readonly #members = new Map<GatewayId, Member>();
  readonly #retired = new Set<Incarnation>();
  #greatestSlot = -1;
  #ring: RingState | undefined;

  members(): ReadonlyMap<GatewayId, Member> {
    return this.#members;
  }

  retired(): ReadonlySet<Incarnation> {
    return this.#retired;
  }

  ring(): RingState | undefined {
    return this.#ring;
  }

  memberOf(id: MemberId): Member | undefined {
    for (const member of this.#members.values()) if (member.memberId === id) return member;
    return undefined;
  }

  /** Gateways that keep readings and results, those that are only expected left out. */
  fullGateways(): GatewayId[] {
    return [...this.#members.values()].filter(isFullAndHere).map((member) => member.id);
  }

  found(command: BootstrapCommand): void {
    const ring = foundRing(command.owners);
    assert(ring.ok, "the site's first entry holds an owner table");
    this.#ring = ring.value;
    for (const { id, incarnation, slot, role, zone, weight, address } of command.gateways) {
      this.#members.set(id, {
        id,
        memberId: memberId(id),
        incarnation,
        slot,
        role: role ?? "full",
        zone,
        weight: weight ?? 1,
        address,
      });
      this.#greatestSlot = Math.max(this.#greatestSlot, slot);
    }
  }

  add(command: GatewayAddCommand): MemberResult {
    const { gateway: id, role, zone, weight, address } = command;
    if (this.#members.has(id)) return refused("exists");
    const slot = this.#freeSlot();
    if (slot === undefined) return refused("slots-full");
    this.#greatestSlot = Math.max(this.#greatestSlot, slot);
    this.#members.set(id, { id, memberId: undefined, incarnation: undefined, slot, role, zone, weight, address });
    return done;
  }

  admit(command: GatewayAdmitCommand, freePlaces: FreePlaces): MemberResult {
    const { gateway, incarnation } = command;
    const member = this.#members.get(gateway);
    if (member === undefined) return refused("unknown");
    // A repetition, whose first answer was lost.
    if (member.incarnation === incarnation) return done;
    if (member.incarnation !== undefined || this.#isTaken(incarnation)) return refused("not-expected");
    const id = memberIdOf(gateway, incarnation, undefined);
    this.#members.set(gateway, { ...member, incarnation, memberId: id });
    // One that was replaced has its places already, as filling ones.
    if (freePlaces !== "wait" && member.role === "full" && this.#ring !== undefined && !this.#isOwner(gateway))
      this.#ring = addOwner(this.#ring, { gateway, factor: freePlaces.factor });
    return done;
  }

  /** How far the stamps of the folder that is given up went nobody knows any more: the next one's end in another slot, where there is one. */
  replace(command: GatewayReplaceCommand, slots: "kept" | "new"): MemberResult {
    const { gateway } = command;
    const member = this.#members.get(gateway);
    if (member === undefined) return refused("unknown");
    if (member.incarnation === undefined) return done;
    if (isAnother(member, command.incarnation)) return refused("not-expected");
    if (member.role === "full" && this.#ring !== undefined && this.#isOwner(gateway)) {
      if (mayLose(this.#ring, gateway).ok) this.#ring = replaceOwner(this.#ring, gateway);
      else if (command.force) this.#ring = replaceOwnerByForce(this.#ring, gateway);
      else return refused("under-replicated");
    }
    this.#retire(member.incarnation);
    const slot = (slots === "new" ? this.#freeSlot() : undefined) ?? member.slot;
    this.#greatestSlot = Math.max(this.#greatestSlot, slot);
    this.#members.set(gateway, { ...member, slot, incarnation: undefined, memberId: undefined });
    return done;
  }

  /** Another share or zone: the places follow by and by. */
  update(command: GatewayUpdateCommand): MemberResult {
    const { gateway, weight, zone } = command;
    const member = this.#members.get(gateway);
    if (member === undefined) return refused("unknown");
    const changed = { weight: weight ?? member.weight, zone: zone === undefined ? member.zone : (zone ?? undefined) };
    this.#members.set(gateway, { ...member, ...changed });
    return done;
  }

  /** Places go to members that are there, under the table that they were planned for. */
  changePlaces(command: OwnerPlacesCommand, factor: number): MemberResult {
    if (this.#ring === undefined) return refused("unknown");
    if (this.#ring.table.epoch !== command.epoch) return refused("not-expected");
    const full = new Set(this.fullGateways());
    const changes: PlaceChange[] = [];
    for (const { from, to, partitions } of command.changes)
      if (full.has(to)) for (const at of partitionsIn(partitions)) changes.push({ partition: at, from: from ?? undefined, to });
    this.#ring = changePlaces(this.#ring, { changes, factor });
    return done;
  }

  cancelMoves({ epoch, gateway }: MovesCancelCommand): MemberResult {
    if (this.#ring === undefined) return refused("unknown");
    if (this.#ring.table.epoch !== epoch) return refused("not-expected");
    this.#ring = cancelMoves(this.#ring, gateway);
    return done;
  }

  remove(command: GatewayRemoveCommand, freePlaces: FreePlaces): MemberResult {
    const { gateway } = command;
    const member = this.#members.get(gateway);
    if (member === undefined) return refused("unknown");
    if (isAnother(member, command.incarnation)) return refused("not-expected");
    if (member.role === "full") {
      const heirs = this.fullGateways().filter((other) => other !== gateway);
      if (heirs.length === 0) return refused("last");
      const ring = this.#ringWithout(gateway, { heirs, force: command.force, freePlaces });
      if (ring === "refused") return refused("under-replicated");
      this.#ring = ring;
    }
    if (member.incarnation !== undefined) this.#retire(member.incarnation);
    this.#members.delete(gateway);
    return done;
  }

  /** An owner has caught up with its fellow owners, under the table that still stands. */
  filled(command: OwnerFilledCommand): MemberResult {
    const { gateway, incarnation, epoch, partitions } = command;
    if (this.#ring === undefined || this.#members.get(gateway)?.incarnation !== incarnation) return refused("unknown");
    if (this.#ring.table.epoch !== epoch) return refused("not-expected");
    this.#ring = ownerFilled(this.#ring, { gateway, partitions });
    return done;
  }

  #ringWithout(
    gateway: GatewayId,
    options: { readonly heirs: readonly GatewayId[]; readonly force: boolean; readonly freePlaces: FreePlaces },
  ): RingState | undefined | "refused" {
    const { heirs, force, freePlaces } = options;
    if (this.#ring === undefined || !this.#isOwner(gateway)) return this.#ring;
    if (mayLose(this.#ring, gateway).ok) {
      const without = removeOwner(this.#ring, gateway);
      return freePlaces === "wait" ? without : this.#takenOver(without, heirs);
    }
    return force ? removeOwnerByForce(this.#ring, gateway, heirs) : "refused";
  }

  /** Places that became free go to those who own least, who fill them. */
  #takenOver(ring: RingState, heirs: readonly GatewayId[]): RingState {
    const { factor } = ring.table;
    const load = (gateway: GatewayId) => partitionsOf(ring.table, gateway).length;
    const byLoad = heirs
      .map((gateway) => ({ gateway, owned: load(gateway) }))
      .sort((a, b) => a.owned - b.owned || (a.gateway < b.gateway ? -1 : 1));
    return byLoad.reduce((taken, { gateway }) => addOwner(taken, { gateway, factor }), ring);
  }

  #isOwner(gateway: GatewayId): boolean {
    return this.#ring !== undefined && partitionsOf(this.#ring.table, gateway).length > 0;
  }

  /** The next one that was never used, so that no timestamp of a gateway that left meets one of another. */
  #freeSlot(): number | undefined {
    if (this.#greatestSlot < slotMax) return this.#greatestSlot + 1;
    const used = new Set([...this.#members.values()].map((member) => member.slot));
    for (let slot = 0; slot <= slotMax; slot++) if (!used.has(slot)) return slot;
    return undefined;
  }

  #isTaken(incarnation: Incarnation): boolean {
    if (this.#retired.has(incarnation)) return true;
    for (const member of this.#members.values()) if (member.incarnation === incarnation) return true;
    return false;
  }

  #retire(incarnation: Incarnation): void {
    this.#retired.add(incarnation);
    for (const oldest of this.#retired) {
      if (this.#retired.size <= retiredMax) break;
      this.#retired.delete(oldest);
    }
  }

  capture(): Part[] {
    const members = [...this.#members.values()];
    const ring = this.#ring;
    const retired = [...this.#retired];
    const greatestSlot = this.#greatestSlot;
    const rest = (): Whole => ({ greatestSlot, retired, ring: ring === undefined ? null : encodeRing(ring) });
    return [
      { section: Section.Member, size: members.length, item: (at) => itemOf(members[at] as Member) },
      { section: Section.Membership, size: 1, item: rest },
    ];
  }

  restoreMember(item: unknown): boolean {
    if (!isItem(item)) return false;
    const [id, member, incarnation, slot, role, zone, weight, address] = item as Item;
    this.#members.set(gatewayId(id), {
      id: gatewayId(id),
      memberId: member === null ? undefined : memberId(member),
      incarnation: incarnation === null ? undefined : incarnationOf(incarnation),
      slot,
      role,
      zone: zone ?? undefined,
      weight,
      address: address ?? undefined,
    });
    return true;
  }

  restoreRest(item: unknown): boolean {
    if (!isWhole(item)) return false;
    const { greatestSlot, retired, ring } = item as Whole;
    this.#greatestSlot = greatestSlot;
    for (const one of retired) this.#retired.add(incarnationOf(one));
    if (ring === null) return true;
    const decoded = decodeRing(ring);
    if (decoded.ok) this.#ring = decoded.value;
    return decoded.ok;
  }

  picture(): unknown {
    const members = [...this.#members.values()].map(itemOf).sort((a, b) => (a[0] < b[0] ? -1 : 1));
    return [members, this.#greatestSlot, [...this.#retired], this.#ring && pictureOf(this.#ring)];
  }
}

/** With checksums for the long parts, because pictures are compared often. */
function pictureOf(ring: RingState): unknown {
  const { table, filling, moves = [] } = encodeRing(ring);
  return [
    table.epoch,
    table.factor,
    table.sets,
    crc32c(table.partitions),
    filling.map((one) => [one.gateway, crc32c(one.partitions)]),
    moves.map((one) => [one.from, one.to, crc32c(one.partitions)]),
  ];
}

/** The gateway has another folder than the one that was meant. */
function isAnother(member: Member, meant: Incarnation | undefined): boolean {
  return meant !== undefined && member.incarnation !== undefined && member.incarnation !== meant;
}

function isFullAndHere(member: Member): boolean {
  return member.role === "full" && member.memberId !== undefined;
}

function itemOf(member: Member): Item {
  const { id, slot, role, zone, weight, address } = member;
  return [id, member.memberId ?? null, member.incarnation ?? null, slot, role, zone ?? null, weight, address ?? null];
}
