// What a gateway answers, as plain maps that can be compared with what was published.
import * as assert from "uvu/assert";
import type { FogbankClient, ReadingsRequest } from "../../../src/client/fogbank-client.ts";
import { must } from "./site.ts";

export type Value = number | string | boolean | null;
export type Points = readonly (readonly [ms: number, value: Value])[];

const pagesMax = 10_000;

/** All pages of an answer by device; fails the test when a page is not complete or a device comes back out of order. */
export async function readAll(client: FogbankClient, request: ReadingsRequest): Promise<Map<string, [number, Value][]>> {
  const byDevice = new Map<string, [number, Value][]>();
  let cursor: string | undefined;
  for (let page = 0; page < pagesMax; page++) {
    const answer = must(await client.readings({ ...request, cursor }));
    assert.ok(answer.complete, `${client.baseUrl}: page ${page} is complete`);
    for (const series of answer.series) {
      const points = byDevice.get(series.device) ?? [];
      for (const [ms, value] of series.points) points.push([ms, value]);
      byDevice.set(series.device, points);
    }
    cursor = answer.cursor;
    if (cursor === undefined) return byDevice;
  }
  throw new Error(`${client.baseUrl}: the answer has more than ${pagesMax} pages`);
}

/** Says which reading is lost, doubled, altered or invented; cheap where all is well. */
export function assertSameReadings(where: string, actual: ReadonlyMap<string, Points>, expected: ReadonlyMap<string, Points>): void {
  assert.equal([...actual.keys()].sort(), [...expected.keys()].sort(), `${where}: devices`);
  for (const [device, wanted] of expected) {
    const found = actual.get(device) ?? [];
    const length = Math.min(found.length, wanted.length);
    let at = 0;
    while (at < length && found[at]?.[0] === wanted[at]?.[0] && Object.is(found[at]?.[1], wanted[at]?.[1])) at++;
    if (at < wanted.length || found.length !== wanted.length) {
      assert.unreachable(
        `${where}: ${device} has ${found.length} readings, expected ${wanted.length}; at ${at}: ${JSON.stringify(found[at])}, expected ${JSON.stringify(wanted[at])}`,
      );
    }
  }
}
