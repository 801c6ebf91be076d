import { Packr } from "msgpackr";
import { failure, type Result, success } from "./errors.ts";

/** MessagePack without shared structures or extensions for classes: every value stands on its own, whoever reads it. */
export class Packing {
  readonly #packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: "number", useBigIntExtension: false });

  pack(value: unknown): Uint8Array {
    return this.#packr.pack(value);
  }

  /** Whatever the bytes say, or a `bad-request` failure; the caller checks the shape. */
  unpack(bytes: Uint8Array): Result<unknown> {
    try {
      return success(this.#packr.unpack(bytes));
    } catch (cause) {
      return failure("bad-request", `not MessagePack: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }
}
