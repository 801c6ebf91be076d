/**
 * A gateway's one inbox. Whatever happens (a frame, a timer, a disk's answer, a question) becomes a task here; each is
 * taken to completion before the next begins, so no machine is ever entered twice.
 */

export class Inbox {
  readonly #tasks: (() => void)[] = [];
  readonly #crashed: (cause: unknown) => void;
  #running = false;
  #closed = false;

  /** `crashed` is called once, with what a task threw: a gateway that finds its own state impossible stops. */
  constructor(crashed: (cause: unknown) => void) {
    this.#crashed = crashed;
  }

  post(task: () => void): void {
    if (this.#closed) return;
    this.#tasks.push(task);
    if (!this.#running) this.#drain();
  }

  close(): void {
    this.#closed = true;
    this.#tasks.length = 0;
  }

  closed(): boolean {
    return this.#closed;
  }

  #drain(): void {
    this.#running = true;
    try {
      for (let next = this.#tasks.shift(); next !== undefined; next = this.#tasks.shift()) next();
    } catch (cause) {
      this.close();
      this.#crashed(cause);
    } finally {
      this.#running = false;
    }
  }
}
