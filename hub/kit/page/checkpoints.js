// All checkpoints of the kit: their form, their signatures, and who cosigned them.

import { readUtf8, same } from "./bytes.js";
import { isCount, isObject } from "./catalogue.js";
import { lines } from "./lines.js";
import { cosignedBy, isSigned, readCheckpoint, readNote } from "./note.js";
import { span } from "./report.js";
import { draw } from "./sample.js";
import { isQuorum } from "./trust.js";

const STORED_MEMBER = "checkpoints.jsonl";
const MOST_STORED = 1 << 17; // a note with a hundred signatures, written as JSON
const DRAWN = 32;

/** @typedef {{size: number, root: Uint8Array, note: import("./note.js").Note}} Stored */

/**
 * Reads the stored checkpoints; what is not in form is told and left out.
 * @param {import("./members.js").Members} kit @param {string} origin
 * @param {import("./report.js").Findings} found
 * @returns {Promise<(Stored | null)[]>} one for each line, null where it cannot be used
 */
export async function readStored(kit, origin, found) {
  const stored = [];
  let before = -1;
  for await (const batch of lines(kit.chunks(STORED_MEMBER), MOST_STORED)) {
    for (const { line, whole } of batch) {
      const told = whole ? readLine(line) : null;
      stored.push(null);
      if (told === null) {
        found.add("kit.line", `${STORED_MEMBER}:${stored.length}`);
      } else if (told.size <= before) {
        found.add("checkpoint.order", String(told.size));
      } else {
        before = told.size;
        stored[stored.length - 1] = readOne(told, origin, found);
      }
    }
  }
  return stored;
}

function readLine(line) {
  const text = readUtf8(line);
  try {
    const told = JSON.parse(text ?? "");
    const sound = isObject(told) && isCount(told.size) && typeof told.note === "string";
    return sound && Object.keys(told).length === 2 ? told : null;
  } catch {
    return null;
  }
}

function readOne({ size, note: text }, origin, found) {
  const note = readNote(text);
  const promised = note && readCheckpoint(note.text);
  if (!promised || promised.origin !== origin) {
    found.add("checkpoint.malformed", String(size));
    return null;
  }
  if (promised.size !== BigInt(size)) {
    found.add("checkpoint.columns", String(size));
    return null;
  }
  return { size, root: promised.root, note };
}

/**
 * Verifies the signatures of some stored checkpoints, drawn from the newest one, or of all.
 * @param {(Stored | null)[]} stored @param {string} text of the newest checkpoint
 * @param {import("./note.js").VerifierKey[]} keys @param {boolean} all
 * @param {import("./signing.js").Verify} verify @param {import("./report.js").Findings} found
 * @param {(part: number) => Promise<void>} pause
 * @returns {Promise<{checked: number, of: number}>}
 */
export async function verifySignatures(stored, text, keys, all, verify, found, pause) {
  const few = draw("hub-signatures-v1", text, 0, stored.length, DRAWN).sort((one, other) => one - other);
  const places = all ? stored.keys() : few;
  let checked = 0;
  for (const at of places) {
    const one = stored[at];
    if (one === null) continue; // told already
    checked++;
    if (!(await isSigned(one.note, keys, verify))) found.add("checkpoint.signature", String(one.size));
    await pause(checked / stored.length);
  }
  return { checked, of: stored.length };
}

/**
 * Looks, from the newest checkpoint backwards, for the one that enough witnesses cosigned, and for the newest
 * that each of them did.
 * @param {Stored[]} newestFirst @param {import("./trust.js").Trust} trust
 * @param {import("./signing.js").Verify} verify @param {import("./report.js").Findings} found
 * @returns {Promise<{size: number | null, witnesses: import("./report.js").Report["witnesses"]}>}
 */
export async function findWitnessed(newestFirst, trust, verify, found) {
  const latest = new Map();
  let size = null;
  for (const one of newestFirst) {
    const cosigned = new Set();
    for (const [name, key] of trust.witnesses) {
      if (size !== null && latest.has(name)) continue; // all that is asked about this one is known
      const time = await cosignedBy(one.note, key, verify);
      if (time === false) found.add("witness.signature", `${name}, ${one.size}`);
      if (typeof time !== "number") continue;
      cosigned.add(name);
      if (!latest.has(name)) latest.set(name, { size: one.size, time });
    }
    if (size === null && isQuorum(trust, cosigned)) size = one.size;
    if (size !== null && latest.size === trust.witnesses.size) break;
  }
  const witnesses = [...trust.witnesses.keys()].map((name) => ({
    name,
    cosigned: latest.has(name),
    ...(latest.get(name) ?? { size: null, time: null }),
  }));
  return { size, witnesses };
}

/** Holds promised roots against the computed ones, by rising size; what fails in a row is told in two findings. */
export class Roots {
  /** @param {import("./report.js").Findings} found */
  constructor(found) {
    this.found = found;
    this.good = 0;
    /** @type {number[]} */ this.wrong = []; // the sizes that failed in a row
  }

  /** @param {number} size @param {Uint8Array} promised @param {Uint8Array | null} root null where not known */
  hold(size, promised, root) {
    if (root === null) return;
    if (same(root, promised)) {
      this.good = size;
      this.close();
    } else if (this.wrong[this.wrong.length - 1] !== size) {
      if (!this.wrong.length) this.found.add("checkpoint.root", size ? span(this.good, size) : "0");
      this.wrong.push(size);
    }
  }

  /** Tells the checkpoints that failed after the first one. */
  close() {
    const later = this.wrong.slice(1);
    const last = later[later.length - 1];
    if (later.length) this.found.add("checkpoint.later", later[0] === last ? String(last) : `${later[0]}-${last}`);
    this.wrong = [];
  }
}
