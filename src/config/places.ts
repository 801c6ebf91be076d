import type { Place } from "./problem.ts";

export type Step = string | number;

/** Where each key and value of one file stands, by its path from the root. */
export class Places {
  readonly #keys = new Map<string, Place>();
  readonly #values = new Map<string, Place>();
  readonly #start: Place;

  constructor(file: string) {
    this.#start = { file, line: 1, column: 1 };
  }

  record(path: readonly Step[], key: Place, value: Place): void {
    const text = JSON.stringify(path);
    this.#keys.set(text, key);
    this.#values.set(text, value);
  }

  /** The value at the path, or the nearest thing around it that the file has. */
  value(...path: readonly Step[]): Place {
    return this.#values.get(JSON.stringify(path)) ?? (path.length === 0 ? this.#start : this.key(...path.slice(0, -1)));
  }

  /** The key at the path (for an item of a list: the item). */
  key(...path: readonly Step[]): Place {
    return this.#keys.get(JSON.stringify(path)) ?? (path.length === 0 ? this.#start : this.key(...path.slice(0, -1)));
  }
}

/** Places as seen from some path inward. */
export type PlacesView = Pick<Places, "value" | "key">;
