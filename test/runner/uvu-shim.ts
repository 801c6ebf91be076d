// Stands in for "uvu" in test files run by the project's runner (bundle.ts puts it there): the same suites, on uvu's own
// queue, with every test and hook wrapped so that the registry sees what was registered and how it went.
import * as uvu from "uvu";
import type { Batch, Registry } from "./registry.ts";

type Crumbs = { readonly __test__: string };
type Callback = (context: Crumbs & Record<string, unknown>) => Promise<void> | void;

/** Of child.ts, which is another bundle: the class that this file knows is not the one that made it. */
function isRegistry(value: unknown): value is Registry {
  return typeof value === "object" && value !== null && value.constructor.name === "Registry";
}

const registry = ((): Registry => {
  const found: unknown = Reflect.get(globalThis, Symbol.for("fogbank.test.registry"));
  if (!isRegistry(found)) throw new Error("uvu-shim.ts is loaded by test/runner/child.ts only");
  return found;
})();

function watch(name: string, real: uvu.Test<Record<string, unknown>>) {
  let batch: Batch | undefined;
  const current = (): Batch => (batch ??= registry.newBatch(name));

  const wrapped = (testName: string, body: Callback): void => {
    const mine = current();
    mine.tests += 1;
    real(testName, (context) => registry.runTest(mine, testName, () => body(context)));
  };
  const only = (testName: string, body: Callback): void => {
    const mine = current();
    mine.only += 1;
    real.only(testName, (context) => registry.runTest(mine, testName, () => body(context)));
  };
  const skip = (testName = "(unnamed)"): void => {
    registry.addSkip(current(), testName);
    real.skip();
  };
  const hook = (kind: "before" | "after") =>
    Object.assign(
      (body: Callback): void => {
        const mine = current();
        real[kind]((context) => registry.runSuiteHook(mine, kind, () => body(context)));
      },
      {
        each: (body: Callback): void => {
          const mine = current();
          if (kind === "before") real.before.each((context) => registry.runBeforeEach(mine, context.__test__, () => body(context)));
          else real.after.each((context) => registry.runAfterEach(mine, context.__test__, () => body(context)));
        },
      },
    );
  const run = (): void => {
    current().running = true;
    batch = undefined;
    real.run();
  };
  return Object.assign(wrapped, { only, skip, before: hook("before"), after: hook("after"), run });
}

export const suite = (name = "", context: Record<string, unknown> = {}) => watch(name, uvu.suite(name, context));
export const test = watch("", uvu.test);
