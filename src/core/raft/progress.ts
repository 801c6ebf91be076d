/**
 * What a leader knows about one follower, and how much it may send it. `probe`: where the logs agree is not known, one
 * message at a time looks for it. `replicate`: messages are pipelined ahead of the acknowledgements, within a window.
 */
import type { RaftLimits } from "./options.ts";

interface Inflight {
  readonly lastIndex: number;
  readonly bytes: number;
}

export class Progress {
  state: "probe" | "replicate" = "probe";
  /** Greatest index that the follower is known to have on disk, in agreement with this leader's log. Never falls. */
  matchIndex = 0;
  nextIndex: number;
  /** When the follower last answered in this term. */
  heardMs: number;
  /** Newest read round that it has answered. */
  readSequence = 0;
  /** Greatest commit index that was sent to it. */
  commitSent = 0;
  /** In `probe`: a message is under way; the heartbeat asks again. */
  probePaused = false;
  readonly #inflight: Inflight[] = [];
  #inflightBytes = 0;

  constructor(options: { readonly nextIndex: number; readonly nowMs: number }) {
    this.nextIndex = options.nextIndex;
    this.heardMs = options.nowMs;
  }

  get inflightCount(): number {
    return this.#inflight.length;
  }

  mayPipeline(limits: RaftLimits): boolean {
    return this.#inflight.length < limits.inflightMessagesMax && this.#inflightBytes < limits.inflightBytesMax;
  }

  /** A message with entries up to `lastIndex` has left ahead of its acknowledgement. */
  pipelined(lastIndex: number, bytes: number): void {
    this.#inflight.push({ lastIndex, bytes });
    this.#inflightBytes += bytes;
    this.nextIndex = lastIndex + 1;
  }

  accepted(matchIndex: number, receivedIndex: number): void {
    if (matchIndex > this.matchIndex) this.matchIndex = matchIndex;
    let freed = 0;
    while (freed < this.#inflight.length && (this.#inflight[freed] as Inflight).lastIndex <= this.matchIndex) {
      this.#inflightBytes -= (this.#inflight[freed] as Inflight).bytes;
      freed++;
    }
    if (freed > 0) this.#inflight.splice(0, freed);
    this.nextIndex = Math.max(this.nextIndex, this.matchIndex + 1, receivedIndex + 1);
    this.state = "replicate";
    this.probePaused = false;
  }

  /** Whether a refusal speaks of the newest question; late and doubled ones do not. */
  isCurrentRejection(rejectedIndex: number): boolean {
    return this.state === "probe"
      ? rejectedIndex === this.nextIndex - 1
      : rejectedIndex > this.matchIndex && rejectedIndex < this.nextIndex;
  }

  /** A refusal at or below what the follower had acknowledged: the probe stays paused until the next heartbeat. */
  deniesWhatItHad(rejectedIndex: number): boolean {
    return rejectedIndex <= this.matchIndex;
  }

  /** Looks for the point of agreement anew, at `nextIndex` or above what is known to match. */
  probeFrom(nextIndex: number): void {
    this.state = "probe";
    this.probePaused = false;
    this.#inflight.length = 0;
    this.#inflightBytes = 0;
    this.nextIndex = Math.max(nextIndex, this.matchIndex + 1);
  }
}
