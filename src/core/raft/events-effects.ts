/**
 * What goes into a `RaftNode` and what comes out. Events are taken one at a time; effects are appended to the caller's
 * list in the order in which they are to be carried out. Both unions are closed.
 */
import type { MemberId } from "../../lib/ids.ts";
import type { ConfigurationRecord } from "./configuration.ts";
import type { Entry, HardState, RaftMessage, SnapshotMeta } from "./messages.ts";

/** Chosen by the caller, unique among its open proposals (or reads). */
export type RequestId = number;

export interface Proposal {
  readonly requestId: RequestId;
  /** Opaque to Raft. Not changed afterwards. */
  readonly command: Uint8Array;
}

export type RaftEvent =
  /** Time has passed: due at `nextDeadlineMs()`, harmless at any other moment. */
  | { readonly type: "tick" }
  /** As if the election timeout had passed now. Nothing happens at a leader, or where this node may not stand. */
  | { readonly type: "campaign" }
  /** A decoded message; `from` is authenticated by the transport. */
  | { readonly type: "message"; readonly from: MemberId; readonly message: RaftMessage }
  /** Many at once share one record and one message per follower. */
  | { readonly type: "propose"; readonly proposals: readonly Proposal[] }
  /** The record of `token`, and every one before it, is fsynced. */
  | { readonly type: "durable"; readonly token: number }
  | { readonly type: "read-index"; readonly requestId: RequestId }
  /**
   * Change the membership to this configuration: one voter more or less at most, one change at a time, and not before the
   * leader's no-op is committed. Answered like a proposal.
   */
  | { readonly type: "change-configuration"; readonly requestId: RequestId; readonly configuration: ConfigurationRecord }
  /** Pass leadership on, to the most complete voter where `to` is not given; ends with `transfer-ended`. */
  | { readonly type: "transfer-leadership"; readonly to: MemberId | undefined }
  /** A snapshot of the state at this applied position is on disk: the log up to there may go. */
  | { readonly type: "snapshot-stored"; readonly index: number }
  /** The snapshot that `fetch-snapshot` asked for is on disk, verified. A late one does no harm. */
  | { readonly type: "snapshot-received"; readonly from: MemberId; readonly snapshot: SnapshotMeta }
  /** Hints of the transport: they only make things faster. */
  | { readonly type: "peer-up"; readonly peer: MemberId }
  | { readonly type: "peer-down"; readonly peer: MemberId };

/** One record of the write-ahead log. Entries replace everything at and above `firstIndex`. See `record-codec.ts`. */
export interface RaftRecord {
  /** Always there since version 2 of the format. */
  readonly hardState: HardState;
  /** A snapshot at this position is on disk: entries up to it are gone; those behind stay only if the entry there had this term. */
  readonly base: SnapshotMeta | undefined;
  /** Index of `entries[0]`; 0 when there are none. */
  readonly firstIndex: number;
  readonly entries: readonly Entry[];
  /** Greatest index that this node's log has after this record, or is known to have had (while it heals). */
  readonly lastIndex: number;
}

/**
 * `change-in-flight`: another change of the membership is not committed yet, or this leader's no-op is not. `invalid`: more
 * than one voter would change. `transferring`: leadership is on its way to another member.
 */
export type RefusalReason = "not-leader" | "busy" | "too-large" | "transferring" | "change-in-flight" | "invalid";
export type RaftRole = "follower" | "pre-candidate" | "candidate" | "leader";

export type RaftEffect =
  /** Append to the log; answer with `durable`, in order of the tokens (1, 2, …, anew in each process). */
  | { readonly type: "persist"; readonly token: number; readonly record: RaftRecord }
  | { readonly type: "send"; readonly to: MemberId; readonly message: RaftMessage }
  /** Committed entries (no-ops and configurations among them), each once per process, in index order, from the snapshot's index + 1. */
  | { readonly type: "apply"; readonly entries: readonly Entry[] }
  /** In the log at `index`; its fate is open. It was applied when `apply` brings this index with this term. */
  | { readonly type: "proposal-accepted"; readonly requestId: RequestId; readonly index: number; readonly term: number }
  /** Certainly not applied. `leader`: whom to ask instead, where known. */
  | {
      readonly type: "proposal-refused";
      readonly requestId: RequestId;
      readonly reason: RefusalReason;
      readonly leader: MemberId | undefined;
    }
  /** Accepted earlier and certainly never applied, anywhere: something else was committed in its place. */
  | { readonly type: "proposal-dropped"; readonly requestId: RequestId; readonly index: number; readonly term: number }
  /** Accepted earlier; a snapshot was installed over it, so that its fate is not known here. */
  | { readonly type: "proposal-unknown"; readonly requestId: RequestId; readonly index: number; readonly term: number }
  /** A read sees every write acknowledged before it was asked, once everything up to `index` is applied. */
  | { readonly type: "read-ready"; readonly requestId: RequestId; readonly index: number }
  | {
      readonly type: "read-refused";
      readonly requestId: RequestId;
      readonly reason: "not-leader" | "busy";
      readonly leader: MemberId | undefined;
    }
  /** Fetch the snapshot of this leader (unless that is under way), make it durable, verify it, and say `snapshot-received`. Repeated. */
  | { readonly type: "fetch-snapshot"; readonly from: MemberId; readonly index: number; readonly term: number }
  /** Replace the state machine's state by this snapshot's; the next `apply` begins behind it. */
  | { readonly type: "restore-snapshot"; readonly snapshot: SnapshotMeta }
  /** `moved`: this node no longer leads. */
  | { readonly type: "transfer-ended"; readonly to: MemberId | undefined; readonly moved: boolean }
  | { readonly type: "role-changed"; readonly role: RaftRole; readonly term: number; readonly leader: MemberId | undefined }
  /** A peer said something that no correct peer can say; the message was ignored. For the operator. */
  | { readonly type: "peer-violation"; readonly from: MemberId; readonly what: string };
