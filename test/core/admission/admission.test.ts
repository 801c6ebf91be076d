// Goal: design section 4, Identity: who founds a site, who is admitted, and that a wiped, older, copied or foreign data
// folder is refused with a way out. Method: every branch of `verdictOn`; machines that talk through a list of messages.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  Admission,
  type AdmissionEffect,
  type AdmissionOptions,
  type KnownStart,
  type Roll,
  type RollMember,
  verdictOn,
} from "../../../src/core/admission/admission.ts";
import type { AdmissionMessage, Hello } from "../../../src/core/admission/hello.ts";
import type { BootstrapCommand } from "../../../src/core/site/commands.ts";
import { clusterId, type GatewayId, gatewayId, type Incarnation, incarnation, type SessionId, sessionId } from "../../../src/lib/ids.ts";

const ids = ["gw-a", "gw-b", "gw-c"].map(gatewayId) as [GatewayId, GatewayId, GatewayId];
const [a, b, c] = ids;

const incarnationOf = (id: GatewayId, life = 1): Incarnation => incarnation(`incarnation ${id} ${life}`);
const sessionOf = (id: GatewayId, start = 1): SessionId => sessionId(`session ${id} ${start}`);

function bootstrapOf(incarnations: ReadonlyMap<GatewayId, Incarnation>, cluster = "cluster-1"): BootstrapCommand {
  return {
    t: "bootstrap",
    clusterId: clusterId(cluster),
    site: "plant",
    gateways: ids.map((id, slot) => ({ id, incarnation: incarnations.get(id) as Incarnation, slot })),
    factor: 3,
    owners: { version: 1, epoch: 1, factor: 3, sets: [ids], partitions: new Uint8Array(2_048) },
  };
}

const founded = bootstrapOf(new Map(ids.map((id) => [id, incarnationOf(id)])));

function helloOf(id: GatewayId, changes: Partial<Hello> = {}): Hello {
  return {
    protocolMin: 1,
    protocolMax: 1,
    site: "plant",
    from: id,
    clusterId: founded.clusterId,
    incarnation: incarnationOf(id),
    startCount: 1,
    session: sessionOf(id),
    listDigest: "list",
    settingsDigest: "settings",
    reply: false,
    ...changes,
  };
}

function admissionOf(id: GatewayId, changes: Partial<AdmissionOptions> = {}): Admission {
  return new Admission({
    self: id,
    site: "plant",
    incarnation: incarnationOf(id),
    startCount: 1,
    session: sessionOf(id),
    listDigest: "list",
    settingsDigest: "settings",
    gateways: ids,
    bootstrap: undefined,
    roll: () => undefined,
    isSilent: () => false,
    featureMax: 2,
    mint: (incarnations) => bootstrapOf(incarnations),
    ...changes,
  });
}

function effectsOf(step: (effects: AdmissionEffect[]) => void): AdmissionEffect[] {
  const effects: AdmissionEffect[] = [];
  step(effects);
  return effects;
}

const receive = (machine: Admission, from: GatewayId, message: AdmissionMessage) =>
  effectsOf((effects) => machine.received(from, message, effects));
const hear = (machine: Admission, from: GatewayId, changes: Partial<Hello> = {}) =>
  receive(machine, from, { t: "hello", hello: helloOf(from, changes) });
const kinds = (effects: readonly AdmissionEffect[]) => effects.map((effect) => (effect.type === "send" ? effect.message.t : effect.type));

const verdicts = suite("core/admission: the verdict on a hello");

/** What a member that has applied `appliedIndex` entries knows of `b`. */
function verdictOfMember(
  hello: Hello,
  start: KnownStart | undefined,
  changes: { readonly featureLevel?: number; readonly appliedIndex?: number } = {},
) {
  const founder = founded.gateways.find((gateway) => gateway.id === hello.from);
  const { site, clusterId: cluster } = founded;
  return verdictOn(hello, {
    site,
    clusterId: cluster,
    member: founder,
    start,
    retired: false,
    featureLevel: 1,
    appliedIndex: 10,
    ...changes,
  });
}

