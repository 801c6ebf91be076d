// Which of a failing seed's faults it needs to fail: leaves out halves, quarters, … and single ones, as long as it fails alike.
import type { SeedReport } from "../src/sim/run-seed.ts";
import type { SeedTask } from "./sim-workers.ts";

export interface Shrunk {
  /** Faults without which it does not fail like that; all others can be skipped. */
  readonly needed: readonly number[];
  readonly skip: readonly number[];
  readonly runs: number;
  /** False when the search ended before everything was tried. */
  readonly minimal: boolean;
  readonly report: SeedReport;
}

const runsMax = 200;

/** `run` is called with one candidate after the other. */
export async function shrink(task: SeedTask, failure: SeedReport, run: (task: SeedTask) => Promise<SeedReport>): Promise<Shrunk> {
  let report = failure;
  let needed = numbersWithout(failure.faults, task.skip);
  let runs = 0;
  let size = Math.ceil(needed.length / 2);
  let from = 0;
  let removed = false;
  while (size >= 1 && needed.length > 0 && runs < runsMax) {
    const candidate = needed.toSpliced(from, size);
    const tried = await run({ ...task, skip: numbersWithout(report.faults, candidate) });
    runs++;
    if (!tried.ok && kindOf(tried) === kindOf(failure)) {
      // Without some faults there is time for others at the end.
      needed = [...candidate, ...numbersWithout(tried.faults, []).filter((number) => number > report.faults)];
      report = tried;
      removed = true;
    } else {
      from += size;
    }
    if (from < needed.length) continue;
    from = 0;
    if (!removed || size > 1) size = size === 1 ? 0 : Math.ceil(size / 2);
    removed = false;
  }
  return { needed, skip: numbersWithout(report.faults, needed), runs, minimal: size === 0 || needed.length === 0, report };
}

/** 1 to `faults`, but these. */
function numbersWithout(faults: number, left: readonly number[]): number[] {
  return Array.from({ length: faults }, (_, at) => at + 1).filter((number) => !left.includes(number));
}

/** What it failed with, without the particulars. */
function kindOf(report: SeedReport): string {
  return (report.problem ?? "").split(":", 1)[0] ?? "";
}
