// Goal: a question is worked on at most once per asking process, however often and in whatever order its frames arrive, and only
// the first answer in time counts. Method: two sides joined by a list of frames that the test delivers, repeats or drops.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GatewayContext } from "../../src/gateway/context.ts";
import { encodeFrame, FrameKind } from "../../src/gateway/frames.ts";
import { MeshRouter } from "../../src/gateway/mesh-router.ts";
import { Requests } from "../../src/gateway/requests.ts";
import { failure, type Result, success } from "../../src/lib/errors.ts";
import { type GatewayId, gatewayId } from "../../src/lib/ids.ts";
import { Packing } from "../../src/lib/packing.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";

const a = gatewayId("gw-a");
const b = gatewayId("gw-b");

interface Side {
  readonly router: MeshRouter;
  readonly requests: Requests;
  readonly sent: Uint8Array[];
}

const everything = (_frame: Uint8Array): boolean => true;

function sideOf(scheduler: Scheduler, peer: GatewayId, sessionTag: number, takes = everything): Side {
  const sent: Uint8Array[] = [];
  const used = {
    self: peer === a ? b : a,
    sessionTag,
    packing: new Packing(),
    clock: {
      wallMs: () => scheduler.nowMs(),
      monotonicMs: () => scheduler.nowMs(),
      ntpState: () => "unknown",
      schedule: (delayMs: number, fire: () => void) => ({ id: 0, event: scheduler.schedule(delayMs, "timer", fire) }),
      cancel: (timer: { event?: { cancelled: boolean } }) => {
        if (timer.event !== undefined) timer.event.cancelled = true;
      },
    },
    diagnostics: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    ports: {
      transport: {
        isUp: () => true,
        send: (_to: GatewayId, _channel: string, frame: Uint8Array) =>
          frame[1] === FrameKind.Ping || (takes(frame) && sent.push(frame) > 0),
      },
    },
  };
  // Of a gateway's world, requests and their router use no more than this.
  const context = used as unknown as GatewayContext;
  const router = new MeshRouter(context);
  return { router, requests: new Requests(context, router, { openMax: 8, servedMax: 2 }), sent };
}

function pair() {
  const scheduler = new Scheduler();
  const asking = sideOf(scheduler, b, 7);
  const answering = sideOf(scheduler, a, 9);
  asking.router.admit(b, 9);
  answering.router.admit(a, 7);
  return { scheduler, asking, answering };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const ask = (side: Side, type: "propose" | "rows" = "propose") =>
  side.requests.call(b, type, { n: 1 }, { timeoutMs: 100, channel: "raft" });

const test = suite("gateway/requests");

test("a frame that comes three times is worked on once, and answered once", async () => {
  const { asking, answering } = pair();
  let worked = 0;
  answering.requests.serve("propose", async () => success(++worked));
  const answer = ask(asking);
  for (let i = 0; i < 3; i++) answering.router.receive(a, asking.sent[0] as Uint8Array);
  await settled();
  assert.is(worked, 1);
  assert.is(answering.sent.length, 1);
  for (let i = 0; i < 2; i++) asking.router.receive(b, answering.sent[0] as Uint8Array);
  assert.equal(await answer, { ok: true, value: 1 });
});

test("questions that overtake each other are all worked on; a new process of the peer begins anew", async () => {
  const { scheduler, asking, answering } = pair();
  let worked = 0;
  answering.requests.serve("propose", async () => success(++worked));
  for (let i = 0; i < 3; i++) void ask(asking);
  for (const at of [2, 0, 1, 2]) {
    answering.router.receive(a, asking.sent[at] as Uint8Array);
    await settled();
  }
  assert.is(worked, 3);
  const restarted = sideOf(scheduler, b, 8);
  restarted.router.admit(b, 9);
  answering.router.admit(a, 8);
  void ask(restarted);
  answering.router.receive(a, restarted.sent[0] as Uint8Array);
  await settled();
  assert.is(worked, 4);
});

test("no answer in time is an unknown outcome, and a late one changes nothing; so is a broken link", async () => {
  const { scheduler, asking } = pair();
  const late = ask(asking);
  while (scheduler.step());
  const outcome: Result<unknown> = await late;
  assert.is(outcome.ok ? "" : outcome.code, "outcome-unknown");
  const broken = ask(asking);
  asking.requests.peerDown(b);
  const second = await broken;
  assert.is(second.ok ? "" : second.code, "outcome-unknown");
});

test("failures travel with their code; a handler that throws is `internal`; an unknown question says so", async () => {
  const { asking, answering } = pair();
  answering.requests.serve("propose", async () => failure("busy", "later"));
  answering.requests.serve("rows", async () => {
    throw new Error("a bug");
  });
  const codes: string[] = [];
  for (const type of ["propose", "rows", "latest"] as const) {
    const answer = asking.requests.call(b, type, {}, { timeoutMs: 100, channel: "job" });
    answering.router.receive(a, asking.sent.at(-1) as Uint8Array);
    await settled();
    asking.router.receive(b, answering.sent.at(-1) as Uint8Array);
    const result = await answer;
    codes.push(result.ok ? "ok" : result.code);
  }
  assert.equal(codes, ["busy", "internal", "not-found"]);
});

test("a change whose answer the link does not take may have been made: its outcome is unknown, never `busy`", async () => {
  const scheduler = new Scheduler();
  const asking = sideOf(scheduler, b, 7);
  const answering = sideOf(scheduler, a, 9, (frame) => frame.length < 1_000);
  asking.router.admit(b, 9);
  answering.router.admit(a, 7);
  let made = 0;
  answering.requests.serve("propose", async () => {
    made++;
    return success(new Uint8Array(2_000));
  });
  const answer = ask(asking);
  answering.router.receive(a, asking.sent[0] as Uint8Array);
  await settled();
  asking.router.receive(b, answering.sent[0] as Uint8Array);
  const outcome = await answer;
  assert.is(made, 1);
  assert.is(outcome.ok ? "" : outcome.code, "outcome-unknown");
});

test("both sides are bounded: too many open here, too many worked on there", async () => {
  const { asking, answering } = pair();
  answering.requests.serve("propose", () => new Promise(() => undefined));
  const asked = Array.from({ length: 9 }, () => ask(asking));
  const ninth = await asked[8];
  assert.is(ninth?.ok === false ? ninth.code : "", "busy");
  for (const frame of asking.sent.slice(0, 3)) answering.router.receive(a, frame);
  await settled();
  asking.router.receive(b, answering.sent[0] as Uint8Array);
  const third = await asked[2];
  assert.is(third?.ok === false ? third.code : "", "busy");
});

test("frames of a session that was not admitted, and frames of no known form, are dropped and counted", () => {
  const { answering } = pair();
  answering.router.receive(a, encodeFrame(FrameKind.Request, 6, new Uint8Array([1])));
  answering.router.receive(a, new Uint8Array(3));
  answering.router.receive(gatewayId("gw-x"), encodeFrame(FrameKind.Request, 7, new Uint8Array([1])));
  assert.is(answering.router.dropped(), 3);
  answering.router.receive(a, encodeFrame(FrameKind.Request, 7, new Uint8Array([0xc1])));
  assert.is(answering.sent.length, 0, "garbage is not answered");
});

test.run();