const registered = (startCount: number, start = 1) => ({ startCount, session: sessionOf(b, start) });

verdicts("a member with its folder is admitted: first start, later start, the same process again", () => {
  assert.equal(verdictOfMember(helloOf(b), undefined), { kind: "admit" });
  assert.equal(verdictOfMember(helloOf(b, { startCount: 5 }), registered(4)), { kind: "admit" });
  assert.equal(verdictOfMember(helloOf(b, { startCount: 4 }), registered(4)), { kind: "admit" });
});

verdicts("a listed incarnation that does not know the cluster yet is welcomed", () => {
  assert.equal(verdictOfMember(helloOf(b, { clusterId: undefined }), undefined), { kind: "welcome" });
});

for (const [what, hello, start, code, says] of [
  ["a gateway that the site was founded without", helloOf(gatewayId("gw-x")), undefined, "not-a-member", "gw-x"],
  ["a folder of another cluster", helloOf(b, { clusterId: clusterId("cluster-2") }), undefined, "cluster-foreign", "cluster-2"],
  [
    "an emptied folder",
    helloOf(b, { clusterId: undefined, incarnation: incarnationOf(b, 2) }),
    undefined,
    "folder-unknown",
    "fogbank gateway replace gw-b",
  ],
  ["another incarnation that claims the cluster", helloOf(b, { incarnation: incarnationOf(b, 2) }), undefined, "folder-unknown", "gw-b"],
  ["an older copy of the folder", helloOf(b, { startCount: 3 }), registered(4), "folder-older", "newest data folder"],
  ["a copy that was started as often", helloOf(b, { startCount: 4 }), registered(4, 2), "folder-older", "older copy"],
  ["an older copy from before the site was founded", helloOf(b, { clusterId: undefined }), registered(4), "folder-older", "4"],
] as const) {
  verdicts(`${what}: ${code}, and the explanation names the way out`, () => {
    const verdict = verdictOfMember(hello, start);
    assert.is(verdict.kind, "refuse");
    if (verdict.kind !== "refuse") return;
    assert.is(verdict.code, code);
    assert.ok(verdict.explanation.includes(says), verdict.explanation);
  });
}

verdicts("an expected gateway with an empty folder is to be admitted; the folder that was given up is not", () => {
  const known = { site: "plant", clusterId: founded.clusterId, start: undefined, retired: false, featureLevel: 2, appliedIndex: 10 };
  const expected = { incarnation: undefined, slot: 1 };
  const hello = { featureMax: 2 };
  assert.equal(
    verdictOn(helloOf(b, { ...hello, clusterId: undefined, incarnation: incarnationOf(b, 2) }), { ...known, member: expected }),
    { kind: "expected" },
  );
  const old = verdictOn(helloOf(b, hello), { ...known, member: expected });
  assert.ok(old.kind === "refuse" && old.code === "folder-unknown" && old.explanation.includes("given up"), JSON.stringify(old));
  const later = verdictOn(helloOf(b, hello), { ...known, member: { incarnation: incarnationOf(b, 2), slot: 1 } });
  assert.ok(later.kind === "refuse" && later.code === "folder-unknown", JSON.stringify(later));
});

verdicts("a folder that was given up is refused by whoever knows it, however far it is; one such word stops it", () => {
  const known = { site: "plant", clusterId: founded.clusterId, start: undefined, retired: true, featureLevel: 2, appliedIndex: 10 };
  for (const member of [undefined, { incarnation: incarnationOf(b, 2), slot: 1 }]) {
    const verdict = verdictOn(helloOf(b, { featureMax: 2, appliedIndex: 99 }), { ...known, member });
    assert.ok(verdict.kind === "refuse" && verdict.code === "folder-retired", JSON.stringify(verdict));
  }
  const machine = admissionOf(b, { bootstrap: founded });
  const told = { code: "folder-retired" as const, session: sessionOf(b), explanation: "given up" };
  assert.equal(receive(machine, a, { t: "refusal", refusal: told }), [{ type: "stop", explanation: "given up" }]);
});

