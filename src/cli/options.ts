import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../lib/duration.ts";
import { defaultUrl } from "./command.ts";

/** Options that several commands have, and how their values are read. */

export function remote(command: Command, outputs: readonly string[] = ["table", "json"]): Command {
  return command.option("--url <url>", `the gateway (default: FOGBANK_URL, or ${defaultUrl})`).addOption(outputOption(outputs));
}

export function outputOption(choices: readonly string[]): Option {
  return new Option("-o, --output <format>", "how to print").choices(choices).default(choices[0]);
}

export const examples = (...lines: readonly string[]): string => `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
    return value;
  };
}

export function positiveNumber(text: string): number {
  const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (!(value > 0 && value <= 1e9)) throw new InvalidArgumentError("Expected a number above 0.");
  return value;
}

export function speedFactor(text: string): number {
  const match = /^(.+?)x?$/.exec(text);
  try {
    return positiveNumber(match?.[1] ?? "");
  } catch {
    throw new InvalidArgumentError("Expected a factor such as 60x.");
  }
}

export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError("Expected a duration such as 30s, 5m or 1h.");
  return ms;
}
