// Goal: damage on disk is told apart from a torn tail: whatever had provably been durable is served whole or not at all.
// Method: small logs on real files, then every byte flipped, every file cut at every length and every file removed, each
// time with a verdict: `log-damaged` naming the file, or exactly the records that were there.
import * as assert from "uvu/assert";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { suite } from "uvu";
import { FileLogDirectory } from "../../../src/adapters/file-log.ts";
import { encodeSegmentHeader, recordHeaderBytes, segmentHeaderBytes } from "../../../src/lib/log-format.ts";
import type { Log } from "../../../src/ports/log.ts";
import { FaultyFiles } from "../../lib/faulty-files.ts";

const test = suite("adapters/log/damage");
const texts = ["alpha", "beta", "gamma gamma gamma", "delta", "epsilon epsilon", "zeta"];
let root = "";

test.before.each(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-damage-"));
});
test.after.each(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

type Image = Map<string, Buffer>;

async function appendAll(log: Log, texts: readonly string[]): Promise<void> {
  for (const text of texts) await new Promise<void>((resolve) => log.append([Buffer.from(text)], resolve));
}

/** A log of three segments with two records each, and its files. */
async function makeLog(options: { readonly closed: boolean }): Promise<Image> {
  let files: FaultyFiles | undefined;
  const directory = new FileLogDirectory({
    folder: path.join(root, "made"),
    wrap: (inner) => {
      files = new FaultyFiles(inner);
      return files;
    },
  });
  const opened = await directory.open("raft", { visit: () => undefined, segmentBytesMax: 130 });
  assert.ok(opened.ok);
  await appendAll(opened.value, texts);
  if (options.closed) await opened.value.close();
  await files?.kill();
  const folder = path.join(root, "made", "raft");
  return new Map(fs.readdirSync(folder).map((name) => [name, fs.readFileSync(path.join(folder, name))]));
}

type Verdict = { readonly damaged: string } | { readonly served: string[]; readonly tornTailBytes: number };

async function openImage(image: Image): Promise<Verdict> {
  const folder = path.join(root, "tried");
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(path.join(folder, "raft"), { recursive: true });
  for (const [name, bytes] of image) fs.writeFileSync(path.join(folder, "raft", name), bytes);
  const served: string[] = [];
  const opened = await new FileLogDirectory({ folder }).open("raft", { visit: (_, payload) => served.push(Buffer.from(payload).toString()) });
  if (!opened.ok) {
    assert.is(opened.code, "log-damaged", opened.message);
    return { damaged: opened.message };
  }
  const { tornTailBytes } = opened.value.stats();
  await opened.value.close();
  return { served, tornTailBytes };
}

const segmentsOf = (image: Image) => [...image.keys()].filter((name) => name.endsWith(".log")).sort();
const changed = (image: Image, name: string, bytes: Buffer): Image => new Map(image).set(name, bytes);

test("a log that was closed: each flipped bit is damage, but in the last marker, where no record is lost", async () => {
  const image = await makeLog({ closed: true });
  assert.is(segmentsOf(image).length, 3);
  assert.equal(await openImage(image), { served: texts, tornTailBytes: 0 });
  const last = segmentsOf(image).at(-1);
  for (const [name, bytes] of image) {
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      const verdict = await openImage(changed(image, name, flipped));
      if (name === last && at >= bytes.length - recordHeaderBytes) {
        assert.equal(verdict, { served: texts, tornTailBytes: recordHeaderBytes }, `${name}, byte ${at}`);
      } else {
        assert.ok("damaged" in verdict, `${name}, byte ${at} was served`);
        assert.ok(verdict.damaged.includes(name), verdict.damaged);
      }
    }
  }
});

test("a log that was closed: a file that is cut short is damage, wherever a record is lost", async () => {
  const image = await makeLog({ closed: true });
  const last = segmentsOf(image).at(-1);
  for (const [name, bytes] of image) {
    // Every length of the last segment; of the others enough to cut each field once.
    for (let length = 0; length < bytes.length; length += name === last ? 1 : 3) {
      const verdict = await openImage(changed(image, name, bytes.subarray(0, length)));
      if (name === last && length >= bytes.length - recordHeaderBytes) {
        assert.equal(verdict, { served: texts, tornTailBytes: length - (bytes.length - recordHeaderBytes) });
      } else {
        assert.ok("damaged" in verdict, `${name} cut at ${length} was served`);
      }
    }
  }
});

test("a log whose process died: the records that later bytes vouch for are damage when flipped; the last one alone is a torn tail", async () => {
  const image = await makeLog({ closed: false });
  const last = segmentsOf(image).at(-1) as string;
  for (const [name, bytes] of image) {
    const lastRecordAt = bytes.length - recordHeaderBytes - (texts.at(-1) as string).length;
    for (let at = 0; at < bytes.length; at += name === last ? 1 : 5) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      const verdict = await openImage(changed(image, name, flipped));
      if (name === last && at >= lastRecordAt) {
        assert.equal(verdict, { served: texts.slice(0, -1), tornTailBytes: bytes.length - lastRecordAt });
      } else {
        assert.ok("damaged" in verdict, `${name}, byte ${at} was served`);
      }
    }
  }
});

