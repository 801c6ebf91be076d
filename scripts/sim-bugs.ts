// `npm run sim:bugs -- [--bug WORD] [--seeds N] [--from S] [--jobs J] [--write]`: searches, for each planted bug of
// test/sim/planted-bugs.ts, the first seed whose run the checkers object to while the seed holds without the bug; the recorded
// seed is tried first. `--write` records what was found. Exit 1 when a bug has none. Bugs are searched in processes of their own.
import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runSeed } from "../src/sim/run-seed.ts";
import { type PlantedBug, plantedBugs, plantedSeeds, plantedSeedsFile, runOptions } from "../test/sim/planted-bugs.ts";
import { simulatorWorld } from "./sim-world.ts";

interface Found {
  readonly name: string;
  readonly seed: number | undefined;
  readonly lines: readonly string[];
}

const { values } = parseArgs({
  options: {
    bug: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    jobs: { type: "string" },
    write: { type: "boolean", default: false },
    /** Of a child: the one bug that it searches. */
    search: { type: "string" },
  },
});

function whole(name: "seeds" | "from" | "jobs", fallback: number): number {
  const text = values[name];
  const value = text === undefined ? fallback : Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  console.error(`--${name} ${text ?? ""}: expected a whole number from 1`);
  process.exit(2);
}

const seeds = whole("seeds", 500);
const first = whole("from", 1);

async function search(bug: PlantedBug): Promise<Found> {
  const { name } = bug;
  const world = await simulatorWorld();
  const lines: string[] = [];
  const recorded = plantedSeeds()[name];
  const candidates = Array.from({ length: seeds }, (_, at) => first + at);
  if (recorded !== undefined && values.from === undefined) candidates.unshift(recorded);
  for (const seed of candidates) {
    const report = await runSeed({ world, ...runOptions(bug, seed), ...bug.plant() });
    if (report.ok) continue;
    if (!bug.caughtAs.test(report.problem ?? "")) {
      lines.push(`seed ${seed} ends otherwise: ${firstLine(report.problem)}`);
      continue;
    }
    const without = await runSeed({ world, ...runOptions(bug, seed) });
    if (without.ok) {
      lines.push(`seed ${seed} after ${Math.round(report.virtualMs / 1_000)} s: ${firstLine(report.problem)}`);
      return { name, seed, lines };
    }
    lines.push(`seed ${seed} fails without the bug as well: ${firstLine(without.problem)}`);
  }
  lines.push(`not caught by seeds ${first} to ${first + seeds - 1}`);
  return { name, seed: undefined, lines };
}

function firstLine(problem: string | undefined): string {
  return problem?.split("\n")[0] ?? "";
}

/** Searches in a child, which answers with one message. */
function searchInChild(name: string, running: Set<ChildProcess>): Promise<Found> {
  return new Promise((resolve, reject) => {
    const range = ["--seeds", String(seeds), ...(values.from === undefined ? [] : ["--from", values.from])];
    const child = fork(fileURLToPath(import.meta.url), ["--search", name, ...range]);
    running.add(child);
    let found: Found | undefined;
    child.on("message", (message) => {
      found = message as Found;
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      running.delete(child);
      if (found !== undefined) resolve(found);
      else reject(new Error(`the search for ${name} ended with ${code ?? "a signal"} and without an answer`));
    });
  });
}

async function searchAll(): Promise<void> {
  const wanted = plantedBugs.filter((bug) => values.bug === undefined || bug.name.includes(values.bug));
  if (wanted.length === 0) {
    console.error(`no planted bug has "${values.bug ?? ""}" in its name; there are ${plantedBugs.map((bug) => bug.name).join(", ")}`);
    process.exit(2);
  }
  const results: Record<string, number> = { ...plantedSeeds() };
  const running = new Set<ChildProcess>();
  const queue = [...wanted];
  let missed = 0;
  const work = async (): Promise<void> => {
    for (let bug = queue.shift(); bug !== undefined; bug = queue.shift()) {
      const found = await searchInChild(bug.name, running);
      for (const line of found.lines) console.log(`${found.name}: ${line}`);
      if (found.seed === undefined) missed++;
      else results[found.name] = found.seed;
    }
  };
  try {
    await Promise.all(Array.from({ length: whole("jobs", availableParallelism()) }, work));
  } finally {
    for (const child of running) child.kill();
  }
  if (values.write) {
    const known = plantedBugs.flatMap(({ name }) => (results[name] === undefined ? [] : [[name, results[name]] as const]));
    writeFileSync(plantedSeedsFile, `${JSON.stringify(Object.fromEntries(known), undefined, 2)}\n`);
  }
  process.exitCode = missed > 0 ? 1 : 0;
}

if (values.search === undefined) {
  await searchAll();
} else {
  const bug = plantedBugs.find(({ name }) => name === values.search);
  if (bug === undefined) throw new RangeError(`there is no planted bug "${values.search}"`);
  const found = await search(bug);
  process.send?.(found, () => process.disconnect());
}
