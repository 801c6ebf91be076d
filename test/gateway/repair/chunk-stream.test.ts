// Goal: chunks reach another gateway's store as they are, what stands there is not sent again, and an owner that lies about them gets
// nothing onto this disk. Method: two series stores on simulated disks with a fake mesh between them, which changes an answer where
// the test says so.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GatewayContext } from "../../../src/gateway/context.ts";
import { ChunkStream } from "../../../src/gateway/repair/chunk-stream.ts";
import type { RequestHandler, RequestType } from "../../../src/gateway/requests.ts";
import type { AdoptedChunk } from "../../../src/gateway/series/series-store.ts";
import { metaKey } from "../../../src/gateway/series/store-keys.ts";
import { failure, type Result, success } from "../../../src/lib/errors.ts";
import { deviceId, gatewayId, type Partition, partition, partitionCount, partitionOf } from "../../../src/lib/ids.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";
import { type OpenSeries, type Reading, SeriesSite } from "../series/series-fixture.ts";

const owner = gatewayId("gw-a");
const everywhere = Array.from({ length: partitionCount }, (_, at) => partition(at));
const devices = ["d0", "d1", "d2"];
const hourUs = 3_600_000_000;

const readings = (count: number, fromUs = 0): Reading[] =>
  devices.flatMap((device, d) => Array.from({ length: count }, (_, i) => ({ device, us: fromUs + i * 60_000_000, value: i * 3 + d })));

type Change = (type: RequestType, answer: unknown) => unknown;

/** An owner with sealed readings, a gateway without, and what goes between them. */
class Pair {
  readonly from = new SeriesSite(1);
  readonly to = new SeriesSite(2);
  readonly asked: [RequestType, number][] = [];
  change: Change = (_type, answer) => answer;
  source!: OpenSeries;
  target!: OpenSeries;
  stream!: ChunkStream;

  static async of(sealed: readonly Reading[]): Promise<Pair> {
    const pair = new Pair();
    const [source, target] = [await pair.from.open(), await pair.to.open()];
    assert.ok(source.ok && target.ok);
    pair.source = source.value;
    pair.target = target.value;
    if (sealed.length > 0) {
      await pair.from.appendDurably(pair.source, sealed);
      await pair.from.settle(pair.source.store.checkpoint());
    }
    const handlers = new Map<RequestType, RequestHandler>();
    pair.#streamOf(pair.from, pair.source, (type, handler) => handlers.set(type, handler));
    pair.stream = pair.#streamOf(
      pair.to,
      pair.target,
      () => undefined,
      async (type, body) => {
        const answer = await (handlers.get(type) as RequestHandler)(owner, body);
        const changed = answer.ok ? success(pair.change(type, answer.value)) : answer;
        pair.asked.push([type, changed.ok && Array.isArray(changed.value) ? changed.value.length : 0]);
        return changed;
      },
    );
    return pair;
  }

  #streamOf(
    site: SeriesSite,
    open: OpenSeries,
    serve: (type: RequestType, handler: RequestHandler) => void,
    call?: (type: RequestType, body: unknown) => Promise<Result<unknown>>,
  ): ChunkStream {
    const { scheduler } = site;
    const clock = {
      monotonicMs: () => scheduler.nowMs(),
      schedule: (delayMs: number, fire: () => void) => scheduler.schedule(delayMs, "timer", fire),
    };
    const context = { clock, ports: { hash64: testHash64 }, inbox: { closed: () => false } };
    return new ChunkStream({
      context: context as unknown as GatewayContext,
      requests: { serve, call: (_to, type, body) => call?.(type, body) ?? Promise.resolve(failure("unreachable", "no mesh")) },
      index: open.store.index,
      source: open.store.reading.source,
      pins: open.store.reading.pins,
      rawHorizonUs: () => 0,
      checked: ({ partitions }) => success(new Set(partitions.map(partition))),
      mayTake: () => true,
      adopt: (chunks: readonly AdoptedChunk[]) => open.store.adoptChunks(chunks),
    });
  }

  /** Both sides' time goes on. */
  async fetch(partitions: readonly Partition[] = everywhere): Promise<Result<void>> {
    let found: Result<void> | undefined;
    void this.stream.fetchAll(owner, { epoch: 1, partitions }).then((result) => {
      found = result;
    });
    while (found === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const { scheduler } of [this.from, this.to]) if (scheduler.nextMs() !== undefined) scheduler.step();
    }
    return found;
  }

  async assertEqual(): Promise<void> {
    assert.equal(await this.to.readAll(this.target), await this.from.readAll(this.source));
  }
}

const test = suite("chunk stream");

