import type { Place } from "./problem.ts";

export type Step = string | number;

/** Places as seen from some path inward. */
export interface PlacesView {
  /** The value at the path, or the nearest thing around it that the file has. */
  value(...path: readonly Step[]): Place;
  /** The key at the path (for an item of a list: the item), or the nearest thing around it. */
  key(...path: readonly Step[]): Place;
  /** Whether the file has something there, right or wrong. */
  has(...path: readonly Step[]): boolean;
}

/** Where a value and its key stand in a file, and those of everything inside: a tree of the file's own shape. */
export class Places implements PlacesView {
  readonly #key: Place;
  readonly #value: Place;
  readonly #inside = new Map<Step, Places>();

  constructor(key: Place, value: Place) {
    this.#key = key;
    this.#value = value;
  }

  add(step: Step, key: Place, value: Place): Places {
    const places = new Places(key, value);
    this.#inside.set(step, places);
    return places;
  }

  value(...path: readonly Step[]): Place {
    const { found, isWhole } = this.#find(path);
    return isWhole ? found.#value : found.#key;
  }

  key(...path: readonly Step[]): Place {
    return this.#find(path).found.#key;
  }

  has(...path: readonly Step[]): boolean {
    return this.#find(path).isWhole;
  }

  /** As far down the path as the file goes. */
  #find([step, ...rest]: readonly Step[]): { readonly found: Places; readonly isWhole: boolean } {
    if (step === undefined) return { found: this, isWhole: true };
    const next = this.#inside.get(step);
    return next === undefined ? { found: this, isWhole: false } : next.#find(rest);
  }
}
