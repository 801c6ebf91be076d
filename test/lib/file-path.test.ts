// Goal: paths in YAML mean what they mean in a shell. Method: tables.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { folderOf, resolveFrom } from "../../src/lib/file-path.ts";

const test = suite("lib: file paths");
test("folderOf", () => {
  assert.equal(["b.yaml", "a/b.yaml", "/b.yaml", "/a/b/c"].map(folderOf), ["", "a", "/", "/a/b"]);
});
test("resolveFrom", () => {
  for (const [folder, target, path] of [
    ["", "./devices", "devices"],
    ["", "devices/", "devices"],
    ["", ".", "."],
    ["a/b", "../c", "a/c"],
    ["a", "../../c", "../c"],
    ["..", "../c", "../../c"],
    ["/a", "./b", "/a/b"],
    ["/", "../b", "/b"],
    ["a", "/x/y", "/x/y"],
    [".", "b", "b"],
  ] as const) {
    assert.is(resolveFrom(folder, target), path, `${folder} ${target}`);
  }
});
test.run();
