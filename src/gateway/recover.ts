/**
 * The last way out: when the majority of the voters is lost for good, one stopped gateway is made the whole site, from what
 * its folder holds. Everything in its log counts as committed from now on, it is the only voter, and all other gateways are
 * given up, so that none of their folders is ever listened to again. One record, one fsync: done or not done.
 */

import { votersOnly } from "../core/raft/configuration.ts";
import { encodeConfiguration } from "../core/raft/configuration-codec.ts";
import type { Entry } from "../core/raft/messages.ts";
import { encodeRecord } from "../core/raft/record-codec.ts";
import { decodeCommand, encodeCommand } from "../core/site/command-codec.ts";
import type { SiteCommand } from "../core/site/commands.ts";
import { featureLevels } from "../core/site/features.ts";
import { memberIdOf } from "../core/site/member-id.ts";
import { SiteState } from "../core/site/site-state.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";
import { Packing } from "../lib/packing.ts";
import { defaultTuning, type GatewayPorts } from "./context.ts";
import { type Identity, openIdentity } from "./identity.ts";
import { type OpenedRaft, openRaft } from "./raft-disk.ts";

export type RecoverPorts = Pick<GatewayPorts, "documents" | "entropy" | "logs" | "snapshots" | "diagnostics">;

export interface RecoverAloneOptions {
  readonly site: string;
  readonly self: GatewayId;
}

export interface RecoveredSite {
  /** Where Raft's log goes on. */
  readonly term: number;
  readonly lastIndex: number;
  /** The gateways that the site had besides. */
  readonly removed: readonly GatewayId[];
  /** Entries that were on this disk without being known to be committed, and that count from now on. */
  readonly entriesUncertain: number;
}

/** Fails like a start where the folder is not that of a member, and with `log-damaged` where its log lacks entries. */
export async function recoverAlone(ports: RecoverPorts, options: RecoverAloneOptions): Promise<Result<RecoveredSite>> {
  const packing = new Packing();
  const { documents, entropy, diagnostics } = ports;
  const identity = await openIdentity({ documents, entropy, packing, site: options.site, gateway: options.self });
  if (!identity.ok) return identity;
  if (identity.value.stage !== "member")
    return failure("data-foreign", `the data folder of ${options.self} has never been that of a member: there is nothing to recover in it`);
  const raft = await openRaft({ ports, packing, diagnostics, tuning: defaultTuning }, identity.value);
  if (!raft.ok) return raft;
  try {
    return await recover(raft.value, identity.value, packing);
  } finally {
    await raft.value.raftLog.close();
  }
}

async function recover(raft: OpenedRaft, identity: Identity, packing: Packing): Promise<Result<RecoveredSite>> {
  const { restoredRaft, raftLog } = raft;
  if (restoredRaft.impairedUntil !== undefined)
    return failure(
      "log-damaged",
      `the log of ${identity.gateway} is damaged: it once had entries up to ${restoredRaft.impairedUntil}. Recover from another gateway, if there is one`,
    );
  const state = stateOf(raft, packing);
  if (!state.ok) return state;
  const removed = [...state.value.members().keys()].filter((gateway) => gateway !== identity.gateway);
  const lastIndex = restoredRaft.snapshot.index + restoredRaft.entries.length;
  const self = memberIdOf(identity.gateway, identity.incarnation, identity.bootstrap);
  const term = restoredRaft.hardState.term + 1;
  const commands: SiteCommand[] = [
    { t: "feature-level", level: featureLevels.max },
    ...removed.map((gateway): SiteCommand => ({ t: "gateway-remove", gateway, force: true })),
  ];
  const entries: Entry[] = [{ index: lastIndex + 1, term, kind: "configuration", command: encodeConfiguration(votersOnly([self])) }];
  for (const command of commands)
    entries.push({ index: lastIndex + 1 + entries.length, term, kind: "command", command: encodeCommand(command, packing) });
  const newLast = lastIndex + entries.length;
  const hardState = { term, votedFor: self, commitIndex: newLast };
  const record = encodeRecord({ hardState, base: undefined, firstIndex: lastIndex + 1, entries, lastIndex: newLast });
  await new Promise<void>((resolve, reject) => {
    if (raftLog.append([record], resolve) === undefined) reject(new Error("an idle log had no room"));
  });
  return success({ term, lastIndex: newLast, removed, entriesUncertain: lastIndex - restoredRaft.hardState.commitIndex });
}

/** What the log adds up to when all of it counts. */
function stateOf({ restoredRaft, restoredState }: OpenedRaft, packing: Packing): Result<SiteState> {
  const state = new SiteState();
  const restored = restoredState === undefined ? success(undefined) : state.restore(restoredState, packing);
  if (!restored.ok) return restored;
  for (const entry of restoredRaft.entries) {
    const decoded = entry.kind === "command" ? decodeCommand(entry.command, packing) : undefined;
    state.apply(entry.index, decoded?.ok === true ? decoded.value : undefined);
  }
  return success(state);
}
