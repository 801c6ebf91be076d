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

export class Scheduler {
  #nowMs = 0;
  #order = 0;
  #hashLow = 0x811c9dc5;
  #hashHigh = 0x1b873593;
  #steps = 0;
  readonly #heap: ScheduledEvent[] = [];
  readonly #recent: string[] = [];

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

  /** Mixes what happened into the trace hash, and keeps the last lines for a failure's report. */
  note(label: string): void {
    const line = `${this.#nowMs.toFixed(3)} ${label}`;
    for (let i = 0; i < line.length; i++) {
      const unit = line.charCodeAt(i);
      this.#hashLow = Math.imul(this.#hashLow ^ unit, 0x01000193);
      this.#hashHigh = Math.imul(this.#hashHigh ^ unit, 0x85ebca6b) ^ (this.#hashLow >>> 15);
    }
    this.#recent.push(line);
    if (this.#recent.length > 200) this.#recent.splice(0, 150);
  }

  recent(count: number): readonly string[] {
    return this.#recent.slice(-count);
  }

  traceHash(): string {
    return (this.#hashHigh >>> 0).toString(16).padStart(8, "0") + (this.#hashLow >>> 0).toString(16).padStart(8, "0");
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
