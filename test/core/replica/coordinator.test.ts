// Goal: promise P1 at its root: a round is acknowledged when `required` distinct owners have it on disk, never before, and
// what nobody waits for is let go. Method: scenarios that follow one round, and random histories beside a small model.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Coordinator, type CoordinatorEffect, type CoordinatorOptions, type OpenRound } from "../../../src/core/replica/coordinator.ts";
import { type GatewayId, gatewayId } from "../../../src/lib/ids.ts";

const a = gatewayId("gw-a");
const b = gatewayId("gw-b");
const c = gatewayId("gw-c");
const stranger = gatewayId("gw-x");
const options: CoordinatorOptions = {
  self: a,
  ackTimeoutMs: 20_000,
  resendMinMs: 500,
  resendMaxMs: 4_000,
  refusedRetryMs: 50,
  lagBytesMax: 1_000,
  lagAgeMaxMs: 10_000,
  holdAfterMs: 1_000,
};
const round = (number: number, bytes = 100, sinceMs = 0) => ({
  number,
  owners: [a, b, c],
  filling: [] as GatewayId[],
  required: { any: 2, whole: 2 },
  bytes,
  sinceMs,
});

/** One event's effects. */
function effectsOf(step: (effects: CoordinatorEffect[]) => void): CoordinatorEffect[] {
  const effects: CoordinatorEffect[] = [];
  step(effects);
  return effects;
}

const test = suite("core/replica/coordinator");

test("a closed round is appended here and sent to each other owner once", () => {
  const coordinator = new Coordinator(options);
  assert.equal(
    effectsOf((effects) => coordinator.roundClosed(0, round(1), effects)),
    [
      { type: "append", round: 1 },
      { type: "send", to: b, round: 1 },
      { type: "send", to: c, round: 1 },
    ],
  );
  assert.is(coordinator.unacknowledged(), 1);
});

test("P1: not before `required` distinct owners; a repetition and a stranger do not count", () => {
  const coordinator = new Coordinator(options);
  effectsOf((effects) => coordinator.roundClosed(0, round(1), effects));
  for (const owner of [b, b, stranger, b])
    assert.equal(
      effectsOf((effects) => coordinator.durable(owner, 1, effects)),
      [],
    );
  assert.equal(
    effectsOf((effects) => coordinator.durable(a, 1, effects)),
    [{ type: "acknowledged", round: 1 }],
  );
  assert.is(coordinator.unacknowledged(), 0);
  assert.equal(
    effectsOf((effects) => coordinator.durable(c, 1, effects)),
    [{ type: "forgotten", round: 1 }],
  );
  assert.is(coordinator.nextDeadlineMs(), undefined);
});

test("a gateway that is no owner appends nothing, and the others make the quorum", () => {
  const coordinator = new Coordinator({ ...options, self: stranger });
  const closed = effectsOf((effects) => coordinator.roundClosed(0, round(1), effects));
  assert.equal(
    closed,
    [a, b, c].map((to) => ({ type: "send", to, round: 1 })),
  );
  effectsOf((effects) => coordinator.durable(a, 1, effects));
  assert.equal(
    effectsOf((effects) => coordinator.durable(c, 1, effects)),
    [{ type: "acknowledged", round: 1 }],
  );
});

test("silent owners are offered it again at 500 ms, then at doubled distances up to 4 s; who has it is left alone", () => {
  const coordinator = new Coordinator(options);
  effectsOf((effects) => coordinator.roundClosed(0, round(1), effects));
  effectsOf((effects) => coordinator.durable(b, 1, effects));
  const resentAt: number[] = [];
  for (let now = 0; now < 20_000; now += 100) {
    for (const effect of effectsOf((effects) => coordinator.tick(now, effects))) {
      assert.equal(effect, { type: "send", to: c, round: 1 });
      resentAt.push(now);
    }
  }
  assert.equal(resentAt, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500]);
});

test("without its copies a round fails at ackTimeout, and late copies bring nothing back", () => {
  const coordinator = new Coordinator(options);
  effectsOf((effects) => coordinator.roundClosed(0, round(1), effects));
  assert.ok(effectsOf((effects) => coordinator.tick(19_999, effects)).every((effect) => effect.type === "send"));
  assert.equal(
    effectsOf((effects) => coordinator.tick(20_000, effects)),
    [
      { type: "failed", round: 1, reason: "ack-timeout" },
      { type: "forgotten", round: 1 },
    ],
  );
  for (const owner of [a, b, c])
    assert.equal(
      effectsOf((effects) => coordinator.durable(owner, 1, effects)),
      [],
    );
});

