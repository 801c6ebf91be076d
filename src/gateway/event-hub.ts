/**
 * Events for whoever listens on this gateway, best effort: leadership, links, results, and (asked for by glob) readings
 * as they are acknowledged anywhere on the site. Peers are asked for their readings only while somebody listens.
 */

import { decodeRound } from "../core/round/round-codec.ts";
import { matchesGlob } from "../lib/glob.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { ReadingValue } from "../lib/reading.ts";
import { valueAt } from "../lib/reading-columns.ts";
import type { GatewayContext } from "./context.ts";
import { FrameKind } from "./frames.ts";
import type { ClosedRound } from "./ingest/lane.ts";
import type { MeshRouter } from "./mesh-router.ts";
import type { EventFilter, GatewayEvent } from "./service.ts";

const renewMs = 5_000;
const wantMs = 12_000;
const readingsPerRoundMax = 200;
/** Globs in one request; peers are asked for all readings when there are more, and each listener gets what it asked for. */
const globsMax = 50;

type Notice =
  /** `turn` counts up within the asking process's `session`: a request that was overtaken says nothing. Older versions say neither. */
  | { readonly t: "want"; readonly globs: readonly string[]; readonly session?: number; readonly turn?: number }
  | { readonly t: "readings"; readonly rows: readonly (readonly [string, string, number, ReadingValue])[] };

interface Wanted {
  readonly globs: readonly string[];
  readonly untilMs: number;
  readonly session: unknown;
  readonly turn: number;
}

export class EventHub {
  readonly #context: GatewayContext;
  readonly #router: MeshRouter;
  readonly #listeners = new Map<(event: GatewayEvent) => void, EventFilter>();
  /** What peers want of this gateway's readings, and until when. */
  readonly #wanted = new Map<GatewayId, Wanted>();
  #renewing = false;
  #turn = 0;

  constructor(context: GatewayContext, router: MeshRouter) {
    this.#context = context;
    this.#router = router;
    router.handle(FrameKind.Notice, (from, body) => this.#noticed(from, body));
  }

  subscribe(filter: EventFilter, listener: (event: GatewayEvent) => void): () => void {
    this.#listeners.set(listener, filter);
    if (filter.readingsOf !== undefined) this.#want();
    return () => {
      this.#listeners.delete(listener);
    };
  }

  emit(event: Exclude<GatewayEvent, { type: "reading" }>): void {
    for (const listener of this.#listeners.keys()) listener(event);
  }

  /** A round of this gateway was acknowledged. */
  acknowledged(round: ClosedRound): void {
    if (this.#listeners.size === 0 && this.#wanted.size === 0) return;
    const nowMs = this.#context.clock.monotonicMs();
    const globs = this.#globs();
    for (const [peer, want] of this.#wanted) if (want.untilMs < nowMs) this.#wanted.delete(peer);
    if (globs.length === 0 && this.#wanted.size === 0) return;
    const rows = readingsOf(round);
    if (globs.length > 0) this.#deliver(this.#context.self, rows);
    for (const [peer, want] of this.#wanted) {
      const matching = rows.filter(([device]) => want.globs.some((glob) => matchesGlob(glob, device))).slice(0, readingsPerRoundMax);
      if (matching.length > 0) this.#send(peer, { t: "readings", rows: matching });
    }
  }

  #globs(): string[] {
    const globs = new Set([...this.#listeners.values()].flatMap((filter) => (filter.readingsOf === undefined ? [] : [filter.readingsOf])));
    return globs.size <= globsMax ? [...globs] : ["*"];
  }

  #deliver(gateway: GatewayId, rows: readonly (readonly [string, string, number, ReadingValue])[]): void {
    for (const [listener, filter] of this.#listeners) {
      const glob = filter.readingsOf;
      if (glob === undefined) continue;
      for (const [device, metric, ms, value] of rows)
        if (matchesGlob(glob, device)) listener({ type: "reading", device, metric, ms, value, gateway });
    }
  }

  /** Asks the peers, at once for a new listener, and again while anybody listens. */
  #want(): void {
    const globs = this.#globs();
    if (globs.length === 0 || this.#context.inbox.closed()) return;
    const want = { t: "want" as const, globs, session: this.#context.sessionTag, turn: ++this.#turn };
    for (const peer of this.#router.admittedPeers()) this.#send(peer, want);
    if (this.#renewing) return;
    this.#renewing = true;
    this.#context.clock.schedule(renewMs, () => {
      this.#renewing = false;
      this.#want();
    });
  }

  #send(to: GatewayId, notice: Notice): void {
    this.#router.send(to, "job", FrameKind.Notice, this.#context.packing.pack(notice));
  }

  #noticed(from: GatewayId, body: Uint8Array): void {
    const unpacked = this.#context.packing.unpack(body);
    if (!unpacked.ok || typeof unpacked.value !== "object" || unpacked.value === null) return;
    const notice = unpacked.value as { t?: unknown; globs?: unknown; rows?: unknown; session?: unknown; turn?: unknown };
    if (notice.t === "want" && Array.isArray(notice.globs)) {
      const globs = notice.globs.filter((glob): glob is string => typeof glob === "string").slice(0, globsMax);
      const { session } = notice;
      const turn = typeof notice.turn === "number" ? notice.turn : Number.POSITIVE_INFINITY;
      const known = this.#wanted.get(from);
      if (known !== undefined && known.session === session && turn < known.turn) return;
      this.#wanted.set(from, { globs, untilMs: this.#context.clock.monotonicMs() + wantMs, session, turn });
    } else if (notice.t === "readings" && Array.isArray(notice.rows)) {
      this.#deliver(from, notice.rows.filter((row) => Array.isArray(row) && row.length === 4) as [string, string, number, ReadingValue][]);
    }
  }
}

function readingsOf(round: ClosedRound): [string, string, number, ReadingValue][] {
  const decoded = decodeRound(round.bytes);
  if (!decoded.ok) return [];
  const { columns } = decoded.value;
  const rows: [string, string, number, ReadingValue][] = [];
  for (let i = 0; i < columns.count; i++) {
    const name = columns.seriesTable[columns.series[i] as number];
    if (name !== undefined) rows.push([name.device, name.metric, (columns.times[i] as number) / 1_000, valueAt(columns, i)]);
  }
  return rows;
}
