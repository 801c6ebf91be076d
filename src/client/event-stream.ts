/** Server-sent events, both directions (WHATWG HTML §9.2): frames out, and a parser fed with pieces of text. */

export function eventFrame(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

export const heartbeatFrame = ": heartbeat\n\n";

/** A server that never ends a line may not fill the client's memory. */
const lineCharsMax = 4 * 1024 * 1024;

/** Yields the `data` of each event; comments, names and ids are skipped, an unfinished last event is dropped. */
export class EventStreamParser {
  #rest = "";
  #data: string[] = [];

  push(text: string): string[] {
    const events: string[] = [];
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > lineCharsMax) throw new RangeError(`a line of the event stream is longer than ${lineCharsMax} characters`);
    for (const line of lines) {
      const field = line.endsWith("\r") ? line.slice(0, -1) : line;
      if (field === "") {
        if (this.#data.length > 0) events.push(this.#data.join("\n"));
        this.#data = [];
      } else if (field.startsWith("data:")) {
        this.#data.push(field.slice(field[5] === " " ? 6 : 5));
      }
    }
    return events;
  }
}
