/** What applying a command says to whoever proposed it. Remembered by sessions, so that it is part of snapshots too. */

import { type Check, count, fields, flag, list, oneOf, text, whole } from "./shapes.ts";

/** A committed run, in commit order: what sinks follow. */
export interface CommittedRun {
  /** Counts all runs of the site, from 0. */
  readonly ordinal: number;
  /** Of the log entry that committed it. */
  readonly index: number;
  readonly job: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly attempt: number;
  readonly revision: number;
  readonly rows: number;
  readonly digest: string;
  readonly sinks: readonly string[];
}

/** Why a change of the members was refused. */
export type MemberRefusal = "exists" | "unknown" | "not-expected" | "slots-full" | "last" | "under-replicated";

export type MemberResult =
  | { readonly t: "member"; readonly ok: true }
  | { readonly t: "member"; readonly ok: false; readonly why: MemberRefusal };

export type ApplyResult =
  | { readonly t: "done" }
  | { readonly t: "kv"; readonly ok: true; readonly revision: number; readonly existed: boolean }
  | { readonly t: "kv"; readonly ok: false; readonly revision: number }
  /** In the order of the windows asked for. */
  | { readonly t: "claim"; readonly claims: readonly { readonly attempt: number; readonly baseRevision: number }[] }
  /** The windows that were committed; the others had another commit before. */
  | { readonly t: "commit"; readonly runs: readonly CommittedRun[] }
  | MemberResult
  /** Nothing was applied now; whether it was before, nobody remembers. */
  | { readonly t: "session-unknown" }
  /** The site's feature level is below the command's: nothing was applied. */
  | { readonly t: "passed-over" };

const run = fields({
  ordinal: count,
  index: count,
  job: text,
  fromMs: whole,
  toMs: whole,
  attempt: count,
  revision: count,
  rows: count,
  digest: text,
  sinks: list(text),
});

const shapes: Readonly<Record<ApplyResult["t"], Check>> = {
  done: () => true,
  kv: fields({ ok: flag, revision: count }),
  claim: fields({ claims: list(fields({ attempt: count, baseRevision: count })) }),
  commit: fields({ runs: list(run) }),
  member: fields({ ok: flag }),
  "session-unknown": () => true,
  "passed-over": () => true,
};

const known = fields({ t: oneOf(...Object.keys(shapes)) });

/** Whether a decoded value is such a result. */
export function isApplyResult(value: unknown): value is ApplyResult {
  return known(value) && shapes[(value as ApplyResult).t](value);
}
