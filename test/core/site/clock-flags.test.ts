// Goal: what is flagged stays flagged, for its slot alone, within bounds, in every snapshot; a site that flagged nothing has the snapshot
// of before; a version that does not know the command passes it over. Method: commands at random against a plain list of ranges, codecs.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ClockFlags, flaggedOpenMax, flaggedRangesMax } from "../../../src/core/site/clock-flags.ts";
import { decodeCommand, encodeCommand } from "../../../src/core/site/command-codec.ts";
import type { ClockUnconfirmedCommand } from "../../../src/core/site/commands.ts";
import { levelOf } from "../../../src/core/site/features.ts";
import { SiteState } from "../../../src/core/site/site-state.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { LoggedSite } from "./site-fixture.ts";

const packing = new Packing();

function flag(slot: number, fromUs: number, toUs?: number): ClockUnconfirmedCommand {
  return { t: "clock-unconfirmed", slot, fromUs, ...(toUs === undefined ? {} : { toUs }) };
}

const test = suite("core/site: clock flags");

test("a range goes on until its end is told, and is of its slot alone", () => {
  const flags = new ClockFlags();
  flags.apply(flag(1, 5_001));
  assert.equal(
    [4_001, 5_001, 9_000_001, 5_002].map((us) => flags.has(us)),
    [false, true, true, false],
  );
  assert.equal(flags.openOf(1), [5_001]);
  flags.apply(flag(1, 5_001, 7_002));
  assert.equal(
    [4_001, 5_001, 7_001, 8_001].map((us) => flags.has(us)),
    [false, true, true, false],
  );
  assert.equal(flags.openOf(1), []);
});

test("whatever comes, twice or in another order: nothing that was flagged is forgotten, and the bounds hold", () => {
  const range = fc.record({ from: fc.nat(500), length: fc.integer({ min: 1, max: 5 }), open: fc.boolean() });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 120 }), (ranges) => {
      const flags = new ClockFlags();
      for (const { from, length, open } of ranges) {
        if (open) flags.apply(flag(0, from * 1_000));
        flags.apply(flag(0, from * 1_000, (from + length) * 1_000));
        flags.apply(flag(0, from * 1_000, (from + length) * 1_000));
      }
      for (const { from, length } of ranges)
        for (let at = from; at < from + length; at++) assert.ok(flags.has(at * 1_000), `${at} is flagged`);
      const item = flags.capture()[0]?.item(0) as readonly [number, readonly number[], readonly number[]] | undefined;
      assert.ok((item?.[2].length ?? 0) <= 2 * flaggedRangesMax);
    }),
  );
});

test("many that go on: the lowest stand for all", () => {
  const flags = new ClockFlags();
  for (let at = 20; at > 0; at--) flags.apply(flag(0, at * 1_000));
  assert.is(flags.openOf(0).length, flaggedOpenMax);
  assert.ok(flags.has(1_000) && flags.has(20_000));
});

test("in snapshots from the first flag on; below level 4 the command is passed over and refused", () => {
  const site = LoggedSite.founded();
  assert.equal(site.apply(flag(2, 1_002)), { t: "passed-over" });
  const without = Buffer.concat([...site.state.capture().blocks(packing)]);
  assert.not(site.state.clockFlags().has(1_002));
  site.apply({ t: "feature-level", level: 4 });
  site.apply(flag(2, 1_002));
  site.apply(flag(999, 999, 5_999));
  const bytes = Buffer.concat([...site.state.capture().blocks(packing)]);
  assert.ok(bytes.length > without.length);
  const restored = new SiteState();
  assert.ok(restored.restore(bytes, packing).ok);
  assert.equal(restored.snapshot(), site.state.snapshot());
  assert.ok(restored.clockFlags().has(4_999) && restored.clockFlags().has(3_002));
  const command = flag(2, 1_002, 2_002);
  assert.is(levelOf(command), 4);
  assert.equal(decodeCommand(encodeCommand(command, packing), packing), { ok: true, value: command });
  assert.not(decodeCommand(encodeCommand(command, packing), packing, 3).ok);
  assert.not(decodeCommand(encodeCommand(flag(1_000, 1), packing), packing).ok);
});

test.run();
