// Bytes of a key or a value, as text, JSON or hex.

export const FORMS = [["auto", "as they look"], ["text", "text"], ["json", "JSON"], ["hex", "hex"]];

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

export function base64Of(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** The bytes that are meant by hex digits; spaces do not matter. */
export function fromHex(text) {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) throw new Error("hex is pairs of 0-9 and a-f");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** The text, or null where the bytes are none; a last character may be cut. */
function textOf(bytes, cut) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: cut });
    return /[\u0000-\u0008\u000e-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

function jsonOf(text, whole) {
  try {
    return JSON.stringify(JSON.parse(text), null, whole ? 2 : 0);
  } catch {
    return null;
  }
}

function hexOf(bytes, whole) {
  const pairs = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  if (!whole) return pairs.slice(0, 64).join(" ");
  const lines = [];
  for (let start = 0; start < pairs.length; start += 16) {
    const row = pairs.slice(start, start + 16);
    const signs = Array.from(bytes.slice(start, start + 16), (byte) =>
      byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·").join("");
    const position = start.toString(16).padStart(6, "0");
    lines.push(`${position}  ${row.join(" ").padEnd(47)}  ${signs}`);
  }
  return lines.join("\n");
}

const LINE = 400;

/**
 * What is shown of a value.
 * @param value its bytes as the console tells them, and how many there are.
 * @param form one of FORMS.
 * @param whole whether there is room for all of it.
 * @returns the text, and whether it is hex.
 */
export function shown(value, form, whole = false) {
  const bytes = bytesOf(value.data);
  const cut = bytes.length < value.size;
  const text = form === "hex" ? null : textOf(bytes, cut);
  if (form === "hex" || (text === null && form !== "text")) {
    return { text: hexOf(bytes, whole), hex: true };
  }
  const lossy = text ?? new TextDecoder().decode(bytes);
  const json = form === "text" || cut ? null : jsonOf(lossy, whole);
  const found = json ?? lossy;
  return { text: whole ? found : found.slice(0, LINE), hex: false };
}
