// Goal: a job that cannot commit holds readings for a bounded time and is told of loudly; want of space takes what jobs need last,
// and counts it; nobody proposes below level 3, nor anything that would not move. Method: the real class on a state, a clock and
// a store that the test plays.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RetentionSettings } from "../../../src/config/settings.ts";
import type { RetentionAdvanceCommand, RetentionLevel, SiteCommand } from "../../../src/core/site/commands.ts";
import { SiteState } from "../../../src/core/site/site-state.ts";
import type { GatewayContext } from "../../../src/gateway/context.ts";
import type { OpenWindow, Stock } from "../../../src/gateway/retention/policy.ts";
import { Retention } from "../../../src/gateway/retention/retention.ts";
import { gatewayId, partitionCount } from "../../../src/lib/ids.ts";
import type { Space } from "../../../src/ports/disk-space.ts";
import { a, b, bootstrap, c } from "../../core/site/site-fixture.ts";

const test = suite("gateway/retention: at work");
const hour = 3_600_000;
const day = 24 * hour;
const everyMs = 60_000;

/** One gateway's retention in a world that is all variables. */
class Played {
  readonly state = new SiteState();
  readonly proposed: RetentionAdvanceCommand[] = [];
  readonly errors: string[] = [];
  nowMs = 1_000 * day;
  leads = true;
  windows: OpenWindow[] = [];
  /** Bytes by the time of the chunk's end, in ms. */
  chunks: [number, number][] = [];
  blocks: [number, number][] = [];
  readonly rollups: RetentionAdvanceCommand[] = [];
  lagUs = 0;
  space: Space | undefined;
  storeFails = false;
  givenBack = 0;
  near = 3;
  readonly retention: Retention;
  #index = 0;
  #due: (() => void)[] = [];

  constructor(settings: Partial<RetentionSettings>, level = 3) {
    this.apply(bootstrap([a, b, c], 3));
    this.apply({ t: "feature-level", level });
    const say = (event: string) => void this.errors.push(event);
    const context = {
      self: gatewayId("gw-a"),
      settings: { retention: { rawMs: undefined, minFreeDisk: { kind: "share", share: 0.1 }, ...settings } },
      tuning: { retentionEveryMs: everyMs, keepNewestMs: hour, retentionHoldMs: 7 * day, reserveBytes: 10 },
      clock: {
        wallMs: () => this.nowMs,
        ntpState: () => "synchronised",
        synchronised: () => true,
        schedule: (_ms: number, fire: () => void) => void this.#due.push(fire),
      },
      inbox: { closed: () => false },
      diagnostics: { info: say, warn: say, error: say, debug: say },
    };
    this.retention = new Retention({
      context: context as unknown as GatewayContext,
      consensus: {
        isLeader: () => this.leads,
        propose: (command: SiteCommand) => {
          if (command.t !== "retention-advance") throw new Error("something else is proposed");
          (command.level === "raw" ? this.proposed : this.rollups).push(command);
          this.apply(command);
          return Promise.resolve({ ok: true, value: { t: "done" } });
        },
      },
      state: this.state,
      store: {
        dropBefore: (_chunksMax, lagUs) => {
          this.lagUs = lagUs;
          if (this.storeFails) return Promise.reject(new Error("no space left"));
          const horizonMs = this.state.horizonUs("raw", 0) / 1_000;
          const before = this.chunks.length;
          this.chunks = this.chunks.filter(([toMs]) => toMs >= horizonMs);
          return Promise.resolve(before - this.chunks.length);
        },
        release: () => Promise.resolve(false),
        giveBack: () => {
          this.givenBack++;
          return Promise.resolve(false);
        },
      },
      stock: { raw: stockOf(() => this.chunks), rollup: stockOf(() => this.blocks) },
      storeBytes: () => this.chunks.reduce((sum, [, bytes]) => sum + bytes, 0),
      space: { space: () => this.space, mayTake: () => true, look: () => Promise.resolve() },
      ownPartitions: () => Array.from({ length: partitionCount }, (_, at) => at),
      windows: {
        oldest: () => this.windows,
        count: ({ fromUs, toUs }) => this.windows.filter(({ fromMs }) => fromMs * 1_000 >= fromUs && fromMs * 1_000 < toUs).length,
      },
      clocksWithin: () => ({ near: this.near, gateways: 3 }),
    });
    this.retention.start();
  }

