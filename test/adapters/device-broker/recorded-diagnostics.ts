// Diagnostics that a test can read.
import type { DiagnosticDetails, Diagnostics } from "../../../src/ports/diagnostics.ts";

export class RecordedDiagnostics implements Diagnostics {
  readonly lines: { readonly level: string; readonly event: string; readonly details: DiagnosticDetails }[] = [];

  debug(event: string, details: DiagnosticDetails = {}): void {
    this.lines.push({ level: "debug", event, details });
  }

  info(event: string, details: DiagnosticDetails = {}): void {
    this.lines.push({ level: "info", event, details });
  }

  warn(event: string, details: DiagnosticDetails = {}): void {
    this.lines.push({ level: "warn", event, details });
  }

  error(event: string, details: DiagnosticDetails = {}): void {
    this.lines.push({ level: "error", event, details });
  }

  /** Whether a warning of this kind was given with this text in one of its details. */
  warned(event: string, text: string): boolean {
    return this.lines.some((line) => line.level === "warn" && line.event === event && JSON.stringify(line.details).includes(text));
  }
}
