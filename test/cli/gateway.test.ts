// Goal: members are changed from the command line with the address that the YAML or the flags give, never without a yes,
// and what comes next is said; recover is loud. Method: `runCli` on a fake world and the real API on a fake service.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GatewayView } from "../../src/gateway/service.ts";
import { failure } from "../../src/lib/errors.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { FakeService } from "../api/fake-service.ts";
import { apiOf, fetchFrom } from "./fake-site.ts";
import { FakeWorld } from "./fake-world.ts";

const siteYaml = `site: plant-7
secret: 0123456789abcdef0123456789abcdef
gateways:
  gw-a: { host: 10.0.0.11 }
  gw-b: { host: 10.0.0.12 }
  gw-d: { host: 10.0.0.14, zone: hall-2, weight: 2, listen: { mqtt: 2883, mesh: 8883, http: "127.0.0.1:8880" } }
  gw-w: { host: 10.0.0.15, role: witness }
`;

function setup(yaml?: string): { readonly world: FakeWorld; readonly service: FakeService } {
  const world = new FakeWorld();
  const service = new FakeService();
  world.fetch = fetchFrom(new Map([["127.0.0.1:7880", apiOf(service)]]));
  if (yaml !== undefined) world.contents.set("site.yaml", yaml);
  return { world, service };
}

function view(id: string, more: Partial<GatewayView> = {}): GatewayView {
  const common = { host: "h", zone: undefined, weight: 1, up: true, role: "follower", kind: "full", membership: "voter" } as const;
  const rest = { incarnation: "0123456789abcdef", partitions: 512, filling: 0, leaving: 0, planned: 0, mqtt: "h:1", http: "h:2" };
  return { ...common, ...rest, id: gatewayId(id), ...more };
}

const list = suite("cli: gateway list");

list("members, folders, what is still to fill, and what there is to say", async () => {
  const { world, service } = setup();
  service.gateways = () => [
    view("gw-a", { role: "leader", matchIndex: 77 }),
    view("gw-b", { up: false, role: "unknown", membership: "learner", filling: 12, note: "gw-b is not connected: \u001b[2J" }),
    view("gw-w", { kind: "witness", partitions: 0, note: "its settings differ" }),
    view("gw-d", { up: false, role: "unknown", membership: "expected", incarnation: undefined }),
  ];
  assert.is(await world.run("gateway", "list"), 0);
  assert.match(world.out.text, /^GATEWAY +STATE +ROLE +MEMBER +FOLDER +ZONE +WEIGHT +PARTITIONS +FILLING +LEAVING +MATCH +MQTT +HTTP$/m);
  assert.match(world.out.text, /^gw-a +up +leader +voter +01234567 +– +1 +512 +0 +0 +77 +h:1 +h:2$/m);
  assert.match(world.out.text, /^gw-b +DOWN +unknown +learner +01234567 +– +1 +512 +12 +0 +–/m);
  assert.match(world.out.text, /^gw-w +up +follower +voter, witness /m);
  assert.match(world.out.text, /^gw-d +DOWN +unknown +expected +– /m);
  assert.is(world.err.text, "warning: gw-b is not connected: \\u001b[2J\nwarning: gw-w: its settings differ\n");
  world.out.text = "";
  assert.is(await world.run("gateway", "list", "-o", "json"), 0);
  const parsed = JSON.parse(world.out.text) as { gateways: Record<string, unknown>[] };
  assert.is(parsed.gateways[0]?.["matchIndex"], 77);
  assert.is(parsed.gateways[0]?.["incarnation"], "0123456789abcdef");
  assert.is(parsed.gateways[3]?.["membership"], "expected");
});

list.run();

const add = suite("cli: gateway add");

add("the address comes from its entry in ./site.yaml; the next step is said", async () => {
  const { world, service } = setup(siteYaml);
  assert.is(await world.run("gateway", "add", "gw-d"), 0, world.err.text);
  const address = { host: "10.0.0.14", mqtt: 2883, mesh: 8883, http: 8880 };
  assert.equal(service.changes, [{ add: { id: "gw-d", role: "full", zone: "hall-2", weight: 2, address } }]);
  assert.match(world.out.text, "gw-d is expected: 10.0.0.14, mqtt 2883, mesh 8883, http 8880\n");
  assert.match(world.out.text, "empty data folder");
  assert.match(world.out.text, "\n  fogbank start site.yaml --gateway gw-d\n");
  assert.is(world.err.text, "");
});

