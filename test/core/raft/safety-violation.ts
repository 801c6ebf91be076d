/** A property of Raft, named, does not hold. */
export class SafetyViolation extends Error {
  override readonly name = "SafetyViolation";
  readonly property: string;

  constructor(property: string, detail: string) {
    super(`${property}: ${detail}`);
    this.property = property;
  }
}
