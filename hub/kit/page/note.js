// Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint) and the cosignatures of witnesses
// (C2SP tlog-cosignature, cosignature/v1). Reading believes nothing; verifying asks the key.

import { concat, fromBase64, hex, same, utf8 } from "./bytes.js";
import { sha256 } from "./sha256.js";

export const LOG_KEY = 1;
export const WITNESS_KEY = 4;
const MOST_LINES = 100;
const LATEST = 2n ** 63n; // seconds, tlog-cosignature
const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;
const CONTROLS = /[\x00-\x09\x0b-\x1f]/;
const BLANK = /[^\S\ufeff]|[\x85+]/; // white space of Unicode; a plus sign would divide a verifier key

/** @typedef {{name: string, id: string, type: number, key: Uint8Array}} VerifierKey */
/** @typedef {{text: string, lines: {name: string, id: string, value: Uint8Array}[]}} Note */
/** A log's word on its size and root. @typedef {{origin: string, size: bigint, root: Uint8Array}} Promised */

/** Reads ``name+keyid+base64(type || key)``. @param {string} text @returns {VerifierKey | null} */
export function readVerifierKey(text) {
  const [name, id, ...more] = text.split("+");
  const encoded = fromBase64(more.join("+"));
  if (!isName(name) || encoded?.length !== 33 || id !== keyId(name, encoded)) return null;
  return { name, id, type: encoded[0], key: encoded.subarray(1) };
}

/** @param {string} name @param {Uint8Array} encoded type and key @returns {string} 8 hexadecimal digits */
export function keyId(name, encoded) {
  return hex(sha256(concat(utf8(`${name}\n`), encoded)).subarray(0, 4));
}

/** @param {string} text @returns {bigint | null} a decimal number without leading zeros */
export function readDecimal(text) {
  return DECIMAL.test(text) ? BigInt(text) : null;
}

/** @param {string} note @returns {Note | null} null where this is no signed note */
export function readNote(note) {
  const border = note.lastIndexOf("\n\n");
  if (border < 0 || !note.endsWith("\n") || CONTROLS.test(note)) return null;
  const below = note.slice(border + 2, -1).split("\n");
  const lines = below.map(readSignature);
  if (lines.length > MOST_LINES || lines.includes(null)) return null;
  return { text: note.slice(0, border + 1), lines };
}

function readSignature(line) {
  const [mark, name, ...rest] = line.split(" ");
  const value = fromBase64(rest.join(" "));
  if (mark !== "—" || !isName(name ?? "") || value === null || value.length <= 4) return null;
  return { name, id: hex(value.subarray(0, 4)), value: value.subarray(4) };
}

function isName(name) {
  return name !== "" && !BLANK.test(name);
}

/** Reads the text of a checkpoint. @param {string} text @returns {Promised | null} */
export function readCheckpoint(text) {
  const lines = text.split("\n");
  if (lines.pop() || lines.length < 3 || !lines.every(Boolean)) return null;
  const [size, root] = [readDecimal(lines[1]), fromBase64(lines[2])];
  if (size === null || root?.length !== 32 || (size === 0n) !== same(root, sha256(new Uint8Array(0)))) return null;
  return { origin: lines[0], size, root };
}

/**
 * Says whether one of these keys signed a note, and none of them wrongly.
 * @param {Note} note @param {VerifierKey[]} keys @param {import("./signing.js").Verify} verify
 * @returns {Promise<boolean>}
 */
export async function isSigned(note, keys, verify) {
  let signed = false;
  for (const { key, value } of signaturesBy(note, keys)) {
    if (!(await verify(key, value, utf8(note.text)))) return false;
    signed = true;
  }
  return signed;
}

function signaturesBy(note, keys) {
  return note.lines.flatMap(({ name, id, value }) => {
    const known = keys.find((key) => key.name === name && key.id === id);
    return known ? [{ key: known.key, value }] : [];
  });
}

/**
 * Finds a witness's cosignature: the time it names (seconds), `null` without one, `false` where none is right.
 * @param {Note} note @param {VerifierKey} key @param {import("./signing.js").Verify} verify
 * @returns {Promise<number | null | false>}
 */
export async function cosignedBy(note, key, verify) {
  const own = signaturesBy(note, [key]);
  for (const { value } of own) {
    if (value.length !== 72) continue;
    const time = new DataView(value.buffer, value.byteOffset).getBigUint64(0);
    const signed = utf8(`cosignature/v1\ntime ${time}\n${note.text}`);
    if (time < LATEST && (await verify(key.key, value.subarray(8), signed))) return Number(time);
  }
  return own.length ? false : null;
}
