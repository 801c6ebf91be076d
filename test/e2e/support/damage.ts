// Bits that turn on a gateway's disk while it is stopped, and what an operator sees of it and does.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { runFogbank } from "./fogbank.ts";
import type { TestGateway, TestSite } from "./site.ts";
import { until } from "./until.ts";

const settleMs = 60_000;

/** Files of a folder of the gateway's data folder. */
export function filesOf(gateway: TestGateway, folder: string, name: RegExp): string[] {
  const whole = join(gateway.dataFolder, folder);
  return readdirSync(whole)
    .filter((each) => name.test(each))
    .sort()
    .map((each) => join(whole, each));
}

/** Where the text stands in the file. */
export function placesOf(file: string, text: string): number[] {
  const bytes = readFileSync(file);
  const places: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) places.push(at);
  return places;
}

export function flipBit(file: string, at: number): void {
  const bytes = readFileSync(file);
  assert.ok(at >= 0 && at < bytes.length, `byte ${at} of ${file}, which has ${bytes.length}`);
  bytes[at] = (bytes[at] as number) ^ 4;
  writeFileSync(file, bytes);
}

/** It ends with status 1 and says what is damaged and what to do; the way that it names, taken, makes it whole. */
export async function refusedThenReplaced(site: TestSite, victim: TestGateway, why: RegExp): Promise<void> {
  const exit = await victim.start().ended(settleMs);
  assert.is(exit.code, 1, victim.process.tail());
  assert.match(victim.process.stderr, why);
  assert.match(victim.process.stderr, /gateway replace/);
  assert.not.match(victim.process.stderr, /^\s+at /m, "no stack trace");
  const [other] = site.gateways.filter((gateway) => gateway !== victim) as [TestGateway];
  const replaced = await runFogbank(["gateway", "replace", victim.id, "--yes", "--url", other.url], { cwd: site.folder });
  assert.is(replaced.code, 0, replaced.stderr);
  rmSync(victim.dataFolder, { recursive: true });
  victim.start();
  await victim.ready();
  await until(`${victim.id} is filled`, async () => (await victim.metric("fogbank_partitions_filling")) === 0 || undefined, {
    withinMs: settleMs,
  });
}

export function equalEverywhere(gateway: TestGateway): Promise<true> {
  const isEqual = async (): Promise<true | undefined> =>
    ((await gateway.metric("fogbank_repair_equal")) === 1 && (await gateway.metric("fogbank_chunks_damaged")) === 0) || undefined;
  return until(`${gateway.id} has all that the others have`, isEqual, { withinMs: settleMs, explain: () => gateway.process.tail() });
}
