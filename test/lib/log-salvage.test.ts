// Goal: a damaged log that is opened with `salvage` gives what it had, less what is lost, and says what that is; it never
// gives an altered record, a wrong number, or a log without its newest durable record. Method: small logs in memory; every
// byte flipped, every file cut at every length, every file removed, and random heaps of damage; then it goes on being used.

import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeHead, encodeHead, headFileName, recordHeaderBytes, repairOneBit } from "../../src/lib/log-format.ts";
import { openSegmentedLog, type SegmentedLog } from "../../src/lib/segmented-log.ts";
import { MemoryFiles, memoryHost } from "./memory-files.ts";

const test = suite("lib/log-read (salvage)");

type Image = Map<string, Buffer>;
const imageOf = (files: MemoryFiles): Image => new Map([...files.contents].map(([name, bytes]) => [name, Buffer.from(bytes)]));
const textOf = (sequence: number) => `record ${sequence} ${"#".repeat(sequence % 5)}`;

interface Opened {
  readonly log: SegmentedLog;
  readonly seen: Map<number, string>;
}

/** `undefined`: refused as damaged. Every record that is seen must be the one that was written. */
async function open(files: MemoryFiles, salvage = true): Promise<Opened | undefined> {
  const seen = new Map<number, string>();
  let newest = 0;
  const visit = (sequence: number, payload: Uint8Array): void => {
    const text = Buffer.from(payload).toString();
    assert.is(text, textOf(sequence));
    assert.ok(sequence > newest, "in order");
    newest = sequence;
    seen.set(sequence, text);
  };
  const result = await openSegmentedLog({ name: "raft", files, host: memoryHost(), visit, segmentBytesMax: 200, salvage });
  if (result.ok) return { log: result.value, seen };
  assert.is(result.code, "log-damaged", result.message);
  return undefined;
}

async function mustOpen(files: MemoryFiles, salvage = true): Promise<Opened> {
  const opened = await open(files, salvage);
  if (opened === undefined) throw new Error("the log does not open");
  return opened;
}

async function append(log: SegmentedLog, count: number, batch = 1): Promise<void> {
  for (let i = 0; i < count; i += batch) {
    const last = Math.min(count, i + batch) - i;
    await new Promise<void>((resolve) => {
      for (let j = 1; j <= last; j++) log.append([Buffer.from(textOf(log.nextSequence()))], j === last ? resolve : () => undefined);
    });
  }
}

const recordCount = 17;

/** Several segments; two clean closes on the way, so that there are markers; batches of one and of three records. */
async function makeLog(options: { readonly closed: boolean; readonly trimmed?: boolean }): Promise<Image> {
  const files = new MemoryFiles();
  for (const [count, batch] of [
    [7, 1],
    [6, 3],
  ] as const) {
    const { log } = await mustOpen(files);
    await append(log, count, batch);
    await log.close();
  }
  const { log } = await mustOpen(files);
  await append(log, recordCount - 13);
  if (options.trimmed === true) await log.trim(8);
  if (options.closed) await log.close();
  return imageOf(files);
}

const segmentsOf = (image: ReadonlyMap<string, unknown>) => [...image.keys()].filter((name) => name.endsWith(".log")).sort();
const changed = (image: Image, name: string, bytes: Buffer): Image => new Map(image).set(name, bytes);

