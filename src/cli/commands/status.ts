import type { Status } from "../../client/schema.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { colorsOf, formatBytes, formatElapsed, plain, plainLines } from "../terminal.ts";
import type { World } from "../world.ts";

/** `fogbank status`: one gateway's view of the site. */
export async function status(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).status());
  return print(world, options, value, () => world.out.write(`${plainLines(statusText(world, value))}\n`));
}

function statusText(world: World, value: Status): string {
  const { raft, ring, log, store, ingest } = value;
  const closed = Object.entries(ingest.closed).map(([reason, count]) => `${count} ${plain(reason)}`);
  const partitions = Object.entries(ring.partitions).map(([gateway, count]) => `${plain(gateway)} ${count}`);
  const lines: (readonly [string, string])[] = [
    ["site", `${plain(value.site)}${value.clusterId === undefined ? "" : ` (cluster ${plain(value.clusterId)})`}`],
    [
      "gateway",
      `${plain(value.gateway)}, ${plain(value.phase)} for ${formatElapsed(value.uptimeMs)}, version ${plain(value.version)}, ${formatBytes(value.process.memoryBytes)} of memory`,
    ],
    ["survives", plain(ring.survives)],
    [
      "raft",
      `${plain(raft.role)}, term ${raft.term}, leader ${plain(raft.leader ?? "unknown")}, commit index ${raft.commitIndex} of ${raft.lastIndex}${raft.featureLevel === undefined ? "" : `, feature level ${raft.featureLevel}`}`,
    ],
    ["ring", `epoch ${ring.epoch}, factor ${ring.factor}; partitions: ${partitions.join(", ")}`],
    [
      "log",
      `${log.segments} ${log.segments === 1 ? "segment" : "segments"}, ${formatBytes(log.bytes)}, ${formatBytes(log.bytesWritten)} written, ${log.fsyncs} fsyncs (last ${log.lastFsyncMs.toFixed(1)} ms)${log.ok ? "" : `; NOT OK: ${plain(log.error ?? "unknown")}`}`,
    ],
    [
      "store",
      `${store.series} series, ${store.headReadings} readings in heads, ${store.chunks} chunks, ${formatBytes(store.bytes)}${store.damagedChunks === undefined || store.damagedChunks === 0 ? "" : `; ${store.damagedChunks} chunks are DAMAGED`}`,
    ],
    ...diskLines(value),
    ...repairLines(value),
    ...clockLines(value),
    [
      "ingest",
      `${ingest.clients} clients, ${ingest.perSecond.toFixed(1)} readings/s, ${ingest.acknowledged} acknowledged, ${ingest.pending} pending`,
    ],
    [
      "refused",
      `${ingest.deadLetters} dead letters, ${ingest.conflicts} conflicts, ${ingest.qos0Dropped} QoS 0 dropped${closed.length === 0 ? "" : `; connections closed: ${closed.join(", ")}`}`,
    ],
    ...hintLines(value),
    ...value.sync.map(
      (sink) =>
        [
          `sink ${plain(sink.name)}`,
          `${sink.delivered} ${sink.delivered === 1 ? "run" : "runs"}, ${sink.rows} ${sink.rows === 1 ? "row" : "rows"}, ${sink.pending} pending${sink.error === undefined ? "" : `; ${plain(sink.error)}`}`,
        ] as const,
    ),
  ];
  const colors = colorsOf(world, world.out);
  const width = Math.max(...lines.map(([name]) => name.length));
  const text = lines.map(([name, line]) => `${name.padEnd(width)}  ${line}`);
  const unmatched = ingest.unmatched.map(
    (topic) => `${topic.perMinute.toFixed(0)} messages/min on ${plain(topic.topic)} match no profile (${topic.total} in all)`,
  );
  return [
    ...text,
    ...[...value.warnings.map(plain), ...unmatched].map((warning) => `${colors.isColorSupported ? "! " : "warning: "}${warning}`),
  ].join("\n");
}

