/**
 * What a leader knows about one follower, and how much it may send it. `probe`: where the logs agree is not known, one
 * message at a time looks for it. `replicate`: messages are pipelined ahead of the acknowledgements, within a window.
 * `snapshot`: the follower lacks entries that are compacted away; until it has the snapshot it gets heartbeats only.
 */
import type { RaftLimits } from "./options.ts";

interface Inflight {
  readonly lastIndex: number;
  readonly bytes: number;
}

export class Progress {
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** Greatest index that the follower is known to have on disk, in agreement with this leader's log. Falls only by `startOver`. */
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

  /** `firstIndex`: the first entry that the leader's log still has. */
  accepted(answer: { readonly matchIndex: number; readonly receivedIndex: number; readonly firstIndex: number }): void {
    const { receivedIndex } = answer;
    if (answer.matchIndex > this.matchIndex) this.matchIndex = answer.matchIndex;
    // A follower that heals vouches for nothing, but what it says to have must not fill the window for ever.
    const held = answer.matchIndex === 0 ? Math.max(this.matchIndex, receivedIndex) : this.matchIndex;
    let freed = 0;
    while (freed < this.#inflight.length && (this.#inflight[freed] as Inflight).lastIndex <= held) {
      this.#inflightBytes -= (this.#inflight[freed] as Inflight).bytes;
      freed++;
    }
    if (freed > 0) this.#inflight.splice(0, freed);
    const reached = Math.max(this.matchIndex, receivedIndex);
    // An answer to the heartbeat of a follower that waits for a snapshot says nothing new.
    if (this.state === "snapshot" && reached + 1 < answer.firstIndex) return;
    this.nextIndex = Math.max(this.nextIndex, reached + 1);
    if (this.state === "snapshot") this.nextIndex = reached + 1;
    this.state = "replicate";
    this.probePaused = false;
  }

  /** Whether a refusal speaks of the newest question; late and doubled ones do not. */
  isCurrentRejection(rejectedIndex: number): boolean {
    if (this.state === "snapshot") return false;
    return this.state === "probe"
      ? rejectedIndex === this.nextIndex - 1
      : rejectedIndex > this.matchIndex && rejectedIndex < this.nextIndex;
  }

  /** A refusal at or below what the follower had acknowledged. */
  deniesWhatItHad(rejectedIndex: number): boolean {
    return rejectedIndex <= this.matchIndex;
  }

  /** What the follower acknowledged may be gone from its disk: it counts anew from nothing. */
  startOver(): void {
    this.matchIndex = 0;
  }

  /** What it needs next is compacted away. */
  awaitSnapshot(): void {
    this.state = "snapshot";
    this.probePaused = false;
    this.#inflight.length = 0;
    this.#inflightBytes = 0;
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
