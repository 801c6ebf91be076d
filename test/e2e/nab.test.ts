// Goal: what devices were told is safe comes back, exactly, from every gateway, and what is computed from it is right, although two of
// the three gateways are killed on the way. Method: three processes from one site.yaml; 31 devices publish their recordings at full
// speed at QoS 1 through all three gateways, with fail-over; one gateway is killed with SIGKILL and started again, then another. Readings,
// aggregates, results and sink files of each gateway are compared with what is computed here from the recordings.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { JobResult } from "../../src/client/schema.ts";
import { Device } from "./support/device.ts";
import { afterIdentityRule, hasNabFiles, loadRows, type Row } from "./support/nab-data.ts";
import { assertSameReadings, readAll, type Value } from "./support/readings.ts";
import { must, type TestGateway, TestSite } from "./support/site.ts";
import { until } from "./support/until.ts";

const data = hasNabFiles ? "31 NAB files" : "generated data of the shape of the 31 NAB files (../shared/data/nab is missing)";
const nab = suite(`${data} through three gateways, of which two are killed`);

const profile = `profile: nab
topic: nab/{device}
payload: json
timestamp: { path: ts, unit: ms }
metrics:
  v: { path: v }
`;

const job = `name: hourly
schedule: "0 * * * *"
window: 1h
source: { metric: v }
groupBy: [device]
aggregate: { mean: mean, max: max, n: count, p95: quantile(0.95) }
sinks: [archive]
`;

const hourMs = 3_600_000;
const windowMax = 40;

interface Hour {
  readonly mean: number;
  readonly max: number;
  readonly n: number;
  readonly p95: number;
}

