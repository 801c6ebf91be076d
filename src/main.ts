/**
 * The composition root: the one place where the world's adapters are made and handed to the command line. What a
 * gateway needs is in `main-gateway.ts`, which is loaded only by `fogbank start`.
 */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as sleepFor } from "node:timers/promises";
import { NodeCliFiles } from "./adapters/host/node-cli-files.ts";
import { runCli } from "./cli/fogbank.ts";
import type { ChildGateway, Output, World } from "./cli/world.ts";
import { version } from "./lib/version.ts";

function output(stream: NodeJS.WriteStream): Output {
  return {
    write: (data) => void stream.write(data),
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns ?? 80;
    },
  };
}

function spawnFogbank(args: readonly string[], options: { readonly logFile: string }): ChildGateway {
  const log = openSync(options.logFile, "a");
  // A group of its own: Ctrl-C in the terminal is for the demo, which then ends its gateways in order.
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? "", ...args], {
    detached: true,
    stdio: ["pipe", log, log],
  });
  closeSync(log);
  const exited = new Promise<{ code: number | undefined; signal: string | undefined }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
    child.once("error", () => resolve({ code: undefined, signal: undefined }));
  });
  // The pipe's end is what tells a gateway that the demo is gone; that it breaks is no error of the demo's.
  child.stdin?.on("error", () => undefined);
  return { pid: child.pid ?? 0, exited, kill: (signal) => void child.kill(signal) };
}

function isPortFree(address: { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(address.port, address.host, () => probe.close(() => resolve(true)));
  });
}

function ask(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return Promise.resolve(undefined);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    // Ctrl-C and Ctrl-D end the question without a line.
    lines.once("close", () => resolve(""));
    lines.question(`${question} `, (answer) => {
      resolve(answer);
      lines.close();
    });
  });
}

function onInterrupt(handler: () => void): () => void {
  // Node hands the signal's name to its listeners; ours take nothing.
  const listener = (): void => handler();
  process.on("SIGINT", listener);
  process.on("SIGTERM", listener);
  return () => {
    process.off("SIGINT", listener);
    process.off("SIGTERM", listener);
  };
}

function onStdinEnd(handler: () => void): () => void {
  const listener = (): void => handler();
  process.stdin.once("end", listener);
  process.stdin.once("error", listener);
  process.stdin.resume();
  return () => {
    process.stdin.off("end", listener);
    process.stdin.off("error", listener);
    process.stdin.pause();
    process.stdin.unref();
  };
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map((entry) => entry.address));
}

const world: World = {
  version,
  out: output(process.stdout),
  err: output(process.stderr),
  env: process.env,
  clock: {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    sleep: (ms, signal) => sleepFor(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
  },
  files: new NodeCliFiles(),
  host: { name: hostname(), addresses: hostAddresses() },
  fetch: (url, init) => fetch(url, init),
  ask,
  secret: (bytes) => randomBytes(bytes).toString("hex"),
  onInterrupt,
  onStdinEnd,
  isPortFree,
  spawnFogbank,
  openMeshLinks: async () => new (await import("./adapters/host/mesh-proxy.ts")).MeshLinks(),
  connectMqtt: async (options) => (await import("./adapters/mqtt-publisher.ts")).connectPublisher(options),
  startGateway: async (options) => (await import("./main-gateway.ts")).startGateway(options, process.env),
  recover: async (options) => (await import("./main-gateway.ts")).recoverGateway(options, process.env),
  digestsOfReadings: async (block) => (await import("./main-backup.ts")).digestsOfReadings(block),
};

// A reader that went away (`fogbank query … | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

const status = await runCli(process.argv.slice(2), world);
// What is still open by now (a socket that lingers) must not hold the command up.
process.exitCode = status;
setTimeout(() => process.exit(status), 1_000).unref();
