// Goal: ids that must not repeat do not, and have the form that identities and frames expect. Method: one suite against
// the operating system's generator and the simulator's seeded one.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entropy } from "../../src/ports/entropy.ts";

export function entropyContract(name: string, make: () => Entropy): void {
  const test = suite(name);

  test("as many bytes as asked for, as lower-case hex", () => {
    const entropy = make();
    for (const bytes of [1, 4, 16, 33]) assert.match(entropy.hex(bytes), new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
    assert.is(entropy.hex(0), "");
  });

  test("ids of 16 bytes do not repeat, and every byte takes many values", () => {
    const entropy = make();
    const seen = new Set<string>();
    const firstBytes = new Set<string>();
    for (let i = 0; i < 2_000; i++) {
      const id = entropy.hex(16);
      seen.add(id);
      firstBytes.add(id.slice(0, 2));
    }
    assert.is(seen.size, 2_000);
    assert.ok(firstBytes.size > 200, `${firstBytes.size} of 256 values`);
  });

  test.run();
}
