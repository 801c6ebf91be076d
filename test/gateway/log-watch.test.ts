// Goal: trouble with a log is said once, with its reason, and its end too. Method: logs whose health the test sets.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LogWatch } from "../../src/gateway/log-watch.ts";
import type { DiagnosticDetails } from "../../src/ports/diagnostics.ts";
import type { LogHealth } from "../../src/ports/log.ts";

const test = suite("gateway: log watch");

test("a change is said, and what stays is not said again", () => {
  const lines: string[] = [];
  const say =
    (level: string) =>
    (event: string, details: DiagnosticDetails = {}) =>
      lines.push(`${level} ${event} ${Object.values(details).join(" ")}`.trim());
  let health: LogHealth = { ok: true };
  const watch = new LogWatch({
    logs: [
      { name: "readings log", log: { health: () => health } },
      { name: "Raft log", log: { health: () => ({ ok: true }) } },
    ],
    fsync: { log: { takeLongestFsyncMs: () => 0 }, electionTimeoutMinMs: 1_000, remedy: "" },
    diagnostics: { info: say("info"), warn: say("warn"), error: say("error") },
  });
  const look = (next: LogHealth) => {
    health = next;
    watch.look();
    watch.look();
    return lines.splice(0);
  };
  assert.equal(look({ ok: true }), []);
  assert.equal(look({ ok: false, code: "disk-full", message: "no space left" }), [
    "error log-cannot-be-written readings log disk-full no space left",
  ]);
  assert.equal(watch.troubles(), ["the readings log cannot be written (disk-full): no space left"]);
  assert.equal(look({ ok: false, code: "EIO", message: "input/output error" }), [
    "error log-cannot-be-written readings log EIO input/output error",
  ]);
  assert.equal(look({ ok: true }), ["info log-written-again readings log"]);
  assert.equal(watch.troubles(), []);
});

test("slow fsyncs are said once, with the remedy, and forgotten when there was none for a minute", () => {
  const lines: string[] = [];
  const say = (event: string, details: DiagnosticDetails = {}) => lines.push(`${event} ${Object.values(details).join(" ")}`);
  let tookMs = 0;
  const watch = new LogWatch({
    logs: [],
    fsync: { log: { takeLongestFsyncMs: () => tookMs }, electionTimeoutMinMs: 1_000, remedy: "Use a faster disk." },
    diagnostics: { info: say, warn: say, error: say },
  });
  const look = (next: number, times = 1) => {
    tookMs = next;
    for (let i = 0; i < times; i++) watch.look();
    return lines.splice(0);
  };
  assert.equal(look(333, 3), []);
  assert.equal([watch.fsyncIsSlow(), watch.warnings()], [false, []]);
  assert.equal(look(334.4), ["raft-fsync-slow 334 333 1000 Use a faster disk."]);
  assert.equal(look(900, 2), [], "said already");
  assert.is(watch.fsyncIsSlow(), true);
  assert.equal(watch.warnings(), [
    "an fsync of the Raft log took 900 ms, more than a third of the election timeout of 1000 ms: elections may begin without need. Use a faster disk.",
  ]);
  assert.equal(watch.troubles(), [], "the gateway serves all the same");
  assert.equal(look(5, 59), []);
  assert.equal(look(5), ["raft-fsync-fast-again 900 333"]);
  assert.equal([watch.fsyncIsSlow(), watch.warnings()], [false, []]);
});

test.run();
