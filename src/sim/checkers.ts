/**
 * What must hold after every event: at most one leader a term, no term that falls, committed entries that stay and are
 * the same everywhere, equal states at equal positions. A checker reads; it never changes what it watches.
 */

import type { Serving } from "../gateway/serving.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";

export class SafetyViolation extends Error {
  override readonly name = "SafetyViolation";
}

interface Watched {
  serving: Serving;
  term: number;
  commitIndex: number;
}

export class RaftChecker {
  readonly #leaders = new Map<number, GatewayId>();
  /** Term and command of each committed entry, as first seen by anybody. */
  readonly #committed: string[] = [];
  readonly #watched = new Map<GatewayId, Watched>();

  /** Looks at one gateway; cheap when nothing changed. */
  observe(gateway: SimulatedGateway): void {
    const serving = gateway.running()?.gateway.serving();
    if (serving === undefined) {
      this.#watched.delete(gateway.id);
      return;
    }
    const { role, term, commitIndex } = serving.consensus.view();
    const before = this.#watched.get(gateway.id);
    const fresh = before === undefined || before.serving !== serving;
    if (!fresh && before.term > term) throw new SafetyViolation(`${gateway.id} went back from term ${before.term} to ${term}`);
    if (!fresh && before.commitIndex > commitIndex)
      throw new SafetyViolation(`${gateway.id} went back from commit index ${before.commitIndex} to ${commitIndex}`);
    if (role === "leader") this.#checkLeader(gateway.id, term);
    this.#checkCommitted(gateway.id, serving, { from: fresh ? 1 : before.commitIndex + 1, to: commitIndex });
    this.#watched.set(gateway.id, { serving, term, commitIndex });
  }

  /** Gateways that applied the same index are in the same state. */
  compareStates(gateways: readonly SimulatedGateway[]): void {
    const byIndex = new Map<number, { readonly id: GatewayId; readonly picture: string }>();
    for (const gateway of gateways) {
      const state = gateway.running()?.gateway.serving()?.state;
      if (state === undefined) continue;
      const picture = JSON.stringify(state.snapshot());
      const other = byIndex.get(state.appliedIndex());
      if (other !== undefined && other.picture !== picture)
        throw new SafetyViolation(`${gateway.id} and ${other.id} applied ${state.appliedIndex()} entries and differ`);
      byIndex.set(state.appliedIndex(), { id: gateway.id, picture });
    }
  }

  committed(): number {
    return this.#committed.length;
  }

  #checkLeader(id: GatewayId, term: number): void {
    const known = this.#leaders.get(term);
    if (known !== undefined && known !== id) throw new SafetyViolation(`${known} and ${id} both lead in term ${term}`);
    this.#leaders.set(term, id);
  }

  #checkCommitted(id: GatewayId, serving: Serving, range: { readonly from: number; readonly to: number }): void {
    for (let index = range.from; index <= range.to; index++) {
      const entry = serving.consensus.entryAt(index);
      if (entry === undefined) throw new SafetyViolation(`${id} committed entry ${index} and does not have it`);
      const picture = `${entry.term} ${entry.kind} ${fingerprint(entry.command)}`;
      const known = this.#committed[index - 1];
      if (known === undefined && index === this.#committed.length + 1) this.#committed.push(picture);
      else if (known !== picture)
        throw new SafetyViolation(`${id} committed entry ${index} as (${picture}), another gateway as (${known ?? "nothing"})`);
    }
  }
}

function fingerprint(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${bytes.length}:${(hash >>> 0).toString(16)}`;
}
