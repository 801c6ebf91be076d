/**
 * Gateways with nothing but results: a state that follows one log, a simulated disk, and questions to each other over links
 * that a test cuts. What is committed has its rows on the gateways that the test says.
 */

import type { SiteCommand } from "../../../src/core/site/commands.ts";
import { SiteState } from "../../../src/core/site/site-state.ts";
import type { GatewayContext } from "../../../src/gateway/context.ts";
import { Inbox } from "../../../src/gateway/inbox.ts";
import type { AttemptKeeper } from "../../../src/gateway/jobs/attempt-rows.ts";
import { digestOfRows, encodeRows } from "../../../src/gateway/jobs/result-row.ts";
import { Results } from "../../../src/gateway/jobs/results.ts";
import type { MeshRouter } from "../../../src/gateway/mesh-router.ts";
import type { RequestHandler, Requests } from "../../../src/gateway/requests.ts";
import type { ResultRow } from "../../../src/gateway/service.ts";
import { failure, type Result } from "../../../src/lib/errors.ts";
import type { GatewayId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { SimulatedDisk } from "../../../src/sim/disk.ts";
import { Scheduler } from "../../../src/sim/scheduler.ts";
import { bootstrap } from "../../core/site/site-fixture.ts";
import { settle } from "../../sim/virtual-time.ts";

export const sinkName = "archive";
export const job = "mean";
export const stepMs = 10_000;

export class ResultsSite {
  readonly scheduler = new Scheduler();
  readonly packing = new Packing();
  readonly log: (SiteCommand | undefined)[] = [];
  readonly gateways = new Map<GatewayId, ResultsGateway>();
  /** What the log says, whoever has heard it. */
  readonly state = new SiteState();

  constructor(ids: readonly GatewayId[], options: { readonly level?: number; readonly factor?: number } = {}) {
    for (const [at, id] of ids.entries()) this.gateways.set(id, new ResultsGateway(this, id, at + 1));
    this.append(bootstrap(ids, options.factor ?? 3));
    if (options.level !== 1) this.append({ t: "feature-level", level: 2 });
  }

  async start(): Promise<this> {
    for (const gateway of this.gateways.values()) await gateway.start();
    return this;
  }

  of(id: GatewayId): ResultsGateway {
    const gateway = this.gateways.get(id);
    if (gateway === undefined) throw new Error(`no ${id}`);
    return gateway;
  }

  newGateway(id: GatewayId): ResultsGateway {
    const gateway = new ResultsGateway(this, id, 90 + this.gateways.size);
    this.gateways.set(id, gateway);
    return gateway;
  }

  /** Commits a command; gateways that are up hear of it at once. */
  append(command: SiteCommand | undefined) {
    this.log.push(command);
    const result = this.state.apply(this.log.length, command);
    for (const gateway of this.gateways.values()) gateway.hear();
    return result;
  }

  /** Commits a window's next revision; its rows are kept by these gateways only. */
  commit(
    fromMs: number,
    options: { readonly keepers?: readonly GatewayId[]; readonly sinks?: readonly string[]; readonly job?: string } = {},
  ): void {
    const name = options.job ?? job;
    const window = { fromMs, toMs: fromMs + stepMs };
    const claimed = this.append({ t: "run-claim", job: name, gateway: [...this.gateways.keys()][0] as GatewayId, windows: [window] });
    const claim = claimed.t === "claim" ? claimed.claims[0] : undefined;
    if (claim === undefined) throw new Error("a claim is answered with a claim");
    const rows = [rowOf(name, fromMs, claim.baseRevision + 1)];
    const bytes = encodeRows(this.packing, rows);
    for (const id of options.keepers ?? this.gateways.keys()) this.of(id).kept.set(`${name} ${fromMs} ${claim.attempt}`, bytes);
    const committed = { ...window, ...claim, rows: rows.length, digest: digestOfRows(bytes) };
    this.append({ t: "run-commit", job: name, sinks: options.sinks ?? [sinkName], windows: [committed] });
  }

  commitMany(from: number, count: number): void {
    for (let at = from; at < from + count; at++) this.commit(at * stepMs);
  }

  async run(ms: number): Promise<void> {
    const end = this.scheduler.nowMs() + ms;
    await settle(this.scheduler, new Promise<void>((resolve) => this.scheduler.schedule(ms, "end", resolve)));
    if (this.scheduler.nowMs() < end) throw new Error("time did not pass");
  }

  async until(condition: () => boolean, withinMs: number, what: string): Promise<void> {
    const end = this.scheduler.nowMs() + withinMs;
    while (!condition()) {
      if (this.scheduler.nowMs() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
      await this.run(50);
    }
  }

  /** Lets every gateway store everything, and its sinks too. */
  async allStored(withinMs = 60_000): Promise<void> {
    await this.until(() => [...this.gateways.values()].every((gateway) => !gateway.isUp() || gateway.isDone()), withinMs, "all is stored");
  }

  /** Time enough for reports to be made and heard. */
  async reported(): Promise<void> {
    await this.run(31_000);
  }
}

export function rowOf(name: string, fromMs: number, revision: number): ResultRow {
  const id = `${name}@${new Date(fromMs).toISOString()}`;
  const values = { mean: revision };
  return { id, revision, job: name, from: fromMs, to: fromMs + stepMs, group: {}, values, count: 1, complete: true };
}

export class ResultsGateway {
  readonly id: GatewayId;
  readonly disk: SimulatedDisk;
  readonly kept = new Map<string, Uint8Array>();
  readonly said: string[] = [];
  readonly emitted: ResultRow[] = [];
  readonly proposed: number[] = [];
  readonly #site: ResultsSite;
  readonly #handlers = new Map<string, RequestHandler>();
  /** Peers that this gateway cannot ask. */
  readonly cutFrom = new Set<GatewayId>();
  /** Changes the answers that this gateway gives. */
  answering: (type: string, answer: Result<unknown>) => Result<unknown> = (_type, answer) => answer;
  /** Whether what this gateway says of its progress is committed. */
  reports = true;
  state = new SiteState();
  results: Results | undefined;
  #inbox = new Inbox(() => undefined);
  #asked = 0;

  constructor(site: ResultsSite, id: GatewayId, seed: number) {
    this.id = id;
    this.#site = site;
    this.disk = new SimulatedDisk({
      schedule: (delayMs, fire) => site.scheduler.schedule(delayMs, "disk", fire),
      random: new SeededRandom(seed),
    });
  }

  isUp(): boolean {
    return this.results !== undefined;
  }

  /** How many questions were asked of peers. */
  asked(): number {
    return this.#asked;
  }

  isDone(): boolean {
    return (
      this.results?.pending() === 0 && this.results.sinks.every((sink) => sink.view().pending === 0 && sink.view().error === undefined)
    );
  }

  /** Starts from a snapshot of another's state and the log behind it, or from the whole log. */
  async start(from?: SiteState): Promise<void> {
    const { scheduler, packing } = this.#site;
    this.state = new SiteState();
    if (from !== undefined) this.#restoreFrom(from);
    this.#inbox = new Inbox((cause) => {
      throw cause;
    });
    const ports = this.disk.ports();
    const store = await settle(scheduler, ports.stores.open("store"));
    if (!store.ok) throw new Error(store.message);
    const results = new Results({
      context: this.#context(ports, packing),
      store: store.value,
      requests: this.#requests(),
      router: { reachable: (peer: GatewayId) => this.#reaches(peer) } as unknown as MeshRouter,
      attempts: this.#attempts(),
      state: this.state,
      gateways: () => [...this.state.members().values()].filter((one) => one.memberId !== undefined).map((one) => one.id),
      stored: (row) => this.emitted.push(row),
      proposeStored: (ordinal) => {
        this.proposed.push(ordinal);
        if (this.reports) this.#site.append({ t: "results-stored", gateway: this.id, ordinal });
      },
    });
    const opened = await settle(scheduler, results.open());
    if (!opened.ok) throw new Error(opened.message);
    this.results = results;
    this.hear();
  }

  /** As a leader does it to a follower that is far behind. */
  restore(from: SiteState): void {
    this.#restoreFrom(from);
    this.results?.restored();
    this.hear();
  }

  #restoreFrom(from: SiteState): void {
    const restored = this.state.restore(Buffer.concat([...from.capture().blocks(this.#site.packing)]), this.#site.packing);
    if (!restored.ok) throw new Error(restored.message);
  }

  /** Applies what was committed. */
  hear(): void {
    if (this.results === undefined) return;
    const { log } = this.#site;
    while (this.state.appliedIndex() < log.length) {
      const index = this.state.appliedIndex() + 1;
      const result = this.state.apply(index, log[index - 1]);
      if (result.t === "commit") this.results.committed(result.runs);
    }
  }

  crash(): void {
    this.results = undefined;
    this.#inbox.close();
    this.disk.crash();
  }

  /** [id, revision] of each line of the sink's file. */
  lines(): string[] {
    const text = this.disk.resultText(`${sinkName}.ndjson`) ?? "";
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const row = JSON.parse(line) as ResultRow;
        return `${row.id} ${row.revision}`;
      });
  }

  async latest(name = job): Promise<ResultRow[]> {
    const all = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };
    const rows = await settle(this.#site.scheduler, this.results?.rows(name, all) ?? Promise.reject(new Error("down")));
    if (!rows.ok) throw new Error(rows.message);
    return rows.value;
  }

  async answer(type: string, body: unknown): Promise<Result<unknown>> {
    const answer = await (this.#handlers.get(type)?.(this.id, body) ?? Promise.resolve(failure("not-found", type)));
    return this.answering(type, answer);
  }

  #reaches(peer: GatewayId): boolean {
    return !this.cutFrom.has(peer) && this.#site.gateways.get(peer)?.isUp() === true;
  }

  #requests(): Requests {
    const { packing, scheduler } = this.#site;
    const used = {
      serve: (type: string, handler: RequestHandler) => void this.#handlers.set(type, handler),
      call: async (to: GatewayId, type: string, body: unknown, options: { readonly timeoutMs: number }): Promise<Result<unknown>> => {
        this.#asked++;
        await new Promise<void>((resolve) => scheduler.schedule(1, "question", resolve));
        if (!this.#reaches(to)) return failure("unreachable", `${to} is not connected`);
        const question = packing.unpack(packing.pack(body));
        if (!question.ok) return question;
        const given = this.#site.of(to).answer(type, question.value);
        const late = new Promise<Result<unknown>>((resolve) => {
          scheduler.schedule(options.timeoutMs, "time-out", () => resolve(failure("outcome-unknown", `${to} did not answer in time`)));
        });
        // The peer may die with the question.
        const answer = await Promise.race([given, late]);
        if (!this.#reaches(to)) return failure("outcome-unknown", `the link to ${to} broke`);
        return answer.ok ? packing.unpack(packing.pack(answer.value)) : answer;
      },
    };
    // Of the questions between gateways, results use no more than this.
    return used as unknown as Requests;
  }

  #attempts(): AttemptKeeper {
    const used = {
      find: (name: string, fromMs: number, attempt: number) => this.kept.get(`${name} ${fromMs} ${attempt}`),
      tidy: () => undefined,
      tidyAll: () => undefined,
    };
    return used as unknown as AttemptKeeper;
  }

  #context(ports: ReturnType<SimulatedDisk["ports"]>, packing: Packing): GatewayContext {
    const { scheduler } = this.#site;
    const say = (event: string, details?: object) => void this.said.push(`${event} ${JSON.stringify(details)}`);
    const used = {
      self: this.id,
      settings: {
        sinks: [{ name: sinkName, type: "file" }],
        jobs: [{ name: job, windowMs: stepMs, sinks: [sinkName] }],
      },
      inbox: this.#inbox,
      packing,
      clock: {
        wallMs: () => scheduler.nowMs(),
        monotonicMs: () => scheduler.nowMs(),
        ntpState: () => "synchronised",
        synchronised: () => true,
        schedule: (delayMs: number, fire: () => void) => {
          scheduler.schedule(delayMs, "timer", fire);
          return { id: 0 };
        },
        cancel: () => undefined,
      },
      ports: { documents: ports.documents, resultFiles: ports.results },
      diagnostics: { debug: say, info: say, warn: say, error: say },
    };
    // Of a gateway's world, results use no more than this.
    return used as unknown as GatewayContext;
  }
}
