/**
 * The simulator's only source of time and order: one heap of events. Two runs of one seed take the same events in the
 * same order, which the trace hash proves.
 */

export interface ScheduledEvent {
  readonly atMs: number;
  readonly order: number;
  readonly label: string;
  readonly fire: () => void;
  cancelled: boolean;
}

/** Events kept for a failure's report; a power of two. */
const recentMax = 256;

export class Scheduler {
  #nowMs = 0;
  #order = 0;
  #hashLow = 0x811c9dc5;
  #hashHigh = 0x1b873593;
  #steps = 0;
  #notes = 0;
  readonly #heap: ScheduledEvent[] = [];
  /** A ring of the last notes, made into lines only when somebody asks. */
  readonly #recentMs = new Float64Array(recentMax);
  readonly #recentLabels: string[] = [];
  readonly #time = new Float64Array(1);
  readonly #timeBits = new Uint32Array(this.#time.buffer);

  nowMs(): number {
    return this.#nowMs;
  }

  steps(): number {
    return this.#steps;
  }

  /** `label` goes into the trace: what the event is, not whom it carries. */
  schedule(delayMs: number, label: string, fire: () => void): ScheduledEvent {
    const event: ScheduledEvent = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, label, fire, cancelled: false };
    this.#push(event);
    return event;
  }

  /** Takes the next event; false when there is none. */
  step(): boolean {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return false;
      if (event.cancelled) continue;
      this.#nowMs = event.atMs;
      this.#steps++;
      this.note(event.label);
      event.fire();
      return true;
    }
  }

  /** Lets time pass up to an instant before which there is no event. */
  advanceTo(atMs: number): void {
    if (atMs > this.#nowMs) this.#nowMs = atMs;
  }

  /** The time of the next event, `undefined` when there is none. */
  nextMs(): number | undefined {
    while (this.#heap[0]?.cancelled === true) this.#pop();
    return this.#heap[0]?.atMs;
  }

  /** Mixes what happened, and when, into the trace hash, and keeps the last ones for a failure's report. */
  note(label: string): void {
    this.#time[0] = this.#nowMs;
    this.#mix(this.#timeBits[0] as number);
    this.#mix(this.#timeBits[1] as number);
    for (let i = 0; i < label.length; i++) this.#mix(label.charCodeAt(i));
    const at = this.#notes++ % recentMax;
    this.#recentMs[at] = this.#nowMs;
    this.#recentLabels[at] = label;
  }

  /** The last lines, at most 256: when, and what. */
  recent(count: number): readonly string[] {
    const lines: string[] = [];
    for (let note = Math.max(0, this.#notes - Math.min(count, recentMax)); note < this.#notes; note++) {
      const at = note % recentMax;
      lines.push(`${(this.#recentMs[at] as number).toFixed(3)} ${this.#recentLabels[at] ?? ""}`);
    }
    return lines;
  }

  traceHash(): string {
    return (this.#hashHigh >>> 0).toString(16).padStart(8, "0") + (this.#hashLow >>> 0).toString(16).padStart(8, "0");
  }

  #mix(unit: number): void {
    this.#hashLow = Math.imul(this.#hashLow ^ unit, 0x01000193);
    this.#hashHigh = Math.imul(this.#hashHigh ^ unit, 0x85ebca6b) ^ (this.#hashLow >>> 15);
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as ScheduledEvent;
      if (!before(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): ScheduledEvent | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as ScheduledEvent, heap[child] as ScheduledEvent)) child++;
      if (!before(heap[child] as ScheduledEvent, last)) break;
      heap[at] = heap[child] as ScheduledEvent;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function before(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
