// Goal: every mistake in a site's files is told at its line and column, all of them at once; what is right becomes settings.
// Method: a golden table of broken sites with the exact messages; settings of good ones; mutilated files as a property.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { brokenSites } from "./broken-sites.ts";
import { climateProfile, load, minimalSite, problemsOf, settingsOf } from "./memory-site.ts";

const broken = suite("config: broken sites");
for (const { name, files, env, problems } of brokenSites) {
  broken(name, () => assert.equal(problemsOf(files, env), problems));
}
broken("a flood of problems is cut and counted", () => {
  const flood = Array.from({ length: 700 }, (_, i) => `zz${i}: 1\n`).join("");
  const problems = problemsOf({ "site.yaml": minimalSite + flood });
  assert.is(problems.length, 501);
  assert.match(problems.at(-1) ?? "", /200 more problems/);
});
broken("aliases that would say more than memory holds", () => {
  const labels = Array.from({ length: 64 }, (_, i) => `l${i}: x`).join(", ");
  const devices = Array.from({ length: 4_000 }, (_, i) => `  d${i}: *d\n`).join("");
  const files = { "site.yaml": minimalSite, "devices/inventory.yaml": `devices:\n  d: &d { labels: { ${labels} } }\n${devices}` };
  const problems = problemsOf(files);
  assert.is(problems.length, 1);
  assert.match(problems[0] ?? "", /^devices\/inventory\.yaml:\d+:\d+: the file says too much/);
});
broken("no mutilation of a good file crashes the loader", () => {
  const text = `${minimalSite}timezone: Europe/Berlin\nreplication: { factor: 3, write: one }\nmqtt: { users: [{ name: &n a, password: "x" }] }\nsinks: { *n : { type: file } }\n`;
  const piece = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "\n",
    "? ",
    "&a ",
    "*a",
    "!!binary ",
    "<<: ",
    "${",
    "\u0000",
    "~",
    "#",
    '"',
    "'",
    "|",
    "__proto__: ",
  );
  fc.assert(
    fc.property(fc.nat(text.length), fc.nat(12), piece, (at, cut, insert) => {
      const result = load({ "site.yaml": text.slice(0, at) + insert + text.slice(at + cut) });
      if (!result.ok) assert.ok(result.problems.length > 0 && result.problems.every(({ line, column }) => line >= 1 && column >= 1));
    }),
    { numRuns: 400, seed: 7 },
  );
});
broken.run();

const good = suite("config: settings");
const secret = "0123456789abcdef";

good("a profile may write at a level of its own, and the time for acknowledgements be another", () => {
  const files = {
    "site.yaml": `${minimalSite}replication: { write: any, ackTimeout: 90s }\n`,
    "devices/a.yaml": "profile: a\ntopic: a/{device}\npayload: number\nmetrics: { v: {} }\nwrite: one\n",
    "devices/b.yaml": "profile: b\ntopic: b/{device}\npayload: number\nmetrics: { v: {} }\n",
  };
  const { replication, profiles } = settingsOf(files);
  assert.equal(replication, { factor: 3, write: "any", read: "quorum", ackTimeoutMs: 90_000 });
  assert.equal(
    profiles.map(({ write }) => write),
    ["one", undefined],
  );
});

good("the defaults", () => {
  const settings = settingsOf({ "site.yaml": minimalSite });
  const { digest, listDigest, ...rest } = settings;
  assert.match(digest, /^[0-9a-f]{16}$/);
  assert.match(listDigest, /^[0-9a-f]{16}$/);
  assert.equal(rest, {
    site: "s",
    timeZone: "UTC",
    secret: undefined,
    gateways: [
      {
        id: "gw-a",
        host: "127.0.0.1",
        role: "full",
        zone: undefined,
        weight: 1,
        listen: {
          mqtt: { host: "127.0.0.1", port: 1883 },
          mesh: { host: "127.0.0.1", port: 7883 },
          http: { host: "127.0.0.1", port: 7880 },
        },
      },
    ],
    replication: { factor: 3, write: "quorum", read: "quorum" },
    raft: { preset: "lan" },
    store: { engine: "level", commitDelayMs: 0 },
    mqtt: { anonymous: true, users: [] },
    http: { token: undefined },
    profiles: [],
    inventory: [],
    jobs: [],
    sinks: [],
    retention: { rawMs: undefined, minFreeDisk: { kind: "share", share: 0.1 } },
  });
});

