/** Assertions that stay on in production: a gateway that finds its own state impossible stops, its peers carry on. */

/** A bug in Fogbank itself, never a user's mistake. Thrown, not returned. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new InvariantError(what);
}

/** The value, which the caller knows to be there. */
export function defined<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new InvariantError(`${what} is missing`);
  return value;
}

/** Makes a switch over a closed union exhaustive: the compiler refuses a call that can be reached. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`);
}
