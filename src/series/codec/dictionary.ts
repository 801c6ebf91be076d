/** Distinct numbers of a column, told apart by their bits. */

export interface Dictionary {
  /** In ascending order of the numbers, −0 after 0, NaN at the end; or as they came, where most come once or twice. */
  readonly entries: Float64Array;
  /** For each number of the column, the place of its entry. */
  readonly indexes: Float64Array;
  /** Of all indexes together, as if each came by chance (Shannon's entropy). */
  readonly indexBits: number;
}

/** `undefined` when more than `entriesMax` are distinct. */
export function dictionaryOf(numbers: Float64Array, entriesMax: number): Dictionary | undefined {
  const { length } = numbers;
  const words = new Int32Array(numbers.buffer, numbers.byteOffset, length * 2);
  const slots = 2 ** (34 - Math.clz32(Math.min(length, entriesMax)));
  // The first number with this hash, and one; 0 is free.
  const table = new Int32Array(slots);
  const place = new Int32Array(length);
  const firsts: number[] = [];
  const occurs: number[] = [];
  const indexes = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    const low = words[i * 2] as number;
    const high = words[i * 2 + 1] as number;
    let hash = Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
    hash = (hash ^ (hash >>> 15)) & (slots - 1);
    let known = (table[hash] as number) - 1;
    while (known >= 0 && (words[known * 2] !== low || words[known * 2 + 1] !== high)) {
      hash = (hash + 1) & (slots - 1);
      known = (table[hash] as number) - 1;
    }
    if (known < 0) {
      if (firsts.length === entriesMax) return undefined;
      table[hash] = i + 1;
      place[i] = firsts.length;
      firsts.push(i);
      occurs.push(0);
      known = i;
    }
    const entry = place[known] as number;
    indexes[i] = entry;
    occurs[entry] = (occurs[entry] as number) + 1;
  }
  const indexBits = occurs.reduce((bits, count) => bits - count * Math.log2(count / length), 0);
  const asTheyCame = Float64Array.from(firsts, (first) => numbers[first] as number);
  if (firsts.length * 8 > length) return { entries: asTheyCame, indexes, indexBits };
  return { ...ascending(asTheyCame, indexes), indexBits };
}

function ascending(entries: Float64Array, indexes: Float64Array): Pick<Dictionary, "entries" | "indexes"> {
  // Typed arrays sort −0 before 0 and NaN last.
  const order = Array.from(entries.keys()).sort((a, b) => compare(entries[a] as number, entries[b] as number));
  const ranks = new Float64Array(entries.length);
  order.forEach((entry, rank) => {
    ranks[entry] = rank;
  });
  return {
    entries: Float64Array.from(order, (entry) => entries[entry] as number),
    indexes: indexes.map((index) => ranks[index] as number),
  };
}

function compare(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a - b;
}
