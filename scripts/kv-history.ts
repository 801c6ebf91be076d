// `node --import tsx scripts/kv-history.ts [--gateways 3|5] [--seconds 60] [--clients 10] [--seed N]`
//
// Clients put, compare and set, read and delete the same keys at all gateways at once, real processes over HTTP, while gateways (the
// leader by preference) are killed, frozen and cut off; then every key's history is judged. Exit 1 when one is not linearizable.
import { parseArgs } from "node:util";
import { SeededRandom } from "../src/lib/random.ts";
import { judgeHistories, KvClients } from "../test/e2e/support/kv-clients.ts";
import { befall, faultKinds } from "../test/e2e/support/kv-faults.ts";
import { startLinkedSite } from "../test/e2e/support/linked-site.ts";

const { values } = parseArgs({
  options: {
    gateways: { type: "string", default: "3" },
    seconds: { type: "string", default: "60" },
    clients: { type: "string", default: "10" },
    seed: { type: "string" },
  },
});

function whole(name: "gateways" | "seconds" | "clients" | "seed", fallback: string, most: number): number {
  const text = values[name] ?? fallback;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0 && value <= most) return value;
  console.error(`--${name} ${text}: expected a whole number from 1 to ${most}`);
  process.exit(2);
}

const gateways = whole("gateways", "3", 9);
const seconds = whole("seconds", "60", 86_400);
const clientCount = whole("clients", "10", 100);
/** Of the operations and the faults; the processes go their own ways, so that it does not replay a run. */
const seed = whole("seed", String(Date.now() % 1_000_000), Number.MAX_SAFE_INTEGER);
const operationsBetween = 20 * clientCount;

const random = new SeededRandom(seed);
process.env["FOGBANK_LOG"] ??= "warn";
const faulty = await startLinkedSite({ gateways, files: {} });
const clients = new KvClients({ gateways: faulty.site.gateways, clients: clientCount, random: random.fork() });
const beganMs = performance.now();
const passedSeconds = (): number => (performance.now() - beganMs) / 1_000;
let faults = 0;
try {
  while (passedSeconds() < seconds) {
    await clients.more(operationsBetween);
    const told = await befall(faulty, random.pick(faultKinds), random);
    faults++;
    console.log(`${passedSeconds().toFixed(1).padStart(6)} s  ${told}`);
  }
  await clients.more(operationsBetween);
} finally {
  try {
    await clients.end();
  } finally {
    await faulty.end();
  }
}
const tookSeconds = passedSeconds();
for (const [what, count] of [...clients.counts].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`${what.padEnd(16)} ${count}`);
console.log(
  `seed ${seed}: ${gateways} gateways, ${clientCount} clients, ${clients.operations} operations on ${clients.histories.size} keys in ` +
    `${tookSeconds.toFixed(1)} s (${Math.round(clients.operations / tookSeconds)}/s), ${faults} faults`,
);
const judgedMs = performance.now();
const problem = judgeHistories(clients.histories);
console.log(problem ?? `linearizable (judged in ${Math.round(performance.now() - judgedMs)} ms)`);
if (problem !== undefined) process.exitCode = 1;
