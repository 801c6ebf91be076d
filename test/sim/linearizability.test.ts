// Goal: the kv checker says yes to what some order explains, no to what none does, and neither when it gives up. Method: small
// histories by hand; random ones that a register really went through, with answers spoilt afterwards; random small ones against
// a search through all orders; thousands of operations on one key.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../src/lib/random.ts";
import {
  checkRegister,
  type HistoryEntry,
  judgeKeys,
  judgeRegister,
  type RegisterOperation,
  type RegisterOutcome,
} from "../../src/sim/linearizability.ts";

const entry = (
  operation: RegisterOperation,
  outcome: RegisterOutcome,
  calledMs: number,
  returnedMs = Number.POSITIVE_INFINITY,
): HistoryEntry => ({
  operation,
  outcome,
  calledMs,
  returnedMs,
});
const put = (value: string, expect: (RegisterOperation & { kind: "put" })["expect"] = "any"): RegisterOperation => ({
  kind: "put",
  value,
  expect,
});
const get: RegisterOperation = { kind: "get" };
const done: RegisterOutcome = { kind: "done" };
const read = (value: string | undefined): RegisterOutcome => ({ kind: "done", read: value });
const unknown: RegisterOutcome = { kind: "unknown" };

const test = suite("sim/linearizability");

for (const [what, history, holds] of [
  ["nothing happened", [], true],
  ["a read after a put sees it", [entry(put("a"), done, 0, 1), entry(get, read("a"), 2, 3)], true],
  ["a stale read", [entry(put("a"), done, 0, 1), entry(put("b"), done, 2, 3), entry(get, read("a"), 4, 5)], false],
  ["a read of what nobody wrote", [entry(get, read("a"), 0, 1)], false],
  [
    "a read beside a put may see either",
    [entry(put("a"), done, 0, 10), entry(get, read(undefined), 1, 2), entry(get, read("a"), 3, 4)],
    true,
  ],
  ["two reads that go back in time", [entry(put("a"), done, 0, 10), entry(get, read("a"), 1, 2), entry(get, read(undefined), 3, 4)], false],
  [
    "a put of unknown outcome may come late",
    [entry(put("a"), unknown, 0), entry(get, read(undefined), 5, 6), entry(get, read("a"), 7, 8)],
    true,
  ],
  ["and never", [entry(put("a"), unknown, 0), entry(get, read(undefined), 5, 6)], true],
  [
    "but not twice",
    [entry(put("a"), unknown, 0), entry(get, read("a"), 1, 2), entry(put("b"), done, 3, 4), entry(get, read("a"), 5, 6)],
    false,
  ],
  ["nor before it was asked", [entry(get, read("a"), 0, 1), entry(put("a"), unknown, 2)], false],
  ["a refusal whose precondition held", [entry(put("a", "absent"), { kind: "refused" }, 0, 1)], false],
  ["two successful creations", [entry(put("a", "absent"), done, 0, 1), entry(put("b", "absent"), done, 2, 3)], false],
  [
    "a creation after a deletion",
    [entry(put("a", "absent"), done, 0, 1), entry({ kind: "delete" }, done, 2, 3), entry(put("b", "absent"), done, 4, 5)],
    true,
  ],
  ["a swap whose value had gone", [entry(put("a"), done, 0, 1), entry(put("b", { value: "x" }), done, 2, 3)], false],
  ["what was certainly not applied counts for nothing", [entry(put("a"), { kind: "void" }, 0, 1), entry(get, read(undefined), 2, 3)], true],
] as [string, HistoryEntry[], boolean][]) {
  test(`${what}: ${holds ? "possible" : "impossible"}`, () => {
    assert.is(checkRegister(history) === undefined, holds);
  });
}

