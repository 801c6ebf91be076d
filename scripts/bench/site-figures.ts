// What a running site says of itself, for benchmarks.
import type { Gateway } from "../../src/client/schema.ts";

export async function gatewaysOf(httpPort: number): Promise<readonly Gateway[]> {
  const answer = await fetch(`http://127.0.0.1:${httpPort}/api/v1/gateways`);
  return ((await answer.json()) as { readonly gateways: readonly Gateway[] }).gateways;
}

/** Bytes of a gateway's store, as of its last look. */
export async function storeBytesOf(httpPort: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${httpPort}/api/v1/status`);
  return ((await answer.json()) as { readonly store: { readonly bytes: number } }).store.bytes;
}

/** The value of `fogbank_NAME`, its series added up; 0 where there is none. */
export async function metricOf(httpPort: number, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  let sum = 0;
  for (const [, value] of (await answer.text()).matchAll(new RegExp(`^fogbank_${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm")))
    sum += Number(value);
  return sum;
}

/** Resolves when the gateway owns partitions, and nobody has anything to fill or to give away any more. */
export async function settled(httpPort: number, gateway: string): Promise<void> {
  for (let still = 0; still < 3; ) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const gateways = await gatewaysOf(httpPort).catch(() => []);
    const owns = (gateways.find(({ id }) => id === gateway)?.partitions ?? 0) > 0;
    // Between two waves nothing moves for a moment.
    still = owns && gateways.every(({ filling = 0, leaving = 0 }) => filling === 0 && leaving === 0) ? still + 1 : 0;
  }
}
