/** What a gateway counts of its intake, since its start. */
export class IngestCounters {
  readonly closed = new Map<string, number>();
  acknowledged = 0;
  messages = 0;
  qos0Dropped = 0;
  suppressed = 0;
  rounds = 0;
  roundBytes = 0;
  readonly #seconds = new Float64Array(16);
  #second = 0;

  acknowledge(readings: number, nowMs: number): void {
    this.acknowledged += readings;
    this.#advance(nowMs);
    this.#seconds[this.#second % 16] = (this.#seconds[this.#second % 16] as number) + readings;
  }

  closeConnection(reason: string): void {
    this.closed.set(reason, (this.closed.get(reason) ?? 0) + 1);
  }

  /** Mean of the last ten full seconds. */
  perSecond(nowMs: number): number {
    this.#advance(nowMs);
    let sum = 0;
    for (let back = 1; back <= 10; back++) sum += this.#seconds[(this.#second - back + 32) % 16] as number;
    return sum / 10;
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1_000);
    const gap = Math.min(16, second - this.#second);
    for (let i = 1; i <= gap; i++) this.#seconds[(this.#second + i) % 16] = 0;
    if (gap > 0) {
      if (gap === 16) this.#seconds.fill(0);
      this.#second = second;
    }
  }
}
