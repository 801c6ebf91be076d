/** How a gateway's data folder is named as a member of the Raft group: the same on all gateways, from what each can know. */

import { type GatewayId, gatewayId, type Incarnation, type MemberId, memberId } from "../../lib/ids.ts";
import type { BootstrapCommand } from "./commands.ts";

/** Digits of an incarnation that tell a gateway's later data folders apart. */
const incarnationDigits = 16;
const separator = "~";

/** A folder of the founding has its gateway's id; a later one has a part of its incarnation behind that. */
export function memberIdOf(gateway: GatewayId, incarnation: Incarnation, bootstrap: BootstrapCommand | undefined): MemberId {
  const founder = bootstrap?.gateways.some((one) => one.id === gateway && one.incarnation === incarnation) === true;
  return founder ? memberId(gateway) : memberId(`${gateway}${separator}${incarnation.slice(0, incarnationDigits)}`);
}

export function gatewayOfMember(member: MemberId): GatewayId {
  const end = member.indexOf(separator);
  return gatewayId(end < 0 ? member : member.slice(0, end));
}
