// Goal: a snapshots folder that cannot be read ends a start with a sentence. Method: ports that fail as a disk does; what is opened where
// the disk answers is for `test/core/raft/replay.test.ts` and the scenarios.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Identity } from "../../src/gateway/identity.ts";
import { openRaft, type RaftDiskContext } from "../../src/gateway/raft-disk.ts";
import { IoError } from "../../src/lib/log-files.ts";

const test = suite("gateway/raft-disk");

test("snapshots that cannot be listed are a failure, not a crash", async () => {
  // Nothing else of a gateway's world is looked at before.
  const context = { ports: { snapshots: { list: () => Promise.reject(new IoError("EIO", "i/o error")) } } } as unknown as RaftDiskContext;
  const opened = await openRaft(context, { stage: "member" } as Identity);
  assert.is(opened.ok ? "" : opened.code, "store-failed");
  assert.match(opened.ok ? "" : opened.message, /i\/o error.*Check the disk/);
});

test.run();
