/** Cron expressions (five fields, or six with seconds first), in the site's time zone. */
export interface Cron {
  /** Whether `expression` fires in the second that begins at `instantMs` (epoch ms, a whole second). */
  matches(expression: string, timeZone: string, instantMs: number): boolean;
  /** The first firing after `afterMs` (epoch ms), `undefined` when there is none in the coming years. */
  next(expression: string, timeZone: string, afterMs: number): number | undefined;
}
