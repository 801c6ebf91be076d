// Goal: `check` and `status` claim exactly what factor and levels give. Method: the sentence for each shape of site.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { WriteLevel } from "../../src/config/settings.ts";
import { copiesAt, describeSurvival, levelThatMeetsWrites } from "../../src/config/survival.ts";
import { settingsOf } from "./memory-site.ts";

const test = suite("config: survival");

function survival(gateways: number, replication = "{}", witnesses = 0): string {
  const role = (i: number) => (i < gateways ? "full" : "witness");
  const list = Array.from({ length: gateways + witnesses }, (_, i) => `  g${i}: { host: 127.0.0.${i + 1}, role: ${role(i)} }\n`).join("");
  return describeSurvival(settingsOf({ "site.yaml": `site: s\ngateways:\n${list}replication: ${replication}\n` }));
}

test("a quorum is more than half of the owners", () => {
  assert.equal(
    [1, 2, 3, 4, 5].map((factor) => copiesAt("quorum", factor)),
    [1, 2, 2, 3, 3],
  );
  assert.equal([copiesAt("one", 3), copiesAt("all", 3)], [1, 3]);
});

test("what each shape of site survives", () => {
  assert.is(survival(1), "one gateway: nothing is replicated; the loss of its disk loses its readings");
  assert.is(
    survival(2),
    "two gateways, factor 2, write quorum = 2, read quorum = 2: the loss of any one gateway, disk included, loses no acknowledged reading; ingest pauses while one of a device's gateways is away; complete answers pause while one of a device's gateways is away; settings and jobs need 2 of 2 gateways",
  );
  assert.is(
    survival(3),
    "three gateways, factor 3, write quorum = 2, read quorum = 2: the loss of any one gateway, disk included, loses no acknowledged reading; ingest goes on while one is away; complete answers go on while one is away; settings and jobs need 2 of 3 gateways",
  );
  assert.is(
    survival(3, "{ write: one, read: one }"),
    "three gateways, factor 3, write one = 1, read one = 1: the loss of any one gateway may lose acknowledged readings; ingest goes on while two are away; complete answers go on while two are away; an answer may miss acknowledged readings (1 + 1 is not more than 3); settings and jobs need 2 of 3 gateways",
  );
  assert.match(
    survival(3, "{ write: all, read: one }"),
    /write all = 3, read one = 1: the loss of any two gateways, .*; ingest pauses .*; complete answers go on while two are away; settings/,
  );
  assert.match(
    survival(7, "{ factor: 5 }"),
    /^seven gateways, factor 5, write quorum = 3, read quorum = 3: the loss of any two gateways, .* while two are away; settings and jobs need 3 of 5 voting gateways \(two others stand by\)$/,
  );
  assert.match(survival(5), /; settings and jobs need 3 of 5 gateways$/);
  assert.match(survival(4), /^four gateways, .*; settings and jobs need 2 of 3 voting gateways \(another one stands by\)$/);
  assert.match(survival(3, "{ factor: 1 }"), /the loss of any one gateway may lose acknowledged readings; ingest pauses/);
});

test("where a copy was lost for which nobody is left, nothing is promised that would need it", () => {
  const gateways = [{ role: "full" }, { role: "full" }, { role: "witness" }] as const;
  const replication = { factor: 3, write: "quorum", read: "quorum" } as const;
  assert.match(describeSurvival({ gateways, replication }), /the witness standing in/);
  const sentence = describeSurvival({ gateways, replication, lacksCopies: true });
  assert.match(sentence, /nobody has taken its copies: the loss of another one may lose acknowledged readings, until a gateway is added/);
  assert.match(sentence, /ingest pauses while one .* is away; complete answers pause/);
  assert.not.match(sentence, /standing in|loses no/);
});

test("what level any risks is said, of the site and of profiles", () => {
  assert.is(
    survival(3, "{ write: any }"),
    "three gateways, factor 3, write any = 2 or held, read quorum = 2: the loss of any one gateway, disk included, loses no acknowledged reading, but for those that a gateway holds alone: until they are delivered its disk has the only copy; ingest goes on while all others are away, as far as the gateway that a device is connected to has room to hold readings; complete answers go on while one is away; settings and jobs need 2 of 3 gateways",
  );
  const shape = {
    gateways: Array.from({ length: 3 }, () => ({ role: "full" as const })),
    replication: { factor: 3, write: "quorum", read: "quorum" } as const,
  };
  const named = (write: WriteLevel | undefined, at: number) => ({ name: `p${at}`, ...(write === undefined ? {} : { write }) });
  assert.not.match(describeSurvival({ ...shape, profiles: [undefined, "quorum" as const, "all" as const].map(named) }), /less holds/);
  assert.match(
    describeSurvival({ ...shape, profiles: (["any", "one", "all", "one", "any"] as const).map(named) }),
    /; less holds for the profiles p0 \(any\), p1 \(one\), p3 \(one\) and 1 more: the loss of one gateway may lose acknowledged readings of theirs; settings/,
  );
});

test("a read that meets every write asks all where any profile writes to one", () => {
  const replication = { factor: 3, write: "any", read: "quorum" } as const;
  assert.is(levelThatMeetsWrites({ replication, profiles: [{ name: "p", write: "all" }] }), "quorum");
  assert.is(levelThatMeetsWrites({ replication, profiles: [{ name: "p", write: "one" }] }), "all");
});

test("a witness votes, and stands in where it is the third of two owners", () => {
  assert.is(
    survival(2, "{}", 1),
    "two gateways and a witness, factor 2, write quorum = 2, read quorum = 2: the loss of any one gateway, disk included, loses no acknowledged reading; ingest goes on while one is away, the witness standing in; complete answers go on while one is away, the witness standing in; settings and jobs need 2 of 3 gateways",
  );
  assert.match(
    survival(2, "{ write: all }", 1),
    /ingest pauses while one .*; complete answers go on while one is away, the witness standing in/,
  );
  assert.match(survival(2, "{}", 2), /ingest pauses while one .*; complete answers pause/, "of two witnesses none stands in");
  assert.match(
    survival(3, "{}", 2),
    /^three gateways and two witnesses, factor 3, .* go on while one is away; settings and jobs need 3 of 5 gateways$/,
  );
  assert.is(
    survival(1, "{}", 2),
    "one gateway and two witnesses: of readings, nothing is replicated; the loss of its disk loses its readings; settings and jobs need 2 of 3 gateways",
  );
});

test.run();
