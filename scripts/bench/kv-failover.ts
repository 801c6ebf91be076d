// How long a site takes no writes after its leader was killed, as a client sees it that keeps trying everywhere.
import type { TestGateway, TestSite } from "../../test/e2e/support/site.ts";
import { pause } from "../../test/e2e/support/until.ts";
import { startFogbankKv } from "./kv-servers.ts";

const attemptTimeoutMs = 250;
const retryPauseMs = 10;
const givenUpAfterMs = 60_000;
/** A restarted gateway gets this long to be ready, and the site as long at rest before the next blow. */
const restBetweenMs = 1_000;

/** Milliseconds from each SIGKILL of the leader to the first acknowledged put that was begun after it. */
export async function measureFailovers(count: number, say: (line: string) => void): Promise<number[]> {
  const { site } = await startFogbankKv();
  try {
    const times: number[] = [];
    for (let round = 1; round <= count; round++) {
      const leader = await site.leader();
      await leader.kill();
      const ms = await untilWritten(site, round);
      times.push(ms);
      say(`kill ${round}: ${leader.id} led, a put succeeded after ${Math.round(ms)} ms`);
      leader.start();
      await leader.ready();
      await pause(restBetweenMs);
    }
    return times;
  } finally {
    await site.end();
  }
}

/** Every gateway is asked over and over, the dead one too, by one caller each; the first success counts. */
async function untilWritten(site: TestSite, round: number): Promise<number> {
  const beganMs = performance.now();
  let done = false;
  const keepTrying = async (gateway: TestGateway): Promise<number> => {
    for (let attempt = 1; !done; attempt++) {
      if (await put(gateway, `failover-${round}-${gateway.id}`, String(attempt))) {
        done = true;
        return performance.now() - beganMs;
      }
      if (performance.now() - beganMs > givenUpAfterMs) throw new Error(`no put succeeded within ${givenUpAfterMs} ms`);
      await pause(retryPauseMs);
    }
    return Number.POSITIVE_INFINITY;
  };
  return Math.min(...(await Promise.all(site.gateways.map(keepTrying))));
}

async function put(gateway: TestGateway, key: string, value: string): Promise<boolean> {
  try {
    const answer = await fetch(`${gateway.url}/api/v1/kv/${key}`, {
      method: "PUT",
      body: value,
      signal: AbortSignal.timeout(attemptTimeoutMs),
    });
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch {
    return false;
  }
}
