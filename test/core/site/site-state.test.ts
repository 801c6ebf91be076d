// Goal: the replicated state is a pure function of the log, and its compare-and-set and first-commit-wins rules hold.
// Method: scenarios of each command, and random logs applied twice and beside a model of the kv space.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ApplyResult } from "../../../src/core/site/apply-result.ts";
import { decodeCommand, encodeCommand } from "../../../src/core/site/command-codec.ts";
import type { SiteCommand } from "../../../src/core/site/commands.ts";
import { SiteState } from "../../../src/core/site/site-state.ts";
import { deviceId, gatewayId, sessionId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";

const gateway = gatewayId("gw-a");
const bytes = (text: string) => new TextEncoder().encode(text);
const put = (key: string, expect: number, value = "v"): SiteCommand => ({ t: "kv-put", key, value: bytes(value), expect });
const remove = (key: string, expect: number): SiteCommand => ({ t: "kv-delete", key, expect });
const claim = (...starts: number[]): SiteCommand => ({
  t: "run-claim",
  job: "mean",
  windows: starts.map((fromMs) => ({ fromMs, toMs: fromMs + 10 })),
  gateway,
});
const commit = (...windows: { fromMs: number; attempt: number; baseRevision: number }[]): SiteCommand => ({
  t: "run-commit",
  job: "mean",
  windows: windows.map((window) => ({ ...window, toMs: window.fromMs + 10, rows: 1, digest: `d${window.attempt}` })),
  sinks: ["archive"],
});
const started = (startCount: number, session: string): SiteCommand => ({
  t: "gateway-started",
  gateway,
  startCount,
  session: sessionId(session),
});

function committedOf(result: ApplyResult): [number, number][] {
  assert.is(result.t, "commit");
  return result.t === "commit" ? result.runs.map((run) => [run.fromMs, run.revision]) : [];
}

const any = -1;
const exists = -2;
const absent = 0;

const kv = suite("core/site: kv with compare-and-set");

kv("each expectation holds exactly where it says, and a refusal changes nothing and tells what stands", () => {
  const state = new SiteState();
  assert.equal(state.apply(1, put("x", exists)), { t: "kv", ok: false, revision: 0 });
  assert.equal(state.apply(2, put("x", 1)), { t: "kv", ok: false, revision: 0 });
  assert.equal(state.apply(3, put("x", absent, "one")), { t: "kv", ok: true, revision: 3, existed: false });
  assert.equal(state.apply(4, put("x", absent)), { t: "kv", ok: false, revision: 3 });
  assert.equal(state.apply(5, put("x", 2)), { t: "kv", ok: false, revision: 3 });
  assert.equal(state.kv("x"), { value: bytes("one"), revision: 3 });
  assert.equal(state.apply(6, put("x", 3, "two")), { t: "kv", ok: true, revision: 6, existed: true });
  assert.equal(state.apply(7, put("x", exists, "three")), { t: "kv", ok: true, revision: 7, existed: true });
  assert.equal(state.apply(8, remove("x", 6)), { t: "kv", ok: false, revision: 7 });
  assert.equal(state.apply(9, remove("x", 7)), { t: "kv", ok: true, revision: 7, existed: true });
  assert.equal(state.apply(10, remove("x", any)), { t: "kv", ok: true, revision: 0, existed: false });
  assert.equal(state.apply(11, remove("x", exists)), { t: "kv", ok: false, revision: 0 });
});

kv("a revision never comes back for other content, whatever was deleted in between", () => {
  const state = new SiteState();
  state.apply(1, put("x", any, "one"));
  state.apply(2, remove("x", any));
  state.apply(3, put("x", any, "two"));
  assert.equal(state.apply(4, put("x", 1, "three")), { t: "kv", ok: false, revision: 3 });
});

const kvCommand = fc.record({
  key: fc.constantFrom("x", "y"),
  deletes: fc.boolean(),
  value: fc.string({ maxLength: 3 }),
  expect: fc.oneof(fc.constantFrom(any, exists, absent), fc.integer({ min: 1, max: 30 })),
});

kv("in any log the space is what a plain map makes of it", () => {
  fc.assert(
    fc.property(fc.array(kvCommand, { maxLength: 40 }), (commands) => {
      const state = new SiteState();
      const model = new Map<string, { text: string; revision: number }>();
      for (const [at, { key, deletes, value, expect }] of commands.entries()) {
        const index = at + 1;
        const known = model.get(key);
        const holds = expect === any || (expect === exists && known !== undefined) || (expect >= 0 && expect === (known?.revision ?? 0));
        const result = state.apply(index, deletes ? remove(key, expect) : put(key, expect, value));
        assert.ok(result.t === "kv" && result.ok === holds);
        if (holds && deletes) model.delete(key);
        else if (holds) model.set(key, { text: value, revision: index });
        for (const name of ["x", "y"]) {
          const record = state.kv(name);
          assert.equal(
            record === undefined ? undefined : { text: new TextDecoder().decode(record.value), revision: record.revision },
            model.get(name),
          );
        }
      }
    }),
    { numRuns: 200 },
  );
});

kv.run();

const jobs = suite("core/site: runs of jobs (P4)");

jobs("claims count attempts window by window, and say which revision stands", () => {
  const state = new SiteState();
  assert.equal(state.apply(1, claim(0, 10)), {
    t: "claim",
    claims: [
      { attempt: 1, baseRevision: 0 },
      { attempt: 1, baseRevision: 0 },
    ],
  });
  assert.equal(state.apply(2, claim(10)), { t: "claim", claims: [{ attempt: 2, baseRevision: 0 }] });
});

jobs("the first commit on a base wins; a slower attempt and a repetition find it gone", () => {
  const state = new SiteState();
  state.apply(1, claim(0));
  state.apply(2, claim(0));
  assert.equal(committedOf(state.apply(3, commit({ fromMs: 0, attempt: 1, baseRevision: 0 }))), [[0, 1]]);
  assert.equal(committedOf(state.apply(4, commit({ fromMs: 0, attempt: 2, baseRevision: 0 }))), [], "the slower one");
  assert.equal(committedOf(state.apply(5, commit({ fromMs: 0, attempt: 1, baseRevision: 0 }))), [], "applied twice");
  assert.is(state.job("mean")?.windows.get(0)?.committedAttempt, 1);
  assert.is(state.job("mean")?.commits, 1);
});

jobs("a correction is a higher revision of the same window", () => {
  const state = new SiteState();
  state.apply(1, claim(0));
  state.apply(2, commit({ fromMs: 0, attempt: 1, baseRevision: 0 }));
  assert.equal(state.apply(3, claim(0)), { t: "claim", claims: [{ attempt: 2, baseRevision: 1 }] });
  assert.equal(committedOf(state.apply(4, commit({ fromMs: 0, attempt: 2, baseRevision: 1 }))), [[0, 2]]);
});

jobs("of several windows those that still may be are committed, at the entry's index", () => {
  const state = new SiteState();
  state.apply(1, claim(0, 10, 20));
  state.apply(2, commit({ fromMs: 10, attempt: 1, baseRevision: 0 }));
  const result = state.apply(3, commit(...[0, 10, 20].map((fromMs) => ({ fromMs, attempt: 1, baseRevision: 0 }))));
  assert.equal(committedOf(result), [
    [0, 1],
    [20, 1],
  ]);
  assert.ok(result.t === "commit" && result.runs.every((run) => run.index === 3));
  assert.equal(state.job("mean")?.lastCommitted, { fromMs: 20, toMs: 30 });
});

jobs("an attempt that was never claimed commits nothing", () => {
  const state = new SiteState();
  assert.equal(committedOf(state.apply(1, commit({ fromMs: 0, attempt: 1, baseRevision: 0 }))), []);
  state.apply(2, claim(0));
  assert.equal(committedOf(state.apply(3, commit({ fromMs: 0, attempt: 2, baseRevision: 0 }))), []);
});

jobs("a job begins once: later words about it change nothing", () => {
  const state = new SiteState();
  for (const sinceMs of [500, 100, 900]) state.apply(1, { t: "job-seen", job: "mean", sinceMs });
  assert.is(state.job("mean")?.sinceMs, 500);
});

jobs("in any order of claims and commits a window's revisions are 1, 2, 3, … each committed once", () => {
  const step = fc.record({
    commits: fc.boolean(),
    fromMs: fc.constantFrom(0, 10),
    attempt: fc.integer({ min: 1, max: 6 }),
    baseRevision: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const state = new SiteState();
      const revisions = new Map<number, number>();
      for (const [at, { commits, ...window }] of steps.entries()) {
        const result = state.apply(at + 1, commits ? commit(window) : claim(window.fromMs));
        if (!commits) continue;
        for (const [fromMs, revision] of committedOf(result)) {
          assert.is(revision, (revisions.get(fromMs) ?? 0) + 1);
          revisions.set(fromMs, revision);
        }
      }
    }),
    { numRuns: 200 },
  );
});

