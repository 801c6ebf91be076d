// Goal: every Store keeps the promises that stand on the port. Method: one suite against LevelDB and against the simulated
// disk: order of keys, ranges against a model, atomic batches, what a crash leaves.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Result } from "../../src/lib/errors.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Store, StoreOperation } from "../../src/ports/store.ts";
import type { World } from "./subject.ts";

export interface StoreSubject extends World {
  open(): Promise<Result<Store>>;
  /** The process dies, or the power is cut; undefined where that cannot be played in one process. */
  readonly crash?: () => Promise<void>;
  /** Makes what stands on the disk unreadable. */
  damage(): Promise<void>;
}

const key = (...bytes: number[]) => Uint8Array.from(bytes);
const put = (at: Uint8Array, ...value: number[]): StoreOperation => ({ type: "put", key: at, value: Uint8Array.from(value) });
const remove = (at: Uint8Array): StoreOperation => ({ type: "delete", key: at });
const everything = { from: key(), to: key(255, 255, 255), limit: 1000 };

export function storeContract(name: string, make: () => Promise<StoreSubject>): void {
  const test = suite(name);

  const withStore = (body: (store: Store, subject: StoreSubject) => Promise<void>) => async () => {
    const subject = await make();
    try {
      await body(await open(subject), subject);
    } finally {
      await subject.dispose();
    }
  };

  async function open(subject: StoreSubject): Promise<Store> {
    const opened = await subject.settle(subject.open());
    if (!opened.ok) throw new Error(opened.message);
    return opened.value;
  }

  test(
    "get, getMany, put, overwrite and delete; binary keys and values, empty ones too",
    withStore(async (store, { settle }) => {
      await settle(store.write([put(key(0), 1, 0, 255), put(key(255, 0)), put(key(0x80), 7)], { sync: true }));
      assert.equal(await settle(store.get(key(0))), Uint8Array.of(1, 0, 255));
      assert.equal(await settle(store.get(key(255, 0))), new Uint8Array(0));
      assert.is(await settle(store.get(key(1))), undefined);
      await settle(store.write([put(key(0), 9), remove(key(0x80)), remove(key(77))], { sync: false }));
      const many = await settle(store.getMany([key(0x80), key(0), key(255, 0)]));
      assert.equal(many, [undefined, Uint8Array.of(9), new Uint8Array(0)]);
      assert.equal(await settle(store.getMany([])), []);
      await settle(store.close());
    }),
  );

  test(
    "in one batch the last operation on a key counts",
    withStore(async (store, { settle }) => {
      await settle(store.write([put(key(1), 1), put(key(1), 2), put(key(2), 1), remove(key(2))], { sync: true }));
      assert.equal(await settle(store.getMany([key(1), key(2)])), [Uint8Array.of(2), undefined]);
      await settle(store.close());
    }),
  );

  test(
    "scan: byte order, half-open ranges, limit, reverse and keysOnly, as in a model",
    withStore(async (store, { settle }) => {
      const random = new SeededRandom(11);
      const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
      const randomKey = () => Uint8Array.from({ length: 1 + random.below(3) }, () => random.pick([0, 1, 2, 127, 128, 254, 255]));
      const model = new Map<string, { key: Uint8Array; value: Uint8Array }>();
      for (let i = 0; i < 150; i++) {
        const entry = { key: randomKey(), value: Uint8Array.of(i) };
        model.set(hexOf(entry.key), entry);
        await settle(store.write([{ type: "put", ...entry }], { sync: false }));
      }
      const sorted = [...model.values()].sort((a, b) => Buffer.compare(a.key, b.key));
      for (let i = 0; i < 60; i++) {
        const [from, to] = [randomKey(), randomKey()];
        const limit = 1 + random.below(20);
        const within = sorted.filter((entry) => Buffer.compare(entry.key, from) >= 0 && Buffer.compare(entry.key, to) < 0);
        const plain = (entries: readonly { key: Uint8Array; value: Uint8Array }[]) =>
          entries.map((e) => `${hexOf(e.key)}=${hexOf(e.value)}`);
        assert.equal(plain(await settle(store.scan({ from, to, limit }))), plain(within.slice(0, limit)));
        const reversed = await settle(store.scan({ from, to, limit, reverse: true }));
        assert.equal(plain(reversed), plain([...within].reverse().slice(0, limit)));
        const keys = await settle(store.scan({ from, to, limit, keysOnly: true }));
        assert.equal(plain(keys), plain(within.slice(0, limit).map((entry) => ({ key: entry.key, value: new Uint8Array(0) }))));
      }
      await settle(store.close());
    }),
  );

  test(
    "what the caller or the reader does to an array afterwards changes nothing",
    withStore(async (store, { settle }) => {
      const value = Uint8Array.of(1, 2, 3);
      await settle(store.write([{ type: "put", key: key(1), value }], { sync: true }));
      value.fill(0);
      const read = await settle(store.get(key(1)));
      read?.fill(9);
      assert.equal(await settle(store.get(key(1))), Uint8Array.of(1, 2, 3));
      await settle(store.close());
    }),
  );

  test(
    "survives closing; a second opening meanwhile is refused",
    withStore(async (store, subject) => {
      const { settle } = subject;
      await settle(store.write([put(key(5), 5)], { sync: false }));
      const second = await settle(subject.open());
      assert.is(second.ok, false);
      assert.is(!second.ok && second.code, "data-in-use");
      await settle(store.close());
      const again = await open(subject);
      assert.equal(await settle(again.get(key(5))), Uint8Array.of(5));
      assert.ok((await settle(again.sizeBytes())) > 0);
      await settle(again.close());
    }),
  );

  test(
    "a synced batch survives a crash; unsynced ones go as whole batches, the last first",
    withStore(async (first, subject) => {
      const { settle, crash } = subject;
      if (crash === undefined) {
        await settle(first.close());
        return;
      }
      let store = first;
      for (let round = 0; round < 30; round++) {
        await settle(store.write([put(key(round, 0), 1), put(key(round, 1), 1)], { sync: true }));
        for (let batch = 2; batch < 6; batch++) {
          await settle(store.write([put(key(round, batch), 1), put(key(round, batch + 100), 1)], { sync: false }));
        }
        await crash();
        store = await open(subject);
        const entries = await settle(store.scan({ from: key(round), to: key(round + 1), limit: 100, keysOnly: true }));
        const present = entries.map((entry) => entry.key[1] as number);
        const kept = [2, 3, 4, 5].filter((batch) => present.includes(batch));
        assert.equal(present, [0, 1, ...kept, ...kept.map((batch) => batch + 100)], "whole batches");
        assert.equal(kept, [2, 3, 4, 5].slice(0, kept.length), "none from the middle");
      }
      await settle(store.close());
    }),
  );

  test(
    "a damaged store is refused, never opened empty",
    withStore(async (store, subject) => {
      await subject.settle(store.write([put(key(1), 1)], { sync: true }));
      await subject.settle(store.close());
      await subject.damage();
      const opened = await subject.settle(subject.open());
      assert.is(opened.ok, false);
      assert.is(!opened.ok && opened.code, "store-damaged");
    }),
  );

  test(
    "an empty store scans as empty",
    withStore(async (store, { settle }) => {
      assert.equal(await settle(store.scan(everything)), []);
      await settle(store.write([], { sync: true }));
      assert.equal(await settle(store.scan(everything)), []);
      await settle(store.close());
    }),
  );

  test.run();
}