  apply(command: SiteCommand): void {
    this.state.apply(++this.#index, command);
  }

  /** One look, to its end. */
  async look(): Promise<RetentionAdvanceCommand[]> {
    const before = this.proposed.length;
    for (let turn = 0; turn < 40; turn++) {
      const due = this.#due;
      this.#due = [];
      // The next look is scheduled by this one.
      if (turn > 0 && due.length > 0) this.#due.push(...due.splice(0, 1));
      for (const fire of due) fire();
      await Promise.resolve();
    }
    return this.proposed.slice(before);
  }

  horizonMs(level: RetentionLevel = "raw"): number {
    return this.state.horizonUs(level, 0) / 1_000;
  }
}

/** Of chunks that end at these instants (ms), with so many bytes each. */
function stockOf(chunks: () => readonly (readonly [toMs: number, bytes: number])[]): Stock {
  return {
    oldestUs: () => (chunks().length === 0 ? undefined : Math.min(...chunks().map(([toMs]) => toMs)) * 1_000 - 1),
    bytesBefore: (us) =>
      chunks()
        .filter(([toMs]) => toMs * 1_000 < us)
        .reduce((sum, [, bytes]) => sum + bytes, 0),
  };
}

test("rollups are given up with the readings, before them, where nothing else is said", async () => {
  const played = new Played({ rawMs: 90 * day });
  await played.look();
  assert.is(played.rollups.length, 1);
  assert.is(played.horizonMs("rollup"), played.horizonMs());
  assert.is(played.retention.view().rollup, undefined);
});

test("rollups outlive the readings where they are to, by their own age", async () => {
  const played = new Played({ rawMs: 90 * day, rollupMs: 365 * day });
  await played.look();
  assert.is(played.horizonMs(), Math.floor((played.nowMs - 90 * day) / hour) * hour);
  assert.is(played.horizonMs("rollup"), Math.floor((played.nowMs - 365 * day) / hour) * hour);
  assert.equal(played.retention.view().rollup, { lowestMs: played.horizonMs("rollup"), highestMs: played.horizonMs("rollup") });
  assert.is(played.lagUs, day * 1_000, "a day's readings become a block at once");
});

test("for space rollups go once there are no readings left to drop", async () => {
  const played = new Played({ rollupMs: 365 * day });
  played.space = { freeBytes: 5, totalBytes: 100 };
  played.chunks = [[played.nowMs - 20 * day, 10]];
  played.blocks = [
    [played.nowMs - 40 * day, 3],
    [played.nowMs - 30 * day, 3],
  ];
  await played.look();
  assert.is(played.chunks.length, 0);
  await played.look();
  assert.ok(played.horizonMs("rollup") > 0);
  assert.ok(played.horizonMs("rollup") <= played.nowMs - hour);
  assert.is(played.lagUs, 0, "nothing waits for company on a full disk");
});

test("the leader moves the horizon by age, once for each step, and only a leader does", async () => {
  const played = new Played({ rawMs: 90 * day });
  assert.equal(
    (await played.look()).map(({ level }) => level),
    ["raw"],
  );
  assert.is(played.horizonMs(), 910 * day);
  assert.equal(await played.look(), [], "nothing moved");
  played.nowMs += hour;
  played.leads = false;
  assert.equal(await played.look(), []);
  played.leads = true;
  assert.is((await played.look()).length, 1);
});

test("below level 3 nobody proposes, and nobody does by a clock that too few confirm", async () => {
  assert.equal(await new Played({ rawMs: day }, 2).look(), []);
  const alone = new Played({ rawMs: day });
  alone.near = 1;
  assert.equal(await alone.look(), []);
  assert.match(alone.retention.warnings().join(), /nothing is dropped: of 3 gateways only 1 /);
  alone.near = 2;
  assert.is((await alone.look()).length, 1);
  assert.equal(alone.retention.warnings(), []);
});

test("a window that is not committed holds the horizon, with a warning once it is late; in the end its readings go, counted", async () => {
  const played = new Played({ rawMs: 10 * day });
  const fromMs = played.nowMs - 10 * day - 5 * hour;
  played.windows = [{ job: "daily", fromMs, toMs: fromMs + hour }];
  await played.look();
  assert.is(played.horizonMs(), fromMs);
  assert.match(played.retention.view().heldBackBy ?? "", /job "daily"/);
  assert.match(played.retention.warnings().join(), /held back by the window of job "daily" from .*; its readings go 10d after their time/);
  played.nowMs += 9 * day;
  assert.equal(await played.look(), []);
  played.nowMs += 2 * day;
  const moved = await played.look();
  assert.ok(played.horizonMs() > fromMs);
  assert.is(moved[0]?.unprocessedWindows, 1);
  assert.is(played.state.unprocessedWindows(), 1);
  assert.ok(played.errors.includes("unprocessed-windows-dropped"));
  assert.match(played.retention.warnings().join("\n"), /readings of 1 windows of jobs with sinks were given up/);
  played.nowMs += hour;
  await played.look();
  assert.is(played.state.unprocessedWindows(), 1, "told once");
});

test("for space, the oldest go first; what a job needs goes only when nothing else is left, and never the newest hour", async () => {
  const played = new Played({});
  const { nowMs } = played;
  played.chunks = Array.from({ length: 10 }, (_, at) => [nowMs - 10 * day + at * day, 100]);
  played.windows = [{ job: "weekly", fromMs: nowMs - 8.5 * day, toMs: nowMs - day }];
  played.leads = false;
  played.space = { freeBytes: 90, totalBytes: 1_000 };
  await played.look();
  assert.is(played.chunks.length, 9, "one is enough");
  assert.is(played.givenBack, 1);
  assert.is(played.state.unprocessedWindows(), 0);
  await played.look();
  assert.is(played.chunks.length, 8, "up to the window");
  await played.look();
  assert.is(played.state.unprocessedWindows(), 1);
  assert.ok(played.chunks.length < 8);
  for (let more = 0; more < 20; more++) await played.look();
  played.chunks.push([nowMs - hour / 2, 100]);
  await played.look();
  assert.equal(played.chunks, [[nowMs - hour / 2, 100]]);
  assert.match(played.retention.warnings().join("\n"), /no readings older than 1h are left to drop/);
  assert.is(played.retention.diskState(), "low");
  played.space = { freeBytes: 500, totalBytes: 1_000 };
  await played.look();
  assert.is(played.retention.diskState(), "ok");
  assert.not.match(played.retention.warnings().join("\n"), /left to drop/);
});

test("0% never drops anything, and a store that cannot be written is tried again", async () => {
  const never = new Played({ minFreeDisk: { kind: "share", share: 0 } });
  never.chunks = [[1, 100]];
  never.space = { freeBytes: 0, totalBytes: 1_000 };
  assert.equal(await never.look(), []);
  const failing = new Played({ rawMs: day });
  failing.storeFails = true;
  assert.equal(await failing.look(), []);
  assert.ok(failing.errors.includes("retention-failed"));
  failing.storeFails = false;
  assert.is((await failing.look()).length, 1);
});

test.run();
