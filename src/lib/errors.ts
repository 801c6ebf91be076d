/**
 * One table of codes: message, HTTP status and exit status of every expected failure. An expected failure is a value
 * (`Failure`), a bug throws (`InvariantError`). A message says what failed, with which value, and what to do.
 */

/** Exit status: 0 done, 1 failed, 2 usage or invalid configuration, 3 unavailable. */
export type ExitStatus = 0 | 1 | 2 | 3;

interface CodeEntry {
  readonly title: string;
  readonly http: number;
  readonly exit: ExitStatus;
}

export const errorCodes = {
  "bad-request": { title: "The request is not valid", http: 400, exit: 2 },
  "not-found": { title: "There is no such thing", http: 404, exit: 1 },
  unauthorized: { title: "A valid token is needed", http: 401, exit: 1 },
  forbidden: { title: "Not allowed", http: 403, exit: 1 },
  "method-not-allowed": { title: "This path does not take that method", http: 405, exit: 1 },
  "precondition-failed": { title: "The revision does not match", http: 412, exit: 1 },
  "member-exists": { title: "The site has this gateway already", http: 409, exit: 1 },
  "member-unknown": { title: "The site has no such gateway", http: 404, exit: 1 },
  "member-needed": { title: "The site cannot do without this gateway", http: 409, exit: 1 },
  "member-change-pending": { title: "Another change of the members is under way", http: 409, exit: 1 },
  "under-replicated": { title: "Readings of another lost gateway are not restored yet", http: 409, exit: 1 },
  "too-large": { title: "Too large", http: 413, exit: 1 },
  busy: { title: "Too many requests are under way", http: 503, exit: 3 },
  "not-ready": { title: "This gateway is not ready yet", http: 503, exit: 3 },
  "not-applied": { title: "The change was certainly not applied", http: 503, exit: 3 },
  "ring-changed": { title: "The owners of the readings have just changed", http: 503, exit: 3 },
  "outcome-unknown": { title: "The change may or may not have been applied", http: 503, exit: 3 },
  "quorum-unavailable": { title: "Too few gateways answer", http: 503, exit: 3 },
  unreachable: { title: "The gateway does not answer", http: 503, exit: 3 },
  "configuration-invalid": { title: "The configuration is not valid", http: 400, exit: 2 },
  usage: { title: "Usage", http: 400, exit: 2 },
  "port-in-use": { title: "A port is in use", http: 500, exit: 1 },
  "data-in-use": { title: "The data folder is in use by another process", http: 500, exit: 1 },
  "data-foreign": { title: "The data folder belongs elsewhere", http: 500, exit: 1 },
  "data-damaged": { title: "Data on disk is damaged", http: 500, exit: 1 },
  "identity-refused": { title: "The site refuses this gateway", http: 500, exit: 1 },
  "log-damaged": { title: "A log on disk is damaged", http: 500, exit: 1 },
  "store-damaged": { title: "The store on disk is damaged", http: 500, exit: 1 },
  "store-failed": { title: "The store cannot be used", http: 500, exit: 1 },
  "disk-full": { title: "The disk is full", http: 507, exit: 1 },
  internal: { title: "A bug in Fogbank", http: 500, exit: 1 },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof errorCodes;

export interface Failure {
  readonly ok: false;
  readonly code: ErrorCode;
  /** One or more sentences for a person: what failed, with which value, what to do. */
  readonly message: string;
}

export interface Success<T> {
  readonly ok: true;
  readonly value: T;
}

export type Result<T> = Success<T> | Failure;

export const success = <T>(value: T): Success<T> => ({ ok: true, value });
export const failure = (code: ErrorCode, message: string): Failure => ({ ok: false, code, message });

/** Carries a `Failure` through code that throws (promise chains, libraries' callbacks); unwrapped at the edge. */
export class FailureError extends Error {
  override readonly name = "FailureError";
  readonly failure: Failure;

  constructor(failed: Failure) {
    super(failed.message);
    this.failure = failed;
  }
}
