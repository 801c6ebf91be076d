// Goal: a snapshot is the state: restored, it looks and behaves the same, its bytes depend on the state alone, later commands do
// not reach a capture, and damaged bytes change nothing. Method: random logs with every command; every truncation, many flips.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeCommand, encodeCommand } from "../../../src/core/site/command-codec.ts";
import type { SiteCommand } from "../../../src/core/site/commands.ts";
import { type SiteState, SiteState as State, type StateCapture } from "../../../src/core/site/site-state.ts";
import { type GatewayId, sessionId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { a, anyCommand, b, bootstrap, c, LoggedSite, smallBounds } from "./site-fixture.ts";

const packing = new Packing();
const pictureOf = (state: SiteState) => JSON.stringify(state.snapshot());
const bytesOf = (capture: StateCapture) => Buffer.concat([...capture.blocks(packing)]);
const founding: readonly SiteCommand[] = [bootstrap([a, b, c], 2), { t: "feature-level", level: 3 }];

/** As it comes from a log: encoded and decoded. */
function logged(command: SiteCommand | undefined): SiteCommand | undefined {
  if (command === undefined) return undefined;
  const decoded = decodeCommand(encodeCommand(command, packing), packing);
  if (!decoded.ok) throw new Error(`${JSON.stringify(command)}: ${decoded.message}`);
  return decoded.value;
}

function applyAll(state: SiteState, commands: readonly (SiteCommand | undefined)[]) {
  return commands.map((command) => JSON.stringify(state.apply(state.appliedIndex() + 1, logged(command))));
}

function restored(encoded: Uint8Array): SiteState {
  const state = new State(smallBounds);
  const result = state.restore(encoded, packing);
  if (!result.ok) throw new Error(result.message);
  return state;
}

const commands = fc.array(anyCommand, { maxLength: 60 });

const test = suite("core/site: snapshots of the state");

test("restored from its blocks, the state looks the same and answers all further commands alike", () => {
  fc.assert(
    fc.property(commands, commands, (before, after) => {
      const state = new State(smallBounds);
      applyAll(state, [...founding, ...before]);
      const encoded = bytesOf(state.capture());
      const again = restored(encoded);
      assert.is(pictureOf(again), pictureOf(state));
      assert.is(again.appliedIndex(), state.appliedIndex());
      assert.ok(bytesOf(again.capture()).equals(encoded), "equal states give equal bytes");
      assert.equal(applyAll(again, after), applyAll(state, after));
      assert.is(pictureOf(again), pictureOf(state));
      assert.ok(bytesOf(again.capture()).equals(bytesOf(state.capture())));
    }),
    { numRuns: 250 },
  );
});

test("what is applied after a capture, and while it is encoded, does not reach it", () => {
  fc.assert(
    fc.property(commands, commands, (before, after) => {
      const state = new State(smallBounds);
      applyAll(state, [...founding, ...before]);
      const picture = pictureOf(state);
      const expected = bytesOf(state.capture());
      const capture = state.capture();
      const late = capture.blocks(packing)[Symbol.iterator]();
      applyAll(state, after);
      const blocks: Uint8Array[] = [];
      for (let next = late.next(); next.done !== true; next = late.next()) blocks.push(next.value);
      assert.ok(Buffer.concat(blocks).equals(expected));
      assert.is(pictureOf(restored(Buffer.concat(blocks))), picture);
      assert.is(capture.appliedIndex, founding.length + before.length);
    }),
    { numRuns: 150 },
  );
});

function fullSite(): LoggedSite {
  const site = LoggedSite.founded([a, b, c], 2, smallBounds);
  site.apply({ t: "session-open", gateway: a, session: sessionId("s1") });
  const wrapped = { t: "kv-put", key: "k", value: new Uint8Array([1, 2, 3]), expect: -1 } as const;
  site.apply({ t: "once", session: sessionId("s1"), sequence: 0, floor: 0, command: wrapped });
  site.commit("mean", 0, ["archive"]);
  site.replace(b);
  return site;
}

test("a snapshot that ends early is refused, wherever, and nothing is changed", () => {
  const encoded = bytesOf(fullSite().state.capture());
  const state = fullSite().state;
  const picture = pictureOf(state);
  for (let length = 0; length < encoded.length; length++) {
    const result = state.restore(encoded.subarray(0, length), packing);
    assert.ok(!result.ok && result.code === "data-damaged", `cut at ${length}`);
  }
  assert.not(state.restore(Buffer.concat([encoded, new Uint8Array([0])]), packing).ok, "too long");
  assert.not(state.restore(Buffer.concat([encoded, encoded]), packing).ok, "twice");
  assert.is(pictureOf(state), picture);
});

test("any flipped bit is found, and nothing is changed", () => {
  const encoded = bytesOf(fullSite().state.capture());
  const state = fullSite().state;
  const picture = pictureOf(state);
  for (let at = 0; at < encoded.length; at++) {
    const flipped = Uint8Array.from(encoded);
    flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
    assert.not(state.restore(flipped, packing).ok, `byte ${at}`);
  }
  assert.is(pictureOf(state), picture);
});

test("the state is cut into blocks of about 64 KiB; blocks that are missing or exchanged are found", () => {
  const site = LoggedSite.founded();
  const put = (key: string, size: number) => site.apply({ t: "kv-put", key, value: new Uint8Array(size).fill(7), expect: -1 });
  for (let at = 0; at < 300; at++) put(`key-${at}`, 1_000);
  put("large", 1 << 20);
  for (let at = 0; at < 300; at++) put(`more-${at}`, 1_000);
  const blocks = [...site.state.capture().blocks(packing)];
  assert.ok(blocks.length >= 10, `${blocks.length} blocks`);
  const large = blocks.filter((block) => block.length > (64 << 10) + 64);
  assert.is(large.length, 1, "the one with the large value");
  assert.ok((large[0]?.length ?? 0) < (1 << 20) + 200, "and nothing else in it");
  const fresh = new State();
  assert.ok(fresh.restore(Buffer.concat(blocks), packing).ok);
  assert.is(fresh.kv("large")?.value.length, 1 << 20);
  assert.is(fresh.kv("large")?.value.buffer.byteLength, 1 << 20, "no view of the whole snapshot");
  const exchanged = [blocks[0], blocks[2], blocks[1], ...blocks.slice(3)] as Uint8Array[];
  assert.not(new State().restore(Buffer.concat(exchanged), packing).ok);
  assert.not(new State().restore(Buffer.concat(blocks.toSpliced(3, 1)), packing).ok);
});

test("a snapshot without the results of sessions would let a copy be applied again; this one does not", () => {
  const site = fullSite();
  const again = restored(bytesOf(site.state.capture()));
  const wrapped = { t: "kv-put", key: "k", value: new Uint8Array([9]), expect: -1 } as const;
  const copy: SiteCommand = { t: "once", session: sessionId("s1"), sequence: 0, floor: 0, command: wrapped };
  assert.equal(again.apply(site.index + 1, copy), { t: "kv", ok: true, revision: 4, existed: false });
  assert.equal(again.kv("k")?.value, new Uint8Array([1, 2, 3]));
});

test("the whole memory of a large job survives", () => {
  const site = LoggedSite.founded();
  for (let at = 0; at < 3_000; at++) site.commit("mean", at * 10_000);
  const again = restored(bytesOf(site.state.capture()));
  for (const at of [0, 1, 1_500, 2_999])
    assert.equal(again.job("mean")?.windows.get(at * 10_000), site.state.job("mean")?.windows.get(at * 10_000));
  assert.is(again.job("mean")?.commits, 3_000);
  assert.equal(again.outbox().runs.at(-1), site.state.outbox().runs.at(-1));
});

const codec = suite("core/site: commands of level 2");

codec("a version that knows less refuses them like unknown ones, wrapped ones too", () => {
  const inner: SiteCommand = { t: "job-seen", job: "mean", sinceMs: 0 };
  const wrapped: SiteCommand = { t: "once", session: sessionId("s"), sequence: 0, floor: 0, command: inner };
  for (const command of [{ t: "feature-level", level: 2 } as const, wrapped]) {
    const encoded = encodeCommand(command, packing);
    assert.ok(decodeCommand(encoded, packing).ok);
    assert.not(decodeCommand(encoded, packing, 1).ok);
  }
  assert.ok(decodeCommand(encodeCommand(inner, packing), packing, 1).ok);
});

codec("each field is looked at", () => {
  const gateway: GatewayId = a;
  const session = sessionId("s");
  const address = { host: "h", mqtt: 1, mesh: 2, http: 3 };
  const inner = { t: "job-seen", job: "mean", sinceMs: 0 };
  const good: Record<string, unknown>[] = [
    { t: "feature-level", level: 2 },
    { t: "session-open", gateway, session },
    { t: "once", session, sequence: 0, floor: 0, command: inner },
    { t: "gateway-add", gateway, role: "full", weight: 1, address, zone: "z" },
    { t: "gateway-admit", gateway, incarnation: "i" },
    { t: "gateway-replace", gateway, force: false },
    { t: "gateway-remove", gateway, force: true },
    { t: "results-stored", gateway, ordinal: 0 },
    { t: "retention-advance", level: "raw", partitions: new Uint8Array(128), horizonUs: 0, unprocessedWindows: 0 },
  ];
  for (const command of good) {
    assert.ok(decodeCommand(packing.pack(command), packing).ok, String(command["t"]));
    for (const name of Object.keys(command)) {
      const wrong = { ...command, [name]: { wrong: true } };
      assert.not(decodeCommand(packing.pack(wrong), packing).ok, `${String(command["t"])}.${name}`);
      const { [name]: _, ...missing } = command;
      assert.is(decodeCommand(packing.pack(missing), packing).ok, name === "zone", `${String(command["t"])} without ${name}`);
    }
  }
});

codec("an address can be called: its host is not empty, its ports are 1 to 65,535", () => {
  const address = { host: "h", mqtt: 1, mesh: 65_535, http: 3 };
  const add = (changes: object) => ({ t: "gateway-add", gateway: a, role: "full", weight: 1, address: { ...address, ...changes } });
  assert.ok(decodeCommand(packing.pack(add({})), packing).ok);
  for (const changes of [{ host: "" }, { mqtt: 0 }, { mesh: 0 }, { mesh: 65_536 }, { http: -1 }, { http: 1.5 }, { mesh: "1" }])
    assert.not(decodeCommand(packing.pack(add(changes)), packing).ok, JSON.stringify(changes));
});

codec("what wraps is not wrapped again", () => {
  let command: unknown = { t: "job-seen", job: "mean", sinceMs: 0 };
  const wrap = (inner: unknown) => ({ t: "once", session: "s", sequence: 0, floor: 0, command: inner });
  command = wrap(command);
  assert.ok(decodeCommand(packing.pack(command), packing).ok);
  assert.not(decodeCommand(packing.pack(wrap(command)), packing).ok);
  for (let depth = 0; depth < 200; depth++) command = wrap(command);
  assert.not(decodeCommand(packing.pack(command), packing).ok);
  assert.not(decodeCommand(packing.pack(wrap({ t: "session-open", gateway: a, session: "s" })), packing).ok);
});

test.run();
codec.run();
