// Goal: a PUBLISH becomes exactly the values that the profile says, and whatever cannot be decoded says why.
// Method: topics against filters, payload by payload; overlap of filters against brute force over all short topics.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { DecodedMessage } from "../../src/config/decoded-message.ts";
import { parsePayloadPath } from "../../src/config/payload-path.ts";
import { compileProfiles, createDecoder, textBytesMax } from "../../src/config/profile-set.ts";
import type { MetricSettings, ProfileSettings } from "../../src/config/settings.ts";
import { topicFault, topicsOverlap } from "../../src/config/topic-filter.ts";
import { defined } from "../../src/lib/assert.ts";
import { valueAt } from "../../src/lib/reading-columns.ts";

const metric = (name: string, rest: Partial<MetricSettings> = {}): MetricSettings => ({
  name,
  path: [name],
  unit: undefined,
  scale: undefined,
  min: undefined,
  max: undefined,
  deadband: undefined,
  ...rest,
});
const profile = (rest: Partial<ProfileSettings> = {}): ProfileSettings => ({
  name: "p",
  topic: "s/{device}/c",
  payload: "json",
  timestamp: undefined,
  metrics: [metric("t"), metric("h")],
  ...rest,
});

const topics = suite("config: topics");
topics("the device is the level that stands for {device}", () => {
  const filters = ["s/{device}/c", "a/+/{device}/#", "{device}/only", "/lead/{device}", "s/x/y/{device}"];
  const set = compileProfiles(
    filters.map((topic) => profile({ name: topic, topic })),
    [],
  );
  const found = (topic: string) => {
    const match = set.match(topic);
    return match && [match.profile.name, match.device];
  };
  assert.equal(found("s/room-1/c"), ["s/{device}/c", "room-1"]);
  assert.equal(found("s/x/c"), ["s/{device}/c", "x"]);
  assert.equal(found("s/x/y/dev"), ["s/x/y/{device}", "dev"]);
  assert.equal(found("a/1/dev"), ["a/+/{device}/#", "dev"], "# matches its parent level too (MQTT-4.7.1-2)");
  assert.equal(found("a/1/dev/x/y"), ["a/+/{device}/#", "dev"]);
  assert.equal(found("dev/only"), ["{device}/only", "dev"]);
  assert.equal(found("/lead/dev"), ["/lead/{device}", "dev"]);
  for (const none of [
    "s/c",
    "s/x/d",
    "s/x/c/",
    "a/1",
    "$SYS/only",
    "s//c",
    `s/${"x".repeat(129)}/c`,
    "s/a\u0007b/c",
    "s/\ud800/c",
    "",
    "/",
  ]) {
    assert.is(set.match(none), undefined, none);
  }
});
topics("faults", () => {
  for (const good of ["{device}", "a/{device}", "+/{device}/#", "/{device}", "a//{device}"]) assert.is(topicFault(good), undefined, good);
  for (const bad of [
    "",
    "a",
    "a/{device}/{device}",
    "a/x{device}",
    "a/{room}/{device}",
    "$SYS/{device}",
    "a/#/{device}",
    "a+/{device}",
    "{device}/b#",
    "{device}/\u0000",
    "x".repeat(1025),
  ]) {
    assert.ok(topicFault(bad) !== undefined, bad);
  }
});
topics("filters overlap exactly when some topic matches both", () => {
  const level = fc.constantFrom("a", "b", "+");
  const filter = fc
    .tuple(fc.array(level, { maxLength: 2 }), fc.array(level, { maxLength: 1 }), fc.boolean())
    .map(([before, after, hash]) => [...before, "{device}", ...after, ...(hash ? ["#"] : [])].join("/"));
  const all: string[] = [];
  const grow = (prefix: readonly string[]) => {
    if (prefix.length > 0) all.push(prefix.join("/"));
    if (prefix.length < 5) for (const next of ["a", "b", "c"]) grow([...prefix, next]);
  };
  grow([]);
  fc.assert(
    fc.property(filter, filter, (left, right) => {
      const [a, b] = [left, right].map((topic) => compileProfiles([profile({ topic })], []));
      const both = all.some((topic) => a?.match(topic) !== undefined && b?.match(topic) !== undefined);
      assert.is(topicsOverlap(left, right), both, `${left} ${right}`);
    }),
    { numRuns: 150, seed: 5 },
  );
});
topics.run();

