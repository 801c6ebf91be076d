/** What can befall a gateway in a drill. */
export const drillKinds = ["power-off", "cut", "wipe"] as const;

export interface DrillOptions {
  readonly what: (typeof drillKinds)[number];
  readonly gateway: string;
  readonly gateways: number;
  readonly portBase: number;
  readonly data?: string;
  /** Milliseconds that the gateway is away. */
  readonly for: number;
  /** `json`: the summary alone goes to standard output, everything else to standard error. */
  readonly output: string;
}