test("a copy on a filling owner counts among all, and not among those that have everything", () => {
  const open = { ...round(1), filling: [b], required: { any: 2, whole: 2 } };
  const coordinator = new Coordinator(options);
  effectsOf((effects) => coordinator.roundClosed(0, open, effects));
  for (const owner of [b, a])
    assert.equal(
      effectsOf((effects) => coordinator.durable(owner, 1, effects)),
      [],
    );
  assert.equal(effectsOf((effects) => coordinator.durable(c, 1, effects))[0], { type: "acknowledged", round: 1 });
  const grown = { ...round(2), owners: [a, b], filling: [b], required: { any: 2, whole: 1 } };
  effectsOf((effects) => coordinator.roundClosed(0, grown, effects));
  assert.equal(
    effectsOf((effects) => coordinator.durable(a, 2, effects)),
    [],
    "one of two, though it is the one that has everything",
  );
  assert.equal(effectsOf((effects) => coordinator.durable(b, 2, effects))[0], { type: "acknowledged", round: 2 });
});

test("an owner that has not heard of the round's epoch is offered it again soon, then at doubled distances; one that is ahead as usual", () => {
  const resentAt = (refusal: { readonly owner: GatewayId; readonly isBehind: boolean }) => {
    const coordinator = new Coordinator(options);
    effectsOf((effects) => coordinator.roundClosed(0, round(1), effects));
    effectsOf((effects) => coordinator.durable(c, 1, effects));
    const times: number[] = [];
    for (let now = 0; now <= 1_600; now += 10) {
      coordinator.refused(now, refusal.owner, { round: 1, isBehind: refusal.isBehind });
      const sent = effectsOf((effects) => coordinator.tick(now, effects));
      if (sent.length > 0) times.push(now);
    }
    return times;
  };
  assert.equal(resentAt({ owner: b, isBehind: true }), [50, 150, 350, 750, 1_550]);
  assert.equal(resentAt({ owner: b, isBehind: false }), [500, 1_500]);
  assert.equal(resentAt({ owner: stranger, isBehind: true }), [500, 1_500]);
});

test("a changed owner table withdraws all rounds; the unacknowledged ones are named, oldest first, and late copies bring nothing back", () => {
  const coordinator = new Coordinator(options);
  for (const number of [1, 2, 3]) effectsOf((effects) => coordinator.roundClosed(0, round(number), effects));
  for (const owner of [a, b]) effectsOf((effects) => coordinator.durable(owner, 2, effects));
  effectsOf((effects) => coordinator.durable(a, 3, effects));
  const effects: CoordinatorEffect[] = [];
  assert.equal(coordinator.withdrawAll(effects), [1, 3]);
  assert.equal(effects, [
    { type: "forgotten", round: 1 },
    { type: "lagging", round: 2, owners: [c] },
    { type: "forgotten", round: 2 },
    { type: "forgotten", round: 3 },
  ]);
  for (const owner of [a, b, c])
    assert.equal(
      effectsOf((late) => coordinator.durable(owner, 3, late)),
      [],
    );
  assert.is(coordinator.unacknowledged(), 0);
  assert.is(coordinator.nextDeadlineMs(), undefined);
});

test("a link that comes back brings what its owner missed, at once, and nothing else", () => {
  const coordinator = new Coordinator(options);
  for (const number of [1, 2]) effectsOf((effects) => coordinator.roundClosed(0, round(number), effects));
  effectsOf((effects) => coordinator.durable(c, 1, effects));
  assert.equal(
    effectsOf((effects) => coordinator.peerUp(100, c, effects)),
    [{ type: "send", to: c, round: 2 }],
  );
  assert.equal(
    effectsOf((effects) => coordinator.peerUp(100, stranger, effects)),
    [],
  );
});

test("acknowledged rounds are kept for laggards within bytes and age, the oldest let go first", () => {
  const coordinator = new Coordinator(options);
  for (let number = 1; number <= 3; number++) {
    effectsOf((effects) => coordinator.roundClosed(0, round(number, 400), effects));
    effectsOf((effects) => coordinator.durable(a, number, effects));
    const last = effectsOf((effects) => coordinator.durable(b, number, effects));
    assert.equal(last.slice(1), number === 3 ? letGo(1) : []);
  }
  assert.ok(effectsOf((effects) => coordinator.tick(9_999, effects)).every((effect) => effect.type === "send"));
  assert.equal(
    effectsOf((effects) => coordinator.tick(10_000, effects)),
    [2, 3].flatMap((number) => letGo(number)),
  );
});

/** What is said when an acknowledged round goes that c lacks. */
const letGo = (number: number): CoordinatorEffect[] => [
  { type: "lagging", round: number, owners: [c] },
  { type: "forgotten", round: number },
];