test("each missing file is damage, and is named; the folder's other files are left alone", async () => {
  const image = await makeLog({ closed: true });
  for (const name of image.keys()) {
    const rest = new Map(image);
    rest.delete(name);
    const verdict = await openImage(rest);
    assert.ok("damaged" in verdict, `without ${name}`);
    assert.ok(verdict.damaged.includes(name === "head" ? "head" : name.slice(17)), verdict.damaged);
  }
  const verdict = await openImage(new Map(image).set("head.tmp", Buffer.from("half")).set("notes.txt", Buffer.from("mine")));
  assert.equal(verdict, { served: texts, tornTailBytes: 0 });
  assert.equal(fs.existsSync(path.join(root, "tried", "raft", "head.tmp")), false);
  assert.equal(fs.readFileSync(path.join(root, "tried", "raft", "notes.txt"), "utf8"), "mine");
});

test("garbage, zeros and half a record behind the last record are a torn tail", async () => {
  const image = await makeLog({ closed: true });
  const last = segmentsOf(image).at(-1) as string;
  const bytes = image.get(last) as Buffer;
  const firstRecord = bytes.subarray(segmentHeaderBytes, segmentHeaderBytes + recordHeaderBytes + 10);
  for (const tail of [Buffer.from("x"), Buffer.alloc(5000), Buffer.alloc(700_000, 0xa5), firstRecord]) {
    assert.equal(await openImage(changed(image, last, Buffer.concat([bytes, tail]))), { served: texts, tornTailBytes: tail.length });
  }
});

test("a file of another log, of another version and of another segment's name is refused", async () => {
  const image = await makeLog({ closed: true });
  const [first, second] = segmentsOf(image) as [string, string, string];
  const salt = (image.get(first) as Buffer).readUInt32LE(28);
  const foreign = Buffer.from(encodeSegmentHeader({ name: "readings", ordinal: 1, base: 1, chain: 0, salt, supersedes: false }));
  const cases: [Image, RegExp][] = [
    [changed(image, first, Buffer.concat([foreign, (image.get(first) as Buffer).subarray(segmentHeaderBytes)])), /belongs to the log "readings"/],
    [changed(image, first, image.get(second) as Buffer), /its header says that it is 0000000000000003-00000002\.log/],
    [new Map(image).set("00000000000000ff-00000002.log", Buffer.alloc(0)), /two segments have the same ordinal/],
    [new Map(image).set("0000000000000007-00000004.log", image.get(second) as Buffer), /knows segments up to 3 only/],
  ];
  for (const [tampered, message] of cases) {
    const verdict = await openImage(tampered);
    assert.ok("damaged" in verdict);
    assert.match(verdict.damaged, message);
  }
});

test("a payload that contains a record of the log cannot make a torn tail look like damage", async () => {
  // The attacker knows the format and guesses sequence numbers, but not the salt of the segment.
  const directory = new FileLogDirectory({ folder: path.join(root, "made") });
  const opened = await directory.open("raft", { visit: () => undefined });
  assert.ok(opened.ok);
  await appendAll(opened.value, ["first"]);
  const folder = path.join(root, "made", "raft");
  const [name] = fs.readdirSync(folder).filter((file) => file.endsWith(".log")) as [string];
  const guessed = Buffer.alloc(64 * 1024);
  for (let at = 0; at + 32 <= guessed.length; at += 32) {
    guessed.writeUInt32LE(at, at);
    guessed[at + 16] = 9;
    guessed[at + 22] = 2;
    guessed[at + 24] = 9;
  }
  await new Promise<void>((resolve) => opened.value.append([guessed], resolve));
  const bytes = fs.readFileSync(path.join(folder, name));
  await opened.value.close();
  const image: Image = new Map(fs.readdirSync(folder).map((file) => [file, fs.readFileSync(path.join(folder, file))]));
  // As after a power cut: the head of the beginning, and a segment that ends in the middle of the second record.
  const head = (await makeFreshHead()).get("head") as Buffer;
  const verdict = await openImage(new Map(image).set("head", head).set(name, bytes.subarray(0, bytes.length - 5)));
  assert.equal("served" in verdict && verdict.served, ["first"]);
});

async function makeFreshHead(): Promise<Image> {
  const folder = path.join(root, "fresh");
  const opened = await new FileLogDirectory({ folder }).open("raft", { visit: () => undefined });
  assert.ok(opened.ok);
  await opened.value.close();
  return new Map([["head", fs.readFileSync(path.join(folder, "raft", "head"))]]);
}

test.run();