verdicts("who is further on in the log is not refused by what was missed; who is behind is", () => {
  const stranger = gatewayId("gw-x");
  assert.equal(verdictOfMember(helloOf(stranger, { appliedIndex: 11 }), undefined), { kind: "admit" });
  assert.equal(verdictOfMember(helloOf(b, { incarnation: incarnationOf(b, 2), appliedIndex: 11 }), undefined), { kind: "admit" });
  assert.is(verdictOfMember(helloOf(stranger, { appliedIndex: 10 }), undefined).kind, "refuse");
  assert.is(
    verdictOfMember(helloOf(stranger, { appliedIndex: 11, clusterId: undefined }), undefined).kind,
    "refuse",
    "an empty folder is no evidence",
  );
});

verdicts("who is further on says where it is called, until as much is known here, or as long as it is a member", () => {
  const mesh = { host: "10.0.0.9", port: 7_883 };
  const stranger = gatewayId("gw-x");
  const roll = { appliedIndex: 10, member: undefined as RollMember | undefined };
  const machine = admissionOf(a, {
    bootstrap: founded,
    roll: () => ({ ...rollOf(new Map()), appliedIndex: roll.appliedIndex, memberOf: (id) => (id === stranger ? roll.member : undefined) }),
  });
  hear(machine, stranger, { appliedIndex: 20, mesh });
  assert.equal(machine.introduced(), [[stranger, mesh]]);
  // A link that breaks must not make it a stranger: it is called again.
  machine.linkDown(stranger);
  assert.equal(machine.introduced(), [[stranger, mesh]]);
  roll.appliedIndex = 20;
  assert.equal(machine.introduced(), []);
  roll.member = { incarnation: incarnationOf(stranger), slot: 9 };
  assert.equal(machine.introduced(), [[stranger, mesh]]);
  const own = admissionOf(a, { bootstrap: founded, mesh });
  const [hello] = effectsOf((effects) => own.linkUp(b, effects));
  assert.ok(hello?.type === "send" && hello.message.t === "hello");
  assert.equal(hello.message.hello.mesh, mesh);
});

verdicts("a version that cannot apply the site's commands is refused", () => {
  const verdict = verdictOfMember(helloOf(b, { featureMax: 1 }), undefined, { featureLevel: 2 });
  assert.ok(
    verdict.kind === "refuse" && verdict.code === "feature-unsupported" && verdict.explanation.includes("update"),
    JSON.stringify(verdict),
  );
  assert.equal(verdictOfMember(helloOf(b), undefined), { kind: "admit" }, "who says nothing knows level 1");
});

verdicts.run();

const founding = suite("core/admission: founding a site");

founding("only the first of the list founds, only with the reports of all, and with their incarnations", () => {
  const machine = admissionOf(a);
  assert.equal(machine.silent(), [b, c]);
  assert.equal(kinds(hear(machine, b, { clusterId: undefined })), []);
  assert.equal(machine.silent(), [c]);
  const last = hear(machine, c, { clusterId: undefined });
  assert.equal(last, [{ type: "join", bootstrap: founded, admitted: undefined }]);
  assert.not(machine.isMember(), "not before the bootstrap is durable");
  assert.equal(kinds(hear(machine, c, { clusterId: undefined })), [], "and not twice");
  const others = admissionOf(b);
  assert.equal(kinds([...hear(others, a, { clusterId: undefined }), ...hear(others, c, { clusterId: undefined })]), []);
});

founding("a site of one founds itself", () => {
  assert.equal(kinds(effectsOf((effects) => admissionOf(a, { gateways: [a] }).tick([], effects))), ["join"]);
});

