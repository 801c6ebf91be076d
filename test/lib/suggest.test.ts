// Goal: a suggestion helps with a slip of the fingers and never guesses wildly. Method: tables.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { suggest } from "../../src/lib/suggest.ts";

const test = suite("lib: suggest");
const keys = ["gateways", "replication", "site", "sinks", "jobs", "mqtt"];
test("slips", () => {
  for (const [word, meant] of [
    ["gatways", "gateways"],
    ["gatewasy", "gateways"],
    ["Replication", "replication"],
    ["stie", "site"],
    ["mqt", "mqtt"],
    ["job", "jobs"],
  ] as const) {
    assert.is(suggest(word, keys), meant, word);
  }
});
test("no guesses", () => {
  for (const word of ["", "x", "zebra", "retention", "http"]) assert.is(suggest(word, keys), undefined, word);
});
test.run();
