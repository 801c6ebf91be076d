// Goal: snapshots do not wear out a disk or a link that fails them, and a slow member gets to the end of one. Method: a snapshotter with
// a disk, a peer and a clock that the test plays; that snapshots are right is for the simulator and `test/scenarios/raft/snapshots.test.ts`.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../../src/core/raft/messages.ts";
import { SiteState } from "../../../src/core/site/site-state.ts";
import { Snapshotter, type SnapshotterOptions } from "../../../src/gateway/consensus/snapshotter.ts";
import type { RequestHandler } from "../../../src/gateway/requests.ts";
import { failure, type Result, success } from "../../../src/lib/errors.ts";
import { gatewayId, memberId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";

const dueBytes = 1_000;
const entry: Entry = { index: 1, term: 1, kind: "command", command: new Uint8Array(dueBytes) };

class World {
  nowMs = 10_000;
  created = 0;
  asked = 0;
  diskFull = false;
  answer: Result<unknown> = failure("data-damaged", "a flipped bit");
  serve: RequestHandler = () => Promise.reject(new Error("not served"));
  readonly snapshotter: Snapshotter;

  constructor() {
    const state = new SiteState();
    state.apply(1, { t: "feature-level", level: 2 });
    const done = () => Promise.resolve(success(undefined));
    const used = {
      packing: new Packing(),
      clock: { monotonicMs: () => this.nowMs, schedule: (_ms: number, fire: () => void) => setImmediate(fire) },
      inbox: { post: (task: () => void) => task(), closed: () => false },
      diagnostics: { debug: () => undefined, info: () => undefined, warn: () => undefined },
      tuning: { featureMax: 2, raftSnapshotBytes: dueBytes },
    };
    const options = {
      // Of a gateway's world, a snapshotter uses no more than this.
      context: used,
      requests: {
        serve: (_type: string, handler: RequestHandler) => {
          this.serve = handler;
        },
        call: () => {
          this.asked++;
          return Promise.resolve(this.answer);
        },
      },
      files: {
        create: () => {
          this.created++;
          return Promise.resolve(this.diskFull ? failure("disk-full", "full") : success({ append: done, commit: done, abort: done }));
        },
        list: () => Promise.resolve([{ name: "0000000000000001-00000001.snap", bytes: 3 }]),
        readRange: () => Promise.resolve(success(new Uint8Array(3))),
        remove: done,
      },
      state,
      positionAt: () => ({ term: 1, configuration: { voters: [memberId("gw-a")], learners: [], witnesses: [] } }),
      step: () => undefined,
    };
    this.snapshotter = new Snapshotter(options as unknown as SnapshotterOptions);
  }

  /** A due size's worth of entries is applied, and what follows from it is over. */
  async apply(): Promise<void> {
    this.snapshotter.applied([entry]);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

const test = suite("gateway/consensus/snapshotter");

test("a disk that is full is not tried again with each entry", async () => {
  const world = new World();
  world.diskFull = true;
  for (let i = 0; i < 50; i++) await world.apply();
  assert.is(world.created, 1);
  world.nowMs += 2_000;
  world.diskFull = false;
  await world.apply();
  assert.is(world.created, 2);
  assert.is(world.snapshotter.stats().taken, 1);
});

test("while a member fetches the snapshot no new one takes its place, until the log is too long for that", async () => {
  const world = new World();
  await world.apply();
  assert.is(world.snapshotter.stats().taken, 1);
  const piece = await world.serve(gatewayId("gw-b"), { index: 1, term: 1, offset: 0 });
  assert.ok(piece.ok);
  for (let i = 0; i < 6; i++) await world.apply();
  assert.is(world.snapshotter.stats().taken, 1);
  for (let i = 0; i < 3; i++) await world.apply();
  assert.is(world.snapshotter.stats().taken, 2, "bounded all the same");
  world.nowMs += 5_000;
  await world.apply();
  assert.is(world.snapshotter.stats().taken, 3, "nobody fetches any more");
});

test("a snapshot that cannot be had is not asked for again with each heartbeat", async () => {
  const world = new World();
  world.answer = success({ size: 3, bytes: new Uint8Array(3) });
  const source = { member: memberId("gw-a"), gateway: gatewayId("gw-a"), index: 9, term: 1 };
  for (let heartbeat = 0; heartbeat < 10; heartbeat++) {
    world.snapshotter.fetch(source);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.is(world.asked, 1, "it was damaged");
  world.nowMs += 2_000;
  world.snapshotter.fetch(source);
  assert.is(world.asked, 2);
});

test.run();
