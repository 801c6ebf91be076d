/**
 * The `Diagnostics` port on pino: one JSON line an event, to standard output. Written at once: the last line before a
 * crash is the one that is needed.
 */

import { pino } from "pino";
import type { DiagnosticDetails, Diagnostics } from "../ports/diagnostics.ts";

export interface PinoDiagnosticsOptions {
  /** trace | debug | info | warn | error | silent */
  readonly level: string;
  readonly gateway: string;
}

export function createPinoDiagnostics(options: PinoDiagnosticsOptions): Diagnostics {
  const logger = pino(
    { level: options.level, base: { gateway: options.gateway }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 1, sync: true }),
  );
  const say =
    (level: "debug" | "info" | "warn" | "error") =>
    (event: string, details?: DiagnosticDetails): void =>
      logger[level](details ?? {}, event);
  return { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
}
