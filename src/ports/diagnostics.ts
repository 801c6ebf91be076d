/** What a gateway says to its operator: structured log lines. Never awaited, never a reason to fail. */
export interface Diagnostics {
  debug(event: string, details?: DiagnosticDetails): void;
  info(event: string, details?: DiagnosticDetails): void;
  warn(event: string, details?: DiagnosticDetails): void;
  error(event: string, details?: DiagnosticDetails): void;
}

export type DiagnosticDetails = Readonly<Record<string, string | number | boolean | null | undefined | readonly string[]>>;
