/**
 * What must hold after every event at every gateway: the properties of Raft's figure 3, and that terms, votes and what
 * is durable stay, also across restarts. A checker reads; it never changes what it watches. It looks at what is new
 * since it looked last, so that it may look after every event.
 */

import type { Entry } from "../core/raft/messages.ts";
import type { RaftView } from "../core/raft/raft-node.ts";
import type { SiteState } from "../core/site/site-state.ts";
import type { GatewayId } from "../lib/ids.ts";
import { LogBook } from "./log-book.ts";
import { isSameValue } from "./same-value.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import { SafetyViolation } from "./violations.ts";

/** A node as a checker sees it. */
export interface WatchedNode {
  readonly view: () => RaftView;
  readonly entryAt: (index: number) => Entry | undefined;
}

/** The node that a gateway runs now. */
export interface Watchable {
  readonly id: GatewayId;
  /** The same object as long as the same process runs. */
  readonly node: WatchedNode;
  /** Counts up when the disk loses what was durable: wiped, old or damaged. Nothing is expected of it across that. */
  readonly losses: number;
}

interface Watched {
  readonly node: WatchedNode;
  view: RaftView;
}

/** What the disk of a gateway must still know after a restart. */
interface Floor {
  readonly losses: number;
  /** The last term in which it led: its vote for itself was durable before it asked for others. */
  ledTerm: number;
  durableIndex: number;
  durableTerm: number;
}

interface Committed {
  readonly term: number;
  /** The term in which it was committed, or a later one: who saw it first had this term. */
  readonly inTerm: number;
}

export class RaftChecker {
  readonly #leaders = new Map<number, GatewayId>();
  /** By index - 1. Terms suffice: what an index and a term mean is the log book's business. */
  readonly #committed: (Committed | undefined)[] = [];
  readonly #watched = new Map<GatewayId, Watched>();
  readonly #floors = new Map<GatewayId, Floor>();
  readonly #book = new LogBook();

  /** Looks at one gateway; cheap when nothing changed. */
  observe(gateway: SimulatedGateway): void {
    const node = gateway.running()?.gateway.serving()?.consensus;
    if (node === undefined) this.#watched.delete(gateway.id);
    else this.observeNode({ id: gateway.id, node, losses: gateway.disk.losses });
  }

  observeNode(subject: Watchable): void {
    const { id, node } = subject;
    const view = node.view();
    const known = this.#watched.get(id);
    const before = known?.node === node ? known.view : undefined;
    if (before !== undefined && (before === view || isSame(before, view))) return;
    if (before === undefined) this.#checkRestart(subject, view);
    else checkProgress(id, before, view);
    if (view.appliedIndex > view.commitIndex)
      throw new SafetyViolation(`${id} applied entry ${view.appliedIndex}, and only ${view.commitIndex} are committed`);
    this.#book.read({ id, node, view, before });
    if (view.role === "leader") this.#checkLeader(subject, view, before);
    this.#checkCommitted(subject, view, before?.commitIndex ?? 0);
    this.#raiseFloor(subject, view);
    this.#watched.set(id, { node, view });
  }

  /** Gateways that applied the same index are in the same state. */
  compareStates(gateways: readonly SimulatedGateway[]): void {
    const byIndex = new Map<number, { readonly id: GatewayId; readonly state: SiteState; picture: unknown }>();
    for (const gateway of gateways) {
      const state = gateway.running()?.gateway.serving()?.state;
      if (state === undefined) continue;
      const other = byIndex.get(state.appliedIndex());
      if (other === undefined) {
        byIndex.set(state.appliedIndex(), { id: gateway.id, state, picture: undefined });
        continue;
      }
      other.picture ??= other.state.snapshot();
      if (!isSameValue(other.picture, state.snapshot()))
        throw new SafetyViolation(`${gateway.id} and ${other.id} applied ${state.appliedIndex()} entries and differ`);
    }
  }

  /** The highest index that anybody was seen to have committed. */
  committed(): number {
    return this.#committed.length;
  }

