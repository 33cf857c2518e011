// Canonical JSON (RFC 8785). JavaScript writes numbers and strings as that RFC wants them, since the RFC
// took both from JavaScript; what is left is the order of the keys and what has no place in it.

import { readUtf8 } from "./bytes.js";

/**
 * Writes a value; throws RangeError where RFC 8785 has no form for it (half a surrogate pair).
 * @param {unknown} value @returns {string}
 */
export function canonical(value) {
  if (typeof value === "string") return quoted(value);
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const keys = Object.keys(value).sort(); // by UTF-16 code units, section 3.2.3
  return `{${keys.map((key) => `${quoted(key)}:${canonical(value[key])}`).join(",")}}`;
}

const HALF_PAIR = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

function quoted(value) {
  if (HALF_PAIR.test(value)) throw new RangeError("half a surrogate pair");
  return JSON.stringify(value);
}

/**
 * Reads an entry's body if it is an object in canonical JSON.
 * @param {Uint8Array} body @returns {Record<string, any> | null}
 */
export function readCanonical(body) {
  const written = readUtf8(body);
  return written === null ? null : parsedCanonical(written);
}

/** The same from text. @param {string} written @returns {Record<string, any> | null} */
export function parsedCanonical(written) {
  try {
    const fields = JSON.parse(written);
    const isObject = fields !== null && typeof fields === "object" && !Array.isArray(fields);
    return isObject && canonical(fields) === written ? fields : null;
  } catch {
    return null; // no JSON, too deep, or a string that cannot be written
  }
}
