/**
 * Log lines that strangers can cause, at a bounded rate: of each kind at most `burst` in `windowMs`; the next one that
 * passes says how many were left out. A scanner on the port cannot fill the disk with log lines.
 */
import type { DiagnosticDetails, Diagnostics } from "../../ports/diagnostics.ts";

const burst = 10;
const windowMs = 10_000;
/** Kinds come from closed sets of the code; the bound only guards against a mistake there. */
const kindsMax = 1_000;

interface Window {
  startedMs: number;
  said: number;
  suppressed: number;
}

export class LimitedDiagnostics {
  readonly #diagnostics: Diagnostics;
  readonly #windows = new Map<string, Window>();

  constructor(diagnostics: Diagnostics) {
    this.#diagnostics = diagnostics;
  }

  /** `kind` separates what is limited separately, e.g. a reason or a peer. */
  warn(event: string, kind: string, details: DiagnosticDetails): void {
    const suppressed = this.#admit(`${event} ${kind}`);
    if (suppressed === undefined) return;
    this.#diagnostics.warn(event, suppressed === 0 ? details : { ...details, suppressed });
  }

  /** The number of lines left out before this one, or `undefined` when this one is left out too. */
  #admit(key: string): number | undefined {
    const nowMs = performance.now();
    const window = this.#windows.get(key);
    if (window === undefined || nowMs - window.startedMs >= windowMs) {
      if (window === undefined && this.#windows.size >= kindsMax) this.#windows.clear();
      this.#windows.set(key, { startedMs: nowMs, said: 1, suppressed: 0 });
      return window?.suppressed ?? 0;
    }
    if (window.said < burst) {
      window.said++;
      return 0;
    }
    window.suppressed++;
    return undefined;
  }
}
