// What `npm run sim` is asked for. Anything that cannot be meant is refused with a sentence, nothing is ignored.
import { parseArgs } from "node:util";
import { faultFamilies, faults } from "../src/sim/faults/families.ts";
import { faultsMsDefault } from "../src/sim/run-seed.ts";
import type { SeedTask } from "./sim-workers.ts";

export const simUsage = [
  "usage: npm run sim -- [--seeds N | --minutes M] [--from S]   sweeps seeds (20 of them by default)",
  "       npm run sim -- --seed S [--skip 1,4,7]                replays one, without these faults",
  "       --workers N      processes that run seeds (default: one a core)",
  "       --gateways 3|5   size of the site (default: each seed draws it)",
  `       --faults SECONDS virtual time under faults (default ${faultsMsDefault / 1_000})`,
  "       --only NAMES     these faults, or families of faults, and no others",
  "       --twice          runs each seed again in a fresh process, and compares the traces",
  "       --shrink         looks for the few faults that a failing seed needs to fail",
].join("\n");

export interface SimOptions {
  /** The first seed, and how many: infinite when time is the limit. */
  readonly from: number;
  readonly seeds: number;
  readonly minutes: number | undefined;
  /** One seed is replayed, and its figures shown. */
  readonly single: boolean;
  readonly workers: number;
  readonly twice: boolean;
  readonly shrink: boolean;
  /** The same for all seeds. */
  readonly task: Omit<SeedTask, "seed">;
}

const workersMax = 64;
const faultsSecondsMax = 3_600;
const seedMax = 0xffffffff;

class Problem extends Error {}

/** The options, or what is wrong with them. */
export function readSimOptions(args: readonly string[], cores: number): SimOptions | string {
  try {
    return read(args, cores);
  } catch (error) {
    if (error instanceof Problem || (error instanceof TypeError && "code" in error)) return error.message;
    throw error;
  }
}

function read(args: readonly string[], cores: number): SimOptions {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: text,
      minutes: text,
      from: text,
      seed: text,
      skip: text,
      workers: text,
      gateways: text,
      faults: text,
      only: text,
      twice: flag,
      shrink: flag,
    },
  });
  const exclusive = (["seed", "seeds", "minutes"] as const).filter((name) => values[name] !== undefined);
  if (exclusive.length > 1) throw new Problem(`--${exclusive.join(" and --")}: choose one`);
  if (values.seed !== undefined && values.from !== undefined)
    throw new Problem("--from begins a sweep, and --seed replays one seed: choose one");
  if (values.skip !== undefined && values.seed === undefined) throw new Problem("--skip numbers the faults of one seed: it needs --seed");
  const single = values.seed !== undefined;
  const seed = whole("seed", values.seed, { from: 0, to: seedMax });
  const gateways = whole("gateways", values.gateways, { from: 3, to: 5 });
  if (gateways === 4) throw new Problem("--gateways 4: expected 3 or 5");
  const faultsSeconds = whole("faults", values.faults, { from: 0, to: faultsSecondsMax }) ?? faultsMsDefault / 1_000;
  const minutes = positive("minutes", values.minutes);
  const only = names(values.only);
  const skip = numbers(values.skip);
  return {
    from: seed ?? whole("from", values.from, { from: 0, to: seedMax }) ?? 1,
    seeds: single ? 1 : minutes === undefined ? (whole("seeds", values.seeds, { from: 1, to: seedMax }) ?? 20) : Number.POSITIVE_INFINITY,
    minutes,
    single,
    workers: whole("workers", values.workers, { from: 1, to: workersMax }) ?? Math.min(cores, workersMax),
    twice: values.twice,
    shrink: values.shrink,
    task: {
      faultsMs: faultsSeconds * 1_000,
      skip,
      ...(gateways === undefined ? {} : { gateways }),
      ...(only === undefined ? {} : { only }),
    },
  };
}

function whole(name: string, text: string | undefined, range: { readonly from: number; readonly to: number }): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= range.from && value <= range.to) return value;
  throw new Problem(`--${name} ${text}: expected a whole number from ${range.from} to ${range.to}`);
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0) return value;
  throw new Problem(`--${name} ${text}: expected a number above 0`);
}

function numbers(text: string | undefined): readonly number[] {
  if (text === undefined) return [];
  return text.split(",").map((each) => {
    if (/^[1-9]\d*$/.test(each)) return Number(each);
    throw new Problem(`--skip ${text}: expected numbers of faults, from 1, with commas between them`);
  });
}

function names(text: string | undefined): readonly string[] | undefined {
  const known = [...faultFamilies, ...faults.map((fault) => fault.name)];
  const asked = text?.split(",");
  for (const name of asked ?? [])
    if (!known.includes(name)) throw new Problem(`--only ${name}: no such fault; there are ${known.join(", ")}`);
  return asked;
}
