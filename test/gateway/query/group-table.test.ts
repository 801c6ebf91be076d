// Goal: a table arrives as it was sent, in either form, merges in any order, and bytes that are no table are an error. Method:
// fast-check over groups and windows; rows compared by the bytes of their states.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GroupTable } from "../../../src/gateway/query/group-table.ts";
import { type AggregateFunction, parseAggregateFunction } from "../../../src/lib/aggregate-function.ts";
import { AggregateState } from "../../../src/series/aggregate.ts";
import { runOf } from "../page-fixtures.ts";

const functions = ["mean", "min", "last", "quantile(0.5)"].map((name) => parseAggregateFunction(name) as AggregateFunction);

interface Added {
  readonly key: string[];
  readonly fromMs: number;
  readonly value: number;
}

const anyAdded: fc.Arbitrary<Added[]> = fc.array(
  fc.record({
    key: fc.array(fc.constantFrom("a", "b", "", "日本"), { minLength: 2, maxLength: 2 }),
    fromMs: fc.oneof(
      fc.integer({ min: -5, max: 20 }).map((minute) => minute * 60_000),
      fc.constantFrom(0.5, -1e15, 1e15),
    ),
    value: fc.double({ noNaN: true }),
  }),
  { maxLength: 40 },
);

function tableOf(added: readonly Added[]): GroupTable {
  const table = new GroupTable(functions);
  for (const [at, { key, fromMs, value }] of added.entries()) table.group(key).add(fromMs, fromMs + 60_000, runOf([[at, value]]));
  return table;
}

function shown(table: GroupTable): unknown {
  return table.rows().map(({ key, fromMs, toMs, state }) => ({ key, fromMs, toMs, state: [...state.encode()] }));
}

const test = suite("gateway/query: groups");

test("both forms give the same table, and merging does not depend on the order", () => {
  fc.assert(
    fc.property(anyAdded, anyAdded, (one, other) => {
      const packed = new GroupTable(functions);
      const plain = new GroupTable(functions);
      for (const table of [tableOf(one), tableOf(other)]) {
        assert.ok(packed.mergePacked(table.encodePacked()).ok);
        assert.ok(plain.merge(table.encode()).ok);
      }
      const turned = new GroupTable(functions);
      for (const table of [tableOf(other), tableOf(one)]) assert.ok(turned.mergePacked(table.encodePacked()).ok);
      assert.equal(shown(packed), shown(plain));
      assert.equal(shown(turned), shown(plain));
      assert.is(packed.size, packed.rows().length);
    }),
  );
});

// Numbers alone are kept as columns, with whatever else as states: functions and values of both kinds.
const plainFunctions = ["sum", "min", "count"].map((name) => parseAggregateFunction(name) as AggregateFunction);
const anyNumber = fc.oneof(
  fc.integer({ min: -9, max: 9 }).map((tenths) => tenths / 10),
  fc.double(),
  fc.constantFrom(-0, 1e300, -1e300, 1e16, 1, 2 ** -600),
);
const anyPlain = fc.array(
  fc.record({
    key: fc.constantFrom(["a"], ["b"]),
    fromMs: fc.integer({ min: 0, max: 4 }),
    values: fc.array(anyNumber, { minLength: 1, maxLength: 6 }),
  }),
  { maxLength: 20 },
);

function filled(added: readonly { key: readonly string[]; fromMs: number; values: number[] }[]): GroupTable {
  const table = new GroupTable(plainFunctions);
  for (const { key, fromMs, values } of added) table.group(key).add(fromMs, fromMs + 1, runOf(values.map((value, at) => [at, value])));
  return table;
}

test("a table taken over is the table sent, and its rows are the states of the same readings", () => {
  fc.assert(
    fc.property(anyPlain, anyPlain, (one, other) => {
      const own = new GroupTable(plainFunctions);
      const sent = new GroupTable(plainFunctions);
      for (const added of [one, other]) {
        own.absorb(filled(added));
        assert.ok(sent.mergePacked(filled(added).encodePacked()).ok);
      }
      const expected = [...one, ...other].reduce((states, { key, fromMs, values }) => {
        const state = states.get(`${fromMs} ${key.join()}`) ?? new AggregateState(plainFunctions);
        state.add(runOf(values.map((value, at) => [at, value])));
        return states.set(`${fromMs} ${key.join()}`, state);
      }, new Map<string, AggregateState>());
      assert.equal(shown(own), shown(sent));
      assert.is(own.size, sent.size);
      const rows = own.rows();
      assert.is(rows.length, expected.size);
      for (const { key, fromMs, state } of rows) assert.equal(state.encode(), expected.get(`${fromMs} ${key.join()}`)?.encode());
    }),
  );
});

test("rows come in the order of window, then group, each once", () => {
  fc.assert(
    fc.property(anyAdded, (added) => {
      const names = tableOf(added)
        .rows()
        .map(({ key, fromMs }) => ({ fromMs, name: JSON.stringify(key) }));
      for (const [at, { fromMs, name }] of names.entries()) {
        const before = names[at - 1];
        if (before === undefined) continue;
        assert.ok(before.fromMs < fromMs || (before.fromMs === fromMs && before.name < name));
      }
    }),
  );
});

test("what is no table is an error and throws nothing", () => {
  fc.assert(
    fc.property(anyAdded, fc.nat(), fc.nat(255), (added, at, byte) => {
      const bytes = tableOf(added).encodePacked();
      assert.not.ok(new GroupTable(functions).mergePacked(bytes.subarray(0, bytes.length - 1)).ok);
      bytes[at % bytes.length] = byte;
      new GroupTable(functions).mergePacked(bytes);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => void new GroupTable(functions).mergePacked(bytes)));
});

test.run();
