/**
 * Which scans are under way, so that a chunk which was replaced or dropped stays in the store until all scans that may have
 * listed it are done. A scan reads the state at its start and never meets a gap.
 */

export interface ScanPin {
  readonly epoch: number;
}

export class ScanPins {
  #epoch = 0;
  /** Ascending by epoch, since a set keeps the order in which scans began. */
  readonly #active = new Set<ScanPin>();

  begin(): ScanPin {
    const pin = { epoch: this.#epoch };
    this.#active.add(pin);
    return pin;
  }

  end(pin: ScanPin): void {
    this.#active.delete(pin);
  }

  /** The epoch of what is retired now: scans of earlier epochs may still read it, later ones cannot see it. */
  advance(): number {
    return ++this.#epoch;
  }

  /** Whether no scan is left that began before this epoch. */
  drained(epoch: number): boolean {
    for (const { epoch: oldest } of this.#active) return oldest >= epoch;
    return true;
  }
}