test("all chunks come, once, and stand after a restart; what is there is not asked for again", async () => {
  const pair = await Pair.of(readings(9_000));
  assert.ok((await pair.fetch()).ok);
  await pair.assertEqual();
  assert.is(pair.target.store.stats().readings, 27_000);
  assert.is(pair.stream.chunks, pair.source.store.stats().chunks);
  assert.equal(pair.to.errors, []);
  const before = pair.asked.length;
  assert.ok((await pair.fetch()).ok);
  assert.equal(
    pair.asked.slice(before).map(([type]) => type),
    ["chunk-list"],
  );
  pair.to.disk.crash({ power: true });
  const again = await pair.to.open();
  assert.ok(again.ok);
  assert.equal(await pair.to.readAll(again.value), await pair.from.readAll(pair.source));
});

test("chunks of a step that was refused are there for who looks, and outlive a crash once they are counted", async () => {
  const pair = await Pair.of(readings(3_000));
  const record = Buffer.from(metaKey("checkpoint"));
  pair.to.isTooMuch = (operations) => operations.some(({ key }) => record.equals(key));
  const refused = await pair.fetch();
  assert.equal([refused.ok, refused.ok ? "" : refused.code], [false, "disk-full"]);
  assert.is((await pair.to.readAll(pair.target)).size, 9_000);
  const uncounted = await pair.to.settle(pair.target.store.counted());
  assert.equal([uncounted.ok, uncounted.ok ? "" : uncounted.code], [false, "disk-full"]);
  pair.to.isTooMuch = () => false;
  assert.ok((await pair.to.settle(pair.target.store.counted())).ok);
  pair.to.disk.crash({ power: true });
  const again = await pair.to.open();
  assert.ok(again.ok);
  assert.equal(await pair.to.readAll(again.value), await pair.from.readAll(pair.source));
});

test("only of the partitions that are asked for, and only what is lacking", async () => {
  const pair = await Pair.of(readings(5_000));
  const one = partitionOf(deviceId("d1"), testHash64);
  assert.ok((await pair.fetch([one])).ok);
  const here = (await pair.to.readAll(pair.target)).size;
  assert.ok(here >= 5_000 && here < 15_000);
  await pair.to.appendDurably(pair.target, [{ device: "d0", us: 5_000 * hourUs, value: 1 }]);
  assert.ok((await pair.fetch()).ok);
  const all = await pair.to.readAll(pair.target);
  assert.is(all.size, 15_001);
});

test("a chunk that is damaged at the owner is left out, and the rest comes", async () => {
  const pair = await Pair.of(readings(5_000));
  const [first] = pair.source.store.index.all()[0]?.chunks ?? [];
  assert.ok(first);
  pair.source.store.quarantine.add(pair.source.store.index.all()[0] as never, first, "a flipped bit");
  assert.ok((await pair.fetch()).ok);
  assert.is((await pair.to.readAll(pair.target)).size, 15_000 - first.count);
});

const flipped = (value: unknown): unknown => {
  const [first, ...rest] = value as Uint8Array[];
  const bytes = Uint8Array.from(first as Uint8Array);
  bytes[40] = (bytes[40] as number) ^ 1;
  return [bytes, ...rest];
};
const lies: readonly [string, RequestType, (answer: unknown) => unknown][] = [
  ["a flipped bit", "chunk-values", flipped],
  ["another chunk in its place", "chunk-values", (value) => [...(value as unknown[])].reverse()],
  ["too few of them", "chunk-values", (value) => (value as unknown[]).slice(1)],
  ["no list", "chunk-values", () => null],
  ["a series that is not asked for", "chunk-list", () => ({ series: [{ d: "d1", m: "value", c: [[0, 1, 2, 3]] }], end: true })],
  [
    "a list that goes back",
    "chunk-list",
    (value) => ({ ...(value as object), series: [...(value as { series: unknown[] }).series].reverse() }),
  ],
  ["a place that is none", "chunk-list", () => ({ series: [{ d: "d0", m: "value", c: [[0, "x", 2, 3]] }], end: true })],
  ["a series without chunks, for ever", "chunk-list", () => ({ series: [{ d: "d0", m: "value", c: [] }], end: false })],
];

for (const [what, of, lie] of lies) {
  test(`an owner that answers with ${what} is not believed`, async () => {
    const pair = await Pair.of(readings(5_000));
    pair.change = (type, answer) => (type === of ? lie(answer) : answer);
    const partitions = what.includes("asked for") ? [partitionOf(deviceId("d0"), testHash64)] : everywhere;
    const fetched = await pair.fetch(partitions);
    assert.is(fetched.ok ? "" : fetched.code, "internal");
    assert.is(pair.target.store.stats().readings, 0);
  });
}

test.run();
