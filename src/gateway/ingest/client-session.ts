/**
 * One device connection. Its messages with QoS > 0 are released in the order in which they came (MQTT-4.6.0), whatever
 * the order in which their rounds become safe.
 */

import type { BrokerClient } from "../../ports/broker.ts";

export class ClientSession {
  readonly client: BrokerClient;
  #arrived = 0;
  #released = 0;
  #open = true;
  /** Messages that are safe, but behind one that is not. Bounded by what the broker lets a client have in flight. */
  readonly #parked = new Map<number, () => void>();

  constructor(client: BrokerClient) {
    this.client = client;
  }

  /** The place of the message that has just come. */
  arrive(): number {
    return this.#arrived++;
  }

  /** The place that the next message will have. */
  nextPlace(): number {
    return this.#arrived;
  }

  /** Whether the message at `place` was acknowledged. */
  hasReleased(place: number): boolean {
    return place < this.#released;
  }

  /** The message at `place` may be acknowledged and delivered. */
  release(place: number, done: () => void): void {
    if (!this.#open) return;
    if (place !== this.#released) {
      this.#parked.set(place, done);
      return;
    }
    this.#released++;
    done();
    if (this.#parked.size > 0) this.#releaseParked();
  }

  held(): number {
    return this.#arrived - this.#released;
  }

  isOpen(): boolean {
    return this.#open;
  }

  /** Nothing of this client will be acknowledged any more: it resends after it has reconnected. */
  end(): void {
    this.#open = false;
    this.#parked.clear();
  }

  #releaseParked(): void {
    for (let next = this.#parked.get(this.#released); next !== undefined; next = this.#parked.get(this.#released)) {
      this.#parked.delete(this.#released);
      this.#released++;
      next();
    }
  }
}