  /** What the last process made durable, or told, stands on a disk that lost nothing. */
  #checkRestart({ id, node, losses }: Watchable, view: RaftView): void {
    const floor = this.#floors.get(id);
    if (floor === undefined || floor.losses !== losses) {
      this.#floors.delete(id);
      return;
    }
    const term = Math.max(floor.ledTerm, floor.durableTerm);
    if (view.term < term) throw new SafetyViolation(`${id} went back to term ${view.term} by a restart, from ${term} at least`);
    if (floor.ledTerm > 0 && view.term === floor.ledTerm && view.votedFor !== view.self)
      throw new SafetyViolation(`${id} forgot its vote for itself in term ${view.term}, in which it led`);
    if (view.lastIndex < floor.durableIndex)
      throw new SafetyViolation(`${id} has entries up to ${view.lastIndex} after a restart, and had made ${floor.durableIndex} durable`);
    const entry = node.entryAt(floor.durableIndex);
    if (entry !== undefined && entry.term !== floor.durableTerm)
      throw new SafetyViolation(
        `${id} has entry ${floor.durableIndex} of term ${entry.term} after a restart, and had made one of ${floor.durableTerm} durable`,
      );
  }

  #raiseFloor({ id, node, losses }: Watchable, view: RaftView): void {
    let floor = this.#floors.get(id);
    if (floor === undefined || floor.losses !== losses) {
      floor = { losses, ledTerm: 0, durableIndex: 0, durableTerm: 0 };
      this.#floors.set(id, floor);
    }
    if (view.role === "leader") floor.ledTerm = view.term;
    const entry = node.entryAt(view.durableIndex);
    // Behind a snapshot it is not there to be compared.
    floor.durableIndex = entry === undefined ? 0 : view.durableIndex;
    floor.durableTerm = entry?.term ?? 0;
  }

  #checkLeader({ id, node }: Watchable, view: RaftView, before: RaftView | undefined): void {
    const known = this.#leaders.get(view.term);
    if (known !== undefined && known !== id) throw new SafetyViolation(`${known} and ${id} both lead in term ${view.term}`);
    this.#leaders.set(view.term, id);
    if (before?.role !== "leader" || before.term !== view.term) {
      this.#checkComplete(id, node, view);
      return;
    }
    // Leader append-only: what it had in this term is all still there.
    if (view.lastIndex < before.lastIndex)
      throw new SafetyViolation(`${id} leads in term ${view.term} and cut its log from ${before.lastIndex} to ${view.lastIndex} entries`);
    const last = node.entryAt(before.lastIndex);
    if (last !== undefined && last.term !== before.lastTerm)
      throw new SafetyViolation(`${id} leads in term ${view.term} and wrote over entry ${before.lastIndex}`);
  }

  /** Leader completeness: a leader has what was committed in earlier terms, of which the last one stands for all. */
  #checkComplete(id: GatewayId, node: WatchedNode, view: RaftView): void {
    for (let index = this.#committed.length; index >= Math.max(1, view.firstIndex); index--) {
      const committed = this.#committed[index - 1];
      if (committed === undefined || committed.inTerm >= view.term) continue;
      checkHas(id, node, view, index, committed);
      return;
    }
  }

  #checkCommitted({ id, node }: Watchable, view: RaftView, from: number): void {
    for (let index = Math.max(from + 1, view.firstIndex); index <= view.commitIndex; index++) {
      const entry = node.entryAt(index);
      if (entry === undefined) throw new SafetyViolation(`${id} committed entry ${index} and does not have it`);
      const known = this.#committed[index - 1];
      if (known === undefined) this.#firstCommitted(index, { term: entry.term, inTerm: view.term });
      else if (known.term !== entry.term)
        throw new SafetyViolation(`${id} committed entry ${index} of term ${entry.term}, another gateway one of term ${known.term}`);
    }
  }

  #firstCommitted(index: number, committed: Committed): void {
    this.#committed[index - 1] = committed;
    // Whoever leads in a later term already must have it too.
    for (const [id, { node, view }] of this.#watched)
      if (view.role === "leader" && view.term > committed.inTerm) checkHas(id, node, view, index, committed);
  }
}

function isSame(a: RaftView, b: RaftView): boolean {
  return (
    a.commitIndex === b.commitIndex &&
    a.lastIndex === b.lastIndex &&
    a.durableIndex === b.durableIndex &&
    a.term === b.term &&
    a.role === b.role &&
    a.votedFor === b.votedFor &&
    a.lastTerm === b.lastTerm &&
    a.appliedIndex === b.appliedIndex &&
    a.firstIndex === b.firstIndex
  );
}

/** Within one process. */
function checkProgress(id: GatewayId, before: RaftView, view: RaftView): void {
  if (before.term > view.term) throw new SafetyViolation(`${id} went back from term ${before.term} to ${view.term}`);
  if (before.term === view.term && before.votedFor !== undefined && before.votedFor !== view.votedFor)
    throw new SafetyViolation(`${id} voted for ${before.votedFor} and ${view.votedFor ?? "nobody"} in term ${view.term}`);
  if (before.commitIndex > view.commitIndex)
    throw new SafetyViolation(`${id} went back from commit index ${before.commitIndex} to ${view.commitIndex}`);
  if (before.appliedIndex > view.appliedIndex)
    throw new SafetyViolation(`${id} went back from applied index ${before.appliedIndex} to ${view.appliedIndex}`);
}

function checkHas(id: GatewayId, node: WatchedNode, view: RaftView, index: number, { term, inTerm }: Committed): void {
  if (index < view.firstIndex) return;
  const entry = node.entryAt(index);
  if (entry?.term !== term)
    throw new SafetyViolation(
      `${id} leads in term ${view.term} without the committed entry ${index} of term ${term}, which was committed in term ${inTerm}; it has ${entry === undefined ? "none" : `one of term ${entry.term}`}`,
    );
}
