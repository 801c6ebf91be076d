/**
 * Whether a history of operations on registers could have happened one after the other, each at some moment between its
 * call and its answer. The search of Wing and Gong (1993) over a list of calls and returns, with Lowe's memory of visited
 * configurations (2017), key by key: a history is linearizable when that of each key is (Herlihy and Wing 1990, §3.1).
 *
 * An operation whose outcome is unknown (a time-out, a broken connection) may have taken effect at any time after its
 * call, or never. The functions here are pure: a history may as well come from real processes.
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
  /** On any one clock. What is called in the very moment in which another returns counts as concurrent with it. */
  readonly calledMs: number;
  /** Infinite for an unknown outcome. */
  readonly returnedMs: number;
}

/** `undecided`: the search was given up, and nothing may be concluded; a checker reports it as a failure of its own. */
export type Verdict = { readonly kind: "linearizable" } | { readonly kind: "not-linearizable" | "undecided"; readonly problem: string };

export interface JudgeOptions {
  /** Configurations remembered for one key before the search is given up. */
  readonly statesMax?: number;
}

const statesMaxDefault = 1_000_000;

/** The history of several keys, by key. The worst verdict counts: a violation before anything undecided. */
export function judgeKeys(histories: ReadonlyMap<string, readonly HistoryEntry[]>, options: JudgeOptions = {}): Verdict {
  let undecided: Verdict | undefined;
  for (const [key, history] of histories) {
    const verdict = judgeRegister(history, options);
    if (verdict.kind === "linearizable") continue;
    const named: Verdict = { kind: verdict.kind, problem: `key ${key}: ${verdict.problem}` };
    if (verdict.kind === "not-linearizable") return named;
    undecided ??= named;
  }
  return undecided ?? { kind: "linearizable" };
}

/** `undefined` when the history of one register is linearizable, otherwise what is wrong, or that it was not decided. */
export function checkRegister(history: readonly HistoryEntry[], options: JudgeOptions = {}): string | undefined {
  const verdict = judgeRegister(history, options);
  return verdict.kind === "linearizable" ? undefined : `${verdict.kind}: ${verdict.problem}`;
}

/** The history of one register that held nothing at first. */
export function judgeRegister(history: readonly HistoryEntry[], options: JudgeOptions = {}): Verdict {
  return new Search(history, options.statesMax ?? statesMaxDefault).run();
}

/** A call or a return, in a doubly linked list in the order of time. Both are taken out while the operation has its place. */
interface Moment extends Link {
  readonly call: Call;
  readonly isReturn: boolean;
  previous: Link | undefined;
}

interface Link {
  next: Moment | undefined;
}

interface Call {
  readonly kind: Try;
  /** Counted among the operations of known outcome, or among the others, in the order of their calls. */
  readonly number: number;
  readonly entry: HistoryEntry;
  called: Moment | undefined;
  returned: Moment | undefined;
}

/** In which order the operations that may come next are tried. */
const Try = {
  /** They change nothing: one that fits now fits nowhere better, whatever order there is, it may be moved here. */
  Observing: 0,
  Changing: 1,
  /** Of unknown outcome: mostly they never happened, so that they come last. */
  Unknown: 2,
} as const;
type Try = (typeof Try)[keyof typeof Try];

interface Placed {
  readonly call: Call;
  /** What the register held before. */
  readonly before: string | undefined;
  readonly lowBefore: number;
}

class Search {
  readonly #entries: readonly HistoryEntry[];
  readonly #statesMax: number;
  readonly #head: Link = { next: undefined };
  /** By number: whether the operation has its place. */
  readonly #knownPlaced: Uint8Array;
  readonly #unknownPlaced: Uint8Array;
  /** By value (`undefined`: absent): operations without a place that found it there, and those that may bring it there. */
  readonly #observers = new Map<string | undefined, number>();
  readonly #writers = new Map<string | undefined, number>();
  readonly #visited = new Set<string>();
  readonly #stack: Placed[] = [];
  #value: string | undefined;
  /** Operations of known outcome before this number have their places. */
  #low = 0;
  #left: number;