/** What must hold of a damaged log that opens, and of all that is done with it from then on. Returns how many records are lost. */
async function check(image: Image, expected: ReadonlySet<number>, files = new MemoryFiles(image)): Promise<number | "refused"> {
  const opened = await open(files);
  if (opened === undefined) return "refused";
  const { log, seen } = opened;
  const newest = log.durableSequence();
  for (const sequence of seen.keys()) assert.ok(expected.has(sequence), `record ${sequence} was there`);
  const lost = [...expected].filter((sequence) => !seen.has(sequence) && sequence <= newest);
  const report = log.damage();
  if (lost.length === 0) assert.is(report?.lostRecords ?? 0, 0);
  else {
    assert.ok(seen.has(newest), "the newest record is there");
    assert.ok(report !== undefined && report.lostRecords >= 1);
    assert.is(report.lastLost, Math.max(...lost));
    assert.ok(report.firstLost <= Math.max(...lost) && report.firstLost >= Math.min(...lost));
    assert.match(report.message, /\.log/);
  }
  // It goes on, and the damage is not forgotten.
  const before = imageOf(files);
  await append(log, 3);
  await log.close();
  for (const [name, bytes] of before) {
    const after = files.contents.get(name);
    if (report?.message.includes(`${name}, byte`) === true && after !== undefined && name !== headFileName)
      assert.ok(Buffer.from(after).equals(bytes), "nothing is appended to what is damaged");
  }
  const again = await mustOpen(files);
  assert.equal([...again.seen.keys()], [...seen.keys(), newest + 1, newest + 2, newest + 3]);
  assert.is(again.log.damage()?.lostRecords ?? 0, report?.lostRecords ?? 0);
  // Trimmed, it is whole again.
  await again.log.trim(newest + 1);
  const stillDamaged = again.log.damage();
  if (stillDamaged === undefined) {
    await again.log.close();
    const whole = await mustOpen(files, false);
    assert.ok(whole.seen.has(newest + 1) && whole.seen.has(newest + 3));
    await whole.log.close();
  } else {
    assert.is(stillDamaged.lostRecords, 0, "only a segment that is still written to can stay damaged");
    await again.log.close();
  }
  return lost.length;
}

const all = (from = 1) => new Set(Array.from({ length: recordCount - from + 1 }, (_, i) => from + i));

for (const trimmed of [false, true]) {
  for (const closed of [false, true]) {
    const name = `${trimmed ? "a trimmed log" : "a log"} that was ${closed ? "closed" : "left behind by a crash"}`;

    test(`${name}: whatever bit is flipped, at most one record is lost, and never the newest that was vouched for`, async () => {
      const image = await makeLog({ closed, trimmed });
      const expected = new Set((await mustOpen(new MemoryFiles(image))).seen.keys());
      const last = segmentsOf(image).at(-1) as string;
      const counts = { healed: 0, refused: 0 };
      for (const [file, bytes] of image) {
        for (let at = 0; at < bytes.length; at++) {
          const flipped = Buffer.from(bytes);
          flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
          const files = new MemoryFiles(changed(image, file, flipped));
          const lost = await check(image, expected, files);
          if (lost === "refused") {
            counts.refused++;
            assert.is(file, last, "only the newest record cannot be done without");
          } else {
            counts.healed++;
            assert.ok(lost <= 1, `${lost} records lost`);
          }
        }
      }
      assert.ok(counts.healed > 5 * counts.refused, JSON.stringify(counts));
      // Trimming rewrites the head file, which vouches for all that is durable then.
      if (!closed && !trimmed) assert.is(counts.refused, 0, "nothing vouches for the newest record of a crash: it is a torn tail");
      else assert.ok(counts.refused > recordHeaderBytes);
    });

    test(`${name}: cut at any length, or a file removed`, async () => {
      const image = await makeLog({ closed, trimmed });
      const expected = new Set((await mustOpen(new MemoryFiles(image))).seen.keys());
      const last = segmentsOf(image).at(-1) as string;
      for (const [file, bytes] of image) {
        for (let length = 0; length < bytes.length; length++) {
          const verdict = await check(image, expected, new MemoryFiles(changed(image, file, bytes.subarray(0, length))));
          if (file === headFileName) assert.is(verdict, "refused");
          else if (file !== last) assert.not(verdict === "refused", `${file} cut at ${length}`);
          else if (closed && length < bytes.length - recordHeaderBytes) assert.is(verdict, "refused");
        }
        const files = new MemoryFiles(image);
        files.contents.delete(file);
        const verdict = await check(image, expected, files);
        assert.is(verdict === "refused", file === headFileName || file === last, `without ${file}`);
      }
    });
  }
}