/** A history that happened: each operation takes effect at a moment between its call and its answer. */
const happened = fc
  .array(
    fc.record({
      kind: fc.constantFrom("put", "create", "swap", "get", "delete"),
      before: fc.nat(20),
      after: fc.nat(20),
      lost: fc.boolean(),
    }),
    { maxLength: 12 },
  )
  .map((steps) => {
    let value: string | undefined;
    return steps.map(({ kind, before, after, lost }, at): HistoryEntry => {
      const moment = at * 10;
      const times = [moment - before, lost ? Number.POSITIVE_INFINITY : moment + after] as const;
      const outcome = (known: RegisterOutcome): RegisterOutcome => (lost ? unknown : known);
      if (kind === "get") return entry(get, outcome(read(value)), ...times);
      if (kind === "delete") {
        value = undefined;
        return entry({ kind: "delete" }, outcome(done), ...times);
      }
      const expect = kind === "create" ? "absent" : kind === "swap" ? { value: value ?? "none" } : "any";
      const holds = kind === "put" || (kind === "create" ? value === undefined : value !== undefined);
      if (holds) value = `v${at}`;
      return entry(put(`v${at}`, expect), outcome(holds ? done : { kind: "refused" }), ...times);
    });
  });

test("any history that happened is possible", () => {
  fc.assert(
    fc.property(happened, (history) => assert.is(checkRegister(history), undefined)),
    { numRuns: 300 },
  );
});

test("a read of a value that was never put makes any history impossible", () => {
  fc.assert(
    fc.property(happened, fc.nat(100), (history, at) => {
      const spoilt = [...history, entry(get, read("never put"), at, at + 5)];
      assert.is.not(checkRegister(spoilt), undefined);
    }),
    { numRuns: 100 },
  );
});

/** By definition: some subset of the unknown operations, in some order that respects time, explains every answer. */
function explained(history: readonly HistoryEntry[], value?: string): boolean {
  if (history.every(({ outcome }) => outcome.kind === "unknown")) return true;
  const earliestReturn = Math.min(...history.map(({ returnedMs }) => returnedMs));
  return history.some((first, at) => {
    if (first.calledMs > earliestReturn) return false;
    const { operation, outcome } = first;
    const rest = history.toSpliced(at, 1);
    if (operation.kind === "get")
      return (outcome.kind === "unknown" || ("read" in outcome && outcome.read === value)) && explained(rest, value);
    if (operation.kind === "delete") return explained(rest, undefined);
    const { expect } = operation;
    const holds = expect === "any" || (expect === "absent" ? value === undefined : expect.value === value);
    if (outcome.kind === "unknown") return explained(rest, holds ? operation.value : value);
    return (outcome.kind === "done") === holds && explained(rest, holds ? operation.value : value);
  });
}

test("agrees with a search through all orders", () => {
  const values = fc.constantFrom("a", "b");
  const operations = fc.oneof(
    fc.constant(get),
    fc.constant<RegisterOperation>({ kind: "delete" }),
    fc.tuple(values, fc.oneof(fc.constantFrom("any" as const, "absent" as const), fc.record({ value: values }))).map(([v, e]) => put(v, e)),
  );
  const anything = fc
    .record({ operation: operations, called: fc.nat(12), took: fc.nat(8), how: fc.nat(4), read: fc.option(values, { nil: undefined }) })
    .map(({ operation, called, took, how, read: seen }): HistoryEntry => {
      if (how === 0) return entry(operation, unknown, called);
      const refused = how === 1 && operation.kind === "put";
      return entry(operation, refused ? { kind: "refused" } : operation.kind === "get" ? read(seen) : done, called, called + took);
    });
  const verdicts = { possible: 0, impossible: 0 };
  fc.assert(
    fc.property(fc.array(anything, { maxLength: 6 }), (history) => {
      const possible = explained(history);
      verdicts[possible ? "possible" : "impossible"]++;
      assert.is(judgeRegister(history).kind, possible ? "linearizable" : "not-linearizable", JSON.stringify(history));
    }),
    { numRuns: 5_000 },
  );
  assert.ok(verdicts.possible > 300 && verdicts.impossible > 300, JSON.stringify(verdicts));
});

