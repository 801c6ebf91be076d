/**
 * The last will of a client that broke off, on its way through the gateway. Aedes ends the client's session in the same
 * turn in which it publishes the will, and with the session goes whatever the gateway still holds of it: so a will comes
 * from a session of its own, which ends when the will is done or given up. `finish` is called exactly once.
 */
import type { BrokerClient } from "../../ports/broker.ts";

export interface WillSessionOptions {
  readonly id: string;
  readonly username: string | undefined;
  /** Aedes' callback: with an error the will is deleted and nobody sees it. */
  readonly finish: (error: Error | null) => void;
  /** The session is over; comes in a later turn than what ended it. */
  readonly ended: (session: WillSession) => void;
}

export class WillSession implements BrokerClient {
  readonly id: string;
  readonly username: string | undefined;
  readonly session = "will";
  readonly #finish: (error: Error | null) => void;
  readonly #ended: (session: WillSession) => void;
  #over = false;

  constructor(options: WillSessionOptions) {
    this.id = options.id;
    this.username = options.username;
    this.#finish = options.finish;
    this.#ended = options.ended;
  }

  /** Its readings are safe: subscribers may see it. */
  done(): void {
    this.#end(null);
  }

  /** There is nobody who could send it again: the will is lost. */
  close(): void {
    this.#end(new Error("the gateway could not take the will"));
  }

  #end(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    setImmediate(() => this.#ended(this));
    this.#finish(error);
  }
}
