// Goal: gateways come and go by the rules: one data folder each, none that was given up comes back, slots stay apart, and the
// ring never loses what it need not. Method: scenarios of each command and refusal; random changes with the ring's invariants.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeRing, encodeRing } from "../../../src/core/ring/owner-changes.ts";
import { ownersOf } from "../../../src/core/ring/owner-table.ts";
import type { ApplyResult } from "../../../src/core/site/apply-result.ts";
import type { SiteState } from "../../../src/core/site/site-state.ts";
import { type GatewayId, gatewayId, memberId, partition, partitionCount, sessionId } from "../../../src/lib/ids.ts";
import { a, address, b, bootstrap, c, d, incarnationOf, LoggedSite } from "./site-fixture.ts";

const done = { t: "member", ok: true };
const refused = (why: string) => ({ t: "member", ok: false, why });
const ownersAt = (state: SiteState, at: number) =>
  ownersOf((state.ring() as NonNullable<ReturnType<SiteState["ring"]>>).table, partition(at));
const epochOf = (state: SiteState) => state.ring()?.table.epoch;
const fillingOf = (state: SiteState, gateway: GatewayId) =>
  [...(state.ring()?.filling ?? [])].filter(([, gateways]) => gateways.includes(gateway)).map(([at]) => at);

const test = suite("core/site: members");

test("founders are members under their gateway's id, with what the bootstrap says of them", () => {
  const site = new LoggedSite();
  assert.is(site.state.ring(), undefined);
  const { gateways, ...rest } = bootstrap([a, b], 2);
  const [first, second] = gateways as [(typeof gateways)[0], (typeof gateways)[0]];
  site.apply({ ...rest, gateways: [first, { ...second, role: "witness", zone: "cellar", weight: 2, address }] });
  const common = { slot: 0, role: "full", zone: undefined, weight: 1, address: undefined };
  assert.equal(site.state.members().get(a), { id: a, memberId: "gw-a", incarnation: "gw-a-first", ...common });
  const other = { slot: 1, role: "witness", zone: "cellar", weight: 2, address };
  assert.equal(site.state.members().get(b), { id: b, memberId: "gw-b", incarnation: "gw-b-first", ...other });
  assert.is(site.state.memberOf(memberId("gw-b"))?.id, b);
  assert.is(epochOf(site.state), 1);
});

test("a gateway is expected, then admitted with the first data folder that comes, and that one only", () => {
  const site = LoggedSite.founded([a, b], 3);
  assert.equal(site.admit(c, "3"), refused("unknown"));
  assert.equal(site.add(c), done);
  assert.equal(site.add(c), refused("exists"));
  assert.equal(site.state.members().get(c)?.memberId, undefined);
  assert.is(site.state.members().get(c)?.slot, 2);
  assert.is(epochOf(site.state), 1, "nobody is there yet");
  assert.equal(site.admit(c, "3"), done);
  assert.equal(site.admit(c, "3"), done, "said again");
  assert.equal(site.admit(c, "4"), refused("not-expected"));
  assert.is(site.state.members().get(c)?.memberId, `gw-c~${"3".repeat(16)}`);
  assert.is(epochOf(site.state), 2);
  assert.is(fillingOf(site.state, c).length, partitionCount);
  assert.equal(ownersAt(site.state, 0).length, 3);
});

test("a data folder belongs to one gateway", () => {
  const site = LoggedSite.founded([a, b], 2);
  site.add(c);
  site.add(d);
  site.admit(c, "3");
  assert.equal(site.admit(d, "3"), refused("not-expected"));
});

test("an owner is whole once it says so of this folder and this table", () => {
  const site = LoggedSite.founded([a, b], 3);
  site.add(c);
  site.admit(c, "3");
  const filled = (incarnation: string, epoch: number, partitions: readonly number[]) =>
    site.apply({ t: "owner-filled", gateway: c, incarnation: incarnationOf(incarnation), epoch, partitions });
  assert.equal(filled("4", 2, [0]), refused("unknown"), "another folder");
  assert.equal(filled("3", 1, [0]), refused("not-expected"), "an older table");
  assert.equal(filled("3", 2, [0, 1, 5_000]), done, "what is no partition is nobody's");
  assert.is(epochOf(site.state), 3);
  assert.is(fillingOf(site.state, c).length, partitionCount - 2);
  assert.equal(filled("3", 2, [2]), refused("not-expected"), "said under the table before");
});

