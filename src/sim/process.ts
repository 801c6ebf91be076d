/**
 * One simulated process: its clock, its timers, its randomness. Killing it silences everything that it had under way;
 * pausing it (SIGSTOP) holds its events back until it is resumed.
 */

import type { Random } from "../lib/random.ts";
import type { Clock, TimerHandle } from "../ports/clock.ts";
import type { Entropy } from "../ports/entropy.ts";
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
    if (this.#paused) {
      this.#held.push(work);
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

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const work of this.#held.splice(0)) this.#scheduler.schedule(0, `${this.#name} resumed`, () => this.deliver(work));
  }
}

/** What makes a gateway's wall clock differ from true time; shared by all processes of one gateway. */
export interface ClockFault {
  offsetMs: number;
  synchronised: boolean;
}

export class SimulatedClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #process: SimulatedProcess;
  readonly #epochMs: number;
  readonly #fault: ClockFault;
  readonly #timers = new Map<number, ScheduledEvent>();
  #nextTimer = 1;

  constructor(options: {
    readonly scheduler: Scheduler;
    readonly process: SimulatedProcess;
    readonly epochMs: number;
    readonly fault: ClockFault;
  }) {
    this.#scheduler = options.scheduler;
    this.#process = options.process;
    this.#epochMs = options.epochMs;
    this.#fault = options.fault;
  }

  wallMs(): number {
    return Math.floor(this.#epochMs + this.#scheduler.nowMs() + this.#fault.offsetMs);
  }

  monotonicMs(): number {
    return this.#scheduler.nowMs();
  }

  synchronised(): boolean {
    return this.#fault.synchronised;
  }

  schedule(delayMs: number, fire: () => void): TimerHandle {
    const id = this.#nextTimer++;
    const event = this.#process.schedule(delayMs, "timer", () => {
      this.#timers.delete(id);
      fire();
    });
    this.#timers.set(id, event);
    return { id };
  }

  cancel(timer: TimerHandle): void {
    const event = this.#timers.get(timer.id);
    if (event !== undefined) event.cancelled = true;
    this.#timers.delete(timer.id);
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
