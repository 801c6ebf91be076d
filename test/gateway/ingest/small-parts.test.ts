// Goal: the small parts of ingest keep what their comments promise: MQTT-4.6.0 order, stamps that only grow and never collide,
// bounded memory of what was not stored. Method: scenarios and random orders.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeRound } from "../../../src/core/round/round-codec.ts";
import { ClientSession } from "../../../src/gateway/ingest/client-session.ts";
import { IngestCounters } from "../../../src/gateway/ingest/counters.ts";
import { Lane } from "../../../src/gateway/ingest/lane.ts";
import { Stamper } from "../../../src/gateway/ingest/stamper.ts";
import { DeadLetters, previewPayload, UnmatchedTopics } from "../../../src/gateway/ingest/unstored.ts";
import { deviceId, gatewayId, partition, sessionId } from "../../../src/lib/ids.ts";
import type { BrokerClient } from "../../../src/ports/broker.ts";

const client: BrokerClient = { id: "c", username: undefined, session: "clean", close: () => undefined };

const sessions = suite("gateway/ingest: client sessions");

sessions("MQTT-4.6.0: released in the order of arrival, whatever the order in which messages become safe", () => {
  const order = fc.nat(12).chain((count) =>
    fc.shuffledSubarray(
      Array.from({ length: count }, (_, i) => i),
      { minLength: count },
    ),
  );
  fc.assert(
    fc.property(order, (places) => {
      const session = new ClientSession(client);
      const done: number[] = [];
      for (const _ of places) session.arrive();
      for (const [at, place] of places.entries()) {
        session.release(place, () => done.push(place));
        const safe = new Set(places.slice(0, at + 1));
        let first = 0;
        while (safe.has(first)) first++;
        assert.equal(
          done,
          Array.from({ length: first }, (_, i) => i),
          "all before the first that is not safe, and no more",
        );
        assert.is(session.held(), places.length - first);
      }
    }),
  );
});

sessions("after the end nothing is released, not even what waits behind the message being released", () => {
  const session = new ClientSession(client);
  const done: number[] = [];
  for (let i = 0; i < 3; i++) session.arrive();
  session.release(1, () => done.push(1));
  session.release(0, () => {
    done.push(0);
    session.end();
  });
  session.release(2, () => done.push(2));
  assert.equal(done, [0]);
  assert.not(session.isOpen());
});

sessions.run();

const stamps = suite("gateway/ingest: stamps");
const d1 = deviceId("d1");

stamps("milliseconds and slot; strictly increasing per device, under any clock, above the floor, always in the slot", () => {
  const step = fc.record({ device: fc.constantFrom("d1", "d2"), wallMs: fc.integer({ min: 0, max: 50 }) });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999 }), fc.integer({ min: 0, max: 30_000 }), fc.array(step), (slot, floorUs, steps) => {
      const stamper = new Stamper({ slot, floorUs });
      const last = new Map<string, number>();
      for (const { device, wallMs } of steps) {
        const us = stamper.stamp(deviceId(device), wallMs);
        assert.ok(us > (last.get(device) ?? floorUs), "grows, and stays above the floor");
        assert.is(us % 1_000, slot);
        if (wallMs * 1_000 + slot > (last.get(device) ?? floorUs)) assert.is(us, wallMs * 1_000 + slot, "the clock's time where it may be");
        assert.ok(stamper.highestUs() >= us);
        last.set(device, us);
      }
    }),
    { numRuns: 300 },
  );
});

stamps("two gateways never give one stamp for one device", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 0, max: 999 }), { minLength: 2, maxLength: 2 }),
      fc.array(fc.integer({ min: 0, max: 20 })),
      (slots, walls) => {
        const given = slots.map((slot) => {
          const stamper = new Stamper({ slot, floorUs: 0 });
          return new Set(walls.map((wallMs) => stamper.stamp(d1, wallMs)));
        });
        for (const us of given[0] ?? []) assert.not(given[1]?.has(us));
      },
    ),
  );
});

stamps("what is given out is always below a reservation, which is renewed in time; a start begins above it", () => {
  const first = new Stamper({ slot: 3, floorUs: 0 });
  assert.is(first.reservationDue(), undefined, "nothing was given out");
  let reserved = 0;
  let renewals = 0;
  for (let wallMs = 1_000; wallMs < 20_000; wallMs += 250) {
    first.stamp(d1, wallMs);
    const due = first.reservationDue();
    if (due !== undefined) {
      assert.ok(due > reserved);
      reserved = due;
      renewals++;
    }
    assert.ok(first.highestUs() <= reserved && first.reservedUs() === reserved);
  }
  assert.ok(renewals > 5 && renewals < 25, `${renewals} records for 19 s`);
  const second = new Stamper({ slot: 3, floorUs: reserved });
  assert.ok(second.stamp(d1, 0) > reserved);
  assert.ok(second.stamp(deviceId("d2"), 0) > reserved);
});

