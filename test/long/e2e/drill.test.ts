// Goal: `fogbank drill` really does what it says to real gateways, and nothing that was acknowledged is lost. Method: the command as a
// user runs it, its gateways as its own child processes; what it says at the end, and that none of them outlives it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { buildIfStale, runFogbank } from "../../e2e/support/fogbank.ts";
import { stablePorts } from "../../e2e/support/ports.ts";

const test = suite("fogbank drill");

interface Summary {
  readonly timeline: readonly { readonly what: string }[];
  readonly slowestAcknowledgementMs: number;
  readonly acknowledged: number;
  readonly unacknowledged: number;
  readonly checked: Readonly<Record<string, number>>;
  readonly lost: number;
  readonly duplicated: number;
}

/** A base from which the ports of three gateways, thirty in all, are likely to be free; the command says so where they are not. */
async function portBase(): Promise<string> {
  const [port = 0] = await stablePorts(1);
  return String(port - (port % 10));
}

test.before(() => buildIfStale());

for (const [what, forMs, steps] of [
  ["cut", 3_000, /cut off.*ingest goes on.*mended.*healed/s],
  ["wipe", 500, /loses its power and its disk.*gateway replace gw-b.*empty data folder.*healed/s],
] as const) {
  test(`${what}: ingest goes on, every gateway answers every acknowledged reading once`, async () => {
    const args = ["drill", what, "gw-b", "--for", `${forMs}ms`, "--port-base", await portBase(), "-o", "json"];
    const { code, stdout, stderr } = await runFogbank(args, { cwd: "/", withinMs: 100_000 });
    assert.is(code, 0, stderr);
    const summary = JSON.parse(stdout) as Summary;
    const { acknowledged, unacknowledged, checked, lost, duplicated, slowestAcknowledgementMs } = summary;
    assert.ok(acknowledged > 500, stdout);
    assert.equal(
      { checked, unacknowledged, lost, duplicated },
      {
        checked: { "gw-a": acknowledged, "gw-b": acknowledged, "gw-c": acknowledged },
        unacknowledged: 0,
        lost: 0,
        duplicated: 0,
      },
    );
    assert.match(summary.timeline.map((moment) => moment.what).join("\n"), steps);
    // A gateway without its peers acknowledges nothing: its devices waited for the whole cut.
    if (what === "cut") assert.ok(slowestAcknowledgementMs > forMs / 2, stdout);
    for (const [, pid] of stderr.matchAll(/process (\d+)/g)) assert.throws(() => process.kill(Number(pid), 0), /ESRCH/);
  });
}

test.run();