founding("a report over a link that broke since does not count", () => {
  const machine = admissionOf(a);
  hear(machine, b, { clusterId: undefined });
  machine.linkDown(b);
  assert.equal(kinds(hear(machine, c, { clusterId: undefined })), []);
  assert.equal(kinds(hear(machine, b, { clusterId: undefined })), ["join"]);
});

founding("another list of gateways is named, once, and nothing is founded", () => {
  const machine = admissionOf(a);
  hear(machine, c, { clusterId: undefined });
  const heard = hear(machine, b, { clusterId: undefined, listDigest: "another" });
  assert.equal(kinds(heard), ["warning"]);
  assert.ok(heard[0]?.type === "warning" && heard[0].peer === b && heard[0].text.includes("site.yaml"));
  assert.equal(kinds(effectsOf((effects) => machine.tick([], effects))), []);
  assert.equal(kinds(hear(machine, b, { clusterId: undefined })), ["join"], "the list was put right");
});

founding("a peer that belongs to a cluster already stops a founding", () => {
  const machine = admissionOf(a);
  hear(machine, b, { clusterId: clusterId("cluster-2") });
  assert.equal(kinds(hear(machine, c, { clusterId: undefined })), []);
});

founding("two processes under one id: both named, nothing founded", () => {
  const machine = admissionOf(a);
  hear(machine, b, { clusterId: undefined });
  const second = hear(machine, b, { clusterId: undefined, session: sessionOf(b, 2), incarnation: incarnationOf(b, 2) });
  assert.ok(second[0]?.type === "warning" && second[0].text.includes("two processes"));
  assert.equal(kinds(hear(machine, c, { clusterId: undefined })), []);
  machine.linkDown(b);
  assert.equal(kinds(hear(machine, b, { clusterId: undefined })), ["join"], "one of them was stopped");
});

founding("a restart of a waiting gateway is no second process", () => {
  const machine = admissionOf(a);
  hear(machine, b, { clusterId: undefined });
  assert.equal(kinds(hear(machine, b, { clusterId: undefined, session: sessionOf(b, 2), startCount: 2 })), []);
  assert.equal(kinds(hear(machine, c, { clusterId: undefined })), ["join"]);
});

founding("a newcomer joins by a welcome that lists its very folder; any other welcome is ignored", () => {
  const welcome = (session: SessionId, bootstrap: BootstrapCommand): AdmissionMessage => ({
    t: "welcome",
    welcome: { session, bootstrap },
  });
  const machine = admissionOf(b);
  assert.equal(kinds(receive(machine, a, welcome(sessionOf(b, 9), founded))), [], "meant for another start");
  const otherFolder = bootstrapOf(new Map(ids.map((id) => [id, incarnationOf(id, 2)])));
  assert.equal(kinds(receive(machine, a, welcome(sessionOf(b), otherFolder))), []);
  assert.equal(kinds(receive(machine, a, welcome(sessionOf(b), { ...founded, site: "other" }))), []);
  assert.equal(kinds(receive(machine, a, welcome(sessionOf(b), founded))), ["join"]);
  assert.equal(kinds(receive(machine, c, welcome(sessionOf(b), founded))), [], "one is enough");
});

founding.run();

const members = suite("core/admission: among members");

members("a link brings a hello, which is repeated until the peer is admitted", () => {
  const machine = admissionOf(a, { bootstrap: founded });
  assert.equal(kinds(effectsOf((effects) => machine.linkUp(b, effects))), ["hello"]);
  assert.equal(kinds(effectsOf((effects) => machine.tick([b, c], effects))), ["hello", "hello"]);
  assert.equal(hear(machine, b), [{ type: "admitted", peer: b, startCount: 1, session: sessionOf(b), incarnation: incarnationOf(b) }]);
  assert.is(machine.admittedSession(b), sessionOf(b));
  assert.equal(kinds(hear(machine, b)), [], "once");
  assert.equal(kinds(effectsOf((effects) => machine.tick([b, c], effects))), ["hello"]);
  machine.linkDown(b);
  assert.equal(kinds(effectsOf((effects) => machine.tick([b], effects))), ["hello"]);
});

