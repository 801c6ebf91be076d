// Goal: stamps follow the own clock while nothing speaks against it, a majority when one agrees against it, and nobody else; what is not
// confirmed says so. Method: clocks set by hand, one by one; all kinds of clocks at once against the rule's definition.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { agreeMs, agreementOf, type ClockReading, SiteClock } from "../../src/gateway/site-clock.ts";
import type { NtpState } from "../../src/ports/clock.ts";

const test = suite("gateway: the site's clock");

const trueMs = Date.UTC(2026, 5, 1);
const in2038 = Date.UTC(2038, 0, 19);

/** The gateway's machine and its peers. True time is `trueMs` plus the monotonic clock. */
class Setup {
  monotonicMs = 5_000;
  /** Of the own wall clock, to true time. */
  ownMs = 0;
  ntp: NtpState = "unknown";
  peers: { aheadMs: number; ntp: NtpState }[] = [];
  gateways = 3;
  readonly clock = new SiteClock({
    clock: {
      wallMs: () => trueMs + this.monotonicMs + this.ownMs,
      monotonicMs: () => this.monotonicMs,
      ntpState: () => this.ntp,
      synchronised: () => this.ntp !== "unsynchronised",
      schedule: () => ({ id: 0 }),
      cancel: () => undefined,
    },
    peers: () => this.peers.map(({ aheadMs, ntp }) => ({ offsetMs: trueMs + aheadMs, ntp })),
    gateways: () => this.gateways,
    rule: agreementOf,
  });

  constructor(...aheadMs: readonly number[]) {
    this.peers = aheadMs.map((ahead) => ({ aheadMs: ahead, ntp: "unknown" as const }));
  }

  /** What the site's time is ahead of true time, a while later. */
  aheadMs(): number {
    this.monotonicMs += 1_000;
    return this.clock.wallMs() - trueMs - this.monotonicMs;
  }

  get said(): string {
    const { by, source, synchronised } = this.clock.view();
    assert.is(synchronised, by !== "none");
    return `${source} by ${by}`;
  }
}

test("clocks that agree: the own one, confirmed by the peers, or by NTP where it says so", () => {
  const setup = new Setup(20, -30);
  assert.equal([setup.aheadMs(), setup.said], [0, "own by peers"]);
  setup.ntp = "synchronised";
  assert.equal([setup.aheadMs(), setup.said], [0, "own by ntp"]);
});

test("one wrong peer, even with NTP, moves nobody; neither does a peer that alone is there and differs", () => {
  const setup = new Setup(0, in2038 - trueMs);
  (setup.peers[1] as { ntp: NtpState }).ntp = "synchronised";
  assert.equal([setup.aheadMs(), setup.said], [0, "own by peers"]);
  setup.peers = [{ aheadMs: in2038 - trueMs, ntp: "synchronised" }];
  assert.equal([setup.aheadMs(), setup.said], [0, "own by none"]);
});

test("a board that woke up in 1970 takes the time of the majority, until its own comes near", () => {
  const setup = new Setup(10, 20);
  setup.ownMs = -trueMs;
  setup.ntp = "unsynchronised";
  assert.equal([setup.aheadMs(), setup.said], [15, "peers by peers"]);
  setup.ownMs = -700;
  assert.equal([setup.aheadMs(), setup.said], [15, "peers by peers"], "within the bound, but not near");
  setup.ownMs = -300;
  assert.equal([setup.aheadMs(), setup.said], [-300, "own by peers"]);
  // It drifts away: a step would be found out.
  for (setup.ownMs = -300; setup.ownMs > -700; setup.ownMs -= 80) setup.aheadMs();
  assert.equal([setup.aheadMs(), setup.said], [-700, "own by peers"], "it does not come and go at the edge");
  setup.ownMs = -300;
  assert.equal([setup.aheadMs(), setup.clock.isOwnSteady()], [-300, false], "near, but set a moment ago");
  for (let seconds = 0; seconds < 3; seconds++) setup.aheadMs();
  assert.ok(setup.clock.isOwnSteady());
});

