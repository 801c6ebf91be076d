/** xxhash64 for partitions and rings: WebAssembly, therefore loaded once, asynchronously, before a gateway is made. */

import xxhash from "xxhash-wasm";
import type { Hash64 } from "../lib/ids.ts";

export async function loadHash64(): Promise<Hash64> {
  const loaded = await xxhash();
  return (text) => loaded.h64(text);
}
