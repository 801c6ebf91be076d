/**
 * Version 2 of a round's bytes (`round-codec.ts` says what a round is and who reads it): columns of small differences
 * instead of eight bytes each, and names that say only where they part from the name before. What devices send, whole
 * milliseconds and decimal fractions, takes a fraction of version 1; what does not fit that mould is kept bit by bit.
 *
 *     "FBRD" | version u8 (2) | flags u8: 1 clock was synchronised, 2 all values are numbers
 *     varints: round number, ring epoch, readings (n), series (s), texts (t), bytes of the string section,
 *              length of the coordinator's id, of the session id
 *     names    s × two of: u8 (high nibble: units shared with the device, the metric of the series before; low nibble: units
 *              of its own; 15 in either: a varint with 15 less follows, that of the high one first)
 *     texts    t × varint length
 *     types    u8[n], unless flag 2
 *     series   mode u8: 0 row i is of series i modulo s | 1 u8[n] | 2 varint[n]
 *     times    mode u8: 0 f64[n] µs | otherwise bits: 1 always, 2 against the series' time before instead of the row's,
 *              4 whole milliseconds plus a constant remainder (varint µs follows); zig-zag varint[n] of differences
 *     numbers  mode u8: 0 f64[n] | d + 1, d decimals: varint[n], 0: an f64 follows, otherwise zig-zag of the difference
 *              of value × 10^d to the series' one before, plus 1
 *     the string section: coordinator, session, the own part of each device and metric, texts, as one run of UTF-8
 *
 * Differences start from 0; a series' first time is told against the row before it. Lengths of strings count UTF-16 units.
 */

export const compactVersion = 2;
export const headerFixedBytes = 6;
export const nameLengthMax = 0xffff;
/** A length of names that does not fit a nibble goes on in a varint. */
export const nibbleMax = 15;

export const SeriesMode = { Cyclic: 0, Bytes: 1, Varints: 2 } as const;

export const TimeFlag = { Differences: 1, BySeries: 2, Milliseconds: 4 } as const;

/** By decimals. */
export const powersOfTen = [1, 10, 100, 1e3, 1e4, 1e5, 1e6] as const;
