// `node --import tsx scripts/bench/round.ts`
//
// Size of a round and the time to encode and decode it, for both versions of its bytes: readings of 100 devices as an ingesting
// gateway sees them. Single-threaded, the best of several repetitions; what counts is version 2 against version 1.
import { RoundBuilder } from "../../src/core/round/round-builder.ts";
import { decodeRound, type RoundVersion } from "../../src/core/round/round-codec.ts";
import { deviceId, gatewayId, sessionId } from "../../src/lib/ids.ts";

const devices = 100;
const header = { coordinator: gatewayId("gw-a"), session: sessionId("gw-a-0123456789ab"), round: 4711, epoch: 3, clockSynchronised: true };

interface Case {
  readonly name: string;
  readonly readings: number;
  readonly value: (i: number) => number;
  readonly shuffled: boolean;
}

const cases: readonly Case[] = [
  { name: "200 readings, 2 decimals, in turns", readings: 200, value: (i) => Math.round(2000 + 500 * Math.sin(i)) / 100, shuffled: false },
  {
    name: "200 readings, 3 decimals, as they come",
    readings: 200,
    value: (i) => Math.round(101_325 + 900 * Math.sin(i)) / 1000,
    shuffled: true,
  },
  {
    name: "2000 readings, 2 decimals, as they come",
    readings: 2_000,
    value: (i) => Math.round(2000 + 500 * Math.sin(i)) / 100,
    shuffled: true,
  },
  { name: "2000 readings, full precision", readings: 2_000, value: (i) => Math.sin(i) * 100, shuffled: true },
  { name: "1 reading", readings: 1, value: () => 21.5, shuffled: false },
];

function build({ readings, value, shuffled }: Case): RoundBuilder {
  const builder = new RoundBuilder((ref) => ({ device: deviceId(`sensor-${ref}`), metric: "temperature" }));
  const nowUs = Date.UTC(2026, 0, 1) * 1_000;
  for (let i = 0; i < readings; i++) {
    const ref = shuffled ? (i * 37 + (i % 7)) % devices : i % devices;
    builder.appendValue(ref, nowUs + (Math.floor((i * 200) / readings) + ((i * 31) % 5)) * 1_000, value(i));
  }
  return builder;
}

/** Nanoseconds a call, the best of some repetitions. */
function timed(work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let repetition = 0; repetition < 7; repetition++) {
    const calls = 300;
    const beganMs = performance.now();
    for (let i = 0; i < calls; i++) work();
    best = Math.min(best, ((performance.now() - beganMs) * 1e6) / calls);
  }
  return best;
}

for (const one of cases) {
  const builder = build(one);
  for (const version of [1, 2] as const satisfies RoundVersion[]) {
    const bytes = builder.encode(header, version);
    const encodeNs = timed(() => builder.encode(header, version)) / one.readings;
    const decodeNs = timed(() => decodeRound(bytes)) / one.readings;
    console.log(
      `${one.name.padEnd(42)} version ${version}: ${(bytes.length / one.readings).toFixed(1).padStart(6)} bytes a reading, ` +
        `encode ${encodeNs.toFixed(0)} ns, decode ${decodeNs.toFixed(0)} ns a reading`,
    );
  }
}
