/** The site's jobs at this gateway: the rows of attempts that it keeps, the results with their sinks, and the runner. */

import type { SiteState } from "../../core/site/site-state.ts";
import type { Calendar } from "../../lib/calendar.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Store } from "../../ports/store.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { GatewayContext } from "../context.ts";
import type { EventHub } from "../event-hub.ts";
import type { MeshRouter } from "../mesh-router.ts";
import type { Queries } from "../query/queries.ts";
import type { ReadingsLog } from "../readings-log.ts";
import type { Requests } from "../requests.ts";
import { AttemptKeeper, type AttemptRows } from "./attempt-rows.ts";
import { JobRunner } from "./job-runner.ts";
import { JobOpenWindows } from "./open-windows.ts";
import { Results } from "./results.ts";

export interface SiteJobsOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly requests: Requests;
  readonly events: EventHub;
  readonly consensus: Consensus;
  readonly state: SiteState;
  readonly log: ReadingsLog;
  readonly store: Store;
  readonly restoredAttempts: readonly AttemptRows[];
  readonly queries: Queries;
  readonly calendar: Calendar;
  readonly gateways: () => GatewayId[];
  /** No window that begins below this instant has its readings any more. */
  readonly horizonMs: () => number;
  /** How many clocks are within so much of this gateway's, of how many gateways. */
  readonly clocksWithin: (deviationMaxMs: number) => { readonly near: number; readonly gateways: number };
}

const proposeTimeoutMs = 10_000;

export class SiteJobs {
  readonly attempts: AttemptKeeper;
  readonly results: Results;
  readonly windows: JobOpenWindows;
  readonly runner: JobRunner;

  constructor(options: SiteJobsOptions) {
    const { context, router, requests, events, consensus, state, queries, calendar, gateways } = options;
    this.attempts = new AttemptKeeper({
      context,
      log: options.log,
      requests,
      restored: options.restoredAttempts,
      gateways,
      useless: (rows) => (state.job(rows.job)?.windows.get(rows.fromMs)?.revision ?? 0) > rows.baseRevision && !this.results.needs(rows),
    });
    this.results = new Results({
      context,
      store: options.store,
      requests,
      router,
      attempts: this.attempts,
      state,
      gateways,
      stored: (row) => events.emit({ type: "result", row }),
      proposeStored: (ordinal) => {
        void consensus.propose({ t: "results-stored", gateway: context.self, ordinal }, proposeTimeoutMs);
      },
    });
    this.windows = new JobOpenWindows({ jobs: context.settings.jobs, state, calendar });
    this.runner = new JobRunner({
      context,
      consensus,
      state,
      queries,
      attempts: this.attempts,
      results: this.results,
      calendar,
      windows: this.windows,
      horizonMs: options.horizonMs,
      clocksWithin: options.clocksWithin,
    });
  }
}
