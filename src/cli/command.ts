import { FogbankClient } from "../client/fogbank-client.ts";
import { type ExitStatus, errorCodes, type Failure, FailureError, failure, type Result } from "../lib/errors.ts";
import { printError, printJson } from "./terminal.ts";
import type { World } from "./world.ts";

/** What all commands share: the gateway they talk to, how failures become exit statuses. */

export const defaultUrl = "http://127.0.0.1:7880";

/** Takes a command's exit status. */
export type Done = (status: ExitStatus) => void;

export interface RemoteOptions {
  readonly url?: string;
  readonly output: string;
}

export function connect(world: World, options: { readonly url?: string }): FogbankClient {
  const named = options.url ?? world.env["FOGBANK_URL"];
  const baseUrl = named === undefined || named === "" ? defaultUrl : /^https?:\/\//.test(named) ? named : `http://${named}`;
  const token = world.env["FOGBANK_TOKEN"];
  return new FogbankClient({ fetch: world.fetch, baseUrl, token: token === "" ? undefined : token });
}

/** The value, or the failure thrown to where `runCli` turns it into a message and an exit status. */
export function unwrap<T>(result: Result<T>): T {
  if (!result.ok) throw new FailureError(result);
  return result.value;
}

export function usageError(message: string): FailureError {
  return new FailureError(failure("usage", message));
}

/** `credentials`: what to say of refused ones. */
export function reportFailure(world: World, failed: Failure, credentials = "the command line sends FOGBANK_TOKEN"): ExitStatus {
  printError(world, failed.code === "unauthorized" ? `${failed.message}; ${credentials}` : failed.message);
  return errorCodes[failed.code].exit;
}

/** The answer as JSON, or as `show` prints it for people. */
export function print<T>(world: World, options: { readonly output: string }, value: T, show: (value: T) => void): ExitStatus {
  if (options.output === "json") printJson(world, value);
  else show(value);
  return 0;
}
