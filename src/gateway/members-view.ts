/** The site's gateways as this one sees them: from the site's own list, and before that is known from the YAML's. */

import type { GatewaySettings } from "../config/settings.ts";
import { partitionsOf } from "../core/ring/owner-table.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { Gateway } from "./gateway.ts";
import type { GatewayView, MemberState } from "./service.ts";
import type { Serving } from "./serving.ts";

export class MembersView {
  readonly #gateway: Gateway;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  views(): readonly GatewayView[] {
    const serving = this.#gateway.serving();
    const owned = this.owned(serving);
    return this.of(serving).map((member) => this.#viewOf(serving, member, owned[member.id] ?? 0));
  }

  of(serving: Serving | undefined): readonly MemberState[] {
    return serving?.membership.members() ?? this.#gateway.settings.gateways.map((settings) => this.#listed(serving, settings));
  }

  /** What the YAML says of a gateway, for as long as the site's own list is not known here. */
  #listed(serving: Serving | undefined, { id, host, role, zone, weight, listen }: GatewaySettings): MemberState {
    const incarnation = serving?.bootstrap.gateways.find((gateway) => gateway.id === id)?.incarnation;
    return {
      id,
      kind: role,
      membership: incarnation === undefined ? "expected" : "voter",
      incarnation,
      zone,
      weight,
      address: { host, mqtt: listen.mqtt.port, mesh: listen.mesh.port, http: listen.http.port },
      matchIndex: undefined,
      filling: 0,
      leaving: 0,
      planned: 0,
    };
  }

  #viewOf(serving: Serving | undefined, member: MemberState, partitions: number): GatewayView {
    const { id, kind, membership, incarnation, zone, weight, address, filling, leaving, planned, matchIndex } = member;
    const note = this.#gateway.peerNotes().get(id);
    // Where a listener is bound to one address only the YAML knows it.
    const listen = this.#gateway.settings.gateways.find((settings) => settings.id === id)?.listen;
    return {
      id,
      host: address.host,
      zone,
      weight,
      up: id === this.#gateway.self || this.#gateway.router()?.reachable(id) === true,
      role: this.#roleOf(serving, id),
      kind,
      membership,
      incarnation,
      partitions,
      filling,
      leaving,
      planned,
      ...(matchIndex === undefined ? {} : { matchIndex }),
      ...(note === undefined ? {} : { note }),
      mqtt: endpoint(address.host, listen?.mqtt.host, address.mqtt),
      http: endpoint(address.host, listen?.http.host, address.http),
    };
  }

  /** Partitions of each. */
  owned(serving: Serving | undefined): Record<string, number> {
    if (serving === undefined) return {};
    const table = serving.replication.table();
    return Object.fromEntries(this.of(serving).map(({ id }) => [id, partitionsOf(table, id).length]));
  }

  #roleOf(serving: Serving | undefined, id: GatewayId): string {
    if (serving === undefined) return "none";
    if (id === this.#gateway.self) return serving.consensus.role();
    // Of a gateway that does not answer the last word may be old.
    if (this.#gateway.router()?.reachable(id) !== true) return "unknown";
    return serving.consensus.leader() === id ? "leader" : "follower";
  }
}

function endpoint(host: string, bound: string | undefined, port: number): string {
  return `${bound === undefined || bound === "0.0.0.0" ? host : bound}:${port}`;
}
