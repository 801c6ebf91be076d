/**
 * What a gateway remembers of messages that became no readings: dead letters with their reason, and topics that no
 * profile maps, each bounded, the counts kept whole.
 */

import { ownText } from "../../lib/own-text.ts";
import type { DeadLetter } from "../service.ts";

const lettersMax = 1_000;
const topicsMax = 200;
const minuteMs = 60_000;
const payloadPreviewBytes = 256;
const topicCharactersMax = 256;

/** A topic may have 64 KiB; what is remembered of it is enough for a person. */
function shortTopic(topic: string): string {
  return topic.length <= topicCharactersMax ? topic : `${ownText(topic.slice(0, topicCharactersMax - 1))}…`;
}

export class DeadLetters {
  readonly #letters: DeadLetter[] = [];
  readonly #counts = new Map<string, number>();
  #total = 0;

  add(letter: DeadLetter): void {
    this.#total++;
    this.#counts.set(letter.reason, (this.#counts.get(letter.reason) ?? 0) + 1);
    this.#letters.push({ ...letter, topic: shortTopic(letter.topic), device: ownText(letter.device) });
    if (this.#letters.length > lettersMax * 2) this.#letters.splice(0, this.#letters.length - lettersMax);
  }

  total(): number {
    return this.#total;
  }

  counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
  }

  newestFirst(): DeadLetter[] {
    return this.#letters.slice(-lettersMax).reverse();
  }
}

interface TopicCount {
  total: number;
  minuteStartMs: number;
  thisMinute: number;
  lastMinute: number;
}

export class UnmatchedTopics {
  readonly #topics = new Map<string, TopicCount>();
  #others = 0;

  count(whole: string, nowMs: number): void {
    const topic = shortTopic(whole);
    let entry = this.#topics.get(topic);
    if (entry === undefined) {
      if (this.#topics.size >= topicsMax) {
        this.#others++;
        return;
      }
      entry = { total: 0, minuteStartMs: nowMs, thisMinute: 0, lastMinute: 0 };
      this.#topics.set(topic, entry);
    }
    rollOver(entry, nowMs);
    entry.total++;
    entry.thisMinute++;
  }

  /** Busiest first. `topic` is `(others)` for what came after the table was full. */
  view(nowMs: number): { topic: string; perMinute: number; total: number }[] {
    const rows = [...this.#topics].map(([topic, entry]) => {
      rollOver(entry, nowMs);
      return { topic, perMinute: Math.max(entry.lastMinute, entry.thisMinute), total: entry.total };
    });
    rows.sort((a, b) => b.total - a.total || (a.topic < b.topic ? -1 : 1));
    if (this.#others > 0) rows.push({ topic: "(others)", perMinute: 0, total: this.#others });
    return rows;
  }
}

function rollOver(entry: TopicCount, nowMs: number): void {
  const minutes = Math.floor((nowMs - entry.minuteStartMs) / minuteMs);
  if (minutes <= 0) return;
  entry.lastMinute = minutes === 1 ? entry.thisMinute : 0;
  entry.thisMinute = 0;
  entry.minuteStartMs += minutes * minuteMs;
}

/** The beginning of a payload for a person: text when it is UTF-8, otherwise hex after `0x`. */
export function previewPayload(payload: Uint8Array): string {
  const head = payload.subarray(0, payloadPreviewBytes);
  const more = payload.length > head.length ? ` … (${payload.length} bytes)` : "";
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true }) + more;
  } catch {
    return `0x${[...head].map((byte) => byte.toString(16).padStart(2, "0")).join("")}${more}`;
  }
}
