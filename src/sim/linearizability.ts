/**
 * Whether a history of operations on one register could have happened one after the other (Wing and Gong 1993, with
 * Lowe's memory of visited states). An operation whose outcome is unknown may have taken effect at any time after it
 * was called, or never.
 */

export type RegisterOperation =
  | { readonly kind: "put"; readonly value: string; readonly expect: "any" | "absent" | { readonly value: string } }
  | { readonly kind: "delete" }
  | { readonly kind: "get" };

export type RegisterOutcome =
  | { readonly kind: "done"; readonly read?: string | undefined }
  /** The precondition did not hold. */
  | { readonly kind: "refused" }
  /** Certainly not applied, for no reason of the register's. */
  | { readonly kind: "void" }
  | { readonly kind: "unknown" };

export interface HistoryEntry {
  readonly operation: RegisterOperation;
  readonly outcome: RegisterOutcome;
  readonly calledMs: number;
  /** Infinite for an unknown outcome. */
  readonly returnedMs: number;
}

const statesMax = 2_000_000;

/** `undefined` when the history is linearizable, otherwise what is wrong. */
export function checkRegister(history: readonly HistoryEntry[]): string | undefined {
  const entries = history
    .filter(({ outcome, operation }) => outcome.kind !== "void" && (outcome.kind !== "unknown" || operation.kind !== "get"))
    .toSorted((a, b) => a.calledMs - b.calledMs);
  const done = new Uint8Array(entries.length);
  const visited = new Set<string>();
  let states = 0;
  const search = (value: string | undefined, left: number): boolean => {
    if (left === 0) return true;
    if (++states > statesMax) return true;
    const key = `${value ?? "\u0000"} ${maskOf(done)}`;
    if (visited.has(key)) return false;
    visited.add(key);
    // What may come first: nothing else that is left returned before it was called.
    let earliestReturn = Number.POSITIVE_INFINITY;
    for (let i = 0; i < entries.length; i++)
      if (done[i] === 0) earliestReturn = Math.min(earliestReturn, (entries[i] as HistoryEntry).returnedMs);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as HistoryEntry;
      if (done[i] === 1) continue;
      if (entry.calledMs > earliestReturn) break;
      const after = apply(entry, value);
      if (after === undefined) continue;
      done[i] = 1;
      const known = entry.outcome.kind === "unknown" ? 0 : 1;
      if (search(after.value, left - known)) return true;
      done[i] = 0;
    }
    return false;
  };
  const known = entries.filter((entry) => entry.outcome.kind !== "unknown").length;
  return search(undefined, known) ? undefined : `no order of these ${entries.length} operations explains their answers`;
}

function apply({ operation, outcome }: HistoryEntry, value: string | undefined): { value: string | undefined } | undefined {
  switch (operation.kind) {
    case "get":
      return outcome.kind === "done" && outcome.read === value ? { value } : undefined;
    case "delete":
      return outcome.kind === "refused" ? undefined : { value: undefined };
    case "put": {
      const { expect } = operation;
      const holds = expect === "any" || (expect === "absent" ? value === undefined : value === expect.value);
      if (outcome.kind === "refused") return holds ? undefined : { value };
      if (outcome.kind === "unknown") return { value: holds ? operation.value : value };
      return holds ? { value: operation.value } : undefined;
    }
  }
}

function maskOf(done: Uint8Array): string {
  let mask = "";
  for (let at = 0; at < done.length; at += 15) {
    let bits = 0;
    for (let i = at; i < Math.min(at + 15, done.length); i++) bits = (bits << 1) | (done[i] as number);
    mask += String.fromCharCode(bits + 1);
  }
  return mask;
}
