import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import type { Series } from "../../client/schema.ts";
import type { ExportSink, ReadingsEncoder } from "./encoders.ts";

/**
 * Readings as Parquet, Snappy-compressed. A row is one reading; exactly one of the last three columns has its value:
 *
 *     device   STRING, required
 *     metric   STRING, required
 *     time     TIMESTAMP(MICROS, UTC), required
 *     value    DOUBLE      numbers
 *     text     STRING      texts
 *     boolean  BOOLEAN     booleans
 *
 * (A number that JSON has no form for, such as NaN, comes from the gateway as null, and all three are null.) One row group is held in
 * memory at a time.
 */
export function parquetEncoder(sink: ExportSink, options: { readonly rowGroupRows?: number } = {}): ReadingsEncoder {
  const rowsMax = options.rowGroupRows ?? rowGroupRowsMax;
  const bytes = new ByteWriter();
  const writer = new ParquetWriter({ writer: bytes, schema: [...schema], createdBy: "fogbank" });
  let group = new RowGroup();
  const drain = () => {
    if (bytes.index > 0) sink(bytes.getBytes().slice());
    bytes.index = 0;
  };
  const flush = async () => {
    if (group.rows === 0) return;
    await writer.write({ columnData: group.columns(), rowGroupSize: group.rows });
    group = new RowGroup();
    drain();
  };
  return {
    add: async ({ device, metric, points }) => {
      for (const [ms, value] of points) {
        group.add(device, metric, ms, value);
        if (group.rows >= rowsMax || group.textUnits >= rowGroupTextMax) await flush();
      }
    },
    finish: async () => {
      await flush();
      await writer.finish();
      drain();
    },
  };
}

const rowGroupRowsMax = 100_000;
/** UTF-16 units of texts in a row group. */
const rowGroupTextMax = 16 << 20;

const schema = [
  { name: "root", num_children: 6 },
  { name: "device", type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" }, repetition_type: "REQUIRED" },
  { name: "metric", type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" }, repetition_type: "REQUIRED" },
  {
    name: "time",
    type: "INT64",
    converted_type: "TIMESTAMP_MICROS",
    logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MICROS" },
    repetition_type: "REQUIRED",
  },
  { name: "value", type: "DOUBLE", repetition_type: "OPTIONAL" },
  { name: "text", type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" }, repetition_type: "OPTIONAL" },
  { name: "boolean", type: "BOOLEAN", repetition_type: "OPTIONAL" },
] as const satisfies ConstructorParameters<typeof ParquetWriter>[0]["schema"];

class RowGroup {
  rows = 0;
  textUnits = 0;
  readonly #devices: string[] = [];
  readonly #metrics: string[] = [];
  readonly #times: bigint[] = [];
  readonly #values: (number | null)[] = [];
  readonly #texts: (string | null)[] = [];
  readonly #booleans: (boolean | null)[] = [];

  add(device: string, metric: string, ms: number, value: Series["points"][number][1]): void {
    this.#devices.push(device);
    this.#metrics.push(metric);
    // Whole microseconds, which milliseconds with a fraction stand for.
    this.#times.push(BigInt(Math.round(ms * 1_000)));
    this.#values.push(typeof value === "number" ? value : null);
    this.#texts.push(typeof value === "string" ? value : null);
    this.#booleans.push(typeof value === "boolean" ? value : null);
    if (typeof value === "string") this.textUnits += value.length;
    this.rows++;
  }

  columns() {
    // Without page indexes: they would stay in memory until the end of the file.
    const common = { offsetIndex: false };
    return [
      { name: "device", data: this.#devices, ...common },
      { name: "metric", data: this.#metrics, ...common },
      { name: "time", data: this.#times, ...common },
      { name: "value", data: this.#values, ...common },
      { name: "text", data: this.#texts, ...common },
      { name: "boolean", data: this.#booleans, ...common },
    ];
  }
}
