/**
 * How many copies a level asks for. Pure arithmetic, used by coordinators of writes and reads alike, and by tests that
 * plant bugs by substituting it.
 */

export type Level = "one" | "quorum" | "all";

/** Copies that must be fsynced (or asked) at `level` when a partition has `owners` owners. */
export function copiesRequired(options: { readonly level: Level; readonly owners: number }): number {
  switch (options.level) {
    case "one":
      return 1;
    case "quorum":
      return Math.floor(options.owners / 2) + 1;
    case "all":
      return options.owners;
  }
}