test("heaps of damage: never anything but what was written", async () => {
  const images = [await makeLog({ closed: true }), await makeLog({ closed: false }), await makeLog({ closed: true, trimmed: true })];
  const verdicts = { refused: 0, opened: 0, lost: 0 };
  const damage = fc.record({
    file: fc.nat(),
    kind: fc.constantFrom("flip", "flip", "zero", "cut", "remove"),
    at: fc.nat(),
    bit: fc.nat(7),
  });
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.array(damage, { minLength: 1, maxLength: 6 }), async (which, damages) => {
      const image = new Map(images[which] as Image);
      for (const { file, kind, at, bit } of damages) {
        const name = [...image.keys()][file % image.size] ?? "";
        const bytes = Buffer.from(image.get(name) ?? Buffer.alloc(0));
        if (kind === "remove") image.delete(name);
        else if (kind === "cut") image.set(name, bytes.subarray(0, at % (bytes.length + 1)));
        else if (kind === "zero")
          image.set(name, bytes.fill(0, at % (bytes.length + 1), Math.min(bytes.length, (at % (bytes.length + 1)) + 64)));
        else if (bytes.length > 0) {
          bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << bit);
          image.set(name, bytes);
        }
      }
      const opened = await open(new MemoryFiles(image));
      if (opened === undefined) verdicts.refused++;
      else {
        verdicts.opened++;
        const newest = opened.log.durableSequence();
        const missing = [...all(which === 2 ? 9 : 1)].filter((sequence) => sequence <= newest && !opened.seen.has(sequence));
        if (missing.length > 0) {
          verdicts.lost++;
          assert.ok(opened.seen.has(newest));
          assert.ok((opened.log.damage()?.lostRecords ?? 0) > 0, `${missing.join()} are missing without a word`);
        }
        await append(opened.log, 1);
        await opened.log.close();
      }
    }),
    { numRuns: 350 },
  );
  assert.ok(verdicts.lost > 50, JSON.stringify(verdicts));
});

test("without salvage nothing changes: damage ends the opening", async () => {
  const image = await makeLog({ closed: true });
  const [first] = segmentsOf(image) as [string];
  const flipped = Buffer.from(image.get(first) as Buffer);
  flipped[100] = (flipped[100] as number) ^ 1;
  assert.is(await open(new MemoryFiles(changed(image, first, flipped)), false), undefined);
});

test("records behind a missing segment's beginning are not served from the segment before it", async () => {
  // After a failed write the old segment may end with records that the next one has anew, perhaps others.
  const files = new MemoryFiles();
  const { log } = await mustOpen(files);
  await append(log, 3);
  const stale = imageOf(files);
  const [first] = segmentsOf(stale) as [string];
  const image = await makeLog({ closed: true });
  const names = segmentsOf(image);
  // Record 3 of the first segment stands behind what its watermarks vouch for.
  const cut = new Map(image).set(names[0] as string, Buffer.from(stale.get(first) as Buffer));
  cut.delete(names[1] as string);
  const { log: salvaged, seen } = await mustOpen(new MemoryFiles(cut));
  assert.equal([...seen.keys()].slice(0, 2), [1, 2]);
  assert.not(seen.has(3));
  assert.ok((salvaged.damage()?.firstLost ?? 0) === 3);
});

test("a header is repaired only when one bit explains its checksum", () => {
  const head = { name: "raft", firstOrdinal: 3, lastOrdinal: 9, durable: 4711 };
  const bytes = encodeHead(head);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = bytes.slice();
    flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
    assert.equal(repairOneBit(flipped, decodeHead), head);
  }
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(511), { minLength: 2, maxLength: 4 }), (bits) => {
      const flipped = bytes.slice();
      for (const bit of bits) flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
      const repaired = repairOneBit(flipped, decodeHead);
      assert.ok(repaired === undefined || bits.length > 2, "two changed bits are no single one");
    }),
  );
});

test.run();