/** Sum with the error of each step carried along (Neumaier), so that the expectation is better than the tolerance. */
function sumOf(values: readonly number[]): number {
  let sum = 0;
  let lost = 0;
  for (const value of values) {
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return sum + lost;
}

function hoursOf(points: readonly (readonly [number, number])[]): Map<number, Hour> {
  const valuesByHour = new Map<number, number[]>();
  for (const [ms, value] of points) {
    const hour = Math.floor(ms / hourMs) * hourMs;
    const values = valuesByHour.get(hour) ?? [];
    values.push(value);
    valuesByHour.set(hour, values);
  }
  return new Map(
    [...valuesByHour].map(([hour, values]) => {
      const sorted = [...values].sort((a, b) => a - b);
      const n = sorted.length;
      return [hour, { mean: sumOf(values) / n, max: sorted[n - 1] ?? 0, n, p95: sorted[Math.floor(0.95 * (n - 1))] ?? 0 }];
    }),
  );
}

function isClose(actual: Value | undefined, expected: number, relative: number): boolean {
  return typeof actual === "number" && Math.abs(actual - expected) <= relative * Math.abs(expected);
}

const agrees: Readonly<Record<keyof Hour, (actual: Value | undefined, expected: number) => boolean>> = {
  mean: (actual, expected) => isClose(actual, expected, 1e-9),
  max: (actual, expected) => actual === expected,
  n: (actual, expected) => actual === expected,
  p95: (actual, expected) => isClose(actual, expected, 0.01),
};

const aggregates: readonly (readonly [keyof Hour, string])[] = [
  ["mean", "mean"],
  ["max", "max"],
  ["n", "count"],
  ["p95", "quantile(0.95)"],
];

/** What the gateways must hold and compute, from the recordings alone. */
class Expectation {
  readonly points: ReadonlyMap<string, [number, number][]>;
  readonly hours: ReadonlyMap<string, ReadonlyMap<number, Hour>>;
  readonly hourCount: number;
  readonly fromMs: number;
  readonly toMs: number;

  constructor(rows: ReadonlyMap<string, readonly Row[]>) {
    this.points = new Map([...rows].map(([device, own]) => [device, afterIdentityRule(own)]));
    this.hours = new Map([...this.points].map(([device, own]) => [device, hoursOf(own)]));
    this.hourCount = [...this.hours.values()].reduce((total, hours) => total + hours.size, 0);
    const starts = [...this.hours.values()].flatMap((hours) => [...hours.keys()]);
    this.fromMs = Math.min(...starts);
    this.toMs = Math.max(...starts) + hourMs;
  }

  matching(prefix: string): Map<string, [number, number][]> {
    return new Map([...this.points].filter(([device]) => device.startsWith(prefix)));
  }

  checkWindows(where: string, name: keyof Hour, answer: ReadonlyMap<string, readonly (readonly [number, Value])[]>): void {
    assert.equal([...answer.keys()].sort(), [...this.hours.keys()].sort(), `${where}: devices`);
    for (const [device, hours] of this.hours) {
      const windows = (answer.get(device) ?? []).filter(([, value]) => value !== null && !(name === "n" && value === 0));
      assert.is(windows.length, hours.size, `${where}: windows of ${device}`);
      for (const [ms, value] of windows) {
        const expected = hours.get(ms);
        if (expected === undefined || !agrees[name](value, expected[name]))
          assert.unreachable(`${where}: ${device} at ${new Date(ms).toISOString()} is ${String(value)}, expected ${expected?.[name]}`);
      }
    }
  }

  checkResults(where: string, results: readonly JobResult[]): void {
    assert.is(results.length, this.hourCount, `${where}: results`);
    assert.is(new Set(results.map((row) => row.id)).size, this.hourCount, `${where}: ids`);
    for (const row of results) {
      const expected = this.hours.get(row.group["device"] ?? "")?.get(row.from);
      const isRight =
        expected !== undefined &&
        row.complete &&
        row.revision === 1 &&
        row.to === row.from + hourMs &&
        row.count === expected.n &&
        aggregates.every(([name]) => agrees[name](row.values[name], expected[name]));
      if (!isRight) assert.unreachable(`${where}: ${JSON.stringify(row)}, expected ${JSON.stringify(expected)}`);
    }
  }
}

/** The devices, each of which stops short of its end until it is let on. */
class Fleet {
  readonly devices: readonly Device[];
  readonly #rows: ReadonlyMap<string, readonly Row[]>;
  readonly #published = new Map<string, number>();
  readonly total: number;

  constructor(rows: ReadonlyMap<string, readonly Row[]>, gateways: readonly TestGateway[]) {
    this.#rows = rows;
    this.total = [...rows.values()].reduce((total, own) => total + own.length, 0);
    this.devices = [...rows.keys()].map((device, index) => {
      const ports = gateways.map((_, at) => gateways[(index + at) % gateways.length]?.ports.mqtt ?? 0);
      return new Device({ clientId: device, ports, windowMax });
    });
  }

  get acknowledged(): number {
    return this.devices.reduce((total, device) => total + device.acknowledgedCount, 0);
  }

  /** Hands each device this part of its recording. */
  publishUpTo(fraction: number): void {
    for (const [index, [device, rows]] of [...this.#rows].entries()) {
      const from = this.#published.get(device) ?? 0;
      const to = Math.floor(rows.length * fraction);
      this.#published.set(device, to);
      this.devices[index]?.publish(
        rows.slice(from, to).map(({ ms, value }) => ({ topic: `nab/${device}`, payload: JSON.stringify({ ts: ms, v: value }) })),
      );
    }
  }

  async acknowledgedAtLeast(fraction: number): Promise<void> {
    await until(`${fraction} of the readings are acknowledged`, () => this.acknowledged >= fraction * this.total || undefined, {
      withinMs: 60_000,
      explain: () => `${this.acknowledged} of ${this.total}`,
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.close()));
  }
}

async function killInTheMiddle(fleet: Fleet, gateway: TestGateway): Promise<void> {
  const before = fleet.acknowledged;
  assert.ok(
    fleet.devices.some((device) => !device.isIdle),
    `readings are on their way when ${gateway.id} is killed`,
  );
  await gateway.kill();
  await until(`readings are acknowledged without ${gateway.id}`, () => fleet.acknowledged > before + 1_000 || undefined, {
    withinMs: 20_000,
  });
  gateway.start();
  await gateway.ready();
}

async function publishAll(site: TestSite, rows: ReadonlyMap<string, readonly Row[]>): Promise<void> {
  const fleet = new Fleet(rows, site.gateways);
  try {
    fleet.publishUpTo(0.6);
    await fleet.acknowledgedAtLeast(0.15);
    await killInTheMiddle(fleet, site.gateway("gw-b"));
    fleet.publishUpTo(1);
    await fleet.acknowledgedAtLeast(0.65);
    await killInTheMiddle(fleet, site.gateway("gw-c"));
    await Promise.all(fleet.devices.map((device) => device.drained(60_000)));
    assert.ok(fleet.devices.filter((device) => device.connections > 1).length >= 20, "devices of both killed gateways went to others");
  } finally {
    await fleet.close();
  }
}

async function checkReadings(gateway: TestGateway, expectation: Expectation): Promise<void> {
  assertSameReadings(gateway.id, await readAll(gateway.client, { metric: "v", device: "*" }), expectation.points);
}

async function checkGlobs(gateway: TestGateway, expectation: Expectation): Promise<void> {
  const [first = ""] = expectation.points.keys();
  for (const prefix of [first.slice(0, 4), first.slice(0, -1)]) {
    const found = await readAll(gateway.client, { metric: "v", device: `${prefix}*`, limit: 3_333 });
    assertSameReadings(`${gateway.id}, device=${prefix}*`, found, expectation.matching(prefix));
  }
  const literal = await readAll(gateway.client, { metric: "v", device: first });
  assertSameReadings(`${gateway.id}, device=${first}`, literal, new Map([[first, expectation.points.get(first) ?? []]]));
}

/** Two of the four at each gateway, so that each is asked for somewhere. */
async function checkAggregates(gateway: TestGateway, index: number, expectation: Expectation): Promise<void> {
  for (const [name, agg] of [...aggregates, ...aggregates].slice(index, index + 2)) {
    const answer = await readAll(gateway.client, { metric: "v", every: "1h", agg });
    expectation.checkWindows(`${gateway.id}, agg=${agg}`, name, answer);
  }
}

/** Rows of a gateway's own copy of the sink, by id and revision; each may stand there once. */
async function checkSinkFile(gateway: TestGateway, results: readonly JobResult[]): Promise<void> {
  await until(
    `${gateway.id} has written its copy of the sink`,
    async () => {
      const [sink] = must(await gateway.client.sync()).sinks.filter((one) => one.gateway === gateway.id);
      return sink?.pending === 0 && sink.rows >= results.length ? true : undefined;
    },
    { withinMs: 20_000 },
  );
  const lines = readFileSync(join(gateway.dataFolder, "sinks", "archive.ndjson"), "utf8")
    .trimEnd()
    .split("\n");
  const rows = new Map(
    lines.map((line) => {
      const row = JSON.parse(line) as JobResult;
      return [`${row.id} ${row.revision}`, row];
    }),
  );
  assert.is(rows.size, lines.length, `${gateway.id}: each (id, revision) stands in the sink's file once`);
  assert.is(rows.size, results.length, `${gateway.id}: rows in the sink's file`);
  for (const result of results)
    assert.equal(rows.get(`${result.id} ${result.revision}`), result, `${gateway.id}: a row of the sink's file`);
}

async function checkJob(site: TestSite, expectation: Expectation): Promise<void> {
  const { client } = site.gateway("gw-b");
  const range = { from: String(expectation.fromMs), to: String(expectation.toMs) };
  const run = must(await client.runJob("hourly", range));
  const windows = new Set([...expectation.hours.values()].flatMap((hours) => [...hours.keys()]));
  assert.is(run.windows, windows.size, "windows of the run");
  assert.is(run.committed, windows.size, "committed windows of the run");
  let first: readonly JobResult[] | undefined;
  for (const gateway of site.gateways) {
    const { results } = must(await gateway.client.results({ job: "hourly", ...range }));
    expectation.checkResults(gateway.id, results);
    first ??= results;
    assert.equal(results, first, `${gateway.id} has the same results as the first`);
    await checkSinkFile(gateway, results);
  }
  // A second run of the same readings changes nothing, wherever it is asked for.
  const someHours = { from: String(expectation.fromMs), to: String(expectation.fromMs + 200 * hourMs) };
  const again = must(await site.gateway("gw-c").client.runJob("hourly", someHours));
  assert.ok(again.windows > 0);
  assert.is(again.committed, 0, "nothing changed, so that nothing is committed again");
  for (const gateway of site.gateways) await checkSinkFile(gateway, first ?? []);
}

nab("every acknowledged reading comes back everywhere, once and exact; means, maxima, counts, p95 and results are right", async () => {
  const rows = loadRows();
  assert.is(rows.size, 31);
  const expectation = new Expectation(rows);
  const site = await TestSite.start({ files: { "devices/nab.yaml": profile, "jobs/hourly.yaml": job } });
  const startedMs = performance.now();
  const lap = (what: string): void => console.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s: ${what}`);
  try {
    await publishAll(site, rows);
    lap("published");
    for (const gateway of site.gateways) await checkReadings(gateway, expectation);
    lap("readings checked");
    await checkGlobs(site.gateway("gw-c"), expectation);
    lap("globs checked");
    for (const [index, gateway] of site.gateways.entries()) await checkAggregates(gateway, index, expectation);
    lap("aggregates checked");
    await checkJob(site, expectation);
    lap("results and sinks checked");
  } finally {
    await site.end();
  }
});

nab.run();
