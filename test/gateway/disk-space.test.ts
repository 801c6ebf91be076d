// Goal: readings stop before the disk is full, and go on by themselves when there is room again. Method: a disk whose free
// bytes the test sets, one that does not answer, and the real file system.
import * as os from "node:os";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FileSystemSpace } from "../../src/adapters/file-system-space.ts";
import { SpaceWatch } from "../../src/gateway/disk-space.ts";
import type { DiagnosticDetails } from "../../src/ports/diagnostics.ts";

const test = suite("gateway: disk space");
const mebibyte = 1 << 20;

function watched() {
  const lines: string[] = [];
  const say = (event: string, details: DiagnosticDetails = {}) => lines.push(`${event} ${details["freeBytes"] as number}`);
  let answer: () => Promise<number | undefined> = () => Promise.resolve(undefined);
  const watch = new SpaceWatch({
    space: { space: async () => sized(await answer()) },
    reserveBytes: 64 * mebibyte,
    diagnostics: { info: say, error: say },
  });
  const look = async (next: () => Promise<number | undefined>): Promise<boolean> => {
    answer = next;
    void watch.look();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    return watch.mayTake();
  };
  return { watch, lines, look };
}

const sized = (freeBytes: number | undefined) => (freeBytes === undefined ? undefined : { freeBytes, totalBytes: 1 << 30 });
const free = (bytes: number | undefined) => () => Promise.resolve(bytes);

test("below the reserve nothing is taken, from half as much again on it is; both are said once", async () => {
  const { watch, lines, look } = watched();
  assert.ok(watch.mayTake());
  assert.ok(await look(free(64 * mebibyte)));
  assert.equal(lines, []);
  assert.not(await look(free(64 * mebibyte - 1)));
  assert.not(await look(free(96 * mebibyte - 1)));
  assert.equal(lines.splice(0), [`disk-nearly-full ${64 * mebibyte - 1}`]);
  assert.equal(watch.troubles(), [
    "the disk is nearly full: 96 MiB are free, and 64 MiB are kept for the site's own state; no readings are taken until 96 MiB are free",
  ]);
  assert.ok(await look(free(96 * mebibyte)));
  assert.equal(lines.splice(0), [`disk-has-room-again ${96 * mebibyte}`]);
  assert.equal(watch.troubles(), []);
  assert.is(watch.freeBytes(), 96 * mebibyte);
});

test("a file system that does not say stops nothing", async () => {
  const { watch, lines, look } = watched();
  assert.ok(await look(free(undefined)));
  assert.is(watch.freeBytes(), undefined);
  assert.not(await look(free(0)));
  assert.ok(await look(free(undefined)));
  assert.is(lines.length, 2);
});

test("one question at a time; while a disk does not answer, what it said last holds", async () => {
  const { watch, look } = watched();
  assert.not(await look(free(0)));
  let asked = 0;
  let reply: (bytes: number) => void = () => undefined;
  const slow = () => {
    asked++;
    return new Promise<number>((resolve) => {
      reply = resolve;
    });
  };
  assert.not(await look(slow));
  assert.not(await look(slow));
  assert.is(asked, 1);
  reply(1 << 30);
  await Promise.resolve();
  await Promise.resolve();
  assert.ok(watch.mayTake());
  assert.not(await look(free(0)));
  assert.not(await look(() => Promise.reject(new Error("gone"))));
  assert.ok(await look(free(1 << 30)));
});

test("the real file system has some bytes free, and a folder that is not there does not say", async () => {
  const space = await new FileSystemSpace({ folder: os.tmpdir() }).space();
  assert.ok(space !== undefined && space.freeBytes > 0 && space.totalBytes >= space.freeBytes);
  assert.is(await new FileSystemSpace({ folder: "/no/such/folder" }).space(), undefined);
});

test.run();
