// Goal: damage on disk is told apart from a torn tail: whatever had provably been durable is served whole or not at all.
// Method: small logs on files in memory, then every byte flipped, every file cut at every length and every file removed,
// each time with a verdict: `log-damaged` naming the file, or exactly the records that were there.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { encodeSegmentHeader, headFileName, recordHeaderBytes, segmentHeaderBytes } from "../../src/lib/log-format.ts";
import { openSegmentedLog, type SegmentedLog } from "../../src/lib/segmented-log.ts";
import { MemoryFiles, memoryHost } from "./memory-files.ts";

const test = suite("lib/log-open");
const texts = ["alpha", "beta", "gamma gamma gamma", "delta", "epsilon epsilon", "zeta"];

type Image = Map<string, Buffer>;

const host = memoryHost();

async function appendAll(log: SegmentedLog, payloads: readonly (string | Buffer)[]): Promise<void> {
  for (const payload of payloads) await new Promise<void>((resolve) => log.append([Buffer.from(payload)], resolve));
}

async function open(files: MemoryFiles, visit: (sequence: number, payload: Uint8Array) => void = () => undefined) {
  return await openSegmentedLog({ name: "raft", files, host, visit, segmentBytesMax: 130 });
}

async function opened(files: MemoryFiles): Promise<SegmentedLog> {
  const result = await open(files);
  if (!result.ok) throw new Error(result.message);
  return result.value;
}

const imageOf = (files: MemoryFiles): Image => new Map([...files.contents].map(([name, bytes]) => [name, Buffer.from(bytes)]));

/** A log of three segments with two records each. It was closed once in between: the second one ends with a marker. */
async function makeLog(options: { readonly closed: boolean }): Promise<Image> {
  const files = new MemoryFiles();
  const first = await opened(files);
  await appendAll(first, texts.slice(0, 4));
  await first.close();
  const second = await opened(files);
  await appendAll(second, texts.slice(4));
  if (options.closed) await second.close();
  return imageOf(files);
}

type Verdict = { readonly damaged: string } | { readonly served: string[]; readonly tornTailBytes: number };

async function openImage(image: Image, files = new MemoryFiles(image)): Promise<Verdict> {
  const served: string[] = [];
  const result = await open(files, (_, payload) => served.push(Buffer.from(payload).toString()));
  if (!result.ok) {
    assert.is(result.code, "log-damaged", result.message);
    return { damaged: result.message };
  }
  const { tornTailBytes } = result.value.stats();
  await result.value.close();
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
  const [, second, last] = segmentsOf(image);
  for (const [name, bytes] of image) {
    for (let length = 0; length < bytes.length; length++) {
      const verdict = await openImage(changed(image, name, bytes.subarray(0, length)));
      const behindRecords = length - (bytes.length - recordHeaderBytes);
      // Only a marker, or a part of it, is gone.
      if ((name === last && behindRecords >= 0) || (name === second && behindRecords === 0)) {
        assert.equal(verdict, { served: texts, tornTailBytes: behindRecords });
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
    for (let at = 0; at < bytes.length; at++) {
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
  const files = new MemoryFiles(new Map(image).set("head.tmp", Buffer.from("half")).set("notes.txt", Buffer.from("mine")));
  const verdict = await openImage(image, files);
  assert.equal(verdict, { served: texts, tornTailBytes: 0 });
  assert.is(files.contents.has("head.tmp"), false);
  assert.equal(files.contents.get("notes.txt"), Buffer.from("mine"));
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
    [
      changed(image, first, Buffer.concat([foreign, (image.get(first) as Buffer).subarray(segmentHeaderBytes)])),
      /belongs to the log "readings"/,
    ],
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
  const files = new MemoryFiles();
  const log = await opened(files);
  await appendAll(log, ["first"]);
  const guessed = Buffer.alloc(64 * 1024);
  for (let at = 0; at + 32 <= guessed.length; at += 32) {
    guessed.writeUInt32LE(at, at);
    guessed[at + 16] = 9;
    guessed[at + 22] = 2;
    guessed[at + 24] = 9;
  }
  await appendAll(log, [guessed]);
  const image = imageOf(files);
  const [name] = segmentsOf(image) as [string];
  const bytes = image.get(name) as Buffer;
  // As after a power cut: the second record is cut off.
  const verdict = await openImage(changed(image, name, bytes.subarray(0, bytes.length - 5)));
  assert.equal("served" in verdict && verdict.served, ["first"]);
});

test("a crash while the first segment or the head file was made leaves an empty log, and a lost head file does not", async () => {
  const files = new MemoryFiles();
  const log = await opened(files);
  const fresh = imageOf(files);
  const [name] = segmentsOf(fresh) as [string];
  const header = fresh.get(name) as Buffer;
  for (let length = 0; length <= header.length; length++) {
    const verdict = await openImage(new Map([[name, header.subarray(0, length)]]));
    assert.equal(verdict, { served: [], tornTailBytes: 0 });
  }
  await appendAll(log, ["one"]);
  const used = imageOf(files);
  used.delete(headFileName);
  assert.ok("damaged" in (await openImage(used)));
});

test("a crash while a further segment was made leaves a file that is removed", async () => {
  const image = await makeLog({ closed: true });
  const header = Buffer.from(encodeSegmentHeader({ name: "raft", ordinal: 4, base: 7, chain: 0, salt: 1, supersedes: false }));
  for (let length = 0; length <= header.length; length++) {
    const files = new MemoryFiles(new Map(image).set("0000000000000007-00000004.log", header.subarray(0, length)));
    assert.equal(await openImage(image, files), { served: texts, tornTailBytes: 0 });
    assert.is(files.contents.has("0000000000000007-00000004.log"), false);
  }
});

test("records larger than the reader's window: read back, and damage in one is found by the next, megabytes further on", async () => {
  const files = new MemoryFiles();
  const large = (byte: number) => Buffer.alloc(900_000, byte);
  const options = { name: "raft", files, host, visit: () => undefined };
  const first = await openSegmentedLog(options);
  assert.ok(first.ok);
  await appendAll(first.value, [large(1), "small", large(2), large(3)]);
  const image = imageOf(files);
  const [name] = segmentsOf(image) as [string];
  const bytes = image.get(name) as Buffer;
  const sizes: number[] = [];
  const again = await openSegmentedLog({ ...options, files: new MemoryFiles(image), visit: (_, payload) => sizes.push(payload.length) });
  assert.ok(again.ok);
  assert.equal(sizes, [900_000, 5, 900_000, 900_000]);
  const firstAt = segmentHeaderBytes;
  const thirdAt = firstAt + 2 * recordHeaderBytes + 900_005;
  // In the payload, in the length (the next record's place is then unknown), in the salt at the very beginning.
  for (const at of [firstAt + 500_000, firstAt + 9, firstAt, thirdAt + 400_000, thirdAt + 10]) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] as number) ^ 4;
    const result = await openSegmentedLog({ ...options, files: new MemoryFiles(changed(image, name, flipped)) });
    assert.is(!result.ok && result.code, "log-damaged", `byte ${at}`);
    assert.match(result.ok ? "" : result.message, at < thirdAt ? "byte 64, sequence 1" : `byte ${thirdAt}, sequence 3`);
  }
});

test.run();
