/** What a contract suite needs to know about the world that its subject lives in. */

export interface World {
  /** Waits for a promise; a simulated world lets its time pass meanwhile. */
  settle<T>(this: void, promise: Promise<T>): Promise<T>;
  /** Removes what the subject left behind. */
  dispose(): Promise<void>;
}

/** Gives each test a subject of its own, and removes it afterwards, whatever came of the test. */
export function subjectOf<S extends World>(make: () => Promise<S>) {
  return (body: (subject: S) => Promise<void>) => async (): Promise<void> => {
    const subject = await make();
    try {
      await body(subject);
    } finally {
      await subject.dispose();
    }
  };
}

/** A promise that is resolved from outside, e.g. by an acknowledgement. */
export function signal(): { readonly promise: Promise<void>; readonly fire: () => void } {
  let fire: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    fire = resolve;
  });
  return { promise, fire };
}
