// Goal: committed runs are kept until every gateway that keeps results has stored them, and no longer; the bound holds.
// Method: scenarios over the state.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GatewayId } from "../../../src/lib/ids.ts";
import { a, b, c, d, LoggedSite } from "./site-fixture.ts";

const kept = (site: LoggedSite) => site.state.outbox().runs.map((run) => run.ordinal);
const stored = (site: LoggedSite, gateway: GatewayId, ordinal: number) => site.apply({ t: "results-stored", gateway, ordinal });

function siteWithRuns(count: number, outboxRunsMax?: number): LoggedSite {
  const site = LoggedSite.founded([a, b, c], 3, outboxRunsMax === undefined ? {} : { outboxRunsMax });
  for (let at = 0; at < count; at++) site.commit("mean", at * 10_000);
  return site;
}

const test = suite("core/site: the outbox of committed runs");

test("ordinals count all runs from 0, and what all have stored goes", () => {
  const site = siteWithRuns(4);
  assert.equal(kept(site), [0, 1, 2, 3]);
  assert.is(site.state.outbox().runs[2]?.fromMs, 20_000);
  stored(site, a, 3);
  stored(site, b, 2);
  assert.is(site.state.outbox().firstOrdinal, 0, "one has stored nothing yet");
  stored(site, c, 4);
  assert.is(site.state.outbox().firstOrdinal, 2);
  assert.equal(kept(site), [2, 3]);
  assert.is(site.state.resultsStoredBy(a), 3);
  site.commit("mean", 50_000);
  assert.equal(kept(site), [2, 3, 4]);
});

test("a position never goes back, and never beyond what was committed", () => {
  const site = siteWithRuns(2);
  for (const gateway of [a, b, c]) stored(site, gateway, 900);
  assert.equal(kept(site), []);
  site.commit("mean", 50_000);
  assert.equal(kept(site), [2], "nobody can have stored it before");
  stored(site, a, 1);
  assert.is(site.state.resultsStoredBy(a), 2);
});

test("who is expected or a witness holds nothing back; a new data folder begins with nothing", () => {
  const site = siteWithRuns(3);
  site.add(d);
  for (const gateway of [a, b]) stored(site, gateway, 2);
  site.replace(c);
  assert.equal(kept(site), [2], "the one that was missing is gone");
  site.admit(c, "3");
  stored(site, a, 3);
  stored(site, b, 3);
  assert.equal(kept(site), [2]);
  site.admit(d, "4");
  stored(site, c, 3);
  assert.equal(kept(site), [2]);
  stored(site, d, 3);
  assert.equal(kept(site), []);
});

test("a gateway that leaves is not waited for; one that is no member is not heard", () => {
  const site = siteWithRuns(3);
  stored(site, d, 3);
  assert.is(site.state.resultsStoredBy(d), 0);
  stored(site, a, 3);
  stored(site, b, 3);
  site.remove(c);
  assert.equal(kept(site), []);
});

test("beyond the bound the oldest runs go, whoever has not stored them", () => {
  const site = siteWithRuns(10, 4);
  assert.equal(kept(site), [6, 7, 8, 9]);
  assert.is(site.state.outbox().firstOrdinal, 6);
});

test.run();