const paths = suite("config: payload paths");
paths("steps", () => {
  for (const [text, steps] of [
    ["t", ["t"]],
    ["data.temp", ["data", "temp"]],
    ["a[0].b[12]", ["a", "0", "b", "12"]],
    ["[3]", ["3"]],
    ['"a.b".c', ["a.b", "c"]],
    ['x."q\\"\\\\"', ["x", 'q"\\']],
    ["a-b.ü_1", ["a-b", "ü_1"]],
  ] as const) {
    assert.equal(parsePayloadPath(text), steps, text);
  }
  for (const bad of ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a.[0]", "a b", 'a"b"', '"', '""', "a[0]b", Array(17).fill("a").join(".")])
    assert.is(parsePayloadPath(bad), undefined, bad);
});
paths.run();

const decoding = suite("config: payloads");
const bytes = (text: string) => new TextEncoder().encode(text);

/** `{ values, rejects, timeUs }`, or the reason why there are none. */
function decode(settings: ProfileSettings, payload: string | Uint8Array, decoder = createDecoder()) {
  const match = defined(compileProfiles([settings], []).match("s/d/c"), "match");
  const result = decoder.decode(match, typeof payload === "string" ? bytes(payload) : payload);
  return "reason" in result ? result.reason : plain(settings, result);
}

function plain(settings: ProfileSettings, message: DecodedMessage) {
  const rows = Array.from(
    { length: message.count },
    (_, row) => [settings.metrics[message.metrics[row] ?? -1]?.name ?? "?", valueAt(message, row)] as const,
  );
  return {
    values: Object.fromEntries(rows),
    ...(message.rejects.length > 0 && { rejects: message.rejects.map((reject) => [reject.metric, reject.reason]) }),
    ...(message.timeUs !== undefined && { timeUs: message.timeUs }),
  };
}

decoding("numbers, texts and booleans", () => {
  assert.equal(decode(profile(), '{"t":21.5,"h":48}'), { values: { t: 21.5, h: 48 } });
  assert.equal(decode(profile(), '{"t":"on","h":true,"x":1}'), { values: { t: "on", h: true } });
  assert.equal(decode(profile(), '{"t":false,"h":""}'), { values: { t: false, h: "" } });
  const negativeZero = decode(profile(), '{"t":-0}');
  assert.ok(typeof negativeZero === "object" && Object.is(negativeZero.values.t, -0));
});
decoding("a missing metric is absent; none at all is a reject", () => {
  assert.equal(decode(profile(), '{"h":1}'), { values: { h: 1 } });
  for (const none of ["{}", "[]", "5", '"x"', "null", '{"T":1}']) assert.is(decode(profile(), none), "no-metric", none);
});
decoding("what is no JSON", () => {
  for (const bad of ["", "{", "t=1", "NaN", '{"t":NaN}', "\u0000", "{'t':1}"]) assert.is(decode(profile(), bad), "bad-payload", bad);
  assert.is(decode(profile(), new Uint8Array([0x22, 0xff, 0x22])), "bad-payload");
  assert.is(decode(profile(), "[".repeat(500_000)), "bad-payload", "deep nesting");
});
decoding("objects, arrays and null are of the wrong type; the others stand", () => {
  for (const value of ["{}", "[1]", "null"])
    assert.equal(decode(profile(), `{"t":${value},"h":1}`), { values: { h: 1 }, rejects: [["t", "wrong-type"]] });
  assert.equal(decode(profile(), '{"t":null}'), { values: {}, rejects: [["t", "wrong-type"]] });
});
decoding("only what the payload says itself is found", () => {
  const sly = profile({
    metrics: [
      metric("a", { path: ["constructor", "name"] }),
      metric("b", { path: ["__proto__"] }),
      metric("c", { path: ["list", "length"] }),
      metric("d", { path: ["text", "0"] }),
    ],
  });
  assert.is(decode(sly, '{"list":[1],"text":"x"}'), "no-metric");
  assert.equal(decode(sly, '{"__proto__":7}'), { values: { b: 7 } });
});
decoding("nested paths and array indices", () => {
  const nested = profile({ metrics: [metric("a", { path: ["x", "0", "y.z"] })] });
  assert.equal(decode(nested, '{"x":[{"y.z":3}]}'), { values: { a: 3 } });
  assert.is(decode(nested, '{"x":[]}'), "no-metric");
  assert.is(decode(nested, '{"x":5}'), "no-metric");
});
decoding("first the scale, then the range", () => {
  const scaled = profile({ metrics: [metric("t", { scale: 0.1, min: -40, max: 125 }), metric("h")] });
  assert.equal(decode(scaled, '{"t":1250,"h":1}'), { values: { t: 125, h: 1 } });
  assert.equal(decode(scaled, '{"t":1251,"h":1}'), { values: { h: 1 }, rejects: [["t", "out-of-range"]] });
  assert.equal(decode(scaled, '{"t":-401}'), { values: {}, rejects: [["t", "out-of-range"]] });
  for (const value of ['"12"', "true"]) assert.equal(decode(scaled, `{"t":${value}}`), { values: {}, rejects: [["t", "wrong-type"]] });
  assert.equal(decode(profile(), '{"t":1e999}'), { values: {}, rejects: [["t", "out-of-range"]] }, "JSON can say infinity");
  assert.equal(decode(profile({ metrics: [metric("t", { scale: 10 })] }), '{"t":1e308}'), { values: {}, rejects: [["t", "out-of-range"]] });
});
decoding("texts are valid Unicode and bounded", () => {
  assert.equal(decode(profile(), '{"t":"\\ud83d\\ude00"}'), { values: { t: "😀" } });
  assert.equal(decode(profile(), '{"t":"\\ud83d"}'), { values: {}, rejects: [["t", "wrong-type"]] });
  const fits = "é".repeat(textBytesMax / 2);
  assert.equal(decode(profile(), JSON.stringify({ t: fits })), { values: { t: fits } });
  assert.equal(decode(profile(), JSON.stringify({ t: `${fits}x` })), { values: {}, rejects: [["t", "out-of-range"]] });
});
decoding("payload: number", () => {
  const number = profile({ payload: "number", metrics: [metric("t", { path: [], scale: 2, max: 100 })] });
  for (const [text, value] of [
    ["21.5", 43],
    [" -3\n", -6],
    ["+.5", 1],
    ["1.", 2],
    ["1e1", 20],
  ] as const)
    assert.equal(decode(number, text), { values: { t: value } }, text);
  for (const bad of ["", " ", "1,5", "0x10", "1_0", "NaN", "Infinity", "21.5 C", "--1", ".", "e5", "1 2"])
    assert.is(decode(number, bad), "bad-payload", bad);
  for (const far of ["51", "1e999"]) assert.equal(decode(number, far), { values: {}, rejects: [["t", "out-of-range"]] });
});
decoding("payload: text", () => {
  const text = profile({ payload: "text", metrics: [metric("s", { path: [] })] });
  assert.equal(decode(text, " läuft \n"), { values: { s: " läuft \n" } });
  assert.equal(decode(text, ""), { values: { s: "" } });
  assert.equal(decode(text, "x".repeat(textBytesMax)), { values: { s: "x".repeat(textBytesMax) } });
  assert.is(decode(text, "x".repeat(textBytesMax + 1)), "bad-payload");
  assert.is(decode(text, new Uint8Array([0xc3])), "bad-payload");
});
decoding("the device's own time", () => {
  const timed = profile({ timestamp: { path: ["ts"], unit: "ms" } });
  assert.equal(decode(timed, '{"ts":1700000000123,"t":1}'), { values: { t: 1 }, timeUs: 1_700_000_000_123_000 });
  for (const bad of ['{"t":1}', '{"ts":null,"t":1}', '{"ts":-1,"t":1}', '{"ts":true,"t":1}', '{"ts":9e15,"t":1}', '{"ts":"soon","t":1}'])
    assert.is(decode(timed, bad), "bad-timestamp", bad);
});
decoding("the scratch object keeps nothing of the message before", () => {
  const decoder = createDecoder();
  const timed = profile({ timestamp: { path: ["ts"], unit: "s" } });
  const wide = profile({ metrics: Array.from({ length: 40 }, (_, i) => metric(`m${i}`)) });
  assert.equal(decode(timed, '{"ts":1,"t":"a","h":null}', decoder), {
    values: { t: "a" },
    rejects: [["h", "wrong-type"]],
    timeUs: 1_000_000,
  });
  assert.is(decode(profile(), "{", decoder), "bad-payload");
  assert.equal(decode(profile(), '{"h":"b"}', decoder), { values: { h: "b" } });
  assert.equal(decode(wide, '{"m39":39,"m0":"z"}', decoder), { values: { m0: "z", m39: 39 } });
});
decoding("finite numbers come out as JSON.parse reads them", () => {
  const decoder = createDecoder();
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), (value, flag) => {
      assert.equal(decode(profile(), JSON.stringify({ t: value, h: flag }), decoder), {
        values: { t: Number(JSON.stringify(value)), h: flag },
      });
    }),
    { seed: 3 },
  );
});
decoding.run();
