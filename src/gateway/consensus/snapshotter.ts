/**
 * Snapshots of the site's state: taken when enough of the log has been applied, encoded a few blocks at a time while the
 * gateway goes on; handed out to members that lag behind, piece by piece; fetched from the leader, resumed where a piece
 * was lost, and verified whole before anything rests on them.
 */

import type { ConfigurationRecord } from "../../core/raft/configuration.ts";
import type { RaftEvent } from "../../core/raft/events-effects.ts";
import type { Entry, SnapshotMeta } from "../../core/raft/messages.ts";
import { entryBytes } from "../../core/raft/raft-log.ts";
import { decodeSnapshot, SnapshotEncoder, snapshotName, snapshotPosition } from "../../core/raft/snapshot-codec.ts";
import { SiteState } from "../../core/site/site-state.ts";
import { assert, defined } from "../../lib/assert.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId, MemberId } from "../../lib/ids.ts";
import type { SnapshotFiles } from "../../ports/snapshot-files.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import type { Requests } from "../requests.ts";

export interface SnapshotterOptions {
  readonly context: GatewayContext;
  readonly requests: Requests;
  readonly files: SnapshotFiles;
  readonly state: SiteState;
  /** What this gateway's node knows of an applied position. */
  readonly positionAt: (index: number) => { readonly term: number; readonly configuration: ConfigurationRecord } | undefined;
  readonly step: (event: RaftEvent) => void;
}

interface Source {
  readonly member: MemberId;
  readonly gateway: GatewayId;
  readonly index: number;
  readonly term: number;
}

/** Snapshots that stay on disk: the newest, and the one before, which somebody may be fetching. */
const keptMax = 2;
const blocksPerTurn = 4;
const pieceBytes = 256 << 10;
const pieceTimeoutMs = 3_000;
const retryMs = 300;
/** A snapshot that could not be written, or not be fetched to the end, is not begun again at once: a disk may be full. */
const againMs = 2_000;
/** So long behind the last piece that somebody asked for it is still being fetched. */
const servingMs = 5_000;
/**
 * Times the due size: up to there no new snapshot takes the place of one that is being fetched. Whoever is slower than the log
 * grows would begin anew for ever, because what it fetched would be cut off from what the log still has.
 */
const servingFactor = 8;
/** Pieces in a row that did not come: the leader's next heartbeat names the snapshot anew. */
const failuresMax = 10;
const fetchedBytesMax = 1 << 30;

export class Snapshotter {
  readonly #options: SnapshotterOptions;
  readonly #context: GatewayContext;
  /** Bytes of entries applied since the last snapshot. */
  #appliedBytes = 0;
  #taking = false;
  #fetching: Source | undefined;
  /** Verified and on disk, until the node says that it counts. */
  #fetched: { readonly meta: SnapshotMeta; readonly state: Uint8Array } | undefined;
  #stopped = false;
  #takeFromMs = Number.NEGATIVE_INFINITY;
  #fetchFromMs = Number.NEGATIVE_INFINITY;
  #servedMs = Number.NEGATIVE_INFINITY;
  #taken = 0;
  #installed = 0;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
    this.#context = options.context;
    options.requests.serve("snapshot", (_from, body) => this.#piece(body));
  }

