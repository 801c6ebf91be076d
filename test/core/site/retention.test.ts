// Goal: a horizon only grows, partition by partition and level by level; a site that gave nothing up has the snapshot that an
// older version reads; a version that does not know the command passes it over. Method: commands on a founded site, restored
// snapshots, codecs.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeCommand, encodeCommand } from "../../../src/core/site/command-codec.ts";
import type { RetentionAdvanceCommand, RetentionLevel } from "../../../src/core/site/commands.ts";
import { levelOf } from "../../../src/core/site/features.ts";
import { partitionSet } from "../../../src/core/site/retention.ts";
import { SiteState } from "../../../src/core/site/site-state.ts";
import { partitionCount } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { a, b, bootstrap, c, LoggedSite } from "./site-fixture.ts";

const packing = new Packing();
const all = Array.from({ length: partitionCount }, (_, at) => at);

function advance(partitions: readonly number[], horizonUs: number, level: RetentionLevel = "raw", unprocessedWindows = 0) {
  return { t: "retention-advance", level, partitions: partitionSet(partitions), horizonUs, unprocessedWindows } as const;
}

const bytesOf = (state: SiteState) => Buffer.concat([...state.capture().blocks(packing)]);

const test = suite("core/site: retention horizons");

test("they begin at zero, move where a command says so, and never go back", () => {
  const site = LoggedSite.founded();
  assert.is(site.state.horizonUs("raw", 5), 0);
  site.apply(advance([5, 1_023], 100));
  assert.equal(
    [0, 5, 1_023].map((at) => site.state.horizonUs("raw", at)),
    [0, 100, 100],
  );
  assert.is(site.state.horizonUs("rollup", 5), 0, "rollups have horizons of their own");
  site.apply(advance(all, 70));
  assert.equal(
    [0, 5, 1_023].map((at) => site.state.horizonUs("raw", at)),
    [70, 100, 100],
  );
  site.apply(advance(all, 60, "rollup"));
  site.apply(advance(all, 0, "rollup"));
  assert.is(site.state.horizonUs("rollup", 9), 60);
});

test("windows whose readings went unprocessed are counted with the command that moved something, once", () => {
  const site = LoggedSite.founded();
  site.apply(advance(all, 100, "raw", 3));
  site.apply(advance(all, 100, "raw", 3));
  assert.is(site.state.unprocessedWindows(), 3);
});

test("below level 3 the command is passed over, and an older version refuses it", () => {
  const site = new LoggedSite();
  site.apply(bootstrap([a, b, c], 3));
  site.apply({ t: "feature-level", level: 2 });
  assert.equal(site.apply(advance(all, 100)), { t: "passed-over" });
  assert.is(site.state.horizonUs("raw", 0), 0);
  const command: RetentionAdvanceCommand = advance([0], 100);
  assert.is(levelOf(command), 3);
  const encoded = encodeCommand(command, packing);
  const decoded = decodeCommand(encoded, packing);
  assert.ok(decoded.ok && decoded.value.t === "retention-advance" && decoded.value.partitions.length === 128);
  assert.not(decodeCommand(encoded, packing, 2).ok);
});

test("a command of the wrong shape is refused: a level, a set of partitions or a time that none is", () => {
  const good = advance([1], 100);
  for (const wrong of [{ level: "all" }, { partitions: new Uint8Array(127) }, { horizonUs: -1 }, { horizonUs: 0.5 }, { horizonUs: "1" }])
    assert.not(decodeCommand(packing.pack({ ...good, ...wrong }), packing).ok, JSON.stringify(wrong));
});

test("a snapshot brings them back, byte for byte; one of a site that gave nothing up has no section that is new", () => {
  const site = LoggedSite.founded();
  const before = bytesOf(site.state);
  const old = new SiteState();
  assert.ok(old.restore(before, packing).ok);
  assert.is(old.horizonUs("raw", 0), 0);
  site.apply(undefined);
  assert.is(bytesOf(site.state).length, before.length, "an entry without a command adds nothing");
  site.apply(advance(all, 100, "raw", 2));
  site.apply(advance([7, 8, 900], 200));
  site.apply(advance([7], 50, "rollup"));
  const restored = new SiteState();
  assert.ok(restored.restore(bytesOf(site.state), packing).ok);
  assert.equal(restored.snapshot(), site.state.snapshot());
  assert.ok(bytesOf(restored).equals(bytesOf(site.state)));
  assert.equal(Array.from(restored.horizons("raw")), Array.from(site.state.horizons("raw")));
  assert.is(restored.unprocessedWindows(), 2);
});

test.run();