members("a hello that asks for one is answered, and the answer asks for none: no echo without end", () => {
  const machine = admissionOf(a, { bootstrap: founded });
  const answer = hear(machine, b, { reply: true })[0];
  assert.ok(answer?.type === "send" && answer.message.t === "hello" && !answer.message.hello.reply);
});

members("a hello under another id than the link's is nobody's", () => {
  const machine = admissionOf(a, { bootstrap: founded });
  const effects = receive(machine, b, { t: "hello", hello: helloOf(c) });
  assert.equal(kinds(effects), ["warning"]);
  assert.is(machine.admittedSession(b), undefined);
  assert.is(machine.admittedSession(c), undefined);
});

members("what a waiting gateway heard is judged when it has joined", () => {
  const machine = admissionOf(a);
  for (const peer of [b, c]) hear(machine, peer, { clusterId: undefined });
  const joined = effectsOf((effects) => machine.joined(founded, effects));
  assert.ok(machine.isMember());
  assert.equal(kinds(joined), ["hello", "welcome", "hello", "welcome"]);
});

members("a refusal is sent each time and told once; the peer may come back with its right folder", () => {
  const machine = admissionOf(a, { bootstrap: founded });
  const emptied = { clusterId: undefined, incarnation: incarnationOf(b, 2) };
  assert.equal(kinds(hear(machine, b, emptied)), ["refusal", "peer-refused"]);
  assert.equal(kinds(hear(machine, b, emptied)), ["refusal"]);
  assert.is(machine.admittedSession(b), undefined);
  assert.equal(kinds(hear(machine, b, { startCount: 2 })), ["admitted"]);
  assert.equal(kinds(hear(machine, b, emptied)), ["refusal", "peer-refused"], "and falls back to being refused");
  assert.is(machine.admittedSession(b), undefined);
});

members("a second process under the id of an admitted gateway is refused, and the admitted one stays", () => {
  const machine = admissionOf(a, { bootstrap: founded });
  assert.equal(kinds(hear(machine, b, { session: sessionOf(b, 1) })), ["admitted"]);
  const twin = { clusterId: undefined, incarnation: incarnationOf(b, 2), session: sessionOf(b, 2) };
  const refused = hear(machine, b, twin);
  assert.equal(kinds(refused), ["refusal", "peer-refused"]);
  const told = refused.find((effect) => effect.type === "peer-refused");
  assert.ok(told?.type === "peer-refused" && !told.expelled);
  assert.match(told.explanation, /a second process under its id/);
  assert.is(machine.admittedSession(b), sessionOf(b, 1));
  assert.equal(kinds(hear(machine, b, twin)), ["refusal"], "told once");
  assert.equal(kinds(hear(machine, b, { session: sessionOf(b, 1) })), [], "it was admitted all the time");
});

members("a peer that is linked and never answers is told of, once", () => {
  const machine = admissionOf(a, { bootstrap: undefined });
  const told: string[] = [];
  for (let tick = 0; tick < 30; tick++) {
    for (const effect of effectsOf((effects) => machine.tick([b], effects))) if (effect.type === "warning") told.push(effect.text);
  }
  assert.is(told.length, 1);
  assert.match(told[0] ?? "", /does not answer.*another process runs as/);
});

/** The founders, with the starts that are registered. */
function rollOf(starts: ReadonlyMap<GatewayId, KnownStart>): Roll {
  return {
    appliedIndex: 10,
    featureLevel: 1,
    memberOf: (gateway) => founded.gateways.find((one) => one.id === gateway),
    isRetired: () => false,
    startOf: (gateway) => starts.get(gateway),
  };
}

members("frames of another session than the admitted one have the peer asked who it is, until it says so", () => {
  const machine = admissionOf(a, { bootstrap: founded });
  const asked = () => kinds(effectsOf((effects) => machine.tick([b], effects)));
  assert.equal(kinds(hear(machine, b)), ["admitted"]);
  assert.equal(asked(), []);
  machine.strangeFrame(b);
  assert.equal([...asked(), ...asked()], ["hello", "hello"], "its hello was lost");
  assert.equal(kinds(hear(machine, b, { startCount: 2, session: sessionOf(b, 2) })), ["admitted"]);
  assert.equal(asked(), []);
});

