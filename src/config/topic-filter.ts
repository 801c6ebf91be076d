/** Topics of profiles: MQTT filters (MQTT 3.1.1 §4.7) in which exactly one level is `{device}`. */

export const deviceLevel = "{device}";
const topicLengthMax = 1024;

/** What is wrong with a profile's topic, or `undefined`. */
export function topicFault(topic: string): { readonly what: string; readonly expected: string } | undefined {
  const fault = (what: string, expected: string) => ({ what, expected });
  if (topic.length === 0) return fault("is empty", "expected a topic such as sensors/{device}/climate");
  if (topic.length > topicLengthMax) return fault(`has ${topic.length} characters`, `expected at most ${topicLengthMax}`);
  if (/\p{Cc}/u.test(topic)) return fault("has a NUL or another control character", "expected none (MQTT-1.5.3-2)");
  if (topic.startsWith("$")) return fault("begins with $", "expected a topic of devices: those with $ belong to the broker");
  const levels = topic.split("/");
  const deviceCount = levels.filter((level) => level === deviceLevel).length;
  for (const [index, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || index !== levels.length - 1))
      return fault("has a # inside", "expected # only as the whole last level");
    if (level.includes("+") && level !== "+")
      return fault(`has a + inside the level ${JSON.stringify(level)}`, "expected + only as a whole level");
    if (level !== deviceLevel && /[{}]/.test(level)) {
      return fault(`has braces in the level ${JSON.stringify(level)}`, "expected {device}, as a whole level, and no other braces");
    }
  }
  if (deviceCount !== 1)
    return fault(`has ${deviceCount === 0 ? "no" : deviceCount} {device} levels`, "expected exactly one, e.g. sensors/{device}/climate");
  return undefined;
}

/** Whether some topic matches both filters (`{device}` matches any one level). Both must be free of faults. */
export function topicsOverlap(a: string, b: string): boolean {
  const left = a.split("/");
  const right = b.split("/");
  for (let i = 0; ; i++) {
    const x = left[i];
    const y = right[i];
    // `a/#` also matches `a` (MQTT-4.7.1-2), so a # overlaps whatever agreed so far.
    if (x === "#" || y === "#") return true;
    if (x === undefined || y === undefined) return x === y;
    if (x !== y && !isWild(x) && !isWild(y)) return false;
  }
}

function isWild(level: string): boolean {
  return level === "+" || level === deviceLevel;
}
