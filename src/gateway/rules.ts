/** Rules of a gateway that tests substitute to plant bugs. What is absent is as it should be. */

import type { RaftRules } from "../core/raft/rules.ts";
import type { copiesRequired, takesEpoch } from "../core/replica/rules.ts";
import type { fillSources } from "../core/ring/owner-changes.ts";
import type { Digest, sameDigest } from "../series/digest.ts";
import type { mayForgetKept } from "./hints/hints.ts";
import type { agreementOf } from "./site-clock.ts";

export interface GatewayRules {
  readonly raft?: Partial<RaftRules>;
  readonly copiesRequired?: typeof copiesRequired;
  readonly takesEpoch?: typeof takesEpoch;
  /** What of a digest owners compare: all of it when absent. */
  readonly comparableDigest?: (digest: Digest) => Digest;
  /** Whether what an owner lacked, and lacks a moment later, is not on its way. */
  readonly isSettled?: typeof sameDigest;
  readonly clockAgreement?: typeof agreementOf;
  readonly mayForgetKept?: typeof mayForgetKept;
  readonly fillSources?: typeof fillSources;
  /** How many clocks agree with the own one, of those that are heard. */
  readonly clocksNear?: (near: number, gateways: number) => number;
}
