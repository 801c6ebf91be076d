// Goal: every Log keeps the promises that stand on the port, whatever it is made of. Method: one suite, run against the
// real files and against the simulated disk; each test opens the same folder several times, with crashes in between.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Result } from "../../src/lib/errors.ts";
import type { Log, LogOptions } from "../../src/ports/log.ts";
import { signal, subjectOf, type World } from "./subject.ts";

export interface LogSubject extends World {
  open(options: LogOptions): Promise<Result<Log>>;
  /** The process dies without a word; what it had under way is never answered. */
  crash(): Promise<void>;
  /** Between a close and an open: flips a bit of the oldest or the newest segment file. */
  flipBit(segment: "oldest" | "newest", offset: number): void;
}

interface Seen {
  readonly sequence: number;
  readonly text: string;
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

export function logContract(name: string, make: () => Promise<LogSubject>): void {
  const test = suite(name);

  const withSubject = subjectOf(make);

  async function open(subject: LogSubject, options: Partial<LogOptions> = {}): Promise<{ readonly log: Log; readonly seen: Seen[] }> {
    const seen: Seen[] = [];
    const visit = (sequence: number, payload: Uint8Array) => {
      seen.push({ sequence, text: new TextDecoder().decode(payload) });
    };
    const opened = await subject.settle(subject.open({ visit, ...options }));
    if (!opened.ok) throw new Error(opened.message);
    return { log: opened.value, seen };
  }

  async function appendAll(subject: LogSubject, log: Log, texts: readonly string[]): Promise<number[]> {
    const order: number[] = [];
    const last = signal();
    const sequences = texts.map((text, index) => {
      const sequence = log.append([bytesOf(text)], () => {
        order.push(sequence as number);
        if (index === texts.length - 1) last.fire();
      });
      return sequence;
    });
    await subject.settle(last.promise);
    assert.equal(order, sequences, "acknowledged in sequence order, each once");
    return order;
  }

  test(
    "a new log is empty and numbers its records from 1 without gaps",
    withSubject(async (subject) => {
      const { log, seen } = await open(subject);
      assert.equal(seen, []);
      assert.is(log.nextSequence(), 1);
      assert.is(log.durableSequence(), 0);
      assert.equal(await appendAll(subject, log, ["a", "b", "c"]), [1, 2, 3]);
      assert.is(log.nextSequence(), 4);
      assert.is(log.durableSequence(), 3);
      assert.equal(log.health(), { ok: true });
      await subject.settle(log.close());
    }),
  );

  test(
    "durable is never called before append returns, and several appends share one fsync",
    withSubject(async (subject) => {
      const { log } = await open(subject);
      const last = signal();
      let returned = false;
      for (let i = 0; i < 50; i++) {
        returned = false;
        log.append([bytesOf(`record ${i}`)], () => {
          assert.ok(returned);
          if (i === 49) last.fire();
        });
        returned = true;
      }
      assert.is(log.durableSequence(), 0);
      await subject.settle(last.promise);
      assert.is(log.stats().fsyncs, 1, "all had arrived when the fsync began");
      await subject.settle(log.close());
    }),
  );

  test(
    "parts are concatenated; empty and large records come back as they were",
    withSubject(async (subject) => {
      const { log } = await open(subject);
      const large = new Uint8Array(300_000).map((_, i) => i * 7);
      const done = signal();
      log.append([bytesOf("one "), bytesOf("two"), new Uint8Array(0), bytesOf(" three")], () => undefined);
      log.append([], () => undefined);
      log.append([bytesOf("<"), large, bytesOf(">")], done.fire);
      await subject.settle(done.promise);
      await subject.settle(log.close());
      const payloads: Uint8Array[] = [];
      const reopened = await open(subject, { visit: (_, payload) => payloads.push(payload.slice()) });
      assert.equal(
        payloads.map((payload) => payload.length),
        [13, 0, 300_002],
      );
      assert.is(new TextDecoder().decode(payloads[0]), "one two three");
      assert.ok(payloads[2]?.subarray(1, -1).every((byte, i) => byte === large[i]));
      await subject.settle(reopened.log.close());
    }),
  );

  test(
    "what was acknowledged survives a crash, in order; the sequence goes on behind it",
    withSubject(async (subject) => {
      const first = await open(subject);
      await appendAll(subject, first.log, ["a", "b", "c"]);
      for (let i = 0; i < 5; i++) first.log.append([bytesOf(`lost ${i}`)], () => undefined);
      await subject.crash();
      const second = await open(subject);
      assert.equal(second.seen.slice(0, 3), [
        { sequence: 1, text: "a" },
        { sequence: 2, text: "b" },
        { sequence: 3, text: "c" },
      ]);
      // What had not been acknowledged may be there, but only as a prefix of what was appended.
      for (const [index, { sequence, text }] of second.seen.slice(3).entries())
        assert.equal([sequence, text], [4 + index, `lost ${index}`]);
      assert.is(second.log.durableSequence(), second.seen.length);
      assert.is(second.log.nextSequence(), second.seen.length + 1);
      await appendAll(subject, second.log, ["d"]);
      await subject.settle(second.log.close());
      const third = await open(subject);
      assert.equal(third.seen, [...second.seen, { sequence: second.seen.length + 1, text: "d" }]);
      await subject.settle(third.log.close());
    }),
  );

  test(
    "close makes everything accepted durable and takes nothing more; markers consume no sequence number",
    withSubject(async (subject) => {
      for (let round = 0; round < 4; round++) {
        const { log, seen } = await open(subject);
        assert.is(seen.length, 3 * round);
        assert.is(log.stats().tornTailBytes, 0);
        const acknowledged: number[] = [];
        for (let i = 0; i < 3; i++) log.append([bytesOf("x")], () => acknowledged.push(i));
        const closing = log.close();
        assert.is(
          log.append([bytesOf("late")], () => undefined),
          undefined,
        );
        await subject.settle(closing);
        assert.equal(acknowledged, [0, 1, 2]);
        await subject.settle(log.close());
      }
    }),
  );

  test(
    "segments: many are written, trim frees whole ones and never what is needed",
    withSubject(async (subject) => {
      const options = { segmentBytesMax: 1024 };
      const { log } = await open(subject, options);
      for (let i = 0; i < 40; i++) await appendAll(subject, log, [`record ${i + 1} ${".".repeat(100)}`]);
      const before = log.stats();
      assert.ok(before.segments >= 4, `${before.segments} segments`);
      await subject.settle(log.trim(20));
      assert.ok(log.stats().segments < before.segments);
      assert.ok(log.stats().bytes < before.bytes);
      const trimmed = log.stats();
      await subject.settle(log.trim(20));
      await subject.settle(log.trim(1));
      assert.equal(log.stats(), trimmed, "idempotent");
      await subject.crash();
      const reopened = await open(subject, options);
      const sequences = reopened.seen.map(({ sequence }) => sequence);
      assert.ok((sequences[0] as number) > 1 && (sequences[0] as number) <= 20, `begins with ${sequences[0]}`);
      assert.equal(
        sequences,
        sequences.map((_, i) => (sequences[0] as number) + i),
      );
      assert.is(sequences.at(-1), 40);
      await subject.settle(reopened.log.trim(1000));
      assert.equal(await appendAll(subject, reopened.log, ["next"]), [41]);
      await subject.settle(reopened.log.close());
    }),
  );

  test(
    "salvage: lost records are gaps, and the damage is reported until it is trimmed away; the newest record cannot be lost",
    withSubject(async (subject) => {
      const options = { segmentBytesMax: 1024 };
      const { log } = await open(subject, options);
      for (let i = 1; i <= 20; i++) await appendAll(subject, log, [`record ${i} ${".".repeat(100)}`]);
      await subject.settle(log.close());
      // In the payload of the second record.
      subject.flipBit("oldest", 64 + 32 + 111 + 32 + 50);
      const refused = await subject.settle(subject.open({ visit: () => undefined, ...options }));
      assert.is(!refused.ok && refused.code, "log-damaged");
      for (let life = 0; life < 2; life++) {
        const salvaged = await open(subject, { ...options, salvage: true });
        const expected = Array.from({ length: 20 + life }, (_, i) => i + 1).filter((sequence) => sequence !== 2);
        assert.equal(
          salvaged.seen.map(({ sequence }) => sequence),
          expected,
        );
        const { message, ...lost } = salvaged.log.damage() ?? { message: "" };
        assert.equal(lost, { firstLost: 2, lastLost: 2, lostRecords: 1 });
        assert.match(message, /sequence 2: the checksum does not match/);
        assert.equal(await appendAll(subject, salvaged.log, ["more"]), [21 + life]);
        if (life === 1) {
          await subject.settle(salvaged.log.trim(20));
          assert.is(salvaged.log.damage(), undefined);
        }
        await subject.settle(salvaged.log.close());
      }
      // Each record in a segment of its own.
      const whole = await open(subject, { segmentBytesMax: 65 });
      assert.is(whole.log.damage(), undefined);
      assert.is(whole.seen.at(-1)?.sequence, 22);
      await appendAll(subject, whole.log, ["newest"]);
      await subject.settle(whole.log.close());
      // Nothing else can say what the newest record said.
      subject.flipBit("newest", 64 + 1);
      const wiped = await subject.settle(subject.open({ visit: () => undefined, ...options, salvage: true }));
      assert.is(!wiped.ok && wiped.code, "log-damaged");
    }),
  );

  test(
    "append refuses beyond pendingBytesMax and takes again when the disk has caught up",
    withSubject(async (subject) => {
      const { log } = await open(subject, { pendingBytesMax: 1000 });
      const last = signal();
      let accepted = 0;
      let durable = 0;
      while (
        log.append([new Uint8Array(100)], () => {
          if (++durable === accepted) last.fire();
        }) !== undefined
      ) {
        accepted++;
        assert.ok(accepted < 20);
      }
      assert.ok(accepted >= 5 && accepted <= 10, `accepted ${accepted}`);
      assert.is(log.nextSequence(), accepted + 1, "a refused record gets no number");
      await subject.settle(last.promise);
      // However large, one record is taken when nothing waits: otherwise it never would be.
      const large = signal();
      assert.is(log.append([new Uint8Array(5000)], large.fire), accepted + 1);
      await subject.settle(large.promise);
      await subject.settle(log.close());
    }),
  );

  test(
    "commitDelay: what comes within it shares an fsync; a large batch leaves at once, and close does not wait",
    withSubject(async (subject) => {
      const never = 3_600_000;
      const { log } = await open(subject, { commitDelayMs: 30 });
      const order: number[] = [];
      const last = signal();
      log.append([bytesOf("first")], () => {
        order.push(1);
        // Joins what waits for the next flush, with what is appended before that.
        log.append([bytesOf("third")], () => order.push(3));
        log.append([bytesOf("fourth")], () => {
          order.push(4);
          last.fire();
        });
      });
      await subject.settle(Promise.resolve());
      log.append([bytesOf("second")], () => order.push(2));
      await subject.settle(last.promise);
      assert.equal(order, [1, 2, 3, 4]);
      assert.is(log.stats().fsyncs, 2);
      await subject.settle(log.close());

      const patient = await open(subject, { commitDelayMs: never });
      assert.is(patient.seen.length, 4);
      const large = signal();
      patient.log.append([bytesOf("small")], () => undefined);
      assert.is(patient.log.durableSequence(), 4);
      for (let i = 0; i < 8; i++) patient.log.append([new Uint8Array(64 * 1024)], i === 7 ? large.fire : () => undefined);
      await subject.settle(large.promise);
      let closed = false;
      patient.log.append([bytesOf("last")], () => {
        closed = true;
      });
      await subject.settle(patient.log.close());
      assert.ok(closed, "durable before the log was closed");
      const reopened = await open(subject);
      assert.is(reopened.seen.at(-1)?.text, "last");
      await subject.settle(reopened.log.close());
    }),
  );

  test(
    "appending from within an acknowledgement joins the next flush",
    withSubject(async (subject) => {
      const { log } = await open(subject);
      const last = signal();
      const order: number[] = [];
      const next = () => {
        const sequence = log.append([bytesOf("again")], () => {
          order.push(sequence as number);
          if (order.length === 10) last.fire();
          else next();
        });
      };
      next();
      await subject.settle(last.promise);
      assert.equal(order, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      await subject.settle(log.close());
    }),
  );

  test.run();
}