/** Said only where something waits, or was given up. */
function hintLines({ hints }: Status): (readonly [string, string])[] {
  if (hints === undefined) return [];
  const kept = (what: readonly { readonly target: string; readonly rounds: number; readonly bytes: number }[]): string =>
    what
      .map(({ target, rounds, bytes }) => `${rounds} ${rounds === 1 ? "round" : "rounds"} (${formatBytes(bytes)}) for ${plain(target)}`)
      .join(", ");
  const dropped = Object.entries(hints.dropped).map(
    ([reason, rounds]) => `${rounds} ${rounds === 1 ? "round" : "rounds"} (${plain(reason)})`,
  );
  const lines: (readonly [string, string])[] = [];
  if (hints.waiting.length > 0 || dropped.length > 0)
    lines.push(["hints", `${kept(hints.waiting) || "none wait"}${dropped.length === 0 ? "" : `; given up: ${dropped.join(", ")}`}`]);
  if (hints.held.rounds > 0)
    lines.push([
      "held",
      `cut off: holding ${hints.held.readings} readings in ${hints.held.rounds} rounds, the oldest for ${formatElapsed(hints.held.oldestMs)}`,
    ]);
  if (hints.copies.length > 0) lines.push(["stands in", kept(hints.copies)]);
  return lines;
}

/** A gateway of an older version says nothing of either. */
function diskLines({ disk, retention }: Status): (readonly [string, string])[] {
  const lines: (readonly [string, string])[] = [];
  if (disk !== undefined) {
    const { freeBytes, totalBytes, keepFreeBytes } = disk;
    const free =
      freeBytes === undefined || totalBytes === undefined ? "" : `, ${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free`;
    const kept = keepFreeBytes === 0 ? "" : `; below ${formatBytes(keepFreeBytes)} the oldest readings go`;
    lines.push(["disk", `${plain(disk.state)}${free}${kept}`]);
  }
  if (retention !== undefined) {
    const { raw, rollup, unprocessedWindows } = retention;
    const lost = unprocessedWindows === 0 ? "" : `; ${unprocessedWindows} windows of jobs went before they were committed`;
    const rollups = rollup === undefined ? "" : `, their rollups by the hour ${keptSince(rollup)}`;
    lines.push(["kept", `readings ${keptSince(raw)}${rollups}${lost}`]);
  }
  return lines;
}

/** Nor of this. */
function repairLines({ repair }: Status): (readonly [string, string])[] {
  if (repair === undefined) return [];
  const { lastPassMs, partitionsCompared, partitionsEqual, hoursDiffering, readingsFetched, readingsWritten, chunksRestored } = repair;
  if (lastPassMs === undefined) return [["repair", "nothing was compared with the other owners yet"]];
  const found = repair.equal
    ? `all ${partitionsCompared} partitions equal`
    : partitionsCompared === 0
      ? "no partition could be compared with all of its other owners"
      : `${partitionsEqual} of ${partitionsCompared} partitions equal, ${hoursDiffering} hours differ`;
  const done = `${readingsFetched} readings fetched, ${readingsWritten} written by questions, ${chunksRestored} chunks restored`;
  return [["repair", `${found}, ${formatElapsed(lastPassMs)} ago; ${done}`]];
}

function clockLines({ clock }: Status): (readonly [string, string])[] {
  if (clock === undefined) return [];
  const confirmed = clock.by === "none" ? "NOT confirmed" : `confirmed by ${clock.by === "peers" ? "a majority of the gateways" : "NTP"}`;
  const own = clock.source === "own" ? "" : `; the system clock is ${(clock.ownAheadMs / 1_000).toFixed(1)} s ahead of it`;
  return [["clock", `time of stamps ${confirmed}, source ${plain(clock.source)}${own}`]];
}

function keptSince({ lowestMs, highestMs }: { readonly lowestMs: number; readonly highestMs: number }): string {
  if (highestMs === 0) return "from the beginning";
  const of = (ms: number): string => (ms === 0 ? "the beginning" : new Date(ms).toISOString());
  return lowestMs === highestMs ? `from ${of(highestMs)} on` : `from ${of(lowestMs)} to ${of(highestMs)} on, by partition`;
}