good("retention, and a digest that only tells of it where it is said", () => {
  const plain = settingsOf({ "site.yaml": minimalSite });
  const said = settingsOf({ "site.yaml": `${minimalSite}retention: { raw: 90d, minFreeDisk: 1.5GiB }\n` });
  assert.equal(said.retention, {
    rawMs: 90 * 86_400_000,
    minFreeDisk: { kind: "bytes", bytes: 1.5 * 2 ** 30 },
  });
  assert.is.not(said.digest, plain.digest);
  const defaults = settingsOf({ "site.yaml": `${minimalSite}retention: { minFreeDisk: 10% }\n` });
  assert.is(defaults.digest, plain.digest);
  const never = settingsOf({ "site.yaml": `${minimalSite}retention: { minFreeDisk: 0% }\n` });
  assert.equal(never.retention.minFreeDisk, { kind: "share", share: 0 });
});

good("everything that can be said", () => {
  const settings = settingsOf(
    {
      "site.yaml": `site: plant-7
timezone: Europe/Berlin
secret: \${file:./keys/secret}
gateways:
  gw-b: { host: 10.0.0.12, zone: hall-2, weight: 2, listen: { mqtt: "2883", mesh: \${env:MESH}, http: "[::1]:80" } }
  gw-a: { host: gw-a.local }
replication: { factor: 2, write: one, read: all }
raft: { preset: slow-disk }
store: { engine: lowdb, commitDelay: 200ms }
mqtt: { users: [{ name: sensors, password: "$\${x" }] }
http: { token: "Bearer-\${env:TOKEN}" }
sinks: { archive: { type: file } }
jobs:
  - name: j
    schedule: "*/5 * * * * *"
    window: 2d
    source: { metric: temperature, labels: { floor: "2" } }
    groupBy: [label.room, device]
    aggregate: { p95: quantile(0.95), n: count }
    sinks: [archive]
`.replace("mesh: ${env:MESH}", 'mesh: "${env:MESH}"'),
      "keys/secret": `${secret}\r\n`,
      "devices/climate.yml": `${climateProfile.replace("metrics", 'timestamp: { path: "a[0].ts", unit: ms }\nmetrics').replace("path: t", "unit: Cel, scale: 0.1, min: -40, max: 125, deadband: 0.5")}`,
      "devices/inventory.yaml": 'devices:\n  101: { profile: climate, labels: { room: kitchen }, password: p }\n  "__proto__": {}\n',
      "devices/notes.txt": "not read",
      "devices/.hidden.yaml": "not: read",
    },
    { MESH: "9883", TOKEN: "secret-token" },
  );
  assert.is(settings.secret, secret);
  assert.equal(settings.gateways, [
    {
      id: "gw-b",
      host: "10.0.0.12",
      role: "full",
      zone: "hall-2",
      weight: 2,
      listen: { mqtt: { host: undefined, port: 2883 }, mesh: { host: undefined, port: 9883 }, http: { host: "::1", port: 80 } },
    },
    {
      id: "gw-a",
      host: "gw-a.local",
      role: "full",
      zone: undefined,
      weight: 1,
      listen: { mqtt: { host: undefined, port: 1883 }, mesh: { host: undefined, port: 7883 }, http: { host: undefined, port: 7880 } },
    },
  ]);
  assert.equal(settings.replication, { factor: 2, write: "one", read: "all" });
  assert.equal(settings.raft, { preset: "slow-disk" });
  assert.equal(settings.store, { engine: "lowdb", commitDelayMs: 200 });
  assert.equal(settings.mqtt, {
    anonymous: false,
    users: [
      { name: "sensors", password: "${x" },
      { name: "101", password: "p" },
    ],
  });
  assert.is(settings.http.token, "Bearer-secret-token");
  assert.equal(settings.profiles, [
    {
      name: "climate",
      topic: "sensors/{device}/climate",
      payload: "json",
      timestamp: { path: ["a", "0", "ts"], unit: "ms" },
      metrics: [{ name: "temperature", path: ["temperature"], unit: "Cel", scale: 0.1, min: -40, max: 125, deadband: 0.5 }],
    },
  ]);
  assert.equal(
    settings.inventory.map(({ id, profile, labels }) => [id, profile, labels]),
    [
      ["101", "climate", { room: "kitchen" }],
      ["__proto__", undefined, {}],
    ],
  );
  assert.equal(settings.jobs, [
    {
      name: "j",
      schedule: "*/5 * * * * *",
      windowMs: 172_800_000,
      source: { metric: "temperature", devices: "*", labels: { floor: "2" } },
      groupBy: [{ kind: "label", name: "room" }, { kind: "device" }],
      aggregate: [
        { name: "p95", function: { kind: "quantile", q: 0.95 } },
        { name: "n", function: { kind: "count" } },
      ],
      sinks: ["archive"],
    },
  ]);
  assert.equal(settings.sinks, [{ name: "archive", type: "file" }]);
});