test("places of a gateway that leaves go to those who are not owners yet, who fill them", () => {
  const site = LoggedSite.founded([a, b, c, d], 3);
  assert.equal(site.remove(d), done);
  for (let at = 0; at < partitionCount; at++) assert.equal([...ownersAt(site.state, at)].sort(), [a, b, c], `partition ${at}`);
  const filling = [a, b, c].map((gateway) => fillingOf(site.state, gateway).length);
  assert.ok(
    filling.every((count) => count > 0),
    filling.join(" "),
  );
  assert.equal(site.remove(c), refused("under-replicated"));
});

test("a folder is given up once: the same request, late or again, does not take the one that came after it", () => {
  const site = LoggedSite.founded([a, b, c], 3);
  const first = site.state.members().get(c)?.incarnation ?? incarnationOf("0");
  const replace = { t: "gateway-replace" as const, gateway: c, incarnation: first, force: false };
  assert.equal(site.apply(replace), done);
  assert.equal(site.apply(replace), done, "still expected");
  assert.equal(site.admit(c, "3"), done);
  assert.equal(site.apply(replace), refused("not-expected"));
  assert.equal(site.apply({ t: "gateway-remove", gateway: c, incarnation: first, force: true }), refused("not-expected"));
  assert.is(site.state.members().get(c)?.incarnation, incarnationOf("3"));
});

test("a witness gets no readings", () => {
  const site = LoggedSite.founded([a, b], 3);
  site.add(c, "witness");
  site.admit(c, "3");
  assert.is(epochOf(site.state), 1);
  assert.equal(site.remove(c), done);
  assert.is(epochOf(site.state), 1);
});

test("replace gives a data folder up for good; the next one fills the same places", () => {
  const site = LoggedSite.founded();
  site.apply({ t: "gateway-started", gateway: b, startCount: 7, session: sessionId("s7") });
  assert.equal(site.replace(d), refused("unknown"));
  assert.equal(site.replace(b), done);
  assert.equal(site.replace(b), done, "said again");
  assert.equal([...site.state.retired()], ["gw-b-first"]);
  assert.is(site.state.members().get(b)?.incarnation, undefined);
  assert.is(site.state.memberOf(memberId("gw-b")), undefined);
  assert.is(site.state.startOf(b), undefined, "another folder counts its starts from one");
  assert.is(epochOf(site.state), 2);
  assert.is(fillingOf(site.state, b).length, partitionCount);
  const first = site.apply({ t: "gateway-admit", gateway: b, incarnation: site.state.members().get(a)?.incarnation ?? incarnationOf("0") });
  assert.equal(first, refused("not-expected"), "another's folder");
  assert.equal(site.admit(b, "5"), done);
  assert.is(epochOf(site.state), 2);
  site.replace(b);
  assert.equal(site.admit(b, "5"), refused("not-expected"), "retired");
  assert.equal(site.admit(b, "6"), done);
});

test("a late word of a start of a folder that was given up is ignored", () => {
  const site = LoggedSite.founded();
  site.replace(b);
  site.admit(b, "5");
  const session = sessionId("s");
  site.apply({ t: "gateway-started", gateway: b, startCount: 9, session, incarnation: incarnationOf("9") });
  assert.is(site.state.startOf(b), undefined);
  site.apply({ t: "gateway-started", gateway: b, startCount: 1, session, incarnation: incarnationOf("5") });
  assert.is(site.state.startOf(b)?.startCount, 1);
});

test("a second loss before the first is filled is refused, unless it is forced", () => {
  const site = LoggedSite.founded();
  site.replace(b);
  assert.equal(site.replace(c), refused("under-replicated"));
  assert.equal(site.remove(c), refused("under-replicated"));
  assert.is(epochOf(site.state), 2, "a refusal changes nothing");
  assert.equal(site.remove(b), done, "who is filling takes nothing away");
  assert.equal(site.replace(a, true), done);
  assert.equal(site.remove(c, true), refused("last"));
});

test("the last full gateway stays, whoever else is expected or a witness", () => {
  const site = LoggedSite.founded([a], 1);
  site.add(b, "witness");
  site.admit(b, "2");
  site.add(c);
  assert.equal(site.remove(a, true), refused("last"));
  assert.equal(site.remove(c), done, "nobody came under it");
  assert.equal(site.remove(b), done, "a witness is no full gateway");
});

