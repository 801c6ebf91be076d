import type { JobResult, Status } from "../../client/schema.ts";
import { groupText } from "../commands/job.ts";
import { colorsOf, formatElapsed, formatTime, plain, plainValue } from "../terminal.ts";
import type { Output, World } from "../world.ts";

/** What the demo shows while it runs: a block that is written over in a terminal, plain lines elsewhere. */

export interface Sample {
  readonly elapsedMs: number;
  readonly published: number;
  readonly acknowledged: number;
  readonly gateways: readonly { readonly id: string; readonly status: Status | undefined }[];
  readonly newResults: readonly JobResult[];
  readonly resultCount: number;
}

const resultsShown = 6;

export class DemoView {
  readonly #world: World;
  readonly #out: Output;
  #linesUp = 0;
  #ownership = "";
  #results: string[] = [];

  constructor(world: World, out: Output) {
    this.#world = world;
    this.#out = out;
  }

  show(sample: Sample): void {
    if (this.#out.isTTY) this.#showBlock(sample);
    else this.#showLines(sample);
  }

  /** A line among the live output. */
  note(text: string): void {
    this.#out.write(`${this.#erase()}${text}\n`);
  }

  #showLines(sample: Sample): void {
    const rates = sample.gateways.map(
      ({ id, status }) => `${id} ${status === undefined ? "down" : `${status.ingest.perSecond.toFixed(1)}/s`}`,
    );
    const out = this.#out;
    out.write(
      `${formatElapsed(sample.elapsedMs)}  published ${sample.published}, acknowledged ${sample.acknowledged}  ${rates.join(", ")}  ${leaderText(sample)}\n`,
    );
    const ownership = ownershipText(sample);
    if (ownership !== this.#ownership) out.write(`owners of partitions: ${ownership}\n`);
    this.#ownership = ownership;
    for (const row of sample.newResults) out.write(`result  ${resultText(row)}\n`);
  }

  #showBlock(sample: Sample): void {
    const colors = colorsOf(this.#world, this.#out);
    this.#results = [...this.#results, ...sample.newResults.map(resultText)].slice(-resultsShown);
    const lines = [
      `${formatElapsed(sample.elapsedMs).padEnd(8)} published ${sample.published}, acknowledged ${sample.acknowledged}, ${sample.resultCount} results`,
      ...sample.gateways.map(({ id, status }) => gatewayLine(id, status)),
      `latest results of the jobs:`,
      ...this.#results.map((line) => `  ${line}`),
    ];
    const width = Math.max(this.#out.columns - 1, 20);
    const text = lines.map((line, index) => (index === 0 ? colors.bold(line.slice(0, width)) : line.slice(0, width))).join("\n");
    this.#out.write(`${this.#erase()}${text}\n`);
    this.#linesUp = lines.length;
  }

  /** Cursor to the block's first line, and everything below it gone. */
  #erase(): string {
    const up = this.#linesUp;
    this.#linesUp = 0;
    return up === 0 ? "" : `\u001b[${up}A\u001b[0J`;
  }
}

function gatewayLine(id: string, status: Status | undefined): string {
  if (status === undefined) return `  ${id.padEnd(6)} down`;
  const { ingest, raft, ring, process } = status;
  const role = raft.leader === id ? "leader" : plain(raft.role);
  const memory = `${Math.round(process.memoryBytes / 1e6)} MB`;
  return `  ${id.padEnd(6)} ${ingest.perSecond.toFixed(1).padStart(6)}/s  ${String(ingest.clients).padStart(3)} devices  owns ${String(ring.partitions[id] ?? 0).padStart(4)} partitions  ${role.padEnd(9)}  ${memory}`;
}

function leaderText(sample: Sample): string {
  const status = sample.gateways.find((gateway) => gateway.status?.raft.leader !== undefined)?.status;
  return status === undefined ? "no leader" : `leader ${plain(status.raft.leader ?? "")} (term ${status.raft.term})`;
}

function ownershipText(sample: Sample): string {
  const ring = sample.gateways.find((gateway) => gateway.status !== undefined)?.status?.ring;
  return Object.entries(ring?.partitions ?? {})
    .map(([id, count]) => `${plain(id)} ${count}`)
    .join(", ");
}

function resultText(row: JobResult): string {
  const values = Object.entries(row.values).map(
    ([name, value]) => `${plain(name)}=${typeof value === "number" ? Math.round(value * 1000) / 1000 : plainValue(value)}`,
  );
  return `${plain(row.job)} ${formatTime(row.from).slice(11, 19)} ${plain(groupText(row))}: ${values.join(" ")}`;
}
