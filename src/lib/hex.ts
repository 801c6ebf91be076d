/** Bytes as lower-case hex and back. */

const digits = "0123456789abcdef";

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += digits.charAt(byte >>> 4) + digits.charAt(byte & 15);
  return text;
}

/** `undefined` when the text is no hex of whole bytes. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || /[^0-9a-f]/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (digitOf(text.charCodeAt(2 * i)) << 4) | digitOf(text.charCodeAt(2 * i + 1));
  return bytes;
}

/** Of one digit's code: "a" is 0x61. */
const digitOf = (code: number): number => (code >= 0x61 ? code - 0x61 + 10 : code - 0x30);
