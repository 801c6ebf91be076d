/** What a run of the simulator may fail with, by name. */

/** Something that must never be was seen. */
export class SafetyViolation extends Error {
  override readonly name = "SafetyViolation";
}

/** After the faults had ended, the site did not come back in time. */
export class LivenessViolation extends Error {
  override readonly name = "LivenessViolation";
}

/** A checker gave up: the run shows neither that all was well nor that it was not. */
export class Undecided extends Error {
  override readonly name = "Undecided";
}
