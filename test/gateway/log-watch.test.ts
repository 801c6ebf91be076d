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
  const watch = new LogWatch(
    [
      { name: "readings log", log: { health: () => health } },
      { name: "Raft log", log: { health: () => ({ ok: true }) } },
    ],
    { info: say("info"), error: say("error") },
  );
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

test.run();
