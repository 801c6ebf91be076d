// Goal: as many voters as make sense, and never an even number beyond two. Method: a table.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { majorityOf, votersWanted } from "../../src/lib/voters.ts";

const test = suite("lib: voters");

test("the largest odd number up to five; both of two", () => {
  assert.equal([0, 1, 2, 3, 4, 5, 6, 7, 1000].map(votersWanted), [0, 1, 2, 3, 3, 5, 5, 5, 5]);
});

test("a majority is more than half", () => {
  assert.equal([1, 2, 3, 4, 5].map(majorityOf), [1, 2, 2, 3, 3]);
});

test.run();
