/**
 * The messages of one client that wait for the gateway's `done`. Aedes 1.2 reads nothing more from a connection until all
 * packets of the last read are finished, so a message held for its round would hold PINGREQ, PUBACK and SUBSCRIBE behind
 * it. Here a held message gives its place in that batch back while it waits: the client is read on, up to `bytesMax` of
 * held messages. Beyond that reading stops at the end of the present read, and TCP pushes back, until some are released.
 */
import type { Client } from "aedes";

/** What a held message costs beside topic and payload: packet, closures, bookkeeping. */
const heldOverheadBytes = 512;

/**
 * Packets of the present read that are not finished; at 0 Aedes reads on. Not part of its declared interface: the
 * contract suite ("answers PINGREQ while messages are held") fails if a later version reads differently.
 */
interface ReadBatch {
  _parsingBatch: number;
}

export class HeldPublishes {
  readonly #client: Client;
  readonly #batch: ReadBatch;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(client: Client, bytesMax: number) {
    this.#client = client;
    this.#batch = client as unknown as ReadBatch;
    this.#bytesMax = bytesMax;
  }

  /** Holds `finish`, Aedes' callback for one message; the function returned releases it, once, if the client is still there. */
  hold(contentBytes: number, finish: () => void): () => void {
    const bytes = contentBytes + heldOverheadBytes;
    const readsOn = this.#bytes + bytes <= this.#bytesMax;
    this.#bytes += bytes;
    if (readsOn) this.#batch._parsingBatch--;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#bytes -= bytes;
      // Aedes answers a finished message on a closed client with an error event; there is nobody to answer.
      if (this.#client.closed) return;
      if (readsOn) this.#batch._parsingBatch++;
      finish();
    };
  }
}
