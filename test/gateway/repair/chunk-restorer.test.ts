// Goal: damaged chunks whose other owners cannot answer hold up none that can be restored, however many they are. Method: a quarantine
// by hand, of two series: the owner of one's partition is away, that of the other's answers.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../../src/core/ring/owner-changes.ts";
import { ChunkRestorer, type ChunkRestorerOptions } from "../../../src/gateway/repair/chunk-restorer.ts";
import type { DamagedChunk } from "../../../src/gateway/series/quarantine.ts";
import type { Series } from "../../../src/gateway/series/series-index.ts";
import type { ChunkRef } from "../../../src/gateway/series/store-keys.ts";
import { success } from "../../../src/lib/errors.ts";
import { deviceId, type GatewayId, gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";

const [self, away, there] = ["gw-a", "gw-b", "gw-c"].map(gatewayId) as [GatewayId, GatewayId, GatewayId];

const test = suite("gateway/repair: damaged chunks");

function damagedChunk(at: number, index: number): DamagedChunk {
  const series = { device: deviceId(`d${at}`), metric: "v", partition: partition(at) } as Series;
  return { series, ref: { minUs: index, maxUs: index, count: 1, state: "damaged" } as ChunkRef, reason: "a test" };
}

test("those that wait let the others have their turn", async () => {
  const table = {
    epoch: 1,
    factor: 2,
    ownerSets: [
      [self, away],
      [self, there],
    ],
    partitionSets: new Uint16Array(partitionCount),
  };
  table.partitionSets[1] = 1;
  const ring = { table, filling: new Map(), moves: new Map() } as unknown as RingState;
  const damaged = new Set([...Array.from({ length: 700 }, (_, i) => damagedChunk(0, i)), damagedChunk(1, 0), damagedChunk(1, 1)]);
  const restorer = new ChunkRestorer({
    context: { self, inbox: { closed: () => false }, diagnostics: { info: () => undefined } },
    quarantine: { entries: () => damaged },
    store: {
      retireDamaged: (_series: Series, refs: readonly ChunkRef[]) => {
        for (const each of damaged) if (refs.includes(each.ref)) damaged.delete(each);
        return Promise.resolve(success(undefined));
      },
    },
    fetcher: { fetch: () => Promise.resolve(success({ readings: 1 })) },
    ring: () => ring,
    reachable: (peer: string) => peer !== away,
    writeLevel: "quorum",
    rawHorizonUs: () => 0,
    drained: () => Promise.resolve(success(undefined)),
  } as unknown as ChunkRestorerOptions);
  for (let passes = 0; passes < 4; passes++) await restorer.run();
  assert.is(restorer.restored, 2);
  assert.is(damaged.size, 700);
});

test.run();