test("an owner that is away for long is not waited for: rounds that only such owners lack go at once, until its link is back", () => {
  const coordinator = new Coordinator(options);
  const acknowledge = (number: number): CoordinatorEffect[] => {
    effectsOf((effects) => coordinator.roundClosed(0, round(number), effects));
    effectsOf((effects) => coordinator.durable(a, number, effects));
    return effectsOf((effects) => coordinator.durable(b, number, effects));
  };
  acknowledge(1);
  assert.equal(
    effectsOf((effects) => coordinator.ownerAway(c, effects)),
    letGo(1),
  );
  assert.equal(acknowledge(2), [{ type: "acknowledged", round: 2 }, ...letGo(2)]);
  effectsOf((effects) => coordinator.peerUp(0, c, effects));
  assert.equal(acknowledge(3), [{ type: "acknowledged", round: 3 }]);
  effectsOf((effects) => coordinator.roundClosed(0, round(4), effects));
  assert.equal(
    effectsOf((effects) => coordinator.letGo(effects)),
    letGo(3),
  );
  assert.is(coordinator.unacknowledged(), 1);
});

/** A round of two owners for which c, which owns nothing, may stand in. */
const pair = (number: number, more: Partial<OpenRound> = {}): OpenRound => ({
  ...round(number),
  owners: [a, b],
  required: { any: 2, whole: 2 },
  standIn: c,
  ...more,
});

test("a stand-in is asked at once when an owner is known to be gone, else with the first resend, and counts for one owner", () => {
  const coordinator = new Coordinator(options);
  const asked = { type: "stand-in", to: c, round: 1, targets: [a, b] } as const;
  assert.equal(effectsOf((effects) => coordinator.roundClosed(0, pair(1, { unreachable: [b] }), effects)).at(-1), asked);
  assert.equal(
    effectsOf((effects) => coordinator.standInDurable(c, 1, effects)),
    [],
  );
  assert.equal(
    effectsOf((effects) => coordinator.durable(a, 1, effects)),
    [
      { type: "relieved", standIn: c, round: 1, owner: a },
      { type: "acknowledged", round: 1 },
    ],
  );
  // A hint as well, should the stand-in lose its copy.
  assert.equal(
    effectsOf((effects) => coordinator.tick(10_000, effects)),
    [
      { type: "lagging", round: 1, owners: [b] },
      { type: "forgotten", round: 1 },
    ],
  );
  effectsOf((effects) => coordinator.roundClosed(0, pair(2), effects));
  effectsOf((effects) => coordinator.durable(a, 2, effects));
  assert.equal(effectsOf((effects) => coordinator.tick(500, effects)).at(-1), { type: "stand-in", to: c, round: 2, targets: [b] });
  assert.equal(
    effectsOf((effects) => coordinator.standInDurable(c, 2, effects)),
    [{ type: "acknowledged", round: 2 }],
  );
});

test("a stand-in never counts without being asked, for a stranger, or in the place of the only whole owner", () => {
  const coordinator = new Coordinator(options);
  effectsOf((effects) => coordinator.roundClosed(0, pair(1), effects));
  effectsOf((effects) => coordinator.durable(a, 1, effects));
  assert.equal(
    effectsOf((effects) => coordinator.standInDurable(c, 1, effects)),
    [],
  );
  const filling = pair(2, { filling: [a], required: { any: 2, whole: 1 }, unreachable: [b] });
  effectsOf((effects) => coordinator.roundClosed(0, filling, effects));
  assert.equal(
    effectsOf((effects) => coordinator.standInDurable(stranger, 2, effects)),
    [],
  );
  effectsOf((effects) => coordinator.standInDurable(c, 2, effects));
  assert.equal(
    effectsOf((effects) => coordinator.durable(a, 2, effects)).map(({ type }) => type),
    ["relieved"],
  );
  assert.equal(
    effectsOf((effects) => coordinator.durable(b, 2, effects)).map(({ type }) => type),
    ["relieved", "acknowledged", "forgotten"],
  );
});

test("level any: held when too few owners can be reached, or after a time; a quorum that comes first makes it needless", () => {
  const coordinator = new Coordinator(options);
  const hold = (number: number): CoordinatorEffect => ({ type: "hold", round: number });
  assert.equal(
    effectsOf((effects) => coordinator.roundClosed(0, { ...round(1), mayHold: true, unreachable: [b, c] }, effects)).at(-1),
    hold(1),
  );
  assert.equal(
    effectsOf((effects) => assert.ok(coordinator.held(1, effects))),
    [
      { type: "acknowledged", round: 1 },
      { type: "forgotten", round: 1 },
    ],
  );
  effectsOf((effects) => coordinator.roundClosed(0, { ...round(2), mayHold: true, unreachable: [b] }, effects));
  assert.is(coordinator.nextDeadlineMs(), 500);
  effectsOf((effects) => coordinator.tick(500, effects));
  assert.is(coordinator.nextDeadlineMs(), 1_000);
  assert.equal(
    effectsOf((effects) => coordinator.tick(1_000, effects)),
    [hold(2)],
  );
  for (const owner of [a, c]) effectsOf((effects) => coordinator.durable(owner, 2, effects));
  assert.equal(
    effectsOf((effects) => assert.not(coordinator.held(2, effects))),
    [],
  );
});

