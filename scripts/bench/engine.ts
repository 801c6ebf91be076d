/** One gateway's series engine on a real LevelDB, without MQTT and without a log: what benchmarks of the store fill and ask. */

import { LevelStoreDirectory } from "../../src/adapters/level-store.ts";
import { SystemClock } from "../../src/adapters/system-clock.ts";
import { loadHash64 } from "../../src/adapters/xxhash.ts";
import { defaultTuning, type GatewayContext } from "../../src/gateway/context.ts";
import { Inbox } from "../../src/gateway/inbox.ts";
import type { ReadingsLog } from "../../src/gateway/readings-log.ts";
import { SeriesStore } from "../../src/gateway/series/series-store.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { Packing } from "../../src/lib/packing.ts";
import type { Store } from "../../src/ports/store.ts";

export const self = gatewayId("gw-a");

export interface Engine {
  readonly store: Store;
  readonly series: SeriesStore;
  readonly context: GatewayContext;
}

export async function openEngine(folder: string): Promise<Engine> {
  const opened = await new LevelStoreDirectory({ folder }).open("store");
  if (!opened.ok) throw new Error(opened.message);
  const say = (): void => undefined;
  const used = {
    self,
    tuning: defaultTuning,
    clock: new SystemClock(),
    packing: new Packing(),
    inbox: new Inbox((cause) => {
      throw cause;
    }),
    ports: { hash64: await loadHash64() },
    diagnostics: { debug: say, info: say, warn: console.error, error: console.error },
  };
  // Of a gateway's world, the engine uses no more than this.
  const context = used as unknown as GatewayContext;
  const series = new SeriesStore({ context, store: opened.value, reservedUs: () => 0, carryOver: () => true });
  const loaded = await series.load();
  if (!loaded.ok) throw new Error(loaded.message);
  return { store: opened.value, series, context };
}

/** An engine that readings can be applied to: its checkpoints find a log that has nothing to trim. */
export async function openEmptyEngine(folder: string): Promise<Engine> {
  const engine = await openEngine(folder);
  const log = {
    log: { stats: () => ({ bytes: 0, bytesWritten: 0 }), nextSequence: () => 1, trim: () => Promise.resolve() },
    appendPacked: () => 1,
  };
  const attached = engine.series.checkAgainstLog(undefined, log as unknown as ReadingsLog);
  if (!attached.ok) throw new Error(attached.message);
  return engine;
}