test("with one copy a gateway leaves by force only, and the others take its partitions", () => {
  const site = LoggedSite.founded([a, b, c], 1);
  const before = Array.from({ length: partitionCount }, (_, at) => ownersAt(site.state, at)[0]);
  assert.equal(site.remove(b), refused("under-replicated"));
  assert.equal(site.remove(b, true), done);
  for (let at = 0; at < partitionCount; at++) {
    const owners = ownersAt(site.state, at);
    assert.is(owners.length, 1);
    if (before[at] === b) assert.not.equal(owners, [b]);
    else assert.equal(owners, [before[at]]);
  }
  assert.equal(new Set(before.map((owner, at) => (owner === b ? ownersAt(site.state, at)[0] : undefined))), new Set([undefined, a, c]));
  assert.equal(site.replace(a, true), done);
  assert.equal(fillingOf(site.state, a), [], "nobody could tell it more");
});

test("slots go up as long as they can, then the lowest free one is taken, then there is none", () => {
  const site = LoggedSite.founded([a, b], 1);
  const more = (at: number) => gatewayId(`more-${at}`);
  for (let at = 2; at < 1_000; at++) assert.equal(site.add(more(at), "witness"), done);
  assert.equal(site.add(c, "witness"), refused("slots-full"));
  site.remove(more(5));
  site.remove(more(700));
  site.add(c, "witness");
  assert.is(site.state.members().get(c)?.slot, 5);
});

test("a slot that was left is not used again while there are others", () => {
  const site = LoggedSite.founded([a, b], 1);
  site.add(c, "witness");
  site.remove(c);
  site.add(d, "witness");
  assert.is(site.state.members().get(d)?.slot, 3);
});

test("from level 4 on a replaced gateway's next folder has a slot of its own; a command that is said again takes no other", () => {
  const before = LoggedSite.founded([a, b, c]);
  before.replace(b);
  assert.is(before.state.members().get(b)?.slot, 1);
  const site = LoggedSite.founded([a, b, c]);
  site.apply({ t: "feature-level", level: 4 });
  for (let times = 0; times < 2; times++) assert.equal(site.replace(b), done);
  site.admit(b, "2");
  assert.is(site.state.members().get(b)?.slot, 3);
  site.add(d);
  assert.is(site.state.members().get(d)?.slot, 4);
});

const change = fc.record({
  what: fc.constantFrom("add", "admit", "replace", "remove"),
  gateway: fc.constantFrom(a, b, c, d),
  force: fc.boolean(),
  digit: fc.constantFrom("1", "2", "3", "4", "5", "6", "7", "8", "9"),
});

test("whatever is changed, every partition keeps an owner that counts as whole, and no folder comes back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), fc.array(change, { maxLength: 25 }), (factor, changes) => {
      const site = LoggedSite.founded([a, b, c], factor);
      for (const { what, gateway, force, digit } of changes) {
        const before = site.state.ring();
        const retired = new Set(site.state.retired());
        let result: ApplyResult;
        if (what === "add") result = site.add(gateway);
        else if (what === "admit") result = site.admit(gateway, digit);
        else if (what === "replace") result = site.replace(gateway, force);
        else result = site.remove(gateway, force);
        assert.is(result.t, "member");
        const ring = site.state.ring();
        if (result.t === "member" && !result.ok) assert.is(ring, before, "a refusal changes nothing");
        if (ring === undefined || before === undefined) throw new Error("a founded site has a ring");
        assert.ok(ring === before || ring.table.epoch > before.table.epoch);
        // What no sequence of changes may lead to is refused by its decoder.
        assert.ok(decodeRing(encodeRing(ring)).ok);
        const owners = new Set(ring.table.ownerSets.flat());
        for (const owner of owners) assert.ok(site.state.members().has(owner), `${owner} owns and is no member`);
        for (const member of site.state.members().values())
          assert.not(member.incarnation !== undefined && retired.has(member.incarnation), "a retired folder came back");
        const slots = [...site.state.members().values()].map((member) => member.slot);
        assert.is(new Set(slots).size, slots.length);
      }
    }),
    { numRuns: 150 },
  );
});

test.run();