  constructor(history: readonly HistoryEntry[], statesMax: number) {
    // A read of unknown outcome says nothing, and what was certainly not applied did nothing.
    this.#entries = history.filter(
      ({ outcome, operation }) => outcome.kind !== "void" && (outcome.kind !== "unknown" || operation.kind !== "get"),
    );
    this.#statesMax = statesMax;
    const known = this.#entries.filter(({ outcome }) => outcome.kind !== "unknown").length;
    this.#knownPlaced = new Uint8Array(known);
    this.#unknownPlaced = new Uint8Array(this.#entries.length - known);
    this.#left = known;
    this.#link();
  }

  run(): Verdict {
    let fewestLeft = this.#left;
    let stuck: Call | undefined;
    let kind: Try = Try.Observing;
    let at = this.#head.next;
    while (this.#left > 0 && at !== undefined) {
      if (!at.isReturn) {
        if (at.call.kind === kind && this.#place(at.call)) {
          if (this.#visited.size > this.#statesMax) return undecided(this.#entries.length, this.#statesMax);
          kind = Try.Observing;
          at = this.#head.next;
        } else {
          at = at.next;
        }
      } else if (kind !== Try.Unknown) {
        kind = kind === Try.Observing ? Try.Changing : Try.Unknown;
        at = this.#head.next;
      } else {
        // This operation has returned, and nothing that could come before it leads on: the last choice was wrong.
        if (this.#left < fewestLeft || stuck === undefined) {
          fewestLeft = this.#left;
          stuck = at.call;
        }
        const undone = this.#backtrack();
        if (undone === undefined) return violated(this.#entries.length, this.#knownPlaced.length - fewestLeft, stuck.entry);
        kind = undone.kind;
        at = undone.called?.next;
      }
    }
    return { kind: "linearizable" };
  }

  #link(): void {
    const moments: { readonly ms: number; readonly moment: Moment }[] = [];
    let known = 0;
    let unknown = 0;
    for (const entry of this.#entries.toSorted((a, b) => a.calledMs - b.calledMs)) {
      const kind = kindOf(entry);
      const call: Call = { kind, number: kind === Try.Unknown ? unknown++ : known++, entry, called: undefined, returned: undefined };
      this.#count(entry, 1);
      call.called = { call, isReturn: false, previous: undefined, next: undefined };
      moments.push({ ms: entry.calledMs, moment: call.called });
      if (kind === Try.Unknown) continue;
      call.returned = { call, isReturn: true, previous: undefined, next: undefined };
      moments.push({ ms: entry.returnedMs, moment: call.returned });
    }
    moments.sort((a, b) => (a.ms === b.ms ? Number(a.moment.isReturn) - Number(b.moment.isReturn) : a.ms - b.ms));
    let last: Link = this.#head;
    for (const { moment } of moments) {
      last.next = moment;
      moment.previous = last;
      last = moment;
    }
  }

  /** Gives the operation its place after all that have one; false when it cannot come now, or that was tried before. */
  #place(call: Call): boolean {
    const after = apply(call.entry, this.#value);
    if (after === undefined || (call.kind === Try.Unknown && after.value === this.#value) || !this.#needsTheLast(call)) return false;
    const placed: Placed = { call, before: this.#value, lowBefore: this.#low };
    this.#mark(call, 1);
    this.#value = after.value;
    while (this.#knownPlaced[this.#low] === 1) this.#low++;
    if (this.#isHopeless(placed)) {
      this.#restore(placed);
      return false;
    }
    this.#stack.push(placed);
    lift(call.called);
    lift(call.returned);
    return true;
  }

  /** Whether what was just placed leads nowhere, or to a configuration that was visited before. */
  #isHopeless({ call, before }: Placed): boolean {
    // Somebody has yet to find there what is gone for good now.
    if (this.#value !== before && (this.#observers.get(before) ?? 0) > 0 && (this.#writers.get(before) ?? 0) === 0) return true;
    if (call.kind !== Try.Changing) return false;
    const configuration = this.#configuration();
    if (this.#visited.has(configuration)) return true;
    this.#visited.add(configuration);
    return false;
  }

  /**
   * What comes right after an operation of unknown outcome must be impossible without it. Otherwise that one may as well
   * come later, or never: the two can change places, or the second one leaves nothing of what the first one did.
   */
  #needsTheLast({ kind, entry }: Call): boolean {
    const last = this.#stack.at(-1);
    if (last?.call.kind !== Try.Unknown) return true;
    const without = apply(entry, last.before);
    return without === undefined || (kind === Try.Unknown && without.value === last.before);
  }

  /** Takes back the last real choice, and says which it was. */
  #backtrack(): Call | undefined {
    for (let placed = this.#stack.pop(); placed !== undefined; placed = this.#stack.pop()) {
      putBack(placed.call.returned);
      putBack(placed.call.called);
      this.#restore(placed);
      if (placed.call.kind !== Try.Observing) return placed.call;
    }
    return undefined;
  }

  #restore({ call, before, lowBefore }: Placed): void {
    this.#mark(call, 0);
    this.#value = before;
    this.#low = lowBefore;
  }

  /** One more, or one less, without a place. */
  #count({ operation, outcome }: HistoryEntry, change: 1 | -1): void {
    const add = (counts: Map<string | undefined, number>, value: string | undefined): void => {
      counts.set(value, (counts.get(value) ?? 0) + change);
    };
    if (operation.kind === "get") {
      if (outcome.kind === "done") add(this.#observers, outcome.read);
    } else if (outcome.kind !== "refused") {
      add(this.#writers, operation.kind === "put" ? operation.value : undefined);
      if (operation.kind === "put" && outcome.kind === "done" && operation.expect !== "any")
        add(this.#observers, operation.expect === "absent" ? undefined : operation.expect.value);
    }
  }

  #mark(call: Call, placed: 0 | 1): void {
    this.#count(call.entry, placed === 1 ? -1 : 1);
    if (call.kind !== Try.Unknown) {
      this.#knownPlaced[call.number] = placed;
      this.#left += placed === 1 ? -1 : 1;
    } else {
      this.#unknownPlaced[call.number] = placed;
    }
  }

  /**
   * Who has a place, and the value. Those of known outcome are a run from the first one and a few beyond, which were all
   * called before the first one without a place returned: the text is as long as the history is concurrent.
   */
  #configuration(): string {
    let text = `${this.#low}`;
    for (let number = this.#low + 1, seen = this.#knownPlaced.length - this.#left - this.#low; seen > 0; number++) {
      if (this.#knownPlaced[number] !== 1) continue;
      text += `,${number}`;
      seen--;
    }
    text += ";";
    for (let number = 0; number < this.#unknownPlaced.length; number++) if (this.#unknownPlaced[number] === 1) text += `${number},`;
    return this.#value === undefined ? text : `${text};${this.#value}`;
  }
}

function lift(moment: Moment | undefined): void {
  if (moment?.previous === undefined) return;
  moment.previous.next = moment.next;
  if (moment.next !== undefined) moment.next.previous = moment.previous;
}

/** Undoes the last `lift` that was not undone. */
function putBack(moment: Moment | undefined): void {
  if (moment?.previous === undefined) return;
  moment.previous.next = moment;
  if (moment.next !== undefined) moment.next.previous = moment;
}

function kindOf({ operation, outcome }: HistoryEntry): Try {
  if (outcome.kind === "unknown") return Try.Unknown;
  return operation.kind === "get" || outcome.kind === "refused" ? Try.Observing : Try.Changing;
}

/** What the register holds afterwards; `undefined` when the operation could not have had its outcome now. */
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

function undecided(operations: number, states: number): Verdict {
  return { kind: "undecided", problem: `given up after ${states} configurations of ${operations} operations` };
}

function violated(operations: number, explained: number, { operation, outcome, calledMs, returnedMs }: HistoryEntry): Verdict {
  const what = `${JSON.stringify(operation)} -> ${JSON.stringify(outcome)} (from ${calledMs.toFixed(3)} to ${returnedMs.toFixed(3)} ms)`;
  return {
    kind: "not-linearizable",
    problem: `no order of these ${operations} operations explains their answers; the longest explains ${explained}, and then has no place for ${what}`,
  };
}
