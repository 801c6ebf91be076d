// Goal: rounds that wait for an owner are settled as what they are: delivered, or counted as moved where it owns nothing of them any
// more; and what may not be left out is found once, a bounded share at a time, without holding up what lies behind it. Method: a
// book by hand, an owner that takes everything, a ring in which partitions 0 and 1 have different owners.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../../src/core/ring/owner-changes.ts";
import { RoundBuilder } from "../../../src/core/round/round-builder.ts";
import { decodeRound } from "../../../src/core/round/round-codec.ts";
import type { GatewayContext } from "../../../src/gateway/context.ts";
import { KeptKind } from "../../../src/gateway/hints/kept-record.ts";
import type { KeptRound, KeptRounds } from "../../../src/gateway/hints/kept-rounds.ts";
import { PeerDelivery } from "../../../src/gateway/hints/peer-delivery.ts";
import { success } from "../../../src/lib/errors.ts";
import { deviceId, gatewayId, partition, type SessionId } from "../../../src/lib/ids.ts";
import { ValueType } from "../../../src/lib/reading.ts";

const test = suite("gateway/hints: delivery to an owner");

const self = gatewayId("gw-a");
const owner = gatewayId("gw-b");
const session = "s" as SessionId;
/** The target owns partition 0, and nothing of partition 1. */
const owned = 0;
const notOwned = 1;

const ring = {
  table: { epoch: 7, factor: 1, ownerSets: [[owner], [self]], partitionSets: Uint16Array.from({ length: 1_024 }, (_, at) => at % 2) },
  filling: new Map(),
} as unknown as RingState;

function world(
  partitions: readonly number[],
  strayed?: (round: KeptRound) => void,
  target = owner,
  isReachable = true,
  long?: { readonly device: (at: number, ref: number) => string; readonly offered: (lot: Uint8Array) => void },
) {
  let reads = 0;
  const settled: [string, number][] = [];
  const waiting = new Map<number, KeptRound>();
  for (const [at, device] of partitions.entries()) {
    const builder = new RoundBuilder((ref) => ({ device: deviceId(long?.device(at, ref) ?? String(device)), metric: "v" }));
    if (long === undefined) builder.append(0, 1_000, ValueType.Text, 0, "x".repeat(100_000));
    else for (let ref = 0; ref < 75; ref++) builder.append(ref, 1_000, ValueType.Number, 1, undefined);
    const encoded = builder.encode({ coordinator: self, session, round: at + 1, epoch: 1, clockSynchronised: true }, 2);
    waiting.set(at, {
      sequence: at,
      kind: KeptKind.Copy,
      readings: 1,
      ageMs: 0,
      targets: new Set([target]),
      get bytes() {
        reads++;
        return encoded;
      },
    });
  }
  const settle = (how: string, round: KeptRound): void => {
    if (waiting.delete(round.sequence)) settled.push([how, round.sequence]);
  };
  const delivery = new PeerDelivery({
    context: {
      self,
      session,
      clock: {
        monotonicMs: () => 0,
        synchronised: () => true,
        schedule: (ms: number, fire: () => void) => {
          // An offer's time-out never comes.
          if (ms < 1_000) setImmediate(fire);
          return { id: 0 };
        },
        cancel: () => undefined,
      },
      inbox: { closed: () => false },
      tuning: { featureMax: 4 },
    } as unknown as GatewayContext,
    kept: {
      waitingFor: () => waiting.values(),
      targets: () => [target],
      has: (round: KeptRound) => waiting.has(round.sequence),
      deliveredTo: (_: unknown, round: KeptRound) => settle("delivered", round),
      dropFor: (_: unknown, round: KeptRound, reason: string) => settle(reason, round),
    } as unknown as KeptRounds,
    offer: (_to, { round }) => {
      long?.offered(round);
      return Promise.resolve(success(undefined));
    },
    ring: () => ring,
    reachable: () => isReachable,
    partitionOf: ({ device }) => partition(long === undefined ? Number(device) : owned),
    roundNumber: () => 1,
    roundVersion: () => 2,
    mayOffer: () => true,
    isBusy: () => false,
    bytesPerSecond: 1 << 30,
    mayForget: () => false,
    ...(strayed === undefined ? {} : { strayed }),
  });
  const looked = async (): Promise<number> => {
    const before = reads;
    delivery.look();
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    return reads - before;
  };
  return { looked, settled, waiting };
}

test("hints: what the owner owns nothing of any more is counted as moved, beside what it gets", async () => {
  const { looked, settled } = world([owned, notOwned, owned, notOwned, notOwned]);
  await looked();
  assert.equal(
    settled.toSorted(([a, x], [b, y]) => (a === b ? x - y : a < b ? -1 : 1)),
    [
      ["delivered", 0],
      ["delivered", 2],
      ["moved", 1],
      ["moved", 3],
      ["moved", 4],
    ],
  );
});

test("copies: those that strayed are handed over and decoded once, and hold nothing up", async () => {
  const handed = new Set<number>();
  const { looked, settled, waiting } = world([...Array.from({ length: 40 }, () => notOwned), owned], (round) => handed.add(round.sequence));
  assert.ok((await looked()) > 0);
  assert.equal(settled, [["delivered", 40]]);
  assert.is(handed.size, 40);
  assert.is(await looked(), 0);
  waiting.clear();
  handed.clear();
  await looked();
  assert.is(handed.size, 0, "what went another way is forgotten");
});

test("copies for a gateway that has left the site are handed over, although it can never be reached again", async () => {
  const handed = new Set<number>();
  const { looked, settled } = world([owned, notOwned], (round) => handed.add(round.sequence), gatewayId("gw-gone"), false);
  await looked();
  assert.equal([[...handed], settled], [[0, 1], []]);
});

test("copies for an owner that cannot be reached wait for it", async () => {
  const handed = new Set<number>();
  const { looked, settled } = world([owned, notOwned], (round) => handed.add(round.sequence), owner, false);
  await looked();
  assert.equal([[...handed], settled], [[], []]);
});

test("rounds with long names that repeat each other become lots that an owner can read", async () => {
  const lots: Uint8Array[] = [];
  const { looked, settled } = world(
    Array.from({ length: 8 }, () => owned),
    undefined,
    owner,
    true,
    { device: (at, ref) => `${"x".repeat(60_000)}${at}-${ref}`, offered: (lot) => lots.push(lot) },
  );
  await looked();
  assert.is(settled.length, 8);
  assert.ok(lots.every((lot) => decodeRound(lot, 2).ok));
});

test.run();
