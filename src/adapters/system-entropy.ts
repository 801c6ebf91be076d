/** The `Entropy` port on the operating system's generator. */

import { randomBytes } from "node:crypto";
import type { Entropy } from "../ports/entropy.ts";

export class SystemEntropy implements Entropy {
  hex(bytes: number): string {
    return randomBytes(bytes).toString("hex");
  }
}
