/** Who is there, by the site's state, or by the list that it began with: gateways by name, and Raft's members by their folders. */

import type { BootstrapCommand } from "../core/site/commands.ts";
import { gatewayOfMember, memberIdOf } from "../core/site/member-id.ts";
import type { SiteState } from "../core/site/site-state.ts";
import type { GatewayId, Incarnation, MemberId } from "../lib/ids.ts";

export interface RosterOptions {
  readonly self: GatewayId;
  readonly incarnation: Incarnation;
  readonly bootstrap: BootstrapCommand;
  readonly state: SiteState;
  /** The folder that a peer is admitted with; `undefined` while it is not. */
  readonly incarnationOf: (peer: GatewayId) => Incarnation | undefined;
}

export class Roster {
  readonly #options: RosterOptions;
  readonly selfMember: MemberId;

  constructor(options: RosterOptions) {
    this.#options = options;
    this.selfMember = memberIdOf(options.self, options.incarnation, options.bootstrap);
  }

  /** Members that keep readings and are there: what jobs and results go to. */
  gateways(): GatewayId[] {
    const { state, bootstrap } = this.#options;
    const members = [...state.members().values()].filter((member) => member.role === "full" && member.memberId !== undefined);
    return members.length > 0 ? members.map((member) => member.id) : bootstrap.gateways.map((gateway) => gateway.id);
  }

  /** How many members are there; witnesses too: they have clocks. */
  count(): number {
    const { state, bootstrap } = this.#options;
    const members = [...state.members().values()].filter((member) => member.memberId !== undefined);
    return members.length > 0 ? members.length : bootstrap.gateways.length;
  }

  /** By the folder that the peer is admitted with: a member's name never stands for another folder of its gateway. */
  memberOf(gateway: GatewayId): MemberId | undefined {
    const { incarnationOf, bootstrap } = this.#options;
    const incarnation = incarnationOf(gateway);
    return incarnation === undefined ? undefined : memberIdOf(gateway, incarnation, bootstrap);
  }

  gatewayOf(member: MemberId): GatewayId | undefined {
    if (member === this.selfMember) return this.#options.self;
    const gateway = gatewayOfMember(member);
    return this.memberOf(gateway) === member ? gateway : undefined;
  }
}
