// Goal: what is held costs next to nothing while nobody can take it, and rounds that can leave are found behind those that cannot, a
// bounded share at a time. Method: a book by hand whose rounds count how often their bytes are read.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RoundBuilder } from "../../../src/core/round/round-builder.ts";
import type { GatewayContext } from "../../../src/gateway/context.ts";
import { HeldDelivery } from "../../../src/gateway/hints/held-delivery.ts";
import { KeptKind } from "../../../src/gateway/hints/kept-record.ts";
import { everyOwner, type KeptRound, type KeptRounds } from "../../../src/gateway/hints/kept-rounds.ts";
import { Lane } from "../../../src/gateway/ingest/lane.ts";
import { deviceId, gatewayId, type Partition, partition, type SessionId } from "../../../src/lib/ids.ts";
import { ValueType } from "../../../src/lib/reading.ts";

const test = suite("gateway/hints: held rounds on their way");

const self = gatewayId("gw-a");
const session = "s" as SessionId;

/** Rounds of about a tenth of what one look decodes, each of one partition: the number of its device. */
function world(devices: readonly number[]) {
  let reads = 0;
  const rounds = devices.map((device, index): KeptRound => {
    const builder = new RoundBuilder(() => ({ device: deviceId(String(device)), metric: "v" }));
    builder.append(0, 1_000, ValueType.Text, 0, "x".repeat(100_000));
    const encoded = builder.encode({ coordinator: self, session, round: index + 1, epoch: 1, clockSynchronised: true }, 2);
    return {
      sequence: index + 1,
      kind: KeptKind.Held,
      readings: 1,
      ageMs: 0,
      targets: new Set([everyOwner]),
      get bytes() {
        reads++;
        return encoded;
      },
    };
  });
  const there = new Set<Partition>();
  const taken: number[] = [];
  const lanes = new Map<Partition, Lane>();
  const laneOf = (at: Partition): Lane => {
    const lane =
      lanes.get(at) ??
      new Lane({ owners: [self], filling: [], leaving: 0, level: "quorum", nameOf: () => ({ device: deviceId("d"), metric: "v" }) });
    lanes.set(at, lane);
    return lane;
  };
  const delivery = new HeldDelivery({
    context: {
      self,
      clock: { monotonicMs: () => 0, schedule: () => ({ id: 0 }) },
      inbox: { closed: () => false },
      tuning: { featureMax: 4 },
    } as unknown as GatewayContext,
    kept: { waitingFor: () => rounds } as unknown as KeptRounds,
    obtainRef: () => 0,
    partitionOf: ({ device }) => partition(Number(device)),
    laneOf,
    filled: (lane) => taken.push(...[...lanes].filter(([, other]) => other === lane).map(([at]) => at)),
    hasQuorum: (at) => there.has(at),
    hasAnyQuorum: () => there.size > 0,
    isBusy: () => false,
    mayForget: () => false,
    freed: () => undefined,
  });
  return {
    delivery,
    there,
    taken,
    readsOf: (step: () => void): number => {
      const before = reads;
      step();
      return reads - before;
    },
  };
}

test("cut off from all: nothing is decoded, however much is held", () => {
  const { delivery, readsOf } = world(Array.from({ length: 40 }, () => 1));
  assert.is(
    readsOf(() => delivery.look()),
    0,
  );
});

test("behind many that cannot leave: found within a few looks, each of which decodes a bounded share", () => {
  const { delivery, there, taken, readsOf } = world([...Array.from({ length: 39 }, () => 1), 2]);
  there.add(partition(2));
  const costs = [1, 2, 3, 4].map(() => readsOf(() => delivery.look()));
  assert.equal(taken, [2]);
  assert.ok(Math.max(...costs) <= 30, costs.join());
  there.add(partition(1));
  delivery.look();
  assert.ok(taken.includes(1), "and those before it, once they can");
});

test.run();
