// What an auditor holds against the log: checkpoints kept elsewhere, and receipts (RFC 8417 tokens in the
// compact form of RFC 7515, signed with Ed25519).

import { fromBase64Url, fromHex, readUtf8, utf8 } from "./bytes.js";
import { isObject } from "./catalogue.js";
import { isSigned, readCheckpoint, readNote } from "./note.js";

const EVENT = "urn:landkreis-peine:hub:receipt:";
const LEAF = /^[0-9a-f]{64}$/;

/** A root that somebody else knows, and how its source is called. */
/** @typedef {{size: bigint, root: Uint8Array, place: string, platz: string}} Promised */
/** @typedef {{index: number, leaf: Uint8Array, submission: string, checkpoint: string}} Claim */
/** @typedef {{name: string, bytes: Uint8Array}} Brought */

/**
 * Reads a signed checkpoint of this log; a word says what is wrong with it.
 * @param {string | null} text @param {string} origin @param {import("./note.js").VerifierKey[]} keys
 * @param {import("./signing.js").Verify} verify
 * @returns {Promise<import("./note.js").Promised | "malformed" | "signature">}
 */
async function readSigned(text, origin, keys, verify) {
  const note = text === null ? null : readNote(text);
  const promised = note && readCheckpoint(note.text);
  if (!promised || promised.origin !== origin) return "malformed";
  return (await isSigned(note, keys, verify)) ? promised : "signature";
}

/**
 * Reads the checkpoints brought along, and those on paper; those that prove nothing are told and left out.
 * @param {Brought[]} kept @param {string} origin @param {import("./trust.js").Trust} trust
 * @param {import("./signing.js").Verify} verify @param {import("./report.js").Findings} found
 * @returns {Promise<Promised[]>}
 */
export async function readKept(kept, origin, trust, verify, found) {
  const promises = [];
  for (const [at, { bytes }] of kept.entries()) {
    const read = await readSigned(readUtf8(bytes), origin, trust.logs, verify);
    if (typeof read === "string") found.add(`kept.${read}`, String(at + 1));
    else promises.push(named(read, `kept checkpoint ${at + 1}`, `mitgebrachter Prüfpunkt ${at + 1}`));
  }
  return [...promises, ...trust.kept.map((one) => named(one, "trust file", "Vertrauensdatei"))];
}

/** @returns {Promised} */
function named({ size, root }, name, deutsch) {
  return { size, root, place: `${name}, size ${size}`, platz: `${deutsch}, Größe ${size}` };
}

/**
 * Reads a receipt into what it claims; the checkpoint in it binds the log as one kept elsewhere does.
 * @param {Brought} receipt @param {number} number @param {string} origin @param {import("./trust.js").Trust} trust
 * @param {import("./signing.js").Verify} verify
 * @returns {Promise<{claim: Claim | null, promised: Promised | null, flaw: string | null}>} flaw: a code
 */
export async function readReceipt({ bytes }, number, origin, trust, verify) {
  const claim = await readClaim(readUtf8(bytes), trust.receipts, verify);
  if (typeof claim === "string") return { claim: null, promised: null, flaw: claim };
  const read = await readSigned(claim.checkpoint, origin, trust.logs, verify);
  if (typeof read === "string") return { claim, promised: null, flaw: "receipt.checkpoint" };
  const promised = named(read, `receipt ${number}`, `Quittung ${number}`);
  return { claim, promised, flaw: read.size <= BigInt(claim.index) ? "receipt.checkpoint" : null };
}

/** Reads a token; the code of what is wrong where it proves nothing. */
async function readClaim(text, keys, verify) {
  const parts = (text ?? "").replace(/^[\t-\r ]+|[\t-\r ]+$/g, "").split(".");
  const [header, claims, signature] = [object(parts[0]), object(parts[1]), fromBase64Url(parts[2] ?? "")];
  if (parts.length !== 3 || parts.includes("") || !header || !claims || !signature) return "receipt.malformed";
  if (header.typ !== "secevent+jwt" || header.alg !== "EdDSA" || "crit" in header) return "receipt.malformed";
  if (!keys.length) return "trust.no_receipt_key";
  const signed = utf8(`${parts[0]}.${parts[1]}`);
  const verdicts = await Promise.all(keys.map(({ key }) => verify(key, signature, signed)));
  if (!verdicts.includes(true)) return "receipt.signature";
  return claimed(claims) ?? "receipt.malformed";
}

function claimed(claims) {
  const names = isObject(claims.events) ? Object.keys(claims.events) : [];
  if (names.length !== 1 || !names[0].startsWith(EVENT)) return null;
  const log = claims.events[names[0]]?.log;
  if (!isObject(log) || !Number.isInteger(log.index) || log.index < 0) return null;
  if (![claims.txn, log.leaf_hash, log.checkpoint].every((text) => typeof text === "string")) return null;
  if (!LEAF.test(log.leaf_hash)) return null;
  return { index: log.index, leaf: fromHex(log.leaf_hash), submission: claims.txn, checkpoint: log.checkpoint };
}

function object(part) {
  const bytes = part === undefined ? null : fromBase64Url(part);
  const text = bytes && readUtf8(bytes);
  try {
    const read = JSON.parse(text ?? "");
    return isObject(read) ? read : null;
  } catch {
    return null;
  }
}
