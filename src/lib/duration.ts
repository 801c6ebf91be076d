/** Durations as people write them: `500ms`, `30s`, `5m`, `1h`, `90d`, `2w`, `2y` (of 365 days). Whole numbers, one unit, nothing else. */

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 } as const;

/** For messages: what `parseDuration` accepts. */
export const durationExpected = "a duration such as 30s, 5m, 1h or 7d";

/** Milliseconds, or `undefined` when the text is no duration (a bare number has no unit and is none). */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,12})(ms|s|m|h|d|w|y)$/.exec(text);
  if (match === null) return undefined;
  const milliseconds = Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
  return Number.isSafeInteger(milliseconds) ? milliseconds : undefined;
}

/** The shortest text that `parseDuration` reads back to the same number: `5400000` is `90m`. Not for weeks and years: `14d`. */
export function formatDuration(milliseconds: number): string {
  for (const unit of ["d", "h", "m", "s"] as const) {
    if (milliseconds !== 0 && milliseconds % unitMs[unit] === 0) return `${milliseconds / unitMs[unit]}${unit}`;
  }
  return `${milliseconds}ms`;
}