good("each gateway may have a store of its own: the digest does not know of it", () => {
  const digest = (store: string) => settingsOf({ "site.yaml": `${minimalSite}${store}` }).digest;
  assert.is(digest("store: { engine: lowdb, commitDelay: 200ms }\n"), digest(""));
});

good("an anchor is repeated by its alias", () => {
  const { gateways } = settingsOf({
    "site.yaml": "site: s\ngateways:\n  gw-a: { host: 127.0.0.1, zone: &z hall }\n  gw-b: { host: 127.0.0.2, zone: *z }\n",
  });
  assert.equal(
    gateways.map((gateway) => gateway.zone),
    ["hall", "hall"],
  );
});

good("anonymous devices are let in by default only where all MQTT listeners are loopback", () => {
  const anonymous = (gateways: string, rest = "") =>
    settingsOf({ "site.yaml": `site: s\nsecret: ${secret}\ngateways: { ${gateways} }\n${rest}` }).mqtt.anonymous;
  assert.is(anonymous("a: { host: 127.0.0.1 }, b: { host: 127.0.0.2 }"), true);
  assert.is(anonymous("a: { host: 127.0.0.1 }, b: { host: 10.0.0.2 }"), false);
  assert.is(anonymous('a: { host: 10.0.0.2, listen: { mqtt: "127.0.0.1:1883" } }'), true);
  assert.is(anonymous('a: { host: 127.0.0.1, listen: { mqtt: "0.0.0.0:1883" } }'), false);
  assert.is(anonymous("a: { host: 127.0.0.1 }", "mqtt: { anonymous: false }\n"), false);
  assert.is(anonymous("a: { host: 10.0.0.2 }", "mqtt: { anonymous: true }\n"), true);
  // One gateway without a secret binds loopback, whatever its host is called.
  assert.is(settingsOf({ "site.yaml": "site: s\ngateways: { a: { host: 10.0.0.1 } }\n" }).mqtt.anonymous, true);
});

good("one port on two addresses of a host is no clash", () => {
  const listen = (host: string) => `listen: { mqtt: "${host}:1", mesh: "${host}:2", http: "${host}:3" }`;
  assert.equal(
    problemsOf({
      "site.yaml": `site: s\ngateways:\n  a: { host: 127.0.0.1, ${listen("127.0.0.1")} }\n  b: { host: 127.0.0.1, ${listen("127.0.0.2")} }\n`,
    }),
    [],
  );
});

