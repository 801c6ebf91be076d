import type { GatewayId } from "../../lib/ids.ts";

/** An owner table as it stands in a Raft command: plain arrays, whatever the planner's own form is. */
export interface OwnerTableRecord {
  readonly epoch: number;
  readonly factor: number;
  /** Distinct ordered owner lists. */
  readonly ownerSets: readonly (readonly GatewayId[])[];
  /** Partition -> index into `ownerSets`; 1,024 entries. */
  readonly partitionSets: readonly number[];
}
