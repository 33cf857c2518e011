// What makes bytes an entry of the log: its form, its kind, and what the kind must tell.

import { readCanonical } from "./canonical.js";

const KINDS = new Set([
  ...["submission", "decision", "intent", "outcome", "receipt", "collected", "consent", "agreement", "key"],
  ...["reidentification", "review", "report", "log_read", "retention", "restore", "alarm"],
]);
const OF_A_SUBMISSION = new Set(["submission", "decision", "intent", "outcome", "receipt", "collected"]);
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$/;
const NONCE = /^[0-9a-f]{32}$/;

/** @typedef {Record<string, any>} Entry */

/** @param {unknown} value @returns {boolean} */
export function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** @param {unknown} value @returns {boolean} whether it is a whole number from 0 that every reader takes exactly */
export function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

/**
 * What an entry tells at some place, as text: texts and whole numbers; null for everything else.
 * @param {Entry} entry @param {...string} path @returns {string | null}
 */
export function told(entry, ...path) {
  let found = entry;
  for (const name of path) found = isObject(found) && Object.hasOwn(found, name) ? found[name] : undefined;
  return typeof found === "string" || typeof found === "number" ? String(found) : null;
}

/** The log writes whole numbers only. @param {unknown} value @returns {boolean} */
function isWhole(value) {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (value === null || typeof value !== "object") return true;
  return Object.values(value).every(isWhole);
}

/**
 * Reads a body; the code of what is wrong with it, if anything, goes with it.
 * @param {Uint8Array} body @returns {{entry: Entry | null, flaw: string | null}}
 */
export function readEntry(body) {
  const entry = readCanonical(body);
  if (entry === null || !isWhole(entry)) return { entry: null, flaw: "entry.canonical" };
  return { entry, flaw: isInCatalogue(entry) ? null : "entry.catalogue" };
}

function isInCatalogue(entry) {
  const { format, kind, time, nonce, actor, counts } = entry;
  if (format !== 1 || !KINDS.has(kind) || !matches(TIME, time) || !matches(NONCE, nonce)) return false;
  if (!hasTexts(actor, "role", "id")) return false;
  if (OF_A_SUBMISSION.has(kind) && typeof entry.submission !== "string") return false;
  if (kind === "intent") return hasTexts(entry.parcel, "name", "sha256") && isCounts(counts);
  if (kind === "receipt") return hasTexts(entry.receipt, "kind", "sha256");
  return counts === undefined || counts === null || isCounts(counts);
}

function hasTexts(value, ...names) {
  return isObject(value) && names.every((name) => typeof value[name] === "string");
}

function isCounts(value) {
  return isObject(value) && Object.values(value).every(isCount);
}

function matches(pattern, value) {
  return typeof value === "string" && pattern.test(value);
}
