// The built program as child processes. Each process that was started here and still runs when the test process ends, however that
// comes about, is killed by its id.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { watched } from "../../../scripts/watched-child.ts";

export const projectRoot = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const entry = join(projectRoot, "dist", "fogbank.js");
const outputCharsMax = 8_000_000;

export interface Exit {
  /** Exit status, or `undefined` when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

/** Builds `dist/` where it is missing or older than the sources. */
export function buildIfStale(): void {
  const built = spawnSync(process.execPath, [join(projectRoot, "scripts", "build.mjs"), "--if-stale"], {
    cwd: projectRoot,
    encoding: "utf8",
  });
  if (built.status !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`);
}

export class FogbankProcess {
  readonly exited: Promise<Exit>;
  /** Set once it has ended. */
  exit: Exit | undefined;
  stdout = "";
  stderr = "";
  /** Both as they came, so that a length of it marks a moment. */
  output = "";
  readonly #child: ChildProcess;

  constructor(args: readonly string[], options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> }) {
    const child = watched(
      spawn(process.execPath, [entry, ...args], {
        cwd: options.cwd,
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, NO_COLOR: "1", ...options.env },
      }),
    );
    this.#child = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout = (this.stdout + text).slice(-outputCharsMax);
      this.output += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr = (this.stderr + text).slice(-outputCharsMax);
      this.output += text;
    });
    this.exited = new Promise((resolve) => {
      // `close`, not `exit`: then all of its output has been read.
      child.once("close", (code, signal) => {
        this.exit = { code: code ?? undefined, signal: signal ?? undefined };
        resolve(this.exit);
      });
      child.once("error", (error) => {
        this.output += error.message;
        this.exit = { code: undefined, signal: undefined };
        resolve(this.exit);
      });
    });
  }

  /** Sends a signal; without effect once the process has ended. */
  signal(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGINT"): void {
    if (this.exit === undefined) this.#child.kill(signal);
  }

  /** The exit, or an error with the end of the output; a process that does not end in time is killed. */
  async ended(withinMs: number): Promise<Exit> {
    const timer = setTimeout(() => {
      this.output += `\n(killed by the test: it did not end within ${withinMs} ms)`;
      this.signal("SIGKILL");
    }, withinMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  tail(): string {
    return this.output.trimEnd().split("\n").slice(-25).join("\n");
  }
}

export interface CommandResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function runFogbank(
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>>; readonly withinMs?: number },
): Promise<CommandResult> {
  const command = new FogbankProcess(args, options);
  const exit = await command.ended(options.withinMs ?? 30_000);
  return { ...exit, stdout: command.stdout, stderr: command.stderr };
}
