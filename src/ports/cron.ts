/** Cron expressions (five fields, or six with seconds first), in the site's time zone. */
export interface Cron {
  /** Whether `expression` fires in the second that begins at `instantMs` (epoch ms, a whole second). */
  matches(expression: string, timeZone: string, instantMs: number): boolean;
}