stamps("a flood of devices costs bounded memory and no order", () => {
  const stamper = new Stamper({ slot: 0, floorUs: 0 });
  const before = stamper.stamp(d1, 5_000);
  for (let i = 0; i < 100_001; i++) stamper.stamp(deviceId(`flood-${i}`), 1_000);
  assert.ok(stamper.stamp(d1, 1_000) > before, "d1 was forgotten, and still does not go back");
});

stamps.run();

const rest = suite("gateway/ingest: lanes, counters, what was not stored");

rest("a lane closes into a round with its readings, messages and deadbands, and starts afresh", () => {
  const lane = new Lane({
    owners: [gatewayId("gw-a")],
    filling: [],
    leaving: 0,
    level: "quorum",
    nameOf: (ref) => ({ device: deviceId(`d${ref}`), metric: "m" }),
  });
  const session = new ClientSession(client);
  lane.builder.append(0, 1_000, 2, 5, undefined);
  lane.hold(partition(1), session, session.arrive(), () => undefined);
  assert.is(lane.waitingMessages(), 1);
  const header = { coordinator: gatewayId("gw-a"), session: sessionId("00".repeat(16)), round: 9, epoch: 1, clockSynchronised: true };
  const round = lane.close(header, 2, 77);
  assert.equal([round.number, round.readings, round.waiting.sessions], [9, 1, [session]]);
  const decoded = decodeRound(round.bytes);
  assert.ok(decoded.ok && decoded.value.header.round === 9 && decoded.value.columns.count === 1);
  assert.equal([lane.unacknowledged, lane.waitingMessages(), lane.builder.count], [1, 0, 0]);
  lane.settled();
  assert.is(lane.unacknowledged, 0);
});

rest("the rate is the mean of the last ten full seconds, also over silence", () => {
  const counters = new IngestCounters();
  for (let second = 0; second < 10; second++) counters.acknowledge(50, second * 1_000);
  assert.is(counters.perSecond(10_000), 50);
  assert.is(counters.perSecond(15_500), 25);
  assert.is(counters.perSecond(60_000), 0);
  counters.acknowledge(10, 60_000);
  assert.is(counters.perSecond(61_000), 1);
  assert.is(counters.acknowledged, 510);
  counters.closeConnection("ack-timeout");
  counters.closeConnection("ack-timeout");
  assert.is(counters.closed.get("ack-timeout"), 2);
});

rest("dead letters are bounded and newest first; their counts are not", () => {
  const letters = new DeadLetters();
  const letter = { gateway: gatewayId("gw-a"), topic: "t", device: undefined, metric: undefined, detail: "", payload: "" };
  for (let ms = 0; ms < 5_000; ms++)
    letters.add({ ...letter, device: deviceId("d"), ms, reason: ms % 2 === 0 ? "bad-payload" : "no-metric" });
  assert.is(letters.total(), 5_000);
  assert.equal(letters.counts(), { "bad-payload": 2_500, "no-metric": 2_500 });
  const kept = letters.newestFirst();
  assert.is(kept.length, 1_000);
  assert.equal([kept[0]?.ms, kept[999]?.ms], [4_999, 4_000]);
});

rest("unmatched topics: busiest first, at most 200 by name, the rest as one", () => {
  const topics = new UnmatchedTopics();
  for (let i = 0; i < 250; i++) topics.count(`t/${i}`, 0);
  for (let i = 0; i < 3; i++) topics.count("t/7", 61_000);
  const view = topics.view(61_000);
  assert.is(view.length, 201);
  assert.equal(view[0], { topic: "t/7", perMinute: 3, total: 4 });
  assert.equal(view[200], { topic: "(others)", perMinute: 0, total: 50 });
  assert.ok(topics.view(600_000).every((row) => row.perMinute === 0));
});

rest("of a long topic only the beginning is remembered", () => {
  const long = "t/".padEnd(65_535, "x");
  const topics = new UnmatchedTopics();
  topics.count(long, 0);
  topics.count(`${long}y`, 0);
  const cut = `${long.slice(0, 255)}…`;
  assert.equal(topics.view(0), [{ topic: cut, perMinute: 2, total: 2 }]);
  const letters = new DeadLetters();
  const letter = { ms: 0, gateway: gatewayId("gw-a"), device: deviceId("d"), metric: undefined, reason: "r", detail: "", payload: "" };
  letters.add({ ...letter, topic: long });
  letters.add({ ...letter, topic: "short" });
  assert.equal(
    letters.newestFirst().map(({ topic }) => topic),
    ["short", cut],
  );
});

rest("a payload is shown as text where it is text, otherwise as hex, and never whole when it is long", () => {
  assert.is(previewPayload(new TextEncoder().encode("21.5")), "21.5");
  assert.is(previewPayload(Uint8Array.of(0xff, 0x00)), "0xff00");
  assert.is(previewPayload(new Uint8Array(0)), "");
  const long = previewPayload(new TextEncoder().encode(`${"x".repeat(255)}é`));
  assert.ok(long.endsWith("(257 bytes)") && !long.startsWith("0x"), "cut within a character is still text");
});

rest.run();