add("flags override the entry, and do without one", async () => {
  const { world, service } = setup(siteYaml);
  assert.is(await world.run("gateway", "add", "gw-d", "--host", "gw-d.local", "--mesh", "9", "--zone", "z", "--weight", "3"), 0);
  assert.is(await world.run("gateway", "add", "gw-d", "--witness"), 0);
  assert.is(await world.run("gateway", "add", "gw-w"), 0);
  assert.equal(service.changes, [
    { add: { id: "gw-d", role: "full", zone: "z", weight: 3, address: { host: "gw-d.local", mqtt: 2883, mesh: 9, http: 8880 } } },
    { add: { id: "gw-d", role: "witness", zone: "hall-2", weight: 1, address: { host: "10.0.0.14", mqtt: 2883, mesh: 8883, http: 8880 } } },
    {
      add: { id: "gw-w", role: "witness", zone: undefined, weight: 1, address: { host: "10.0.0.15", mqtt: 1883, mesh: 7883, http: 7880 } },
    },
  ]);
  assert.is(world.err.text, "");
  const { world: bare, service: asked } = setup();
  assert.is(await bare.run("gateway", "add", "gw-x", "--host", "10.0.0.16"), 0);
  const address = { host: "10.0.0.16", mqtt: 1883, mesh: 7883, http: 7880 };
  assert.equal(asked.changes, [{ add: { id: "gw-x", role: "full", zone: undefined, weight: 1, address } }]);
  assert.is(await world.run("gateway", "add", "gw-x", "--host", "10.0.0.16"), 0);
  assert.match(world.err.text, 'site.yaml has no gateway "gw-x": without an entry of its own it does not start');
});

add("what is not known, or not right, is 2 and changes nothing", async () => {
  const { world, service } = setup();
  const refused: readonly (readonly [string[], RegExp])[] = [
    [["gw-d"], /where is gw-d\? there is no \.\/site\.yaml here; .*--host/],
    [["gw-d", "--site", "none.yaml"], /none\.yaml:1:1: the file does not exist/],
    [["gw-d", "--host", "h", "--mesh", "0"], /from 1 to 65535/],
    [["gw-d", "--host", "h", "--mesh", "1883"], /are not three/],
    [["GW_D", "--host", "h"], /lower-case letters/],
    [["gw-d", "--host", "a b"], /host name/],
    [["gw-d", "--host", "h", "--witness", "--weight", "2"], /cannot be used with/],
    [["gw-d", "--host", "h", "--weight", "65"], /from 1 to 64/],
    [["gw-d", "--host", "h", "--wait", "60"], /duration such as 30s/],
  ];
  for (const [argv, expected] of refused) {
    world.err.text = "";
    assert.is(await world.run("gateway", "add", ...argv), 2, argv.join(" "));
    assert.match(world.err.text, expected);
  }
  world.contents.set("site.yaml", siteYaml);
  world.err.text = "";
  assert.is(await world.run("gateway", "add", "gw-x"), 2);
  assert.match(world.err.text, 'where is gw-x? site.yaml has no gateway "gw-x"');
  assert.is(await world.run("gateway", "add", "gw-w", "--weight", "2"), 2);
  world.contents.set("site.yaml", "site: plant-7\ngateway: {}\n");
  assert.is(await world.run("gateway", "add", "gw-d", "--host", "h"), 2);
  assert.equal(service.changes, []);
  service.memberFailure = failure("member-exists", "gw-a is a gateway of the site already");
  assert.is(await world.run("gateway", "add", "gw-a", "--site", "none.yaml"), 2);
  world.contents.delete("site.yaml");
  assert.is(await world.run("gateway", "add", "gw-a", "--host", "h"), 1);
  assert.match(world.err.text, "gw-a is a gateway of the site already");
});

add("--wait: until its folder is admitted, through an election; not for ever", async () => {
  const { world, service } = setup(siteYaml);
  const expected = view("gw-d", { membership: "expected", incarnation: undefined, note: "gw-d is not connected: connection refused" });
  let looks = 0;
  const { fetch } = world;
  world.fetch = (url, init) => {
    if (init?.method === "GET" && ++looks === 2) return Promise.reject(new TypeError("fetch failed"));
    return fetch(url, init);
  };
  service.gateways = () => [view("gw-a"), looks < 4 ? expected : view("gw-d", { membership: "learner" })];
  assert.is(await world.run("gateway", "add", "gw-d", "--wait"), 0, world.err.text);
  assert.match(world.out.text, /fogbank start site\.yaml --gateway gw-d\n(.|\n)*gw-d is a member: learner, folder 01234567\n$/);
  assert.is(looks, 4);
  world.out.text = "";
  assert.is(await world.run("gateway", "add", "gw-d", "--wait", "-o", "json"), 0);
  assert.equal(JSON.parse(world.out.text), { gateway: "gw-d", membership: "learner" });
  service.gateways = () => [view("gw-a"), expected];
  const beganMs = world.clock.monotonicMs();
  assert.is(await world.run("gateway", "add", "gw-d", "--wait", "5m"), 3);
  assert.match(world.err.text, "gw-d is no member after 5m: gw-d is not connected: connection refused");
  assert.is(world.clock.monotonicMs() - beganMs, 300_000);
});

