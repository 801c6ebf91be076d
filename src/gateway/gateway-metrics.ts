import type { NtpState } from "../ports/clock.ts";
import type { Gateway } from "./gateway.ts";
import type { MetricSample } from "./service.ts";

const ntpValues: Readonly<Record<NtpState, number>> = { synchronised: 1, unsynchronised: 0, unknown: -1 };

/** Everything that /metrics says of a gateway but its process. */
export function gatewayMetrics(gateway: Gateway): MetricSample[] {
  const samples: MetricSample[] = [];
  const add = (name: string, help: string, value: number, labels?: Readonly<Record<string, string>>): void => {
    samples.push(labels === undefined ? { name: `fogbank_${name}`, help, value } : { name: `fogbank_${name}`, help, value, labels });
  };
  const { clock, transport, broker } = gateway.options.ports;
  const serving = gateway.serving();
  add("up", "1 while the gateway serves", gateway.phase() === "serving" ? 1 : 0);
  add(
    "clock_ntp",
    "1 while the machine says that NTP keeps its clock, 0 while it says the opposite, -1 where it says nothing",
    ntpValues[clock.ntpState()],
  );
  const mesh = transport.stats();
  add("mesh_frames_sent_total", "Frames handed to links", mesh.framesSent);
  add("mesh_frames_received_total", "Frames received", mesh.framesReceived);
  add("mesh_frames_dropped_total", "Frames dropped because a link was gone or its queue full", mesh.framesDropped);
  add("mesh_bytes_sent_total", "Bytes handed to links", mesh.bytesSent);
  add("mesh_bytes_received_total", "Bytes received", mesh.bytesReceived);
  if (serving === undefined) return samples;
  const { counters, ingest, replication, offeredRounds, consensus } = serving;
  const time = serving.siteClock.view();
  add("clock_synchronised", "1 while the time of stamps is confirmed by NTP or by a majority of the gateways", time.synchronised ? 1 : 0);
  for (const source of ["own", "peers", "held"] as const)
    add("clock_source", "1 for where the time of stamps comes from", time.source === source ? 1 : 0, { source });
  add("clock_ahead_seconds", "The system clock less the time of stamps", time.ownAheadMs / 1_000);
  add(
    "clock_deviation_seconds",
    "The system clock's distance from the middle of the gateways' clocks",
    (gateway.router()?.clockDeviationMs(serving.roster.gateways().length) ?? 0) / 1_000,
  );
  add("mqtt_clients", "Device connections", broker.stats().clients);
  add("messages_total", "PUBLISH packets received from devices", counters.messages);
  add("readings_acknowledged_total", "Readings that were acknowledged by this gateway", counters.acknowledged);
  add("readings_pending", "Readings that wait for their copies", replication.pendingReadings());
  add("readings_suppressed_total", "Readings within their deadband", counters.suppressed);
  add("qos0_dropped_total", "QoS 0 messages dropped at the intake bound", counters.qos0Dropped);
  add("rounds_total", "Rounds closed by this gateway", counters.rounds);
  add("round_bytes_total", "Bytes of these rounds", counters.roundBytes);
  add("rounds_refused_total", "Rounds of peers that were refused", offeredRounds.refused);
  for (const [reason, count] of Object.entries(ingest.deadLetters.counts()))
    add("dead_letters_total", "Payloads or metrics that became no reading, by reason", count, { reason });
  for (const [reason, count] of counters.closed)
    add("connections_closed_total", "Connections closed or refused by this gateway, by reason", count, { reason });
  const view = consensus.view();
  add("raft_term", "Raft term", view.term);
  add("raft_commit_index", "Raft commit index", view.commitIndex);
  add("raft_snapshot_index", "Index of the newest snapshot of the site's state", view.snapshotIndex);
  add("raft_feature_level", "Feature level that the site has agreed on", serving.state.featureLevel());
  add("raft_leader", "1 on the Raft leader", consensus.isLeader() ? 1 : 0);
  for (const [name, log] of [
    ["readings", serving.readingsLog.log],
    ["raft", serving.raftLog],
  ] as const) {
    const stats = log.stats();
    add("log_bytes_written_total", "Bytes written to the log", stats.bytesWritten, { log: name });
    add("log_bytes", "Bytes of the log on disk", stats.bytes, { log: name });
    add("log_fsyncs_total", "fsyncs of the log", stats.fsyncs, { log: name });
    add("log_last_fsync_seconds", "Duration of the last fsync", stats.lastFsyncMs / 1_000, { log: name });
    add("log_ok", "1 while the log can be written", log.health().ok ? 1 : 0, { log: name });
  }
  add(
    "raft_fsync_slow",
    "1 while fsyncs of the Raft log take longer than a third of the election timeout",
    serving.logWatch.fsyncIsSlow() ? 1 : 0,
  );
  const damage = serving.raftLog.damage();
  add(
    "raft_log_lost_records",
    "Records of the Raft log on disk that damage took and compaction has not freed yet",
    damage?.lostRecords ?? 0,
  );
  const space = serving.spaceWatch.space();
  if (space !== undefined) {
    add("disk_free_bytes", "Bytes free on the disk of the data folder", space.freeBytes);
    add("disk_total_bytes", "Bytes of the disk of the data folder", space.totalBytes);
    add("disk_keep_free_bytes", "Where less is free the oldest readings go; 0: never", serving.retention.bytesKeptFree());
  }
  const disk = serving.retention.diskState();
  for (const state of ["ok", "low", "disk-full"]) add("disk_state", "1 for the state of the disk", disk === state ? 1 : 0, { state });
  add("disk_takes_readings", "0 while the disk is too full for readings", serving.spaceWatch.mayTake() ? 1 : 0);
  const retention = serving.retention.view();
  const help = "Epoch seconds before which readings are given up: lowest in every partition, highest in some";
  for (const level of ["raw", "rollup"] as const) {
    const view = retention[level];
    if (view === undefined) continue;
    add("retention_horizon_seconds", help, view.lowestMs / 1_000, { level, bound: "lowest" });
    add("retention_horizon_seconds", help, view.highestMs / 1_000, { level, bound: "highest" });
  }
  add("retention_chunks_dropped_total", "Chunks that this gateway dropped below the horizons", retention.chunksDropped);
  add(
    "retention_held_back",
    "1 while a window of a job with sinks keeps readings beyond their time",
    retention.heldBackBy === undefined ? 0 : 1,
  );
  add(
    "retention_dropped_unprocessed_windows",
    "Windows of jobs with sinks whose readings were given up before they were committed",
    retention.unprocessedWindows,
  );
  const store = serving.seriesStore.stats();
  add("series", "Series kept here", store.series);
  add("chunks", "Chunks in the store", store.chunks);
  add("rollup_blocks", "Blocks of rollups by the hour that stand for readings that were given up", store.blocks);
  add("head_readings", "Readings in memory that no chunk holds yet", store.headReadings);
  add("checkpoints_total", "Checkpoints since the data folder was made", store.checkpoints);
  add("conflicts_total", "Different values at one identity, found at checkpoints and compactions", store.conflicts);
  add("chunks_damaged", "Chunks in quarantine: their readings are at other owners only", store.damagedChunks);
  add("compaction_chunks_in_total", "Chunks that were merged into others", store.compaction.chunksIn);
  add("compaction_chunks_out_total", "Chunks that merging made", store.compaction.chunksOut);
  add("compaction_bytes_written_total", "Bytes of the chunks that merging made", store.compaction.bytes);
  add("scrub_chunks_total", "Chunks whose checksums were verified in the background", store.scrub.chunks);
  add("scrub_bytes_total", "Bytes of these chunks", store.scrub.bytes);
  add("chunk_cache_bytes", "Bytes of decoded chunks that are kept", store.cache.bytes);
  add("chunk_cache_hits_total", "Chunks that were read from the cache", store.cache.hits);
  add("chunk_cache_misses_total", "Chunks that were read from the store", store.cache.misses);
  add("chunks_fetched_total", "Sealed chunks that came from other owners as they are", serving.healing.chunkStream.chunks);
  add("chunk_bytes_fetched_total", "Bytes of these chunks", serving.healing.chunkStream.bytes);
  const self = serving.membership.members().find(({ id }) => id === gateway.self);
  add("partitions_filling", "Partitions that this gateway is to own and has not all readings of yet", self?.filling ?? 0);
  add("partitions_leaving", "Partitions that this gateway owns and that move to another one", self?.leaving ?? 0);
  const repair = serving.healing.repair.view();
  add("repair_passes_total", "Comparisons of all that is held here with the other owners", repair.passes);
  if (repair.lastPassMs !== undefined) add("repair_last_pass_seconds", "Time since the last of them ended", repair.lastPassMs / 1_000);
  add("repair_equal", "1 when the last one found all other owners, and everywhere the same", repair.equal ? 1 : 0);
  add("repair_partitions_compared", "Partitions that the last one compared with all of their other owners", repair.partitionsCompared);
  add("repair_partitions_equal", "Those of them in which all held the same", repair.partitionsEqual);
  add("repair_hours_differing", "Hours in which they did not", repair.hoursDiffering);
  add("repair_readings_fetched_total", "Readings that were lacking here and were fetched from other owners", repair.readingsFetched);
  add("repair_chunks_restored_total", "Damaged chunks whose readings were fetched from other owners", repair.chunksRestored);
  add("repair_readings_written_total", "Readings that questions wrote to owners which lacked them", serving.healing.readRepair.readings);
  add("repair_writes_failed_total", "Lots of such readings that could not be written", serving.healing.readRepair.failed);
  const hints = serving.hints.view();
  for (const { target, rounds, bytes, oldestMs } of hints.waiting) {
    add("hint_rounds", "Acknowledged rounds that an owner lacks, kept for it, by owner", rounds, { target });
    add("hint_bytes", "Bytes of these rounds", bytes, { target });
    add("hint_oldest_seconds", "Age of the oldest of these rounds", oldestMs / 1_000, { target });
  }
  add("hint_rounds_delivered_total", "Rounds that reached an owner as a hint", hints.delivered);
  for (const [reason, rounds] of Object.entries(hints.dropped))
    add("hint_rounds_dropped_total", "Hints that were given up, by reason", rounds, { reason });
  add("held_rounds", "Rounds that were acknowledged on this disk alone", hints.held.rounds);
  add("held_readings", "Readings in these rounds", hints.held.readings);
  add("held_oldest_seconds", "Age of the oldest of these rounds", hints.held.oldestMs / 1_000);
  for (const { target, rounds, bytes } of hints.copies) {
    add("copy_rounds", "Rounds that this witness keeps for an owner, by owner", rounds, { target });
    add("copy_bytes", "Bytes of these rounds", bytes, { target });
  }
  add("results_pending", "Committed runs whose rows have not reached this gateway", serving.jobs.results.pending());
  return samples;
}
