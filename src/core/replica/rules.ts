/**
 * How many copies a level asks for. Pure arithmetic, used by coordinators of writes and reads alike, and by tests that
 * plant bugs by substituting `copiesRequired`.
 *
 * With n owners that all have everything (*whole*), a quorum of writes and one of reads share an owner, W + R > n (Gifford
 * 1979; Dynamo, section 4.5). Owners come and go one by one, and one that came has nothing at first (*filling*, m of n are whole):
 *
 * - A reading from before the change is on ⌊n/2⌋ + 1 owners of the old list, of which one may be lost. Reads of a partition that
 *   is filling or short therefore ask all m whole owners. Filling owners answer for nothing.
 * - A reading from after the change must be on a whole owner, and more: gateways that have not heard of the change may still
 *   ask, and answer, under the old list, and each of their quorums must meet an owner that knows better and refuses. A
 *   majority of the m whole owners does that (with one old owner lost, ⌈n/2⌉ of the others are needed, and
 *   ⌊(n−1)/2⌋ + 1 is never less). One whole owner would not: {a, b, c} with c replaced, written to {a, c'}, and {b, c} still
 *   agree with each other. So a write needs its level among all owners *and* among the whole ones, and a filling
 *   owner counts for the first only.
 * - For the same reason a question needs as many answers of the whole list as its level asks for, of which those of filling
 *   owners say only that no newer table is known there: {a} is joined by c', c' is filled, a is removed without hearing of it, and
 *   would go on answering alone under the table in which c' is filling.
 *
 * A partition that *moves* has n whole owners, of which one goes, and one more that fills. A write is on its level of the whole ones,
 * and on one more of all than its level asks of n: without the owner that goes it is still on as many of the new list as one that was
 * written behind the cut-over. As many owners may be away meanwhile as without a move. A read takes ⌊n/2⌋ + 2 of all and ⌊n/2⌋ + 1 of
 * the whole ones: it meets what was written to any quorum of the old list, and, since it hears ⌊n/2⌋ + 1 of the
 * new list, one that knows of the cut-over if anything was written behind that, also when one of the new list was lost by then: then
 * it hears ⌊n/2⌋ of the n − 1 that are left, and of these ⌊(n−1)/2⌋ + 1 have what was written. The gateway that fills asks a
 * majority of the old owners, each under the epoch of the move: they have every acknowledged reading between them, and those that have
 * answered take no round of an older table any more, so that no old quorum is left (fencing) before the cut-over can be proposed.
 *
 * An owner acknowledges a round, and answers a question, only under the epoch that it is at, and never goes back to an older one;
 * a gateway counts as filled when it has what all whole owners hold, each asked at an epoch in which it was an owner already.
 * `test/core/ring/owner-changes.test.ts` plays this with writers and askers that know older tables.
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

/** The owners of a partition by number. */
export interface OwnerCounts {
  readonly owners: number;
  /** Of them, those that have all of its readings. */
  readonly whole: number;
  /** Of the whole ones, those that go once another one is filled: 1 where the partition moves. */
  readonly leaving: number;
  /** Owners that it had or will have: the table's factor. */
  readonly planned: number;
}

/** What a write or a question needs, of all owners and of the whole ones among them. */
export interface Quorum {
  readonly any: number;
  readonly whole: number;
}

export function writeQuorum(level: Level, counts: Omit<OwnerCounts, "planned">, required: typeof copiesRequired): Quorum {
  const { owners, whole, leaving } = counts;
  return { any: required({ level, owners: owners - leaving }) + leaving, whole: required({ level, owners: whole }) };
}

/** Level `one` promises what that one whole owner has, and no more. */
export function readQuorum(level: Level, counts: OwnerCounts, required: typeof copiesRequired): Quorum {
  const { owners, whole, leaving, planned } = counts;
  if (level === "one") return { any: required({ level, owners }), whole: required({ level, owners: whole }) };
  const any = required({ level, owners: owners - leaving }) + leaving;
  return { any, whole: whole >= planned ? required({ level, owners: whole }) : whole };
}

/** Whether an owner at epoch `own` takes a round of epoch `offered`, and says that it is durable: under no other table than its own. */
export function takesEpoch(offered: number, own: number): boolean {
  return offered === own;
}