add.run();

const change = suite("cli: gateway replace, remove, transfer");

for (const [verb, asked] of [
  ["replace", { replace: "gw-b" }],
  ["remove", { remove: "gw-b" }],
] as const) {
  change(`${verb} says what happens, and does it only after a yes`, async () => {
    const { world, service } = setup();
    service.gateways = () => [
      view("gw-a"),
      view("gw-b"),
      view("gw-c", { up: false }),
      view("gw-d", { filling: 7 }),
      view("gw-w", { kind: "witness", up: false }),
    ];
    assert.is(await world.run("gateway", verb, "gw-b"), 2);
    assert.match(world.err.text, /for good/);
    assert.match(world.err.text, "512 partitions");
    assert.match(world.err.text, "NOTE: gw-c is down.\nNOTE: gw-d has not filled 7 of its partitions yet.\n");
    assert.not.match(world.err.text, "gw-w");
    assert.match(world.err.text, "say --yes, there is no terminal to ask at");
    for (const no of ["", "n", "no", "yess"]) {
      world.answer = no;
      assert.is(await world.run("gateway", verb, "gw-b"), 1);
    }
    assert.equal(service.changes, []);
    world.answer = "y";
    assert.is(await world.run("gateway", verb, "gw-b"), 0, world.err.text);
    assert.equal(service.changes, [{ ...asked, force: false }]);
    world.err.text = "";
    world.out.text = "";
    assert.is(await world.run("gateway", verb, "gw-b", "--force", "--yes", "-o", "json"), 0);
    assert.match(world.err.text, "may be LOST");
    assert.equal(JSON.parse(world.out.text), { gateway: "gw-b" });
    assert.equal(service.changes.at(-1), { ...asked, force: true });
    assert.is(world.questions.length, 6, "--yes is not asked");
    service.memberFailure = failure("under-replicated", "gw-c lost readings that are not restored yet");
    assert.is(await world.run("gateway", verb, "gw-b", "--yes"), 1);
    assert.match(world.err.text, "gw-c lost readings");
    service.memberFailure = failure("outcome-unknown", "no answer");
    assert.is(await world.run("gateway", verb, "gw-b", "--yes"), 3);
  });

  change(`${verb}: who is not there is 1, before anything is asked`, async () => {
    const { world, service } = setup();
    service.gateways = () => [view("gw-a"), view("gw-b")];
    world.answer = "y";
    assert.is(await world.run("gateway", verb, "gwb"), 1);
    assert.match(world.err.text, 'there is no gateway "gwb", did you mean "gw-b"?; the site has gw-a, gw-b');
    assert.equal([world.questions, service.changes], [[], []]);
  });
}

change("remove: its copies go to the others first, where there are enough of them", async () => {
  const { world, service } = setup();
  let partitions = 768;
  service.gateways = () => {
    const views = ["gw-a", "gw-b", "gw-c"].map((id) => view(id, { partitions: 768, filling: partitions === 0 ? 0 : 5 }));
    const left = partitions;
    if (service.changes.length > 0) partitions = Math.max(0, partitions - 256);
    return [...views, view("gw-d", { partitions: left, leaving: left })];
  };
  assert.is(await world.run("gateway", "remove", "gw-d", "--yes"), 0, world.err.text);
  assert.match(world.err.text, "768 partitions move to the other gateways first");
  assert.equal(service.changes, [
    { update: "gw-d", weight: 0, zone: undefined },
    { remove: "gw-d", force: false },
  ]);
  partitions = 768;
  service.changes.length = 0;
  assert.is(await world.run("gateway", "remove", "gw-d", "--now", "--yes"), 0, world.err.text);
  assert.equal(service.changes, [{ remove: "gw-d", force: false }]);
});

change("remove: one that goes down before it has given all away is not removed", async () => {
  const { world, service } = setup();
  service.gateways = () => [
    ...["gw-a", "gw-b", "gw-c"].map((id) => view(id, { partitions: 768 })),
    view("gw-d", { partitions: 768, up: service.changes.length === 0 }),
  ];
  assert.is(await world.run("gateway", "remove", "gw-d", "--yes"), 1);
  assert.match(world.err.text, "gw-d went down with 768 partitions still to give away");
  assert.equal(service.changes, [{ update: "gw-d", weight: 0, zone: undefined }]);
});

