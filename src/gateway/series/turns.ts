/** One after the other: steps that change what the store must hold. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` once all before it is done, whatever came of that. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
