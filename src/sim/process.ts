/**
 * One simulated process: its clock, its timers, its randomness. Killing it silences everything that it had under way;
 * pausing it (SIGSTOP) holds its events back until it is resumed.
 */

import type { Random } from "../lib/random.ts";
import type { Clock, NtpState, TimerHandle } from "../ports/clock.ts";
import type { Entropy } from "../ports/entropy.ts";
import type { MachineClock } from "./machine-clock.ts";
import type { ScheduledEvent, Scheduler } from "./scheduler.ts";

export class SimulatedProcess {
  readonly #scheduler: Scheduler;
  readonly #name: string;
  #alive = true;
  #paused = false;
  readonly #held: (() => void)[] = [];
  readonly #ended = new Set<() => void>();
  /** Whether it did anything since somebody looked. */
  touched = true;

  constructor(options: { readonly scheduler: Scheduler; readonly name: string }) {
    this.#scheduler = options.scheduler;
    this.#name = options.name;
  }

  /** Schedules `fire`, which never runs once the process has been killed. */
  schedule(delayMs: number, label: string, fire: () => void): ScheduledEvent {
    return this.#scheduler.schedule(delayMs, `${this.#name} ${label}`, () => this.deliver(fire));
  }

  /** Runs `work` now, later when the process is paused, never when it was killed. */
  deliver(work: () => void): void {
    if (!this.#alive) return;
    // What came while the process stood still comes first.
    if (this.#paused || this.#held.length > 0) {
      this.#held.push(work);
      if (!this.#paused) this.#catchUp();
      return;
    }
    this.touched = true;
    work();
  }

  kill(): void {
    this.#alive = false;
    this.#held.length = 0;
    for (const ended of [...this.#ended]) ended();
    this.#ended.clear();
  }

  /** Calls `ended` when the process is killed. What comes back stops that. */
  whenEnded(ended: () => void): () => void {
    this.#ended.add(ended);
    return () => this.#ended.delete(ended);
  }

  alive(): boolean {
    return this.#alive;
  }

  paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (let count = this.#held.length; count > 0; count--) this.#catchUp();
  }

  /** Does the oldest thing that waits, as an event of its own. */
  #catchUp(): void {
    this.#scheduler.schedule(0, `${this.#name} catches up`, () => {
      if (!this.#alive || this.#paused) return;
      const work = this.#held.shift();
      if (work === undefined) return;
      this.touched = true;
      work();
    });
  }
}

/** A machine's clock as one process uses it: the process's timers end with it. */
interface SimulatedTimer {
  readonly dueMs: number;
  readonly fire: () => void;
  event: ScheduledEvent;
}

export class SimulatedClock implements Clock {
  readonly #process: SimulatedProcess;
  readonly #machine: MachineClock;
  readonly #timers = new Map<number, SimulatedTimer>();
  #nextTimer = 1;

  constructor(options: { readonly process: SimulatedProcess; readonly machine: MachineClock }) {
    this.#process = options.process;
    this.#machine = options.machine;
    options.machine.rateChanged(() => this.#rearm());
  }

  wallMs(): number {
    return this.#machine.wallMs();
  }

  monotonicMs(): number {
    return this.#machine.monotonicMs();
  }

  ntpState(): NtpState {
    return this.#machine.synchronised ? "synchronised" : "unsynchronised";
  }

  synchronised(): boolean {
    return this.#machine.synchronised;
  }

  schedule(delayMs: number, fire: () => void): TimerHandle {
    const id = this.#nextTimer++;
    const dueMs = this.monotonicMs() + Math.max(0, delayMs);
    this.#timers.set(id, { dueMs, fire, event: this.#eventAt(id, dueMs) });
    return { id };
  }

  cancel(timer: TimerHandle): void {
    const known = this.#timers.get(timer.id);
    if (known !== undefined) known.event.cancelled = true;
    this.#timers.delete(timer.id);
  }

  #eventAt(id: number, dueMs: number): ScheduledEvent {
    return this.#process.schedule(this.#machine.trueMsUntil(dueMs), "timer", () => {
      const timer = this.#timers.get(id);
      this.#timers.delete(id);
      timer?.fire();
    });
  }

  /** The machine's clock runs at another rate: its timers are due at other true instants. */
  #rearm(): void {
    for (const [id, timer] of this.#timers) {
      timer.event.cancelled = true;
      timer.event = this.#eventAt(id, timer.dueMs);
    }
  }
}

export class SimulatedEntropy implements Entropy {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  hex(bytes: number): string {
    return this.#random.hex(bytes);
  }
}
