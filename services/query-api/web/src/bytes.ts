// Bytes of messages, for people: as text, as JSON, in hexadecimal.

export const fromBase64 = (encoded: string): Uint8Array => Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));

export function toBase64(bytes: Uint8Array): string {
  const piece = 0x8000; // arguments that every browser takes
  let binary = "";
  for (let i = 0; i < bytes.length; i += piece) binary += String.fromCharCode(...bytes.subarray(i, i + piece));
  return btoa(binary);
}

export const fromText = (text: string): Uint8Array => new TextEncoder().encode(text);

// toText is null where bytes are no UTF-8.
export function toText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const hex = (n: number, digits: number) => n.toString(16).padStart(digits, "0");

export const toHex = (bytes: Uint8Array): string => Array.from(bytes, (b) => hex(b, 2)).join(" ");

// fromHex is null where text is no bytes in hexadecimal, with or without white space between them.
export function fromHex(text: string): Uint8Array | null {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) return null;
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

const perLine = 16;

// hexDump has a line for each 16 bytes: the place, the bytes, and those that are ASCII.
export function hexDump(bytes: Uint8Array): string {
  const lines = [];
  for (let i = 0; i < bytes.length; i += perLine) {
    const line = bytes.subarray(i, i + perLine);
    const ascii = Array.from(line, (b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".")).join("");
    lines.push(`${hex(i, 6)}  ${toHex(line).padEnd(3 * perLine - 1)}  ${ascii}`);
  }
  return lines.join("\n");
}

// pretty is JSON with its structure in lines, or null where text is none. Numbers and strings stay as they are written:
// JSON.stringify would round a long id, and hide a name that stands twice.
export function pretty(text: string): string | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let indent = "";
  let out = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === "{" || token === "[") out += token + "\n" + (indent += "  ");
    else if (token === "}" || token === "]") out += "\n" + (indent = indent.slice(2)) + token;
    else if (token === ",") out += ",\n" + indent;
    else if (token === ":") out += ": ";
    else out += /^[{[]/.test(token) ? token.replace(/\s/g, "") : token;
  }
  return out;
}

// visible has an escape for each character that cannot be seen, or that changes the order of others.
export function visible(text: string): string {
  return text.replace(
    /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb]/g,
    (c) => `\\u${hex(c.charCodeAt(0), 4)}`,
  );
}

// closed is the beginning of a JSON text, without what does not end, and with the brackets that close the rest.
export function closed(text: string): string {
  let brackets = "";
  let end = 0;
  let closing = "";
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"?|[{}[\],]/g)) {
    if (token === "{" || token === "[") {
      brackets = (token === "{" ? "}" : "]") + brackets;
      [end, closing] = [index + 1, brackets];
    } else if (token === "}" || token === "]") {
      brackets = brackets.slice(1);
      [end, closing] = [index + 1, brackets];
    } else if (token === ",") {
      [end, closing] = [index, brackets];
    }
  }
  return end === 0 ? text : text.slice(0, end) + closing;
}
