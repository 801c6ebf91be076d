/**
 * `fogbank repair`: has every gateway of the site compare all that it holds, now and also what is on its way, and then once more,
 * so that what one fetched late is seen by all. A comparison may take long and a mesh loses answers, so a gateway is told to run
 * one (requests of type `repair`, with a name for the run) and asked with the same name until it has.
 */

import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import type { Requests } from "../requests.ts";
import type { Repair, RepairReport } from "./repair.ts";

export interface SiteRepairOptions {
  readonly context: GatewayContext;
  readonly requests: Pick<Requests, "call" | "serve">;
  readonly repair: Pick<Repair, "run">;
  /** Members that keep readings. */
  readonly gateways: () => readonly GatewayId[];
}

export interface GatewayRepair {
  readonly gateway: GatewayId;
  /** False: it could not be asked, or did not answer; the rest then says nothing. */
  readonly reached: boolean;
  readonly partitionsCompared: number;
  readonly partitionsEqual: number;
  readonly hoursDiffering: number;
  readonly readingsFetched: number;
  readonly chunksRestored: number;
  /** All that it holds is what every other owner of it holds, at the end. */
  readonly equal: boolean;
  readonly note: string | undefined;
}

export interface SiteRepairReport {
  readonly gateways: readonly GatewayRepair[];
  readonly equal: boolean;
}

interface RepairRequest {
  readonly run: string;
  /** Leaves alone what is on its way. */
  readonly settled: boolean;
}

const pollMs = 500;
const callTimeoutMs = 5_000;
/** A gateway that has not answered for so long has gone. */
const silenceMaxMs = 20_000;
/** Runs whose outcome is remembered for who asks again. */
const runsMax = 32;

export class SiteRepair {
  readonly #options: SiteRepairOptions;
  /** `undefined`: under way. */
  readonly #runs = new Map<string, Result<RepairReport> | undefined>();
  #next = 1;

  constructor(options: SiteRepairOptions) {
    this.#options = options;
    options.requests.serve("repair", (_from, body) => Promise.resolve(this.#asked(body)));
  }

  async run(): Promise<Result<SiteRepairReport>> {
    const first = await this.#everywhere(false);
    const gone = first.find(({ report }) => report.ok === false && report.code === "not-ready");
    if (gone !== undefined && first.every(({ report }) => !report.ok)) return gone.report as Result<never>;
    const isQuiet = first.every(({ report }) => report.ok && report.value.equal);
    const second = isQuiet ? first : await this.#everywhere(true);
    const gateways = second.map(({ gateway, report }, at) => {
      const before = first[at]?.report;
      const done = before !== second[at]?.report && before?.ok === true ? before.value : undefined;
      return describe(gateway, report, done);
    });
    return success({ gateways, equal: gateways.every(({ equal }) => equal) });
  }

  #everywhere(settled: boolean): Promise<{ readonly gateway: GatewayId; readonly report: Result<RepairReport> }[]> {
    const { context, gateways } = this.#options;
    const run = `${context.session} ${this.#next++}`;
    return Promise.all([...gateways()].sort().map(async (gateway) => ({ gateway, report: await this.#runAt(gateway, { run, settled }) })));
  }

  async #runAt(gateway: GatewayId, request: RepairRequest): Promise<Result<RepairReport>> {
    const { context, requests } = this.#options;
    const { clock } = context;
    let heardMs = clock.monotonicMs();
    for (;;) {
      const reply =
        gateway === context.self
          ? this.#asked(request)
          : await requests.call(gateway, "repair", request, { timeoutMs: callTimeoutMs, channel: "job" });
      if (context.inbox.closed()) return failure("not-ready", `${context.self} stops`);
      if (reply.ok) {
        heardMs = clock.monotonicMs();
        const report = (reply.value as { readonly report?: unknown } | null)?.report;
        if (isReport(report)) return success(report);
      } else if ((reply.code !== "outcome-unknown" && reply.code !== "busy") || clock.monotonicMs() - heardMs > silenceMaxMs) {
        return reply;
      }
      await pause(clock, pollMs);
    }
  }

  /** Begins a run of a new name; `report` is there once it has ended. */
  #asked(body: unknown): Result<unknown> {
    const { run, settled } = (body ?? {}) as Partial<RepairRequest>;
    if (typeof run !== "string") return failure("internal", "a request for a repair is malformed");
    if (!this.#runs.has(run)) {
      this.#runs.set(run, undefined);
      for (const oldest of this.#runs.keys()) {
        if (this.#runs.size <= runsMax) break;
        this.#runs.delete(oldest);
      }
      void this.#options.repair.run({ settled: settled === true }).then((report) => this.#runs.set(run, report));
    }
    const outcome = this.#runs.get(run);
    if (outcome?.ok === false) return outcome;
    return success(outcome === undefined ? {} : { report: outcome.value });
  }
}

function describe(gateway: GatewayId, last: Result<RepairReport>, before: RepairReport | undefined): GatewayRepair {
  if (!last.ok)
    return {
      gateway,
      reached: false,
      partitionsCompared: 0,
      partitionsEqual: 0,
      hoursDiffering: 0,
      readingsFetched: 0,
      chunksRestored: 0,
      equal: false,
      note: last.message,
    };
  const { partitionsCompared, partitionsEqual, hoursDiffering, readingsFetched, chunksRestored, equal, problems } = last.value;
  return {
    gateway,
    reached: true,
    partitionsCompared,
    partitionsEqual,
    hoursDiffering: before?.hoursDiffering ?? hoursDiffering,
    readingsFetched: readingsFetched + (before?.readingsFetched ?? 0),
    chunksRestored: chunksRestored + (before?.chunksRestored ?? 0),
    equal,
    note: problems[0],
  };
}

const counts = ["partitionsCompared", "partitionsEqual", "hoursDiffering", "readingsFetched", "chunksRestored"] as const;

function isReport(value: unknown): value is RepairReport {
  if (typeof value !== "object" || value === null) return false;
  const report = value as Partial<RepairReport>;
  if (typeof report.equal !== "boolean" || !Array.isArray(report.problems)) return false;
  return counts.every((name) => Number.isSafeInteger(report[name])) && report.problems.every((problem) => typeof problem === "string");
}
