import type { FogbankClient } from "../../client/fogbank-client.ts";
import type { Gateway } from "../../client/schema.ts";
import { formatDuration } from "../../lib/duration.ts";
import { type ExitStatus, type Failure, FailureError, failure } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { ProgressLine, plain, printTable } from "../terminal.ts";
import type { World } from "../world.ts";

export interface ProgressOptions extends RemoteOptions {
  /** Milliseconds. */
  readonly wait?: number;
}

const pollMs = 500;
/** An election, or a restart of the gateway that is asked: no reason to give up. */
const patienceMs = 30_000;
const barWidth = 20;
/** Partitions move in waves, a second or two apart: nothing under way means the end only when it stays so. */
const settledLooks = 8;

/** `fogbank gateway progress`: what is still to be filled and given away. */
export async function gatewayProgress(world: World, options: ProgressOptions): Promise<ExitStatus> {
  const client = connect(world, options);
  const { wait } = options;
  const gateways = wait === undefined ? unwrap(await client.gateways()).gateways : await settled(world, client, wait);
  const value = {
    settled: gateways.every(isSettled),
    gateways: gateways.map(({ id, partitions, filling = 0, leaving = 0, planned = 0 }) => ({ id, partitions, filling, leaving, planned })),
  };
  print(world, options, value, () => {
    printTable(
      world,
      ["GATEWAY", "PARTITIONS", "FILLING", "LEAVING", "PLANNED"],
      value.gateways.map(({ id, partitions, filling, leaving, planned }) => [id, partitions, filling, leaving, planned]),
    );
    world.out.write(value.settled ? "all copies are whole\n" : "some copies are still on their way\n");
    for (const { id } of gateways.filter(({ up }) => !up))
      world.out.write(`${plain(id)} is down: its copies are as they were when it was last there\n`);
  });
  return value.settled || wait === undefined ? 0 : 1;
}

const isSettled = ({ filling = 0, leaving = 0, planned = 0 }: Gateway): boolean => filling === 0 && leaving === 0 && planned === 0;

/** As it is in the end, or when the time is up. */
async function settled(world: World, client: FogbankClient, waitMs: number): Promise<readonly Gateway[]> {
  const deadlineMs = world.clock.monotonicMs() + waitMs;
  let looks = 0;
  return watch(world, client, (gateways) => {
    looks = gateways.every(isSettled) ? looks + 1 : 0;
    return looks >= settledLooks || world.clock.monotonicMs() >= deadlineMs;
  });
}

/** Shows how far the gateways are until `isOver`; gives what they said last. Fails when the site does not answer for long. */
export async function watch(
  world: World,
  client: FogbankClient,
  isOver: (gateways: readonly Gateway[]) => boolean,
): Promise<readonly Gateway[]> {
  const line = new ProgressLine(world);
  const most = new Map<string, number>();
  let silentSinceMs: number | undefined;
  try {
    for (;;) {
      const answer = await client.gateways();
      if (answer.ok) {
        silentSinceMs = undefined;
        const { gateways } = answer.value;
        if (isOver(gateways)) return gateways;
        line.update(() => lineOf(gateways, most));
      } else {
        silentSinceMs ??= world.clock.monotonicMs();
        const silentMs = world.clock.monotonicMs() - silentSinceMs;
        if (silentMs >= patienceMs) throw new FailureError(silent(answer, silentMs));
      }
      await world.clock.sleep(pollMs);
    }
  } finally {
    line.clear();
  }
}

function silent(answer: Failure, silentMs: number): Failure {
  return failure(answer.code, `no gateway has answered for ${formatDuration(Math.round(silentMs / 1_000) * 1_000)}: ${answer.message}`);
}

/** `most`: the most that each gateway had to do so far, which is what its bar is a part of. */
function lineOf(gateways: readonly Gateway[], most: Map<string, number>): string {
  const bars = gateways.flatMap((gateway) => {
    const left = gateway.filling ?? 0;
    const all = Math.max(most.get(gateway.id) ?? 0, left);
    most.set(gateway.id, all);
    if (left === 0) return [];
    const done = Math.floor(((all - left) / all) * barWidth);
    return [`${plain(gateway.id)} [${"#".repeat(done)}${".".repeat(barWidth - done)}] ${left} partitions to fill`];
  });
  return bars.length === 0 ? "waiting for the next partitions to move" : bars.join("  ");
}
