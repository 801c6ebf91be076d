import type { ServerResponse } from "node:http";

/**
 * A backup on its way to its reader, no faster than that takes it. A reader that has gone, or takes nothing for too long, ends it,
 * so that the gateway can make another one.
 */

const stallMs = 60_000;

export class BackupStreams {
  readonly #open = new Set<ServerResponse>();

  /** Takes the response over. Never rejects; `failed` gets what nobody expected. */
  async serve(response: ServerResponse, pieces: AsyncIterableIterator<Uint8Array>, failed: (cause: unknown) => void): Promise<void> {
    this.#open.add(response);
    response.writeHead(200, {
      "content-type": "application/octet-stream",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      connection: "close",
    });
    response.on("error", () => {}); // "close" follows
    try {
      for await (const piece of pieces) {
        if (response.destroyed) break;
        if (!response.write(piece) && !(await drained(response))) break;
      }
      // A file without its trailer is no backup, whatever the connection's end looks like.
      if (!response.destroyed) response.end();
    } catch (cause) {
      failed(cause);
      response.destroy();
    } finally {
      this.#open.delete(response);
    }
  }

  closeAll(): void {
    for (const response of this.#open) response.destroy();
  }
}

/** False: the reader has gone, or is taken for gone. */
function drained(response: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isDrained: boolean) => {
      clearTimeout(stalled);
      response.off("drain", onDrain);
      response.off("close", onClose);
      resolve(isDrained);
    };
    const onDrain = () => settle(true);
    const onClose = () => settle(false);
    const stalled = setTimeout(() => {
      response.destroy();
      settle(false);
    }, stallMs);
    response.on("drain", onDrain);
    response.on("close", onClose);
    if (response.destroyed) settle(false);
  });
}
