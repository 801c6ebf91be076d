/**
 * What goes into a `RaftNode` and what comes out. Events are taken one at a time; effects are appended to the caller's
 * list in the order in which they are to be carried out. Both unions are closed.
 */
import type { GatewayId } from "../../lib/ids.ts";
import type { Entry, HardState, RaftMessage } from "./messages.ts";

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
  /** A decoded message; `from` is authenticated by the transport. */
  | { readonly type: "message"; readonly from: GatewayId; readonly message: RaftMessage }
  /** Many at once share one record and one message per follower. */
  | { readonly type: "propose"; readonly proposals: readonly Proposal[] }
  /** The record of `token`, and every one before it, is fsynced. */
  | { readonly type: "durable"; readonly token: number }
  | { readonly type: "read-index"; readonly requestId: RequestId }
  /** Hints of the transport: they only make things faster. */
  | { readonly type: "peer-up"; readonly peer: GatewayId }
  | { readonly type: "peer-down"; readonly peer: GatewayId };

/** One record of the write-ahead log. Entries replace everything at and above `firstIndex`. See `record-codec.ts`. */
export interface RaftRecord {
  readonly hardState: HardState | undefined;
  /** Index of `entries[0]`; 0 when there are none. */
  readonly firstIndex: number;
  readonly entries: readonly Entry[];
}

export type RefusalReason = "not-leader" | "busy" | "too-large";
export type RaftRole = "follower" | "pre-candidate" | "candidate" | "leader";

export type RaftEffect =
  /** Append to the log; answer with `durable`, in order of the tokens (1, 2, …, anew in each process). */
  | { readonly type: "persist"; readonly token: number; readonly record: RaftRecord }
  | { readonly type: "send"; readonly to: GatewayId; readonly message: RaftMessage }
  /** Committed entries (no-ops among them), each once per process, in index order, from 1 (or `appliedIndex` + 1). */
  | { readonly type: "apply"; readonly entries: readonly Entry[] }
  /** In the log at `index`; its fate is open. It was applied when `apply` brings this index with this term. */
  | { readonly type: "proposal-accepted"; readonly requestId: RequestId; readonly index: number; readonly term: number }
  /** Certainly not applied. `leader`: whom to ask instead, where known. */
  | {
      readonly type: "proposal-refused";
      readonly requestId: RequestId;
      readonly reason: RefusalReason;
      readonly leader: GatewayId | undefined;
    }
  /** Accepted earlier and certainly never applied, anywhere: something else was committed in its place. */
  | { readonly type: "proposal-dropped"; readonly requestId: RequestId; readonly index: number; readonly term: number }
  /** A read sees every write acknowledged before it was asked, once everything up to `index` is applied. */
  | { readonly type: "read-ready"; readonly requestId: RequestId; readonly index: number }
  | {
      readonly type: "read-refused";
      readonly requestId: RequestId;
      readonly reason: "not-leader" | "busy";
      readonly leader: GatewayId | undefined;
    }
  | { readonly type: "role-changed"; readonly role: RaftRole; readonly term: number; readonly leader: GatewayId | undefined }
  /** A peer said something that no correct peer can say; the message was ignored. For the operator. */
  | { readonly type: "peer-violation"; readonly from: GatewayId; readonly what: string };
