// Goal: the real clock and generator keep the contracts that the simulated ones keep, and the clock says what keeps it. Method: the
// contract suites; the files of NTP's daemons in a folder of the test's own.
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SystemClock } from "../../src/adapters/system-clock.ts";
import { SystemEntropy } from "../../src/adapters/system-entropy.ts";
import { clockContract } from "../contracts/clock.ts";
import { entropyContract } from "../contracts/entropy.ts";

clockContract("SystemClock", () => {
  const clock = new SystemClock();
  return Promise.resolve({ clock, settle: (promise) => promise, dispose: () => Promise.resolve(clock.cancelAll()) });
});

entropyContract("SystemEntropy", () => new SystemEntropy());

const ntp = suite("SystemClock: what keeps the machine's clock");

ntp("timesyncd's marker, a drift file written lately, or nothing that tells", () => {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-clock-"));
  try {
    const files = { timesyncFolder: join(folder, "timesync"), drifts: [join(folder, "missing"), join(folder, "drift")] };
    const state = () => new SystemClock(files).ntpState();
    assert.is(state(), "unknown");
    writeFileSync(join(folder, "drift"), "");
    assert.is(state(), "synchronised");
    const oldS = Date.now() / 1_000 - 86_400;
    utimesSync(join(folder, "drift"), oldS, oldS);
    assert.is(state(), "unknown");
    mkdirSync(files.timesyncFolder);
    assert.is(state(), "unsynchronised");
    writeFileSync(join(files.timesyncFolder, "synchronized"), "");
    assert.is(state(), "synchronised");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

ntp.run();
