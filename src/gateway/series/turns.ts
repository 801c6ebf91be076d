/** One after the other: steps that change what the store must hold. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #open = 0;

  /** Whether nobody has or waits for a turn. */
  idle(): boolean {
    return this.#open === 0;
  }

  /** Runs `work` once all before it is done, whatever came of that. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    this.#open++;
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#open--;
    }
  }
}
