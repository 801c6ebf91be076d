// Goal: a command within a session is applied once, and never after its result is forgotten (dissertation §6.3). Method:
// scenarios of each rule, and random logs of copies in any order beside a count of what was applied.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SiteCommand } from "../../../src/core/site/commands.ts";
import { rememberedMax, sessionEntriesMax } from "../../../src/core/site/sessions.ts";
import { type GatewayId, sessionId } from "../../../src/lib/ids.ts";
import { a, b, LoggedSite } from "./site-fixture.ts";

const unknown = { t: "session-unknown" };
const open = (gateway: GatewayId, session: string): SiteCommand => ({ t: "session-open", gateway, session: sessionId(session) });
const once = (session: string, sequence: number, floor = 0, key = "x"): SiteCommand => ({
  t: "once",
  session: sessionId(session),
  sequence,
  floor,
  command: { t: "kv-put", key, value: new Uint8Array([sequence]), expect: -1 },
});

const test = suite("core/site: sessions (dissertation §6.3)");

test("a copy gets the first one's result, and nothing is applied again", () => {
  const site = LoggedSite.founded();
  site.apply(open(a, "s1"));
  const first = site.apply(once("s1", 0));
  assert.equal(first, { t: "kv", ok: true, revision: 4, existed: false });
  assert.equal(site.apply(once("s1", 0)), first);
  assert.is(site.state.kv("x")?.revision, 4);
  assert.equal(site.apply(once("s1", 1)), { t: "kv", ok: true, revision: 6, existed: true });
});

test("a session that nobody opened, or that another of its gateway followed, answers nothing ever after", () => {
  const site = LoggedSite.founded();
  assert.equal(site.apply(once("s1", 0)), unknown);
  site.apply(open(a, "s1"));
  site.apply(open(b, "other"));
  site.apply(once("s1", 0));
  site.apply(open(a, "s2"));
  assert.equal(site.apply(once("s1", 0)), unknown);
  assert.equal(site.apply(open(a, "s1")), unknown, "a late copy of its opening");
  assert.equal(site.apply(once("s1", 1)), unknown);
  assert.equal(site.apply(once("s2", 0)).t, "kv");
  assert.equal(site.apply(once("other", 0)).t, "kv", "each gateway has its own");
});

test("opening again what is open forgets nothing", () => {
  const site = LoggedSite.founded();
  site.apply(open(a, "s1"));
  const first = site.apply(once("s1", 0));
  assert.equal(site.apply(open(a, "s1")), { t: "done" });
  assert.equal(site.apply(once("s1", 0)), first);
});

test("below the highest floor that was ever said nothing is answered, whatever floor the copy says", () => {
  const site = LoggedSite.founded();
  site.apply(open(a, "s1"));
  for (const sequence of [0, 1, 2]) site.apply(once("s1", sequence));
  const third = site.apply(once("s1", 2, 2));
  assert.equal(site.apply(once("s1", 1, 0)), unknown);
  assert.equal(site.apply(once("s1", 2, 0)), third);
  assert.is(site.state.kv("x")?.value[0], 2);
});

test("at most 65,536 results are remembered: whoever is further ahead of its floor is refused", () => {
  const site = LoggedSite.founded();
  site.apply(open(a, "s1"));
  assert.equal(site.apply(once("s1", rememberedMax)), unknown);
  assert.is(site.apply(once("s1", rememberedMax - 1)).t, "kv");
  assert.is(site.apply(once("s1", rememberedMax, 1)).t, "kv");
});

test("a session expires by log entries, no-ops among them, and not before", () => {
  const site = LoggedSite.founded();
  site.apply(open(a, "s1"));
  for (let i = 0; i < sessionEntriesMax - 1; i++) site.apply(undefined);
  assert.is(site.apply(once("s1", 0)).t, "kv", "99,999 entries in between");
  for (let i = 0; i < sessionEntriesMax; i++) site.apply(undefined);
  assert.equal(site.apply(once("s1", 1)), unknown, "100,000 entries in between");
  assert.equal(site.apply(open(a, "s1")), unknown);
});

test("commands of level 2 are passed over before the site has it, as an older version does", () => {
  const site = new LoggedSite();
  assert.equal(site.apply(open(a, "s1")), { t: "passed-over" });
  assert.equal(site.apply(once("s1", 0)), { t: "passed-over" });
  assert.is(site.state.kv("x"), undefined);
  site.apply({ t: "feature-level", level: 2 });
  site.apply({ t: "feature-level", level: 1 });
  assert.is(site.state.featureLevel(), 2, "a level is never taken back");
  assert.equal(site.apply(open(a, "s1")), { t: "done" });
});

test("in any log of copies each sequence of a session is applied at most once", () => {
  const event = fc.oneof(
    fc.record({ opens: fc.constantFrom("s1", "s2", "s3") }),
    fc.record({ session: fc.constantFrom("s1", "s2", "s3"), sequence: fc.nat({ max: 8 }), floor: fc.nat({ max: 8 }) }),
    fc.record({ idle: fc.nat({ max: 6 }) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const site = LoggedSite.founded([a], 1, { sessionEntriesMax: 5 });
      const applied = new Map<string, number>();
      for (const one of events) {
        if ("opens" in one) site.apply(open(one.opens === "s3" ? b : a, one.opens));
        else if ("idle" in one) for (let i = 0; i < one.idle; i++) site.apply(undefined);
        else {
          const key = `${one.session}-${one.sequence}`;
          const result = site.apply(once(one.session, one.sequence, one.floor, key));
          if (result.t === "kv" && result.ok && result.revision === site.index) applied.set(key, (applied.get(key) ?? 0) + 1);
          const revision = site.state.kv(key)?.revision;
          if (result.t === "kv" && result.ok) assert.is(result.revision, revision, "the answer is the first one's");
        }
      }
      for (const [key, times] of applied) assert.is(times, 1, key);
    }),
    { numRuns: 400 },
  );
});

test.run();
