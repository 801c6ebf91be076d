import type { MemoryFiles } from "./memory-site.ts";
import { climateProfile, minimalSite } from "./memory-site.ts";

/** Broken sites, and exactly what is said about each. */
export interface BrokenSite {
  readonly name: string;
  readonly files: MemoryFiles;
  readonly env?: Readonly<Record<string, string>>;
  readonly problems: readonly string[];
}

const site = (text: string) => ({ "site.yaml": text });
const more = (text: string) => ({ "site.yaml": `${minimalSite}${text}` });
const profile = (text: string) => ({ "site.yaml": minimalSite, "devices/p.yaml": text });
const job = (text: string) => ({
  "site.yaml": `${minimalSite}jobs: ./jobs\nsinks: { archive: { type: file } }\n`,
  "devices/climate.yaml": climateProfile,
  "jobs/j.yaml": text,
});
const goodJob = "name: j\nschedule: '0 * * * *'\nwindow: 1h\nsource: { metric: temperature }\naggregate: { n: count }\n";
const jobWith = (line: string) =>
  job(goodJob.replace(new RegExp(`^${line.slice(0, line.indexOf(":"))}:.*\n`, "m"), "").concat(`${line}\n`));
const cronExpected = 'expected a cron expression of 5 fields ("0 * * * *": every hour) or 6 with seconds first';

