// Goal: the key-value space is linearizable while the leader is killed, frozen and cut off. Method: clients put, compare and set, read
// and delete the same keys at all three processes at once over HTTP; no order of the operations on a key that respects what was over
// before something else began may be missing.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../../src/lib/random.ts";
import type { HistoryEntry } from "../../../src/sim/linearizability.ts";
import { judgeHistories, KvClients } from "../../e2e/support/kv-clients.ts";
import { befall } from "../../e2e/support/kv-faults.ts";
import { startLinkedSite } from "../../e2e/support/linked-site.ts";

const test = suite("kv histories of real processes");

const clientCount = 8;
/** Operations before, between and after the faults: a site that does not come back fails the test. */
const operationsBetween = 120;

/** The same histories, but that one read saw a value that was replaced for good before the read began. */
function withStaleRead(histories: ReadonlyMap<string, readonly HistoryEntry[]>): ReadonlyMap<string, readonly HistoryEntry[]> {
  for (const [key, history] of histories) {
    const writes = history.filter(({ operation, outcome }) => operation.kind === "put" && outcome.kind === "done");
    for (const [at, read] of history.entries()) {
      if (read.operation.kind !== "get" || read.outcome.kind !== "done") continue;
      const before = writes.filter((write) => write.returnedMs < read.calledMs).toSorted((a, b) => a.calledMs - b.calledMs);
      const old = before.find((write) => before.some((later) => later.calledMs > write.returnedMs));
      if (old === undefined || old.operation.kind !== "put") continue;
      const stale: HistoryEntry = { ...read, outcome: { kind: "done", read: old.operation.value } };
      return new Map([[key, history.map((entry, index) => (index === at ? stale : entry))]]);
    }
  }
  throw new Error("no read came after two writes in a row");
}

test("put, compare and set, get and delete at three processes, with SIGKILL, SIGSTOP and cut links, are linearizable", async () => {
  const random = new SeededRandom(Date.now());
  const faulty = await startLinkedSite({ gateways: 3, files: {} });
  const clients = new KvClients({ gateways: faulty.site.gateways, clients: clientCount, random: random.fork() });
  const faults: string[] = [];
  try {
    await clients.more(operationsBetween);
    for (const kind of ["freeze", "kill", "isolate"] as const) {
      faults.push(await befall(faulty, kind, random));
      await clients.more(operationsBetween);
    }
  } finally {
    try {
      await clients.end();
    } finally {
      await faulty.end();
    }
  }
  const story = `${faults.join("; ")}\n${JSON.stringify([...clients.counts])}`;
  for (const what of ["put done", "put refused", "get done", "delete done"]) {
    assert.ok(clients.count(what) >= 20, `enough came through to judge: ${story}`);
  }
  const problem = judgeHistories(clients.histories);
  assert.is(problem, undefined, `${problem ?? ""}\n${story}`);
  assert.is.not(judgeHistories(withStaleRead(clients.histories)), undefined, "the judge sees a stale read");
});

test.run();