test("level any without room: asked again with each resend, and given up with a reason of its own", () => {
  const coordinator = new Coordinator(options);
  effectsOf((effects) => coordinator.roundClosed(0, { ...round(1), mayHold: true, unreachable: [b, c] }, effects));
  coordinator.notHeld(1);
  assert.equal(effectsOf((effects) => coordinator.tick(500, effects)).at(-1), { type: "hold", round: 1 });
  coordinator.notHeld(1);
  assert.equal(
    effectsOf((effects) => coordinator.tick(20_000, effects)).find(({ type }) => type === "failed"),
    { type: "failed", round: 1, reason: "held-full" },
  );
});

test("a round that nobody could acknowledge is a bug of the caller", () => {
  const coordinator = new Coordinator(options);
  assert.throws(() => coordinator.roundClosed(0, { ...round(1), required: { any: 4, whole: 3 } }, []));
  assert.throws(() => coordinator.roundClosed(0, { ...round(1), required: { any: 0, whole: 0 } }, []));
  assert.throws(() => coordinator.roundClosed(0, { ...round(1), filling: [b, c], required: { any: 2, whole: 2 } }, []));
  coordinator.roundClosed(0, round(2), []);
  assert.throws(() => coordinator.roundClosed(0, round(2), []));
});

test("in any history: acknowledged exactly when the model says so, once; failed never after; forgotten once; nothing leaks", () => {
  const event = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("close" as const), required: fc.integer({ min: 1, max: 3 }) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant("durable" as const),
        owner: fc.constantFrom(a, b, c, stranger),
        round: fc.integer({ min: 1, max: 12 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("refused" as const),
        owner: fc.constantFrom(b, c, stranger),
        round: fc.integer({ min: 1, max: 12 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 6_000 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("up" as const), owner: fc.constantFrom(b, c) }) },
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (history) => {
      const coordinator = new Coordinator(options);
      const copies = new Map<number, Set<string>>();
      const required = new Map<number, number>();
      const fate = new Map<number, string[]>();
      let now = 0;
      let next = 1;
      for (const step of history) {
        const effects: CoordinatorEffect[] = [];
        if (step.kind === "close") {
          required.set(next, step.required);
          copies.set(next, new Set());
          fate.set(next, []);
          coordinator.roundClosed(now, { ...round(next, 100, now), required: { any: step.required, whole: step.required } }, effects);
          next++;
        } else if (step.kind === "durable") {
          const known = fate.get(step.round);
          if (known !== undefined && !known.includes("forgotten") && step.owner !== stranger) copies.get(step.round)?.add(step.owner);
          coordinator.durable(step.owner, step.round, effects);
        } else if (step.kind === "refused") coordinator.refused(now, step.owner, { round: step.round, isBehind: true });
        else if (step.kind === "up") coordinator.peerUp(now, step.owner, effects);
        else {
          now += step.ms;
          coordinator.tick(now, effects);
        }
        for (const effect of effects) {
          if (effect.type === "append") continue;
          const known = fate.get(effect.round) as string[];
          assert.not(known.includes("forgotten"), `${effect.type} of a forgotten round`);
          if (effect.type === "send") {
            assert.not(copies.get(effect.round)?.has(effect.to), "offered to who has it");
            continue;
          }
          assert.not(known.includes(effect.type), `${effect.type} twice`);
          if (effect.type === "failed") assert.not(known.includes("acknowledged"));
          known.push(effect.type);
        }
        for (const [number, wanted] of required) {
          const known = fate.get(number) as string[];
          const enough = (copies.get(number)?.size ?? 0) >= wanted;
          assert.is(known.includes("acknowledged"), enough && !known.includes("failed"));
        }
        const waiting = [...fate.values()].filter((known) => !known.includes("acknowledged") && !known.includes("failed")).length;
        assert.is(coordinator.unacknowledged(), waiting);
      }
      coordinator.tick(now + 20_000, []);
      assert.is(coordinator.nextDeadlineMs(), undefined, "everything ends");
    }),
    { numRuns: 300 },
  );
});

test.run();