  stats(): { readonly taken: number; readonly installed: number; readonly fetching: boolean } {
    return { taken: this.#taken, installed: this.#installed, fetching: this.#fetching !== undefined };
  }

  stop(): void {
    this.#stopped = true;
  }

  applied(entries: readonly Entry[]): void {
    for (const entry of entries) this.#appliedBytes += entryBytes(entry);
    const { tuning } = this.#context;
    // A gateway of an older version could not install what takes the place of the log.
    if (Math.min(tuning.featureMax, this.#options.state.featureLevel()) < 2) return;
    if (this.#taking || this.#stopped || this.#nowMs < this.#takeFromMs) return;
    const isServing = this.#nowMs - this.#servedMs < servingMs;
    if (this.#appliedBytes >= tuning.raftSnapshotBytes * (isServing ? servingFactor : 1)) void this.#take();
  }

  get #nowMs(): number {
    return this.#context.clock.monotonicMs();
  }

  async #take(): Promise<void> {
    this.#taking = true;
    const taken = await this.#write().catch((cause: unknown) =>
      failure("store-failed", cause instanceof Error ? cause.message : String(cause)),
    );
    this.#taking = false;
    if (taken.ok || this.#stopped) return;
    // What is applied then tries again; until then the log only grows.
    this.#takeFromMs = this.#nowMs + againMs;
    this.#context.diagnostics.warn("snapshot-failed", { why: taken.message, next: "tried again" });
  }

  async #write(): Promise<Result<void>> {
    const { state, files, positionAt, step } = this.#options;
    const { packing, inbox } = this.#context;
    const capture = state.capture();
    const index = capture.appliedIndex;
    const position = positionAt(index);
    if (position === undefined) return failure("internal", `the log no longer has entry ${index}`);
    const bytesBefore = this.#appliedBytes;
    const meta: SnapshotMeta = { index, ...position };
    const encoder = new SnapshotEncoder(meta);
    const file = await files.create(snapshotName(meta));
    if (!file.ok) return file;
    const append = async (bytes: readonly Uint8Array[]): Promise<Result<void>> => {
      for (const part of bytes) {
        const appended = await file.value.append(part);
        if (!appended.ok) return appended;
      }
      return success(undefined);
    };
    let written = await append(encoder.header());
    let pending: Uint8Array[] = [];
    for (const block of capture.blocks(packing)) {
      pending.push(...encoder.block(block));
      if (pending.length < blocksPerTurn) continue;
      if (written.ok) written = await append(pending);
      pending = [];
      // Waiting for the disk between turns is what lets the gateway go on.
      if (!written.ok || this.#stopped || inbox.closed()) break;
    }
    if (written.ok && !this.#stopped) written = await append([...pending, ...encoder.end()]);
    if (!written.ok || this.#stopped || inbox.closed()) {
      await file.value.abort();
      return written.ok ? failure("not-ready", "the gateway is stopping") : written;
    }
    const committed = await file.value.commit();
    if (!committed.ok) return committed;
    inbox.post(() => {
      this.#appliedBytes = Math.max(0, this.#appliedBytes - bytesBefore);
      this.#taken++;
      this.#context.diagnostics.debug("snapshot-taken", { index });
      step({ type: "snapshot-stored", index });
    });
    await this.#tidy();
    return success(undefined);
  }

  async #tidy(): Promise<void> {
    const { files } = this.#options;
    const known = (await files.list()).flatMap(({ name }) => {
      const position = snapshotPosition(name);
      return position === undefined ? [] : [{ name, ...position }];
    });
    known.sort((a, b) => b.index - a.index || b.term - a.term);
    for (const { name } of known.slice(keptMax)) await files.remove(name);
  }

  async #piece(body: unknown): Promise<Result<unknown>> {
    const { index, term, offset } = (body ?? {}) as { index?: unknown; term?: unknown; offset?: unknown };
    if (typeof index !== "number" || typeof term !== "number" || typeof offset !== "number" || !Number.isSafeInteger(offset) || offset < 0)
      return failure("bad-request", "which piece of which snapshot?");
    const name = snapshotName({ index, term });
    const size = (await this.#options.files.list()).find((file) => file.name === name)?.bytes;
    if (size === undefined) return failure("not-found", `there is no snapshot at ${index} (any more)`);
    const bytes = await this.#options.files.readRange(name, offset, pieceBytes);
    if (bytes.ok) this.#servedMs = this.#nowMs;
    return bytes.ok ? success({ size, bytes: bytes.value }) : bytes;
  }

  /** The leader names a snapshot that this gateway needs; said again with each heartbeat until it is there. */
  fetch(source: Source): void {
    const { index, member } = this.#fetching ?? {};
    if (this.#stopped || (index === source.index && member === source.member) || this.#nowMs < this.#fetchFromMs) return;
    this.#fetching = source;
    void this.#fetchAll(source)
      .catch((cause: unknown) => failure("store-failed", cause instanceof Error ? cause.message : String(cause)))
      .then((fetched) => {
        if (this.#fetching === source) {
          this.#fetching = undefined;
          if (!fetched.ok) this.#fetchFromMs = this.#nowMs + againMs;
        }
        if (!fetched.ok) this.#context.diagnostics.warn("snapshot-not-fetched", { from: source.gateway, why: fetched.message });
      });
  }

  async #fetchAll(source: Source): Promise<Result<void>> {
    const { files, step } = this.#options;
    const pieces = await this.#fetchPieces(source);
    if (!pieces.ok) return pieces;
    const decoded = decodeSnapshot(pieces.value);
    if (!decoded.ok) return failure("data-damaged", `the snapshot from ${source.gateway} is damaged: ${decoded.message}`);
    const { meta, state } = decoded.value;
    if (meta.index !== source.index || meta.term !== source.term)
      return failure("data-damaged", `${source.gateway} sent the snapshot at ${meta.index} for the one at ${source.index}`);
    // What cannot be restored must not take the place of the log.
    const restored = new SiteState().restore(state, this.#context.packing);
    if (!restored.ok) return restored;
    const written = await files.write(snapshotName(meta), [pieces.value]);
    if (!written.ok) return written;
    this.#context.inbox.post(() => {
      if (this.#fetching !== source) return;
      this.#fetching = undefined;
      this.#fetched = { meta, state };
      step({ type: "snapshot-received", from: source.member, snapshot: meta });
      this.#fetched = undefined;
    });
    return success(undefined);
  }

  /** Goes on where a piece was lost; gives up when the leader names another snapshot, or nothing comes any more. */
  async #fetchPieces(source: Source): Promise<Result<Uint8Array>> {
    const { index, term, gateway } = source;
    let whole: Uint8Array | undefined;
    let offset = 0;
    let failures = 0;
    while (whole === undefined || offset < whole.length) {
      if (this.#stopped || this.#fetching !== source) return failure("not-ready", "another snapshot is fetched instead");
      const answer = await this.#options.requests.call(
        gateway,
        "snapshot",
        { index, term, offset },
        { timeoutMs: pieceTimeoutMs, channel: "bulk" },
      );
      const piece = answer.ok ? readPiece(answer.value, offset) : answer;
      if (piece.ok && (whole === undefined || whole.length === piece.value.size)) {
        whole ??= new Uint8Array(piece.value.size);
        whole.set(piece.value.bytes, offset);
        offset += piece.value.bytes.length;
        failures = 0;
        continue;
      }
      if (!piece.ok && piece.code === "not-found") return piece;
      if (++failures >= failuresMax) return piece.ok ? failure("data-damaged", `${gateway}'s snapshot changed its size`) : piece;
      await pause(this.#context.clock, retryMs);
    }
    return success(whole);
  }

  /** The node lets this snapshot take the place of the state. */
  restore(snapshot: SnapshotMeta): void {
    const fetched = defined(this.#fetched, "the snapshot that was received");
    assert(fetched.meta.index === snapshot.index && fetched.meta.term === snapshot.term, "the snapshot that was received is restored");
    const restored = this.#options.state.restore(fetched.state, this.#context.packing);
    assert(restored.ok, "a snapshot that was checked can be restored");
    this.#appliedBytes = 0;
    this.#installed++;
    this.#context.diagnostics.info("snapshot-installed", { index: snapshot.index });
    void this.#tidy().catch(() => undefined);
  }
}

function readPiece(value: unknown, offset: number): Result<{ readonly size: number; readonly bytes: Uint8Array }> {
  const { size, bytes } = (typeof value === "object" && value !== null ? value : {}) as { size?: unknown; bytes?: unknown };
  const sound =
    typeof size === "number" && Number.isSafeInteger(size) && size > 0 && size <= fetchedBytesMax && bytes instanceof Uint8Array;
  if (!sound || bytes.length === 0 || offset + bytes.length > size) return failure("bad-request", "a piece of a snapshot that cannot be");
  return success({ size, bytes });
}
