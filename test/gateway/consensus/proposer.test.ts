// Goal: commands that come up together travel together, each gets its own result, and none waits for ever. Method: a proposer whose
// own gateway leads, with a node that keeps the batches until the test answers them, in virtual time.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ApplyResult } from "../../../src/core/site/apply-result.ts";
import { decodeCommand } from "../../../src/core/site/command-codec.ts";
import type { OnceCommand, SiteCommand } from "../../../src/core/site/commands.ts";
import { Proposer } from "../../../src/gateway/consensus/proposer.ts";
import type { GatewayContext } from "../../../src/gateway/context.ts";
import { Inbox } from "../../../src/gateway/inbox.ts";
import type { Requests } from "../../../src/gateway/requests.ts";
import { type Result, success } from "../../../src/lib/errors.ts";
import { gatewayId, sessionId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { Scheduler } from "../../../src/sim/scheduler.ts";

const test = suite("proposer");
const self = gatewayId("gw-a");
const packing = new Packing();

interface Asked {
  readonly commands: readonly SiteCommand[];
  answer(results: readonly Result<ApplyResult>[]): void;
}

function setup() {
  const scheduler = new Scheduler();
  const asked: Asked[] = [];
  const used = {
    self,
    session: sessionId("0123456789abcdef0123456789abcdef"),
    packing,
    inbox: new Inbox((cause) => assert.unreachable(String(cause))),
    clock: {
      monotonicMs: () => scheduler.nowMs(),
      schedule: (delayMs: number, fire: () => void) => ({ id: 0, event: scheduler.schedule(delayMs, "timer", fire) }),
      cancel: (timer: { event?: { cancelled: boolean } }) => {
        if (timer.event !== undefined) timer.event.cancelled = true;
      },
    },
  };
  const proposer = new Proposer({
    // Of a gateway's world, the proposer of a leader uses no more than this.
    context: used as unknown as GatewayContext,
    requests: {} as Requests,
    featureLevel: () => 2,
    raft: {
      leader: () => self,
      leaderChange: async () => undefined,
      propose: (encoded) =>
        new Promise((resolve) => {
          const commands = encoded.map((bytes) => {
            const decoded = decodeCommand(bytes, packing);
            assert.ok(decoded.ok);
            return decoded.value;
          });
          asked.push({ commands, answer: resolve });
        }),
    },
  });
  /** Lets the turn end, and what follows from it happen. */
  const turn = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    const endMs = scheduler.nowMs() + 1;
    while ((scheduler.nextMs() ?? Number.POSITIVE_INFINITY) <= endMs) scheduler.step();
    scheduler.advanceTo(endMs);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const put = (key: string) => proposer.propose({ t: "kv-put", key, value: new Uint8Array([1]), expect: -1 }, 5_000);
  /** With its session open. */
  const opened = async (): Promise<void> => {
    const first = put("first");
    await turn();
    asked.shift()?.answer([success({ t: "done" })]);
    await turn();
    asked.shift()?.answer([revision(1)]);
    assert.equal(await first, revision(1));
    await turn();
  };
  return { proposer, asked, turn, put, opened };
}

const revision = (number: number): Result<ApplyResult> => success({ t: "kv", ok: true, revision: number, existed: false });
const keysOf = ({ commands }: Asked): readonly string[] =>
  commands.map((command) => {
    const { command: plain } = command as OnceCommand;
    return plain.t === "kv-put" ? plain.key : plain.t;
  });

test("what comes up in one turn is one batch, and each command gets its own result", async () => {
  const { asked, turn, put, opened } = setup();
  await opened();
  const puts = ["a", "b", "c"].map(put);
  await turn();
  assert.equal(asked.map(keysOf), [["a", "b", "c"]]);
  asked[0]?.answer([revision(2), revision(3), revision(4)]);
  assert.equal(await Promise.all(puts), [revision(2), revision(3), revision(4)]);
});

test("while two batches are under way, all that comes joins the next", async () => {
  const { asked, turn, put, opened } = setup();
  await opened();
  for (const key of ["a", "b", "c", "d"]) {
    void put(key);
    await turn();
  }
  assert.equal(asked.map(keysOf), [["a"], ["b"]]);
  asked[0]?.answer([revision(2)]);
  await turn();
  await turn();
  assert.equal(asked.map(keysOf), [["a"], ["b"], ["c", "d"]]);
});

test("a stop answers what has not left: certainly not applied", async () => {
  const { proposer, asked, turn, put, opened } = setup();
  await opened();
  for (const key of ["a", "b"]) {
    void put(key);
    await turn();
  }
  const late = proposer.propose({ t: "kv-put", key: "late", value: new Uint8Array(0), expect: -1 }, 10);
  await turn();
  proposer.stop();
  const result = await late;
  assert.ok(!result.ok && result.code === "not-applied", JSON.stringify(result));
  assert.equal(asked.map(keysOf), [["a"], ["b"]]);
});

test.run();
