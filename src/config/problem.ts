/** What is wrong with a site's files, and where. A problem is a value: a typing error never shows a stack trace. */

export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
}

export interface Problem extends Place {
  /** What is wrong, e.g. `unknown key "gatways"`. Never shows a secret. */
  readonly what: string;
  /** What is expected, or what to do: `did you mean "gateways"?`, `expected a whole number from 1 to 9`. */
  readonly expected: string;
}

/** `file:line:column: what is wrong, what is expected` */
export function formatProblem(problem: Problem): string {
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.what}, ${problem.expected}`;
}

const problemCountMax = 500;

/** Collects the problems of all files; what is beyond 500 is counted only. */
export class ProblemList {
  readonly #problems: Problem[] = [];
  #dropped = 0;

  add(place: Place, what: string, expected: string): void {
    if (this.#problems.length === problemCountMax) this.#dropped++;
    else this.#problems.push({ file: place.file, line: place.line, column: place.column, what, expected });
  }

  get isEmpty(): boolean {
    return this.#problems.length === 0;
  }

  /** File by file in the order in which they were first named, each from top to bottom. */
  sorted(): readonly Problem[] {
    const order = new Map<string, number>();
    for (const { file } of this.#problems) if (!order.has(file)) order.set(file, order.size);
    const rank = (problem: Problem) => order.get(problem.file) ?? 0;
    const sorted = [...this.#problems].sort((a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column);
    const last = sorted.at(-1);
    if (last !== undefined && this.#dropped > 0)
      sorted.push({ ...last, what: `${this.#dropped} more problems`, expected: "correct these first" });
    return sorted;
  }
}
