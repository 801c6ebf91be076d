// The process of one test file: node CHILD FILE TIMEOUT_MS, both as bundles (`bundle.ts`), with an IPC channel to the supervisor.
// Imports the file with uvu deferred, executes uvu's queue, reports, and exits; leftover handles do not keep it alive.
import { pathToFileURL } from "node:url";
import type { ChildMessage } from "./protocol.ts";
import { describeError, Registry } from "./registry.ts";

declare global {
  var UVU_DEFER: number | undefined;
  var UVU_QUEUE: Array<Array<string | null | (() => Promise<unknown>)>> | undefined;
}

const [file = "", timeoutText = ""] = process.argv.slice(2);
const timeoutMs = Number(timeoutText);
const importLimitMs = Math.max(timeoutMs, 30_000);

const exit = process.exit.bind(process);
const channel = process.channel;
if (process.send === undefined || channel === undefined) throw new Error("child.ts is started by the test runner only");
const sendRaw = process.send.bind(process);
const send = (message: ChildMessage): void => {
  sendRaw(message);
};

const registry = new Registry(send, timeoutMs);
Reflect.set(globalThis, Symbol.for("fogbank.test.registry"), registry);

// A supervisor that died must not leave test processes behind. The listener must not keep the event loop alive either.
process.on("disconnect", () => exit(1));
channel.unref();

process.on("uncaughtException", (error) => registry.unexpected("uncaught exception", error));
process.on("unhandledRejection", (reason) => registry.unexpected("unhandled rejection", reason));
process.on("beforeExit", () => registry.loopIsEmpty());
process.exit = (code) => {
  console.error(new Error(`process.exit(${code ?? ""}) was called`).stack);
  return exit(code);
};

globalThis.UVU_DEFER = 1;
globalThis.UVU_QUEUE = [[null]];

send({ kind: "step", label: "the import of the file", limitMs: importLimitMs });
try {
  await import(pathToFileURL(file).href);
  for (const group of globalThis.UVU_QUEUE) {
    for (const run of group) if (typeof run === "function") await run();
  }
} catch (error) {
  registry.problem(`the file failed outside its tests: ${describeError(error)}`);
}
// A rejection without a handler shows only after the microtasks of the turn in which it happened.
for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
registry.finish();
sendRaw({ kind: "done" } satisfies ChildMessage, () => exit(0));
