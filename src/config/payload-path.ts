/**
 * Paths into a JSON payload: `t`, `data.temp`, `samples[0].value`, and steps in quotes where a key has dots or
 * brackets itself: `"a.b".c`. A step into an array is its index.
 */

const stepCountMax = 16;

/** The steps, or `undefined` when the text is no path. */
export function parsePayloadPath(text: string): readonly string[] | undefined {
  const step = /"((?:[^"\\]|\\["\\])+)"|([^.[\]"\s]+)|\[(\d{1,6})\]/y;
  const steps: string[] = [];
  let at = 0;
  while (at < text.length) {
    const isIndex = text[at] === "[";
    if (steps.length > 0 && !isIndex) {
      if (text[at] !== ".") return undefined;
      at++;
    }
    step.lastIndex = at;
    const match = step.exec(text);
    // `a.[0]` has a dot too many.
    if (match === null || (text[at] === "[" && !isIndex)) return undefined;
    steps.push(match[1] === undefined ? (match[2] ?? match[3] ?? "") : match[1].replace(/\\(["\\])/g, "$1"));
    at += match[0].length;
  }
  return steps.length === 0 || steps.length > stepCountMax ? undefined : steps;
}