/** Clients, one operation after the other each, on one register; some answers are lost. */
function longHistory(operations: number, clients: number, seed: number): HistoryEntry[] {
  const random = new SeededRandom(seed);
  const nextMs = Array.from({ length: clients }, () => random.below(20));
  const planned = Array.from({ length: operations }, (_, number) => {
    const client = nextMs.indexOf(Math.min(...nextMs));
    const calledMs = nextMs[client] as number;
    const effectMs = calledMs + 1 + random.real() * 20;
    const returnedMs = effectMs + random.real() * 20;
    nextMs[client] = returnedMs + random.below(5) + 0.5;
    return { number, calledMs, effectMs, returnedMs, kind: random.below(10), lost: random.chance(0.02) };
  }).toSorted((a, b) => a.effectMs - b.effectMs);
  let value: string | undefined;
  return planned.map(({ number, calledMs, returnedMs, kind, lost }) => {
    const outcome = (known: RegisterOutcome): RegisterOutcome => (lost ? unknown : known);
    if (kind < 4) return entry(get, outcome(read(value)), calledMs, returnedMs);
    const expect = kind < 7 ? "any" : kind === 7 ? "absent" : { value: random.chance(0.7) ? (value ?? "none") : "none" };
    const holds = expect === "any" || (expect === "absent" ? value === undefined : expect.value === value);
    if (holds) value = `v${number}`;
    return entry(put(`v${number}`, expect), outcome(holds ? done : { kind: "refused" }), calledMs, returnedMs);
  });
}

test("thousands of operations on one key, tens of them at a time", () => {
  for (const [clients, seed] of [
    [3, 1],
    [10, 2],
    [30, 3],
  ] as const)
    assert.is(checkRegister(longHistory(5_000, clients, seed)), undefined, `${clients} clients`);
});

test("and one stale read among them is found", () => {
  const history = longHistory(5_000, 10, 4);
  const at = history.findIndex(({ outcome }, number) => number > 2_500 && outcome.kind === "done" && outcome.read !== undefined);
  const spoilt = history.with(at, { ...(history[at] as HistoryEntry), outcome: read("v1") });
  const verdict = judgeRegister(spoilt);
  assert.is(verdict.kind, "not-linearizable");
  assert.ok(verdict.kind !== "linearizable" && verdict.problem.includes('"read":"v1"'), JSON.stringify(verdict));
});

test("a search that is given up is neither a yes nor a no", () => {
  // Any of many concurrent puts may be the last, and the read at the end fits none: all orders must be tried.
  const puts = Array.from({ length: 12 }, (_, at) => entry(put(`v${at}`), done, 0, 100));
  const history = [...puts, entry(get, read("never put"), 200, 201)];
  assert.is(judgeRegister(history, { statesMax: 500 }).kind, "undecided");
  assert.is(judgeRegister(history).kind, "not-linearizable");
  assert.match(checkRegister(history, { statesMax: 500 }) ?? "", /^undecided: given up after 500/);
});

test("keys are judged one by one, and a violation counts more than what is undecided", () => {
  const good = [entry(put("a"), done, 0, 1), entry(get, read("a"), 2, 3)];
  const bad = [entry(get, read("b"), 2, 3)];
  const hard = [...Array.from({ length: 12 }, (_, at) => entry(put(`v${at}`), done, 0, 100)), entry(get, read("x"), 200, 201)];
  assert.equal(
    judgeKeys(
      new Map([
        ["x", good],
        ["y", good],
      ]),
    ),
    { kind: "linearizable" },
  );
  const verdict = judgeKeys(
    new Map([
      ["x", hard],
      ["y", bad],
      ["z", good],
    ]),
    { statesMax: 100 },
  );
  assert.is(verdict.kind, "not-linearizable");
  assert.ok(verdict.kind !== "linearizable" && verdict.problem.startsWith("key y: "));
  assert.is(
    judgeKeys(
      new Map([
        ["x", hard],
        ["z", good],
      ]),
      { statesMax: 100 },
    ).kind,
    "undecided",
  );
});

test.run();