members("two processes with copies of one folder: the registered one stays, the other is turned out", () => {
  const starts = new Map<GatewayId, { startCount: number; session: SessionId }>();
  const machine = admissionOf(a, { bootstrap: founded, roll: () => rollOf(starts) });
  assert.equal(kinds(hear(machine, b, { startCount: 4, session: sessionOf(b, 1) })), ["admitted"]);
  starts.set(b, { startCount: 4, session: sessionOf(b, 2) });
  assert.equal(kinds(effectsOf((effects) => machine.rollChanged(effects))), ["refusal", "peer-refused"]);
  assert.is(machine.admittedSession(b), undefined);
  assert.equal(kinds(hear(machine, b, { startCount: 4, session: sessionOf(b, 2) })), ["admitted"]);
});

members("a late hello of a process that is gone does not keep out the one behind it for longer than silence is borne", () => {
  let silent = false;
  const machine = admissionOf(a, { bootstrap: founded, isSilent: () => silent });
  effectsOf((effects) => machine.linkUp(b, effects));
  assert.equal(kinds(hear(machine, b, { startCount: 4, session: sessionOf(b, 1) })).at(-1), "admitted");
  const behind = { startCount: 5, session: sessionOf(b, 2) };
  assert.equal(kinds(hear(machine, b, behind)), ["warning"], "the first may be alive, and this one a copy");
  silent = true;
  assert.equal(kinds(hear(machine, b, behind)).at(-1), "admitted");
  assert.is(machine.admittedSession(b), sessionOf(b, 2));
});

members("another protocol is refused without stopping anybody; other settings are a warning", () => {
  const machine = admissionOf(a, { bootstrap: founded });
  assert.equal(kinds(hear(machine, b, { protocolMin: 2, protocolMax: 3 })), ["refusal", "peer-refused"]);
  assert.is(machine.admittedSession(b), undefined);
  assert.equal(kinds(hear(machine, c, { settingsDigest: "other" })), ["warning", "admitted"]);
});

const refusal = (session: SessionId, code: "folder-unknown" | "cluster-foreign" | "protocol-unsupported"): AdmissionMessage => ({
  t: "refusal",
  refusal: { code, session, explanation: `because ${code}` },
});

members("a gateway that is refused stops; a refusal of an earlier start means nothing", () => {
  const machine = admissionOf(b, { bootstrap: founded });
  assert.equal(kinds(receive(machine, a, refusal(sessionOf(b, 9), "folder-unknown"))), []);
  assert.equal(kinds(receive(machine, a, refusal(sessionOf(b), "folder-unknown"))), ["warning"], "a single one may be behind");
  assert.equal(receive(machine, c, refusal(sessionOf(b), "folder-unknown")), [{ type: "stop", explanation: "because folder-unknown" }]);
});

members("of two clusters under one name, only a majority's word stops a gateway, and only this word counts", () => {
  const machine = admissionOf(b, { bootstrap: founded });
  assert.equal(kinds(receive(machine, a, refusal(sessionOf(b), "cluster-foreign"))), ["warning"]);
  assert.equal(kinds(receive(machine, a, refusal(sessionOf(b), "cluster-foreign"))), [], "the same peer again");
  assert.equal(kinds(receive(machine, c, refusal(sessionOf(b), "cluster-foreign"))), ["stop"]);
  const upgraded = admissionOf(b, { bootstrap: founded });
  assert.equal(kinds(receive(upgraded, a, refusal(sessionOf(b), "protocol-unsupported"))), ["warning"]);
  assert.equal(kinds(receive(upgraded, c, refusal(sessionOf(b), "cluster-foreign"))), ["warning"]);
});

members.run();