jobs.run();

const rest = suite("core/site: starts, devices, determinism");

rest("only a later start replaces the one that is registered", () => {
  const state = new SiteState();
  state.apply(1, started(2, "s2"));
  state.apply(2, started(1, "s1"));
  state.apply(3, started(2, "other"));
  assert.equal(state.startOf(gateway), { startCount: 2, session: sessionId("s2") });
  state.apply(4, started(3, "s3"));
  assert.equal(state.startOf(gateway), { startCount: 3, session: sessionId("s3") });
});

rest("a device's metrics add up, whoever registers it, and it was first seen when it was", () => {
  const state = new SiteState();
  const id = deviceId("d1");
  state.apply(1, { t: "register-devices", devices: [{ id, profile: "p", metrics: ["t"], firstSeenMs: 50 }] });
  state.apply(2, { t: "register-devices", devices: [{ id, profile: "p", metrics: ["h", "t"], firstSeenMs: 40 }] });
  assert.equal(state.devices().get(id), { id, profile: "p", metrics: ["h", "t"], firstSeenMs: 40 });
});

rest("commands survive their encoding, and equal logs give equal states", () => {
  const packing = new Packing();
  const log: SiteCommand[] = [
    started(1, "s1"),
    put("x", any, "\u{1f600}"),
    claim(0, 10),
    commit({ fromMs: 0, attempt: 1, baseRevision: 0 }),
    { t: "job-seen", job: "mean", sinceMs: Date.UTC(2026, 0, 1) },
    { t: "register-devices", devices: [{ id: deviceId("d1"), profile: "p", metrics: ["t"], firstSeenMs: Date.UTC(2026, 0, 1) }] },
    remove("x", 2),
  ];
  const direct = new SiteState();
  const decoded = new SiteState();
  for (const [at, command] of log.entries()) {
    direct.apply(at + 1, command);
    const again = decodeCommand(encodeCommand(command, packing), packing);
    assert.ok(again.ok);
    if (again.ok) decoded.apply(at + 1, again.value);
  }
  assert.equal(JSON.stringify(decoded.snapshot()), JSON.stringify(direct.snapshot()));
  for (const garbage of [{ t: "no-such-command" }, "text", null, 7]) assert.not(decodeCommand(packing.pack(garbage), packing).ok);
  assert.not(decodeCommand(new Uint8Array([0xc1]), packing).ok);
});

rest("a leader's no-op moves the position and nothing else", () => {
  const state = new SiteState();
  assert.equal(state.apply(7, undefined), { t: "done" });
  assert.is(state.appliedIndex(), 7);
});

rest.run();
