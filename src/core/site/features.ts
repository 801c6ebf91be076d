/**
 * Feature levels: what this version can apply, and which level each command needs. A command above the site's level is
 * passed over by every gateway, as a version that does not know it passes over it: equal logs give equal states in a site
 * whose gateways are upgraded one at a time.
 */

import type { SiteCommand } from "./commands.ts";

/** Append-only: a level, once published, is never given another meaning. */
export const featureLevels = { min: 1, max: 4 } as const;

/** The level at which a site begins. */
export const firstFeatureLevel = 1;

const levels: Readonly<Record<SiteCommand["t"], number>> = {
  bootstrap: 1,
  "gateway-started": 1,
  "register-devices": 1,
  "kv-put": 1,
  "kv-delete": 1,
  "job-seen": 1,
  "run-claim": 1,
  "run-commit": 1,
  "feature-level": 2,
  "session-open": 2,
  once: 2,
  "gateway-add": 2,
  "gateway-admit": 2,
  "gateway-replace": 2,
  "gateway-remove": 2,
  "results-stored": 2,
  "owner-filled": 2,
  "retention-advance": 3,
  "owner-places": 4,
  "moves-cancel": 4,
  "gateway-update": 4,
  "clock-unconfirmed": 4,
};

/** From this level on the leader plans who takes places that are free; below it whoever comes or is left takes them. */
export const placesPlannedLevel = 4;

/** From this level on a gateway that is replaced gets another slot for its new data folder; below it keeps the one that it has. */
export const slotPerFolderLevel = 4;

/** The feature level that a command needs; for a wrapped one, what it wraps counts too. */
export function levelOf(command: SiteCommand): number {
  const own = levels[command.t];
  return command.t === "once" ? Math.max(own, levels[command.command.t]) : own;
}
