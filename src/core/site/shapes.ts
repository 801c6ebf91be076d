/** Checks of decoded values, field by field: what the codecs of commands and of the state's snapshots are written in. */

type Fields = Readonly<Record<string, unknown>>;

/** Whether a value has a shape. */
export type Check = (value: unknown) => boolean;

export const text: Check = (value) => typeof value === "string";
export const whole: Check = (value) => typeof value === "number" && Number.isSafeInteger(value);
export const count: Check = (value) => whole(value) && (value as number) >= 0;
export const positive: Check = (value) => typeof value === "number" && Number.isFinite(value) && value > 0;
export const notNegative: Check = (value) => typeof value === "number" && Number.isFinite(value) && value >= 0;
/** Of a listener that is called: an operating system's "any free one" cannot be. */
export const port: Check = (value) => count(value) && (value as number) >= 1 && (value as number) <= 0xffff;
/** A name or an address: what it stands for is found out by calling it. */
export const host: Check = (value) => typeof value === "string" && value.length >= 1 && value.length <= 255;
export const bytes: Check = (value) => value instanceof Uint8Array;
export const flag: Check = (value) => typeof value === "boolean";

export const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);

export const list =
  (item: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(item);

/** A list with exactly these members. */
export const tuple =
  (...items: readonly Check[]): Check =>
  (value) =>
    Array.isArray(value) && value.length === items.length && items.every((check, at) => check(value[at]));

export const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

export const nullable =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);

/** An object with at least these fields. */
export const fields =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === "object" && value !== null && Object.entries(checks).every(([name, check]) => check((value as Fields)[name]));
