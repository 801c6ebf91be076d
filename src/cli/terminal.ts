import Table from "cli-table3";
import pc from "picocolors";
import type { Output, World } from "./world.ts";

/** What goes to a terminal: tables, colours, JSON. Text that devices chose may not steer it. */

type Colors = ReturnType<typeof pc.createColors>;

/** Colours for a terminal that wants them (https://no-color.org). */
export function colorsOf(world: World, output: Output): Colors {
  return pc.createColors(output.isTTY && (world.env["NO_COLOR"] ?? "") === "" && world.env["TERM"] !== "dumb");
}

/** C0 and C1 controls, DEL, and what reorders or breaks a line (bidirectional overrides, line separators). */
const steering = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;

/** Controls as visible escapes: `\u001b[2J` does not clear anybody's screen. */
export function plain(text: string): string {
  return text.replace(steering, escaped);
}

/** Like `plain`, with line ends kept. */
export function plainLines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

export function plainValue(value: number | string | boolean | null): string {
  return value === null ? "–" : plain(String(value));
}

/** JSON for programs; it stays the same value, with the controls that JSON.stringify leaves alone escaped. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(/(?!\n)[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu, escaped);
}

export function printJson(world: World, value: unknown): void {
  world.out.write(`${jsonText(value, 2)}\n`);
}

/** Columns without lines between them, so that the output can be cut by other tools. Cells are made plain here. */
export function printTable(world: World, head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const colors = colorsOf(world, world.out);
  const table = new Table({
    head: head.map((title) => colors.bold(title)),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    chars: {
      top: "",
      "top-mid": "",
      "top-left": "",
      "top-right": "",
      bottom: "",
      "bottom-mid": "",
      "bottom-left": "",
      "bottom-right": "",
      left: "",
      "left-mid": "",
      mid: "",
      "mid-mid": "",
      right: "",
      "right-mid": "",
      middle: "",
    },
    colAligns: head.map((_, column) => (rows.length > 0 && rows.every((row) => typeof row[column] === "number") ? "right" : "left")),
  });
  for (const row of rows) table.push(row.map((cell) => plain(String(cell))));
  world.out.write(`${table.toString().replace(/ +$/gm, "")}\n`);
}

export function printError(world: World, message: string): void {
  world.err.write(`${colorsOf(world, world.err).red("error:")} ${plainLines(message)}\n`);
}

export function printWarning(world: World, message: string): void {
  world.err.write(`${colorsOf(world, world.err).yellow("warning:")} ${plainLines(message)}\n`);
}

/** UTC, to the microsecond where there are any. */
export function formatTime(ms: number): string {
  const date = new Date(Math.floor(ms));
  if (Number.isNaN(date.getTime())) return String(ms);
  const micros = Math.round((ms - Math.floor(ms)) * 1000);
  const iso = date.toISOString();
  return micros === 0 ? iso : `${iso.slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `2h 5m`, `12.3s`: for people, never parsed. */
export function formatElapsed(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes}m ${Math.floor((ms % 60_000) / 1000)}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h ${minutes % 60}m` : `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** One line that is written over in a terminal, and a plain line every few seconds elsewhere. On standard error. */
export class ProgressLine {
  readonly #world: World;
  readonly #everyMs: number;
  #lastMs: number;
  #shown = false;

  constructor(world: World) {
    this.#world = world;
    this.#everyMs = world.err.isTTY ? 100 : 5_000;
    this.#lastMs = world.clock.monotonicMs();
  }

  update(text: () => string): void {
    const now = this.#world.clock.monotonicMs();
    if (now - this.#lastMs < this.#everyMs) return;
    this.#lastMs = now;
    const { err } = this.#world;
    if (err.isTTY) err.write(`\r\u001b[2K${text().slice(0, Math.max(err.columns - 1, 20))}`);
    else err.write(`${text()}\n`);
    this.#shown = err.isTTY;
  }

  /** Before anything else is written, so that it does not stand in the middle of the line. */
  clear(): void {
    if (this.#shown) this.#world.err.write("\r\u001b[2K");
    this.#shown = false;
  }
}