good("the digests see what matters, and no secrets", () => {
  const digests = (text: string) => {
    const { digest, listDigest } = settingsOf({ "site.yaml": text });
    return [digest, listDigest];
  };
  const base = `site: s\nsecret: ${secret}\ngateways: { a: { host: 127.0.0.1 }, b: { host: 127.0.0.2, zone: x } }\nreplication: { factor: 2, write: all }\n`;
  const [digest, listDigest] = digests(base);
  assert.equal(digests(base.replace(secret, `${secret}x`)), [digest, listDigest], "another secret");
  assert.equal(digests(base.replace("factor: 2, write: all", "write: all, factor: 2")), [digest, listDigest], "another order of keys");
  const rules = digests(`${base}timezone: Europe/Berlin\n`);
  assert.is.not(rules[0], digest, "another time zone");
  assert.is(rules[1], listDigest, "the time zone is no matter of membership");
  for (const [from, to] of [
    ["site: s", "site: t"],
    ["a: {", "c: {"],
    ["127.0.0.2", "127.0.0.3"],
    ["zone: x", "zone: y"],
    ["factor: 2", "factor: 1"],
    ["zone: x", "zone: x, weight: 2"],
  ] as const) {
    assert.is.not(digests(base.replace(from, to))[1], listDigest, `${from} -> ${to}`);
  }
});

good("a role is seen by both digests where it is not the default, and a witness owns no readings", () => {
  const of = (role: string) =>
    settingsOf({ "site.yaml": `site: s\ngateways: { a: { host: 127.0.0.1 }, b: { host: 127.0.0.2 }, c: { host: 127.0.0.3${role} } }\n` });
  assert.equal(
    of(", role: witness").gateways.map((gateway) => gateway.role),
    ["full", "full", "witness"],
  );
  const [unsaid, full, witness] = [of(""), of(", role: full"), of(", role: witness")];
  assert.equal([full.digest, full.listDigest], [unsaid.digest, unsaid.listDigest]);
  assert.is.not(witness.digest, full.digest);
  assert.is.not(witness.listDigest, full.listDigest);
});

good("warnings: a witness that lets no more gateways be away", () => {
  const warningsOf = (full: number, witnesses: number) => {
    const roles = [...Array<string>(full).fill("full"), ...Array<string>(witnesses).fill("witness")];
    const lines = roles.map((role, i) => `  g${i}: { host: 127.0.0.${i + 1}, role: ${role} }\n`);
    const result = load({ "site.yaml": `site: s\ngateways:\n${lines.join("")}` });
    return result.ok ? result.warnings.map(({ line, what }) => `${line}: ${what}`) : ["broken"];
  };
  assert.equal(warningsOf(2, 1), []);
  assert.equal(warningsOf(4, 1), []);
  assert.equal(warningsOf(3, 2), []);
  assert.equal(warningsOf(1, 1), ["4: of 2 gateways no more may be away than of 1: g1 adds nothing but its vote"]);
  assert.equal(warningsOf(3, 1), ["6: of 4 gateways no more may be away than of 3: g3 adds nothing but its vote"]);
  assert.is(warningsOf(6, 1).length, 1);
});

good("warnings: rollups that are to go before their readings", () => {
  const warningsOf = (retention: string) => {
    const result = load({ "site.yaml": `site: s\ngateways: { a: { host: 127.0.0.1 } }\nretention: ${retention}\n` });
    return result.ok ? result.warnings.map(({ line, column, what }) => `${line}:${column}: ${what}`) : ["broken"];
  };
  assert.equal(warningsOf("{ raw: 90d, rollup: 2y, minFreeDisk: 10% }"), []);
  assert.equal(warningsOf("{ rollup: 2y }"), []);
  assert.equal(warningsOf("{ raw: 90d, rollup: 30d }"), [
    "3:32: rollups are kept for 30d, the readings that they are made of for 90d: they go with them",
  ]);
});

good("warnings: nobody can connect, and a label that no device has", () => {
  const result = load({
    "site.yaml": `site: s\nsecret: ${secret}\ngateways: { a: { host: 10.0.0.1 } }\njobs: ./jobs\n`,
    "devices/p.yaml": climateProfile,
    "devices/inventory.yaml": "devices: { d: { labels: { room: x } } }\n",
    "jobs/j.yaml":
      "name: j\nschedule: '0 * * * *'\nwindow: 1h\nsource: { metric: temperature }\ngroupBy: [label.rom]\naggregate: { n: count }\n",
  });
  assert.ok(result.ok);
  assert.equal(result.ok && result.warnings.map(({ file, line, column }) => `${file}:${line}:${column}`), [
    "site.yaml:3:1",
    "jobs/j.yaml:5:11",
  ]);
});
good.run();
