/** How many of a site's gateways vote in Raft. */

export const votersMax = 5;

/**
 * The largest odd number up to five: one voter more would not let one more be away. Of two gateways both vote, since with
 * one voter the loss of its disk would be the loss of the site's state.
 */
export function votersWanted(gateways: number): number {
  if (gateways <= 2) return gateways;
  return Math.min(votersMax, gateways - ((gateways + 1) % 2));
}

/** More than half. */
export function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}
