// Goal: when owners change, every reading and every message of a round goes to the lanes of the new owners, a message to that of
// its readings, and nothing of what bounds and times them is lost. Method: rounds of random readings, parted among lanes by
// partition, and read back from the rounds that these lanes close.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RoundBuilder } from "../../../src/core/round/round-builder.ts";
import { decodeRound } from "../../../src/core/round/round-codec.ts";
import { ClientSession } from "../../../src/gateway/ingest/client-session.ts";
import { Lane } from "../../../src/gateway/ingest/lane.ts";
import { reroute } from "../../../src/gateway/ingest/reroute.ts";
import type { Route } from "../../../src/gateway/ingest/route.ts";
import { deviceId, gatewayId, type Partition, partition, sessionId } from "../../../src/lib/ids.ts";
import type { ReadingValue } from "../../../src/lib/reading.ts";
import { ValueType } from "../../../src/lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../../src/lib/reading-columns.ts";

const names: readonly SeriesName[] = Array.from({ length: 8 }, (_, i) => ({ device: deviceId(`d${i >> 1}`), metric: `m${i & 1}` }));
const nameOf = (ref: number) => names[ref] as SeriesName;
const refOf = (name: SeriesName) => names.findIndex(({ device, metric }) => device === name.device && metric === name.metric);
/** Device d0 in partition 0, and so on. */
const partitionOf = (name: SeriesName): Partition => partition(Number(name.device.slice(1)));

const header = { coordinator: gatewayId("gw-a"), session: sessionId("00".repeat(16)), round: 1, epoch: 2, clockSynchronised: true };

function rowsOf(columns: ReadingColumns): string[] {
  return Array.from({ length: columns.count }, (_, row) => {
    const { device, metric } = columns.seriesTable[columns.series[row] as number] as SeriesName;
    const number = columns.numbers[row] as number;
    const type = columns.types[row] as ValueType;
    const value = type === ValueType.Text ? columns.texts[number] : number;
    return JSON.stringify([device, metric, columns.times[row], type, value]);
  });
}

function laneColumns(lane: Lane): readonly string[] {
  const rows: string[] = [];
  lane.handOver(({ columns }) => rows.push(...rowsOf(columns)), 0);
  return rows;
}

const newLane = (owner: string) => new Lane({ owners: [gatewayId(owner)], filling: [], leaving: 0, level: "quorum", nameOf });
const session = () => new ClientSession({ id: "c", close: () => undefined } as unknown as ConstructorParameters<typeof ClientSession>[0]);

const value: fc.Arbitrary<ReadingValue> = fc.oneof(fc.double(), fc.boolean(), fc.constantFrom("", "text", "ü\u{1f600}", "other"));
const reading = fc.record({ ref: fc.integer({ min: 0, max: 7 }), us: fc.integer({ min: 0, max: 2 ** 50 }), value });

const test = suite("gateway/ingest: from one owner table to the next");

test("every reading of an encoded round is in the lane of its partition once, in the order in which it came", () => {
  fc.assert(
    fc.property(fc.array(reading, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (readings, laneCount) => {
      const builder = new RoundBuilder(nameOf);
      for (const { ref, us, value: each } of readings) builder.appendValue(ref, us, each);
      const decoded = decodeRound(builder.encode(header));
      assert.ok(decoded.ok);
      const { columns } = decoded.value;
      const lanes = Array.from({ length: laneCount }, (_, i) => newLane(`gw-${i}`));
      const waiting = { partitions: [], sessions: [], places: [], callbacks: [], deadbands: [] };
      reroute(
        {
          level: "quorum",
          columns,
          payloadBytes: 10,
          waiting,
          sinceMs: 5,
          stampedUpToUs: 0,
        },
        { laneOf: (at) => lanes[at % laneCount] as Lane, partitionOf, refOf },
      );
      const before = rowsOf(columns);
      lanes.forEach((lane, i) => {
        const mine = before.filter((row) => Number((JSON.parse(row) as [string])[0].slice(1)) % laneCount === i);
        assert.equal(laneColumns(lane), mine);
      });
    }),
    { numRuns: 200 },
  );
});

test("a message waits with its readings; payload bytes, the oldest wait, stamps and deadbands go along", () => {
  const old = newLane("gw-a");
  const [one, two] = [newLane("gw-b"), newLane("gw-c")];
  const client = session();
  const released: string[] = [];
  const route = (at: number) => ({ partition: partition(at) }) as Route;
  for (const at of [0, 1, 2]) {
    old.builder.append(at * 2, 1_000 + at, ValueType.Number, at, undefined);
    old.hold(partition(at), client, client.arrive(), () => released.push(`d${at}`));
    old.noteDeadband({ route: route(at), metric: 0, value: at, note: at });
  }
  old.took(300, 40);
  old.stamped(1_002);
  // Something newer is in a new lane already.
  one.builder.append(0, 5_000, ValueType.Number, 9, undefined);
  one.took(50, 60);
  old.handOver((readings) => reroute(readings, { laneOf: (at) => (at === 1 ? two : one), partitionOf, refOf }), 99);
  assert.equal([old.builder.count, old.waitingMessages()], [0, 0]);
  const [first, second] = [one.close(header, 1, 99), two.close(header, 2, 99)];
  assert.equal([first.readings, second.readings], [3, 1]);
  assert.equal([first.waiting.places, second.waiting.places], [[0, 2], [1]]);
  assert.equal([first.waiting.deadbands.map(({ note }) => note), second.waiting.deadbands.map(({ note }) => note)], [[0, 2], [1]]);
  assert.equal([first.sinceMs, second.sinceMs], [40, 40]);
  assert.equal([first.stampedUpToUs, second.stampedUpToUs], [1_002, 1_002]);
  assert.is(first.payloadBytes + second.payloadBytes, 350);
  for (const { places, callbacks } of [second.waiting, first.waiting])
    for (let i = 0; i < places.length; i++) client.release(places[i] as number, callbacks[i] as () => void);
  assert.equal(released, ["d0", "d1", "d2"], "in the order in which the client sent them");
});

test("an empty lane hands nothing over", () => {
  newLane("gw-a").handOver(() => assert.unreachable(), 0);
});

test.run();
