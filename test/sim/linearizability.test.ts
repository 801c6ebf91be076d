// Goal: the kv checker says yes to what some order explains and no to what none does. Method: small histories by hand, and
// random ones that a register really went through, with answers spoilt afterwards.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { checkRegister, type HistoryEntry, type RegisterOperation, type RegisterOutcome } from "../../src/sim/linearizability.ts";

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

test.run();
