/**
 * The same text in memory of its own, for what is kept long: a part of a longer text (by `slice`, `split`, …) may be a
 * pointer into it, and keeps all of it alive. Lone surrogates become U+FFFD.
 */
export function ownText(text: string): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text));
}
