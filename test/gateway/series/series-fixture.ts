/** One gateway's readings without the rest of the gateway: log and store of a simulated disk, opened as a start would. */

import { RoundBuilder } from "../../../src/core/round/round-builder.ts";
import { decodeRound } from "../../../src/core/round/round-codec.ts";
import { defaultTuning, type GatewayContext, type GatewayTuning } from "../../../src/gateway/context.ts";
import { Inbox } from "../../../src/gateway/inbox.ts";
import { type CheckpointRecord, parseRecord, ReadingsLog, RecordKind } from "../../../src/gateway/readings-log.ts";
import { SeriesReader } from "../../../src/gateway/series/series-reader.ts";
import { SeriesStore } from "../../../src/gateway/series/series-store.ts";
import { FailureError, failure, type Result } from "../../../src/lib/errors.ts";
import { deviceId, gatewayId, sessionId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import type { SeriesName } from "../../../src/lib/reading-columns.ts";
import type { Store, StoreOperation } from "../../../src/ports/store.ts";
import { SimulatedDisk } from "../../../src/sim/disk.ts";
import { Scheduler } from "../../../src/sim/scheduler.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";
import { settle } from "../../sim/virtual-time.ts";

export interface Reading {
  readonly device: string;
  readonly us: number;
  readonly value: number;
}

export interface OpenSeries {
  readonly store: SeriesStore;
  readonly log: ReadingsLog;
  readonly raw: Store;
  /** Log sequences that were replayed into the heads. */
  readonly replayed: readonly number[];
}

const metric = "value";

export class SeriesSite {
  readonly scheduler = new Scheduler();
  readonly disk: SimulatedDisk;
  readonly errors: string[] = [];
  carriesOver = true;
  tuning: GatewayTuning = defaultTuning;
  /** Reading many values begins up to so much later, so that what lies between sees more. */
  readDelayMs = 0;
  /** Whether a store that has a bound refuses these. */
  isTooMuch: (operations: readonly StoreOperation[]) => boolean = () => false;
  readonly #random: SeededRandom;
  #round = 1;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed ^ 0x510);
    this.disk = new SimulatedDisk({
      schedule: (delayMs, fire) => this.scheduler.schedule(delayMs, "disk", fire),
      random: new SeededRandom(seed),
    });
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return settle(this.scheduler, promise);
  }

  /** As `openDisk` does; `undefined` is never returned, a refusal is. */
  async open(): Promise<Result<OpenSeries>> {
    const ports = this.disk.ports();
    const packing = new Packing();
    const raw = await this.settle(ports.stores.open("store"));
    if (!raw.ok) return raw;
    const store = new SeriesStore({
      context: this.#context(packing),
      store: this.#slow(raw.value),
      reservedUs: () => 77,
      carryOver: () => this.carriesOver,
    });
    const loaded = await this.settle(store.load());
    if (!loaded.ok) return loaded;
    let checkpoint: CheckpointRecord | undefined;
    const replayed: number[] = [];
    const opened = await this.settle(
      ports.logs.open("readings", {
        segmentBytesMax: 4_096,
        visit: (sequence, payload) => {
          const record = parseRecord(payload);
          if (record?.kind === RecordKind.Round) {
            const round = decodeRound(record.body);
            if (!round.ok) throw new Error(round.message);
            store.apply(round.value.columns, sequence);
            replayed.push(sequence);
          } else if (record?.kind === RecordKind.Checkpoint) {
            const unpacked = packing.unpack(record.body);
            if (unpacked.ok) checkpoint = unpacked.value as CheckpointRecord;
          }
        },
      }),
    );
    if (!opened.ok) return opened;
    const log = new ReadingsLog(opened.value, packing);
    const checked = store.checkAgainstLog(checkpoint, log);
    return checked.ok ? { ok: true, value: { store, log, raw: raw.value, replayed } } : checked;
  }

  /** Appends a round; `durable` is called when it is on disk and in the heads. */
  append(open: OpenSeries, readings: readonly Reading[], durable: () => void): boolean {
    const names: SeriesName[] = [];
    const builder = new RoundBuilder((ref) => names[ref] as SeriesName);
    for (const { device, us, value } of readings) {
      let ref = names.findIndex((name) => name.device === device);
      if (ref < 0) ref = names.push({ device: deviceId(device), metric }) - 1;
      builder.append(ref, us, 2, value, undefined);
    }
    const bytes = builder.encode({
      coordinator: gatewayId("gw-a"),
      session: sessionId("00".repeat(16)),
      round: this.#round++,
      epoch: 1,
      clockSynchronised: true,
    });
    const decoded = decodeRound(bytes);
    const sequence = open.log.append(RecordKind.Round, bytes, () => {
      if (decoded.ok) open.store.apply(decoded.value.columns, sequence as number);
      durable();
    });
    return sequence !== undefined;
  }

  async appendDurably(open: OpenSeries, readings: readonly Reading[]): Promise<void> {
    await this.settle(new Promise<void>((resolve) => this.append(open, readings, resolve)));
  }

  /** Everything that can be read, as "device us" -> value. Throws when an identity comes twice or a scan fails. */
  async readAll(open: OpenSeries): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    const reader = new SeriesReader(open.store);
    for (const series of open.store.index.all()) {
      let last = Number.NEGATIVE_INFINITY;
      const scanned = await this.settle(
        reader.scan(series, { fromUs: 0, toUs: Number.MAX_SAFE_INTEGER }, (run) => {
          for (let i = 0; i < run.count; i++) {
            const us = run.times[i] as number;
            if (us <= last) throw new Error(`${series.device} at ${us} after ${last}`);
            last = us;
            found.set(`${series.device} ${us}`, run.numbers[i] as number);
          }
          return true;
        }),
      );
      if (!scanned.ok) throw new Error(scanned.message);
    }
    return found;
  }

  #slow(store: Store): Store {
    return {
      get: (key) => store.get(key),
      getMany: async (keys) => {
        const delayMs = this.readDelayMs * this.#random.real();
        if (delayMs > 0) await new Promise<void>((resolve) => this.scheduler.schedule(delayMs, "slow read", resolve));
        return store.getMany(keys);
      },
      write: (operations, options) =>
        this.isTooMuch(operations)
          ? Promise.reject(new FailureError(failure("disk-full", "the store takes no more")))
          : store.write(operations, options),
      scan: (range) => store.scan(range),
      sizeBytes: () => store.sizeBytes(),
      close: () => store.close(),
    };
  }

  #context(packing: Packing): GatewayContext {
    const { scheduler, errors, tuning } = this;
    const say = (event: string, details?: object) => void errors.push(`${event} ${JSON.stringify(details)}`);
    const used = {
      inbox: new Inbox((cause) => {
        throw cause;
      }),
      packing,
      tuning,
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
      ports: { hash64: testHash64 },
      diagnostics: { debug: say, info: say, warn: say, error: say },
    };
    // Of a gateway's world, the series store uses no more than this.
    return used as unknown as GatewayContext;
  }
}
