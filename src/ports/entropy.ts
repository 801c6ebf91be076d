/** Where randomness enters: ids that must be unique across gateways, and the seed of a gateway's own generator. */
export interface Entropy {
  /** `bytes` unpredictable bytes (in the simulator: seeded ones) as lower-case hex. */
  hex(bytes: number): string;
}
