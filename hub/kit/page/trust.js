// The trust file that the auditor brings: C2SP tlog-policy, and two kinds of lines of our own, `receipt` and
// `kept` (docs/reference/kit.md, the trust file).

import { fromBase64, same } from "./bytes.js";
import { LOG_KEY, WITNESS_KEY, readDecimal, readVerifierKey } from "./note.js";

/** @typedef {import("./note.js").VerifierKey} VerifierKey */
/**
 * @typedef {object} Trust
 * @property {VerifierKey[]} logs
 * @property {VerifierKey[]} receipts
 * @property {Map<string, VerifierKey>} witnesses by the name that the file gives them
 * @property {Map<string, {least: number, members: string[]}>} groups
 * @property {string} quorum a witness, a group, or "none"
 * @property {{size: bigint, root: Uint8Array}[]} kept
 */

/** @returns {Trust} that trusts nobody */
export function noTrust() {
  return { logs: [], receipts: [], witnesses: new Map(), groups: new Map(), quorum: "none", kept: [] };
}

/**
 * Reads a trust file; lines that cannot be read are told, the rest is used.
 * @param {string} text @param {import("./report.js").Findings} found @returns {Trust}
 */
export function readTrust(text, found) {
  const trust = noTrust();
  const seen = { members: new Set(), quorum: false };
  const lines = text.split("\n");
  lines.forEach((line, at) => {
    const [kind, ...items] = line.replace(/\r+$/, "").split(/[ \t]+/).filter(Boolean);
    if (kind === undefined || kind.startsWith("#")) return;
    const read = Object.hasOwn(LINES, kind) && LINES[kind](trust, items, seen);
    if (!read) found.add("trust.malformed", String(at + 1));
  });
  if (trust.witnesses.size && !seen.quorum) found.add("trust.malformed", String(lines.length));
  if (!trust.logs.length) found.add("trust.no_log", "");
  return trust;
}

/** How each kind of line is read; true where it could be. */
const LINES = {
  log: (trust, items) => items.length <= 2 && addKey(trust.logs, items[0], LOG_KEY),
  receipt: (trust, items) => items.length === 1 && addKey(trust.receipts, items[0], LOG_KEY),

  witness(trust, [name, encoded, ...more]) {
    const keys = [...trust.witnesses.values()];
    if (more.length > 1 || !isNew(trust, name) || !addKey(keys, encoded, WITNESS_KEY)) return false;
    trust.witnesses.set(name, keys[keys.length - 1]);
    return true;
  },

  group(trust, [name, least, ...members], seen) {
    const known = members.every((one) => trust.witnesses.has(one) || trust.groups.has(one));
    const once = new Set(members).size === members.length && !members.some((one) => seen.members.has(one));
    const needed = threshold(least, members.length);
    if (!isNew(trust, name) || !known || !once || needed < 1 || needed > members.length) return false;
    members.forEach((one) => seen.members.add(one));
    trust.groups.set(name, { least: needed, members });
    return true;
  },

  quorum(trust, [name, ...more], seen) {
    const known = name === "none" || trust.witnesses.has(name) || trust.groups.has(name);
    if (more.length || seen.quorum || !known) return false;
    seen.quorum = true;
    trust.quorum = name;
    return true;
  },

  kept(trust, [size, encoded, ...more]) {
    const [number, root] = [readDecimal(size ?? ""), fromBase64(encoded ?? "")];
    if (more.length || number === null || root?.length !== 32) return false;
    trust.kept.push({ size: number, root });
    return true;
  },
};

function threshold(told, members) {
  if (told === "any") return 1;
  if (told === "all") return members;
  return Number(readDecimal(told ?? "") ?? 0n);
}

/** Takes a key of the right type, no key twice: whoever holds one would count as two. */
function addKey(keys, text, type) {
  const read = readVerifierKey(text ?? "");
  if (read === null || read.type !== type || keys.some(({ key }) => same(key, read.key))) return false;
  keys.push(read);
  return true;
}

function isNew(trust, name) {
  return name !== undefined && name !== "none" && !trust.witnesses.has(name) && !trust.groups.has(name);
}

/**
 * Says whether these witnesses are enough. @param {Trust} trust @param {Set<string>} cosigned by name
 * @param {string} name @returns {boolean}
 */
export function isQuorum(trust, cosigned, name = trust.quorum) {
  if (name === "none") return true;
  const group = trust.groups.get(name);
  if (!group) return cosigned.has(name);
  return group.members.filter((member) => isQuorum(trust, cosigned, member)).length >= group.least;
}