test("an own clock that jumps is found out before it makes a stamp", () => {
  const setup = new Setup(0, 0);
  setup.ntp = "synchronised";
  setup.aheadMs();
  setup.ownMs = in2038 - trueMs;
  assert.is(setup.clock.wallMs(), trueMs + setup.monotonicMs);
  assert.is(setup.said, "peers by peers");
  assert.is(setup.clock.view().ownAheadMs, in2038 - trueMs);
  setup.ownMs = 0;
  assert.equal([setup.clock.wallMs() - trueMs - setup.monotonicMs, setup.said], [0, "own by ntp"]);
});

test("no majority in sight: the time that was confirmed last goes on; without one, the own; neither counts as confirmed", () => {
  const setup = new Setup(0, 0);
  setup.aheadMs();
  setup.peers = [];
  assert.equal([setup.aheadMs(), setup.said], [0, "own by none"]);
  setup.ownMs = in2038 - trueMs;
  assert.equal([setup.aheadMs(), setup.said], [0, "held by none"]);
  const fresh = new Setup();
  fresh.ownMs = -trueMs;
  assert.equal([fresh.aheadMs(), fresh.said], [-trueMs, "own by none"]);
});

test("clocks that nobody keeps prove nothing: not against NTP, and not that they are right", () => {
  const setup = new Setup(-3_600_000, -3_600_000);
  for (const peer of setup.peers) peer.ntp = "unsynchronised";
  setup.ntp = "synchronised";
  assert.equal([setup.aheadMs(), setup.said], [0, "own by ntp"]);
  // All three with the time of the last shutdown.
  const woken = new Setup(0, 0);
  woken.ntp = "unsynchronised";
  for (const peer of woken.peers) peer.ntp = "unsynchronised";
  assert.equal([woken.aheadMs(), woken.said], [0, "own by none"]);
});

test("a majority before this version's time is believed by nobody", () => {
  const setup = new Setup(-trueMs, -trueMs);
  assert.equal([setup.aheadMs(), setup.said], [0, "own by none"]);
});

test("alone, or of two: NTP or nothing, and both must agree", () => {
  const alone = new Setup();
  alone.gateways = 1;
  assert.equal([alone.aheadMs(), alone.said], [0, "own by none"]);
  alone.ntp = "synchronised";
  assert.equal([alone.aheadMs(), alone.said], [0, "own by ntp"]);
  const two = new Setup(100);
  two.gateways = 2;
  assert.equal([two.aheadMs(), two.said], [0, "own by peers"]);
  two.peers = [{ aheadMs: 10_000, ntp: "synchronised" }];
  assert.equal([two.aheadMs(), two.said], [0, "own by none"]);
});

test("the rule: a majority within the bound is found when there is one, with the own clock in it when that may be", () => {
  const clocks = fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(clocks, fc.integer({ min: 1, max: 7 }), (offsets, gateways) => {
      const all: ClockReading[] = offsets.map((offsetMs) => ({ offsetMs, ntp: "unknown" }));
      const own = all[0] as ClockReading;
      const agreed = agreementOf(all, own, gateways);
      const groups = offsets.map((least) => offsets.filter((ms) => ms >= least && ms - least <= agreeMs));
      const majorities = groups.filter((group) => group.length > gateways / 2);
      assert.is(agreed !== undefined, majorities.length > 0);
      if (agreed === undefined) return;
      const found = agreed.clocks.map(({ offsetMs }) => offsetMs);
      assert.ok(found.length > gateways / 2 && Math.max(...found) - Math.min(...found) <= agreeMs);
      assert.ok(agreed.offsetMs >= Math.min(...found) && agreed.offsetMs <= Math.max(...found));
      assert.is(
        agreed.clocks.includes(own),
        majorities.some((group) => group.includes(own.offsetMs)),
      );
    }),
  );
});

test.run();
