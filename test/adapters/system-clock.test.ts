// Goal: the real clock and generator keep the contracts that the simulated ones keep. Method: the contract suites.
import { SystemClock } from "../../src/adapters/system-clock.ts";
import { SystemEntropy } from "../../src/adapters/system-entropy.ts";
import { clockContract } from "../contracts/clock.ts";
import { entropyContract } from "../contracts/entropy.ts";

clockContract("SystemClock", () => {
  const clock = new SystemClock();
  return Promise.resolve({ clock, settle: (promise) => promise, dispose: () => Promise.resolve(clock.cancelAll()) });
});

entropyContract("SystemEntropy", () => new SystemEntropy());