change("set: a share or a zone; and how far the partitions are", async () => {
  const { world, service } = setup();
  service.gateways = () => [view("gw-a"), view("gw-b", { filling: 7, leaving: 3 })];
  assert.is(await world.run("gateway", "set", "gw-b"), 2);
  assert.is(await world.run("gateway", "set", "gw-b", "--weight", "65"), 2);
  assert.is(await world.run("gateway", "set", "gw-x", "--weight", "2"), 1);
  assert.is(await world.run("gateway", "set", "gw-b", "--weight", "2", "--zone", "hall-2"), 0, world.err.text);
  assert.is(await world.run("gateway", "set", "gw-b", "--no-zone"), 0, world.err.text);
  assert.equal(service.changes, [
    { update: "gw-b", weight: 2, zone: "hall-2" },
    { update: "gw-b", weight: undefined, zone: null },
  ]);
  world.out.text = "";
  assert.is(await world.run("gateway", "progress"), 0);
  assert.match(world.out.text, /^gw-b +512 +7 +3 +0$/m);
  assert.match(world.out.text, "some copies are still on their way");
  assert.is(await world.run("gateway", "progress", "--wait", "5s"), 1);
  // Between two waves nothing moves, and it is not the end.
  service.gateways = () => [view("gw-a"), view("gw-b", { planned: 90 })];
  assert.is(await world.run("gateway", "progress", "--wait", "5s"), 1);
  service.gateways = () => [view("gw-a"), view("gw-b", { up: false })];
  world.out.text = "";
  assert.is(await world.run("gateway", "progress"), 0);
  assert.match(world.out.text, "gw-b is down");
  service.gateways = () => [view("gw-a"), view("gw-b")];
  world.out.text = "";
  assert.is(await world.run("gateway", "progress", "--wait", "-o", "json"), 0);
  assert.is((JSON.parse(world.out.text) as { settled: boolean }).settled, true);
});

change("transfer: to whom it is said, or to whoever is furthest", async () => {
  const { world, service } = setup();
  assert.is(await world.run("gateway", "transfer", "gw-c"), 0);
  assert.is(world.out.text, "gw-c leads\n");
  assert.is(await world.run("gateway", "transfer", "-o", "json"), 0);
  assert.equal(service.changes, [{ transfer: "gw-c" }, { transfer: undefined }]);
  service.memberFailure = failure("member-unknown", "there is no gateway gw-x");
  assert.is(await world.run("gateway", "transfer", "gw-x"), 1);
});

change.run();

const recover = suite("cli: gateway recover");

recover("is loud, takes a yes, and says what comes next", async () => {
  const { world } = setup(siteYaml);
  world.contents.set("data/gw-a", "");
  assert.is(await world.run("gateway", "recover", "--gateway", "gw-a"), 2);
  for (const loud of ["RECOVERY of the site from gw-a alone (data/gw-a)", "LOST FOR GOOD", "kv writes", "ALL OTHER GATEWAYS", "say --yes"])
    assert.ok(world.err.text.includes(loud), loud);
  world.answer = "no";
  assert.is(await world.run("gateway", "recover", "--gateway", "gw-a"), 1);
  assert.equal(world.recovered, []);
  world.answer = "yes";
  assert.is(await world.run("gateway", "recover", "--gateway", "gw-a"), 0);
  assert.equal([world.recovered[0]?.gateway, world.recovered[0]?.dataFolder], ["gw-a", "data/gw-a"]);
  assert.match(world.out.text, "gw-a is the only member of the site: term 8, last index 120\n");
  assert.match(world.out.text, "2 entries at the end of its log may never have been committed");
  assert.match(world.out.text, /fogbank start site\.yaml --gateway gw-a\n +fogbank gateway add gw-b .*\n +fogbank gateway add gw-c /);
  world.out.text = "";
  world.contents.set("elsewhere", "");
  assert.is(await world.run("gateway", "recover", "site.yaml", "--gateway", "gw-a", "--data", "elsewhere", "--yes", "-o", "json"), 0);
  assert.is(world.recovered[1]?.dataFolder, "elsewhere");
  assert.equal(JSON.parse(world.out.text), { gateway: "gw-a", term: 8, lastIndex: 120, removed: ["gw-b", "gw-c"], entriesUncertain: 2 });
});

recover("without a gateway, a folder, a site or a stopped process it does nothing", async () => {
  const { world } = setup(siteYaml);
  assert.is(await world.run("gateway", "recover", "--yes"), 2);
  assert.match(world.err.text, "--gateway");
  assert.is(await world.run("gateway", "recover", "--gateway", "gw-x", "--yes"), 2);
  assert.is(await world.run("gateway", "recover", "--gateway", "gw-a", "--yes"), 2);
  assert.match(world.err.text, "there is no data folder data/gw-a");
  assert.is(await world.run("gateway", "recover", "none.yaml", "--gateway", "gw-a", "--yes"), 2);
  assert.equal(world.recovered, []);
  world.contents.set("data/gw-a", "");
  world.recovery = failure("data-in-use", "The data folder is in use by process 7.");
  assert.is(await world.run("gateway", "recover", "--gateway", "gw-a", "--yes"), 1);
  assert.match(world.err.text, "in use by process 7");
});

recover.run();
