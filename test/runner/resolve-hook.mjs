// Module hook of the test runner: test files that import "uvu" get uvu-shim.ts, which wraps it. Only the shim gets the real one.
const shim = new URL("./uvu-shim.ts", import.meta.url).href;

export async function resolve(specifier, context, nextResolve) {
  if (specifier !== "uvu" || context.parentURL?.startsWith(shim)) return nextResolve(specifier, context);
  return nextResolve(shim, context);
}
