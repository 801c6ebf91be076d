/**
 * What the process of one test file tells the supervisor, in order, over Node's IPC channel.
 *
 * Invariant: a child that does not send `done` as its last message has not been completed, whatever its exit code says.
 */
export type ChildMessage =
  /** A step begins. If the next message does not come within `limitMs`, the event loop is stuck and the child is killed. */
  | { readonly kind: "step"; readonly label: string; readonly limitMs: number }
  | { readonly kind: "passed"; readonly test: string; readonly ms: number }
  | { readonly kind: "failed"; readonly test: string; readonly reason: string; readonly ms: number }
  /** Tests of a suite that never got their turn, because a hook threw. */
  | { readonly kind: "not-run"; readonly suite: string; readonly count: number }
  | { readonly kind: "skipped"; readonly test: string }
  /** Something wrong that belongs to no test: a hook, an import, a suite without `.run()`. Counts as one failure. */
  | { readonly kind: "problem"; readonly reason: string }
  | { readonly kind: "done" };

export function isChildMessage(value: unknown): value is ChildMessage {
  return typeof value === "object" && value !== null && "kind" in value && typeof value.kind === "string";
}