export const brokenSites: readonly BrokenSite[] = [
  { name: "no site file", files: {}, problems: ["site.yaml:1:1: the file does not exist, expected a readable file"] },
  {
    name: "an unreadable site file",
    files: { "site.yaml": new Error("permission denied") },
    problems: ["site.yaml:1:1: the file cannot be read: permission denied, expected a readable file"],
  },
  {
    name: "an empty file",
    files: site(""),
    problems: [
      'site.yaml:1:1: the file has no key "site", expected the name of the site',
      'site.yaml:1:1: the file has no key "gateways", expected a mapping of gateway ids',
    ],
  },
  {
    name: "a list as the whole file",
    files: site("- a\n"),
    problems: ["site.yaml:1:1: the file is a list, expected the settings of a site"],
  },
  {
    name: "bytes that are no UTF-8",
    files: { "site.yaml": new Uint8Array([0x73, 0xff, 0xfe]) },
    problems: ["site.yaml:1:1: the file is not valid UTF-8, save it as UTF-8"],
  },
  {
    name: "a huge file",
    files: { "site.yaml": new Uint8Array(5 * 1024 * 1024).fill(0x20) },
    problems: ["site.yaml:1:1: the file has 5242880 bytes, expected at most 4194304"],
  },
  {
    name: "an unclosed quote",
    files: site('site: "s\ngateways: {}\n'),
    problems: ['site.yaml:1:7: the YAML cannot be read: Missing closing ", expected the end of what begins here'],
  },
  {
    name: "a tab",
    files: site("site: s\ngateways:\n\tgw-a: { host: 127.0.0.1 }\n"),
    problems: ["site.yaml:3:1: the YAML cannot be read: Tabs are not allowed as indentation, indent with spaces"],
  },
  {
    name: "two documents",
    files: site(`${minimalSite}---\na: 1\n`),
    problems: ["site.yaml:3:1: the YAML cannot be read: Source contains multiple documents, expected one document, without ---"],
  },
  {
    name: "an unknown tag",
    files: site("site: !foo s\ngateways: { gw-a: { host: 127.0.0.1 } }\n"),
    problems: ["site.yaml:1:7: the YAML cannot be read: Unresolved tag: !foo, expected no tags"],
  },
  {
    name: "an alias of nothing",
    files: more("timezone: *zone\n"),
    problems: ["site.yaml:3:11: *zone repeats something that is not there, expected &zone before it"],
  },
  {
    name: "an unquoted interpolation inside braces",
    files: more("http: { token: ${env:X} }\n"),
    problems: [
      'site.yaml:3:17: the YAML cannot be read: Unexpected flow-map-start at node end, expected quotes around ${…} inside braces: "${env:NAME}"',
    ],
  },
  {
    name: "duplicate keys",
    files: more("site: t\n"),
    problems: ['site.yaml:3:1: the key "site" appears twice, expected it once (it stands in line 1 already)'],
  },
  {
    name: "two gateways with one id",
    files: site("site: s\ngateways:\n  gw-a: { host: 127.0.0.1 }\n  gw-a: { host: 127.0.0.1 }\n"),
    problems: ['site.yaml:4:3: the key "gw-a" appears twice, expected it once (it stands in line 3 already)'],
  },
  {
    name: "1 and '1' as keys",
    files: more("devices: ./d\nraft: {}\nsinks: { 1: { type: file }, '1': { type: file } }\n"),
    problems: [
      "site.yaml:3:10: the folder d does not exist, expected a readable folder",
      'site.yaml:5:29: the key "1" appears twice, expected it once (it stands in line 5 already)',
    ],
  },
  {
    name: "an unknown key with a neighbour",
    files: more("replicaton: {}\n"),
    problems: ['site.yaml:3:1: unknown key "replicaton", did you mean "replication"?'],
  },
  {
    name: "a mistyped key that is required",
    files: site("site: s\ngatways: { gw-a: { host: 127.0.0.1 } }\n"),
    problems: ['site.yaml:2:1: unknown key "gatways", did you mean "gateways"?'],
  },
  {
    name: "names of sinks that cannot be file names",
    files: more("sinks: { Archive: { type: file }, a_b: { type: file }, a.b-1: { type: file } }\n"),
    problems: [
      'site.yaml:3:10: the key "Archive" is not allowed, expected a name of lower-case letters, digits, dots and dashes, at most 64',
      'site.yaml:3:35: the key "a_b" is not allowed, expected a name of lower-case letters, digits, dots and dashes, at most 64',
    ],
  },
  {
    name: "a site's name that is short in characters, but not in bytes",
    files: site(`site: ${"驛".repeat(36)}\ngateways: { gw-a: { host: 127.0.0.1 } }\n`),
    problems: [
      `site.yaml:1:7: "${"驛".repeat(36)}" has 108 bytes in UTF-8, which with the 4 of the longest gateway id is too much for the mesh, expected at most 110 together`,
    ],
  },
  {
    name: "an unknown key without one",
    files: more("raft: { zebra: 1 }\n"),
    problems: ['site.yaml:3:9: unknown key "zebra", expected preset'],
  },
  {
    name: "a key of every object",
    files: more("constructor: 1\n"),
    problems: [
      'site.yaml:3:1: unknown key "constructor", expected one of site, timezone, secret, gateways, replication, raft, mqtt, http, devices, jobs, sinks, retention, store',
    ],
  },
  { name: "a mapping as a key", files: more("? { a: 1 }\n: 2\n"), problems: ["site.yaml:3:3: this key is not a text, expected a text"] },
  {
    name: "a key of replication in another place",
    files: more("ackTimeout: 5s\n"),
    problems: [
      'site.yaml:3:1: unknown key "ackTimeout", expected one of site, timezone, secret, gateways, replication, raft, mqtt, http, devices, jobs, sinks, retention, store',
    ],
  },
  {
    name: "retention that cannot be",
    files: more("retention: { raw: 90, minFreeDisk: 95%, keep: 1 }\n"),
    problems: [
      'site.yaml:3:19: "raw" is 90, expected a duration such as 90d (in quotes)',
      'site.yaml:3:36: "minFreeDisk" is "95%", expected a share of the disk from 0% to 90%, or bytes such as 500MiB or 2GiB',
      'site.yaml:3:41: unknown key "keep", expected one of raw, rollup, minFreeDisk',
    ],
  },
  {
    name: "rollups with a time of their own",
    files: more("retention: { raw: 1d12h, rollup: 2 years, minFreeDisk: 2 gb }\n"),
    problems: [
      'site.yaml:3:19: "raw" is "1d12h", expected a duration such as 30s, 5m, 1h or 7d',
      'site.yaml:3:34: "rollup" is "2 years", expected a duration such as 30s, 5m, 1h or 7d',
      'site.yaml:3:56: "minFreeDisk" is "2 gb", did you mean "2GiB"?',
    ],
  },
  {
    name: "witnesses only",
    files: site("site: s\ngateways: { gw-a: { host: 127.0.0.1, role: witness } }\n"),
    problems: ["site.yaml:2:1: all gateways are witnesses: nobody would keep the readings, expected at least one full gateway"],
  },
  {
    name: "a role that there is not, and a witness with a weight",
    files: site(
      "site: s\ngateways:\n  gw-a: { host: 127.0.0.1 }\n  gw-b: { host: 127.0.0.2, role: witnes }\n  gw-c: { host: 127.0.0.3, role: witness, weight: 2 }\n",
    ),
    problems: [
      'site.yaml:4:34: "role" is "witnes", did you mean "witness"?',
      'site.yaml:5:43: gw-c is a witness, which owns no readings: a weight says nothing, remove it, or use "role: full"',
    ],
  },
  {
    name: "a site name in topics",
    files: site("site: a/b\ngateways: { gw-a: { host: 127.0.0.1 } }\n"),
    problems: ['site.yaml:1:7: "site" is "a/b", expected 1 to 64 characters, none of / + # (the name is part of MQTT topics)'],
  },
  {
    name: "a number as a name",
    files: site("site: 7\ngateways: { gw-a: { host: 127.0.0.1 } }\n"),
    problems: ['site.yaml:1:7: "site" is 7, expected the name of the site (in quotes)'],
  },
  {
    name: "no gateways",
    files: site("site: s\ngateways: {}\n"),
    problems: ['site.yaml:2:1: "gateways" is empty, expected at least 1 entry'],
  },
  {
    name: "more gateways than slots",
    files: site(
      `site: s\ngateways:\n${Array.from({ length: 1001 }, (_, i) => `  g${i}: { host: 127.0.${i >> 8}.${i & 255} }\n`).join("")}`,
    ),
    problems: ['site.yaml:2:1: "gateways" has 1001 entries, expected at most 1000'],
  },
  {
    name: "a bad gateway id",
    files: site("site: s\ngateways: { GW_A: { host: 127.0.0.1 } }\n"),
    problems: ['site.yaml:2:13: the key "GW_A" is not allowed, expected lower-case letters, digits and dashes, at most 32'],
  },
  {
    name: "a gateway without host",
    files: site("site: s\ngateways:\n  gw-a:\n"),
    problems: ['site.yaml:3:3: "gw-a" has no key "host", expected a host name or an IP address'],
  },
  {
    name: "a host with a port",
    files: site("site: s\ngateways: { gw-a: { host: '10.0.0.1:80' } }\n"),
    problems: ['site.yaml:2:27: "host" is "10.0.0.1:80", expected a host name or an IP address (ports go under "listen")'],
  },
  {
    name: "an address out of range",
    files: site("site: s\ngateways: { gw-a: { host: 10.0.0.256 } }\n"),
    problems: ['site.yaml:2:27: "host" is "10.0.0.256", expected a host name or an IP address'],
  },
  {
    name: "bad listeners",
    files: site('site: s\ngateways: { gw-a: { host: 127.0.0.1, listen: { mqtt: 0, mesh: "a b:1", http: [] } } }\n'),
    problems: [
      'site.yaml:2:54: "mqtt" is 0, expected a whole number from 1 to 65535',
      'site.yaml:2:63: "mesh" is "a b:1", expected a port from 1 to 65535, or "host:port" ("[::1]:1883" for IPv6)',
      'site.yaml:2:78: "http" is a list, expected a port from 1 to 65535, or "host:port"',
    ],
  },
  {
    name: "one port twice within a gateway",
    files: site("site: s\ngateways: { gw-a: { host: 127.0.0.1, listen: { mqtt: 7880 } } }\n"),
    problems: [
      "site.yaml:2:13: port 7880 of 127.0.0.1 is taken by gw-a mqtt and gw-a http, expected a port of its own for each listener of a host",
    ],
  },
  {
    name: "one port twice on a host",
    files: site("site: s\ngateways:\n  gw-a: { host: 127.0.0.1 }\n  gw-b: { host: localhost, listen: { mqtt: 1883, mesh: 1, http: 2 } }\n"),
    problems: [
      "site.yaml:4:44: port 1883 of localhost is taken by gw-a mqtt and gw-b mqtt, expected a port of its own for each listener of a host",
    ],
  },
  {
    name: "no secret beyond loopback",
    files: site("site: s\ngateways:\n  gw-a: { host: 10.0.0.1 }\n  gw-b: { host: gw-b.local }\n  gw-c: { host: 127.0.0.1 }\n"),
    problems: [
      'site.yaml:3:17: the host 10.0.0.1 is not loopback, and the site has no secret, set "secret: ${file:./secret}" (16 characters or more)',
      'site.yaml:4:17: the host gw-b.local is not loopback, and the site has no secret, set "secret: ${file:./secret}" (16 characters or more)',
    ],
  },
  {
    name: "a listener open to all without a secret",
    files: site("site: s\ngateways: { gw-a: { host: 10.0.0.1, listen: { mqtt: '0.0.0.0:1883' } } }\n"),
    problems: [
      'site.yaml:2:53: "mqtt" would listen on 0.0.0.0, and the site has no secret, set "secret: ${file:./secret}", or listen on 127.0.0.1',
    ],
  },
  {
    name: "a short secret is not shown",
    files: more("secret: hunter2\n"),
    problems: ['site.yaml:3:9: "secret" has 7 characters, expected at least 16'],
  },
  {
    name: "a numeric secret is not shown",
    files: more("secret: 12345678901234567\n"),
    problems: ['site.yaml:3:9: "secret" is no text, expected a text of at least 16 characters (in quotes)'],
  },
  {
    name: "a secret file that is not there",
    files: more("secret: ${file:./secret}\n"),
    problems: ['site.yaml:3:9: "secret" needs the file secret, which does not exist'],
  },
  {
    name: "an empty secret file",
    files: { ...more("secret: ${file:./secret}\n"), secret: "\n" },
    problems: ['site.yaml:3:9: "secret" needs the file secret, which is empty'],
  },
  {
    name: "an unreadable secret file",
    files: { ...more("secret: ${file:secret}\n"), secret: new Error("permission denied") },
    problems: ['site.yaml:3:9: "secret" needs the file secret, which cannot be read: permission denied'],
  },
  {
    name: "a secret of two lines",
    files: { ...more("secret: ${file:secret}\n"), secret: "0123456789abcdef\n0123456789abcdef\n" },
    problems: ['site.yaml:3:9: "secret" has a control character or more than one line, expected one line of text'],
  },
  {
    name: "a variable that is not set",
    files: more('http: { token: "${env:TOKEN}" }\n'),
    problems: ['site.yaml:3:16: "token" needs the environment variable TOKEN, which is not set'],
  },
  {
    name: "an empty variable",
    files: more("timezone: ${env:ZONE}\n"),
    env: { ZONE: "" },
    problems: ['site.yaml:3:11: "timezone" needs the environment variable ZONE, which is empty'],
  },
  {
    name: "an unknown interpolation",
    files: more("timezone: ${vault:x}\n"),
    problems: ['site.yaml:3:11: "timezone" has "${vault:x}", expected ${file:PATH} or ${env:NAME} ($${ for a literal ${)'],
  },
  {
    name: "an open interpolation",
    files: more('timezone: "${env:X"\n'),
    problems: ['site.yaml:3:11: "timezone" has "${env:X" without an end, expected ${file:PATH} or ${env:NAME}'],
  },
  {
    name: "an unknown time zone",
    files: more("timezone: Europe/Berln\n"),
    problems: ['site.yaml:3:11: "timezone" is "Europe/Berln", which no time zone is called, did you mean "Europe/Berlin"?'],
  },
  {
    name: "an offset as a time zone",
    files: more("timezone: '+01:00'\n"),
    problems: ['site.yaml:3:11: "timezone" is "+01:00", expected an IANA time zone such as UTC or Europe/Berlin'],
  },
  {
    name: "bad replication",
    files: more("replication: { factor: 2.5, write: many, read: quorom }\n"),
    problems: [
      'site.yaml:3:24: "factor" is 2.5, expected a whole number from 1 to 9',
      'site.yaml:3:36: "write" is "many", did you mean "any"?',
      'site.yaml:3:48: "read" is "quorom", did you mean "quorum"?',
    ],
  },
  {
    name: "a bad preset",
    files: more("raft: { preset: fast }\n"),
    problems: ['site.yaml:3:17: "preset" is "fast", expected one of lan, slow-disk'],
  },
  {
    name: "a bad store",
    files: more("store: { engine: leveldb, commitDelay: 2s }\n"),
    problems: [
      'site.yaml:3:18: "engine" is "leveldb", did you mean "level"?',
      'site.yaml:3:40: "commitDelay" is "2s", expected a duration from 0ms to 1s',
    ],
  },
  {
    name: "a commit delay without a unit, and in another place",
    files: more("store: { commitDelay: 50 }\ncommitDelay: 50ms\n"),
    problems: [
      'site.yaml:3:23: "commitDelay" is 50, expected a duration from 0ms to 1s (in quotes)',
      'site.yaml:4:1: unknown key "commitDelay", expected one of site, timezone, secret, gateways, replication, raft, mqtt, http, devices, jobs, sinks, retention, store',
    ],
  },
  {
    name: "a bad weight",
    files: site("site: s\ngateways: { gw-a: { host: 127.0.0.1, weight: heavy } }\n"),
    problems: ['site.yaml:2:46: "weight" is "heavy", expected a whole number from 1 to 64'],
  },
  {
    name: "yes is no boolean",
    files: more("mqtt: { anonymous: yes }\n"),
    problems: ['site.yaml:3:20: "anonymous" is "yes", expected true or false'],
  },
  {
    name: "users",
    files: more("mqtt:\n  users:\n    - { name: a, password: x }\n    - { name: a, password: y }\n    - { name: b }\n    - c\n"),
    problems: [
      'site.yaml:6:15: the user "a" has a password twice, expected it once (the other is at site.yaml:5)',
      'site.yaml:7:7: entry 3 of "users" has no key "password", expected a text',
      'site.yaml:8:7: entry 4 of "users" is "c", expected a mapping',
    ],
  },
  {
    name: "a sink that is not built yet, told once",
    files: more("sinks:\n  hub: { type: http, url: 'https://x', headers: {} }\n"),
    problems: ['site.yaml:4:16: "type": "http" is not supported yet, expected file'],
  },
  {
    name: "a sink of an unknown type",
    files: more("sinks: { hub: { type: fil } }\n"),
    problems: ['site.yaml:3:23: "type" is "fil", did you mean "file"?'],
  },
  {
    name: "a sink without type",
    files: more("sinks: { hub: {} }\n"),
    problems: ['site.yaml:3:10: "hub" has no key "type", expected file'],
  },
  {
    name: "a folder that is not there",
    files: more("devices: ./devces\njobs: ./jobs\n"),
    problems: [
      "site.yaml:3:10: the folder devces does not exist, expected a readable folder",
      "site.yaml:4:7: the folder jobs does not exist, expected a readable folder",
    ],
  },
  {
    name: "an unreadable default folder",
    files: { ...more(""), devices: new Error("permission denied") },
    problems: ["devices:1:1: the folder devices cannot be read: permission denied, expected a readable folder"],
  },
  {
    name: "an unreadable profile",
    files: { ...more(""), "devices/a.yaml": new Error("is a folder") },
    problems: ["devices/a.yaml:1:1: the file cannot be read: is a folder, expected a readable file"],
  },
  {
    name: "problems of several files at once",
    files: { "site.yaml": "site: s\n", "devices/b.yaml": "profile: [", "devices/a.yaml": "profil: a\n" },
    problems: [
      'site.yaml:1:1: the file has no key "gateways", expected a mapping of gateway ids',
      'devices/a.yaml:1:1: unknown key "profil", did you mean "profile"?',
      'devices/a.yaml:1:1: the file has no key "topic", expected a topic with one {device} level',
      'devices/a.yaml:1:1: the file has no key "payload", expected one of json, number, text',
      'devices/a.yaml:1:1: the file has no key "metrics", expected a mapping of metrics',
      "devices/b.yaml:1:11: the YAML cannot be read: Flow sequence in block collection must be sufficiently indented and end with a ], expected YAML 1.2",
    ],
  },
  {
    name: "a profile full of mistakes",
    files: profile(
      "profile: p\ntopic: a/{device}/#/b\npayload: json\ntimestamp: { path: a..b, unit: sec }\nmetrics:\n  t: { path: '', min: 5, max: 1, scale: 0, deadband: -1 }\n  u: 5\n  2x: {}\n",
    ),
    problems: [
      'devices/p.yaml:2:8: "topic" has a # inside, expected # only as the whole last level',
      'devices/p.yaml:4:20: "path" is "a..b", expected steps such as t, data.temp, samples[0].value or "a.b".c',
      'devices/p.yaml:4:32: "unit" is "sec", expected one of s, ms, us, ns, iso8601',
      'devices/p.yaml:6:14: "path" is "", expected steps such as t, data.temp, samples[0].value or "a.b".c',
      'devices/p.yaml:6:23: "min" is 5, above "max" (1), expected at most the maximum',
      'devices/p.yaml:6:41: "scale" is 0, which makes every value 0, expected another number',
      'devices/p.yaml:6:54: "deadband" is -1, expected a number from 0',
      'devices/p.yaml:7:6: "u" is 5, expected a mapping',
      'devices/p.yaml:8:3: the key "2x" is not allowed, expected a letter, then letters, digits and _ . : -, at most 64',
    ],
  },
  {
    name: "a payload that is not built yet, told once",
    files: profile("profile: p\ntopic: a/{device}\npayload: cbor\nmetrics: { x: { key: 1 } }\n"),
    problems: ['devices/p.yaml:3:10: "payload": "cbor" is not supported yet, expected one of json, number, text'],
  },
  {
    name: "a single value with paths, times and two metrics",
    files: profile(
      "profile: p\ntopic: a/{device}\npayload: text\ntimestamp: { path: ts, unit: s }\nmetrics: { x: { path: a }, y: { min: 1 } }\n",
    ),
    problems: [
      'devices/p.yaml:4:1: a payload "text" has no timestamp, remove it, or use "payload: json"',
      'devices/p.yaml:5:1: a payload "text" is one value, but there are 2 metrics, expected one metric',
      'devices/p.yaml:5:17: a payload "text" has no paths, remove it, or use "payload: json"',
      'devices/p.yaml:5:33: "min" is for numbers, but the payload is text, remove it, or use "payload: number"',
    ],
  },
  {
    name: "levels of a profile: one that there is none of, and one for reading, which is not there yet",
    files: profile(`${climateProfile}write: two\nread: one\n`),
    problems: [
      'devices/p.yaml:5:8: "write" is "two", expected one of any, one, quorum, all',
      'devices/p.yaml:6:1: "read" is not supported yet, remove it',
    ],
  },
  {
    name: "what no owner has yet cannot be read",
    files: more("replication: { read: any }\n"),
    problems: [
      'site.yaml:3:22: "read" is "any", a level for writing: what no owner has yet cannot be read, expected one of one, quorum, all',
    ],
  },
  {
    name: "acknowledgements that are waited for too briefly",
    files: more("replication: { ackTimeout: 999ms }\n"),
    problems: ['site.yaml:3:28: "ackTimeout" is "999ms", expected a duration from 1s to 5m'],
  },
  {
    name: "no metrics",
    files: profile("profile: p\ntopic: a/{device}\npayload: json\nmetrics:\n"),
    problems: ['devices/p.yaml:4:1: "metrics" is empty, expected at least 1 entry'],
  },
  {
    name: "two profiles, one name and one topic",
    files: {
      ...more(""),
      "devices/a.yaml": climateProfile,
      "devices/b.yaml": climateProfile.replace("sensors/{device}/climate", "'+/{device}/#'"),
    },
    problems: [
      'devices/b.yaml:1:10: there are two profiles named "climate", expected a name of its own (the other is at devices/a.yaml:1)',
      'devices/b.yaml:2:8: the topics of the profiles "climate" (sensors/{device}/climate) and "climate" (+/{device}/#) can match the same message, expected topics that exclude each other (the other is at devices/a.yaml:2)',
    ],
  },
  {
    name: "an inventory full of mistakes",
    files: {
      ...more("mqtt: { users: [{ name: d3, password: x }] }\n"),
      "devices/climate.yaml": climateProfile,
      "devices/inventory.yaml":
        'devices:\n  d1: { profile: climat }\n  d2: { labels: { floor: 2, "a b": x } }\n  d3: { password: y }\n  "a/b": {}\n  d1: {}\n',
    },
    problems: [
      'devices/inventory.yaml:2:18: there is no profile "climat", did you mean "climate"?',
      'devices/inventory.yaml:3:26: "floor" is 2, expected a text (in quotes)',
      'devices/inventory.yaml:3:29: the key "a b" is not allowed, expected a letter, then letters, digits, dashes and underscores, at most 64',
      'devices/inventory.yaml:4:3: the device "d3" has a password twice, expected it once (the other is at site.yaml:3)',
      'devices/inventory.yaml:5:3: the key "a/b" is not allowed, expected a device id: 1 to 128 characters, no / and no control characters',
      'devices/inventory.yaml:6:3: the key "d1" appears twice, expected it once (it stands in line 2 already)',
    ],
  },
  {
    name: "an unknown sink",
    files: jobWith("sinks: [archve, archive, archive]"),
    problems: [
      'jobs/j.yaml:6:9: there is no sink "archve", did you mean "archive"?',
      'jobs/j.yaml:6:26: the sink "archive" is listed twice, expected it once',
    ],
  },
  {
    name: "an unknown metric",
    files: jobWith("source: { metric: temprature }"),
    problems: ['jobs/j.yaml:5:19: no profile has the metric "temprature", did you mean "temperature"?'],
  },
  { name: "a bad duration", files: jobWith("window: 60"), problems: ['jobs/j.yaml:5:9: "window" is 60, expected a duration (in quotes)'] },
  {
    name: "a duration without a known unit",
    files: jobWith("window: 1q"),
    problems: ['jobs/j.yaml:5:9: "window" is "1q", expected a duration such as 30s, 5m, 1h or 7d'],
  },
  { name: "an empty window", files: jobWith("window: 0s"), problems: ['jobs/j.yaml:5:9: "window" is "0s", expected more than zero'] },
  {
    name: "a window that does not fit into a day",
    files: jobWith("window: 7h"),
    problems: [
      'jobs/j.yaml:5:9: "window" is "7h", which does not divide a day, expected a divisor of a day (5s, 1m, 15m, 1h, 6h, …) or whole days',
    ],
  },
  {
    name: "a cron expression of four fields",
    files: jobWith("schedule: '0 * * *'"),
    problems: [`jobs/j.yaml:5:11: "schedule" is "0 * * *": expected 5 or 6 fields but got 4, ${cronExpected}`],
  },
  {
    name: "minute 61",
    files: jobWith("schedule: '61 * * * *'"),
    problems: [`jobs/j.yaml:5:11: "schedule" is "61 * * * *": 61 is an invalid expression for minute, ${cronExpected}`],
  },
  {
    name: "30 February",
    files: jobWith("schedule: '0 0 30 2 *'"),
    problems: [`jobs/j.yaml:5:11: "schedule" is "0 0 30 2 *": 30 2 is an impossible day of month for the given month, ${cronExpected}`],
  },
  {
    name: "a cron range that would fill the memory",
    files: jobWith("schedule: '0-999999999 * * * *'"),
    problems: [`jobs/j.yaml:5:11: "schedule" is "0-999999999 * * * *", ${cronExpected}`],
  },
  {
    name: "a glob of another kind",
    files: jobWith("source: { metric: temperature, devices: 'room-[ab]' }"),
    problems: [
      'jobs/j.yaml:5:41: "devices" is "room-[ab]"; only * and ? are wildcards, expected a device id in which * stands for any characters and ? for one',
    ],
  },
  {
    name: "bad group keys",
    files: jobWith("groupBy: [lable.room, devices, label., device, device]"),
    problems: [
      'jobs/j.yaml:6:11: entry 1 of "groupBy" is "lable.room", expected device, metric or label.<name>',
      'jobs/j.yaml:6:23: entry 2 of "groupBy" is "devices", did you mean "device"?',
      'jobs/j.yaml:6:32: entry 3 of "groupBy" is "label.", expected device, metric or label.<name>',
      'jobs/j.yaml:6:48: the key "device" is listed twice, expected it once',
    ],
  },
  {
    name: "bad aggregates",
    files: jobWith("aggregate: { a: avg, b: p99.9, c: quantile(2), d: mode }"),
    problems: [
      'jobs/j.yaml:5:17: "a" is "avg", did you mean "mean"?',
      'jobs/j.yaml:5:25: "b" is "p99.9", did you mean "quantile(0.999)"?',
      'jobs/j.yaml:5:35: "c" is "quantile(2)", expected one of count, sum, min, max, mean, first, last, quantile(0 … 1)',
      'jobs/j.yaml:5:51: "d" is "mode", expected one of count, sum, min, max, mean, first, last, quantile(0 … 1)',
    ],
  },
  {
    name: "a job of the kind that is not built yet",
    files: job("name: j\nevery: 5m\nlateness: 30s\nmodule: jobs/energy.ts\n"),
    problems: [
      'jobs/j.yaml:2:1: "every" is not supported yet, remove it',
      'jobs/j.yaml:3:1: "lateness" is not supported yet, remove it',
      'jobs/j.yaml:4:1: "module" is not supported yet, remove it',
    ],
  },
  {
    name: "two jobs of one name in two files",
    files: { ...job(goodJob), "jobs/k.yaml": `jobs:\n  - ${goodJob.trim().replaceAll("\n", "\n    ")}\n` },
    problems: ['jobs/k.yaml:2:11: there are two jobs named "j", expected a name of its own (the other is at jobs/j.yaml:1)'],
  },
  {
    name: "jobs as a number",
    files: more("jobs: 5\n"),
    problems: ['site.yaml:3:7: "jobs" is 5, expected the path of a folder, or a list of jobs'],
  },
  {
    name: "a filled-in text is not repeated",
    files: { ...site("site: ${file:./secret}\ngateways: { gw-a: { host: 127.0.0.1 } }\n"), secret: "no/site/name\n" },
    problems: [
      'site.yaml:1:7: "site" is not valid once "${file:./secret}" is filled in, expected 1 to 64 characters, none of / + # (the name is part of MQTT topics)',
    ],
  },
  {
    name: "a name that every object has",
    files: site("site: s\ngateways: { constructor: { host: 127.0.0.1 } }\n"),
    problems: ['site.yaml:2:13: the key "constructor", a reserved word is not allowed, expected another name'],
  },
];
