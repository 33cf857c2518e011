// Erased bodies: which entries explain them, and which nothing explains.

import { isCount, isObject } from "./catalogue.js";
import { readCanonical } from "./canonical.js";
import { readLines } from "./entries.js";
import { span } from "./report.js";
import { leafHash } from "./sha256.js";

const OUTSIDE = "retention.tsv";

/**
 * An entry that says whose bodies are gone; where it names no span before itself, the span is empty.
 * @typedef {{index: number, leaf: Uint8Array, first: number, last: number, count: number | null}} Explanation
 */

/** @param {import("./catalogue.js").Entry} entry @returns {boolean} */
export function isExplaining({ kind }) {
  return kind === "retention" || kind === "restore";
}

/**
 * @param {number} index @param {Uint8Array} body @param {import("./catalogue.js").Entry} entry
 * @returns {Explanation}
 */
export function explanationOf(index, body, { kind, span: told, counts }) {
  const leaf = leafHash(body);
  const [first, last] = [told?.first, told?.last];
  if (!isCount(first) || !isCount(last) || first > last || last >= index) {
    return { index, leaf, first: 0, last: -1, count: null };
  }
  const counted = kind === "retention" && isObject(counts);
  return { index, leaf, first, last, count: counted ? Object.values(counts).reduce((sum, n) => sum + n, 0) : null };
}

/**
 * Reads the explaining entries outside the period.
 * @param {import("./members.js").Members} kit @param {import("./head.js").Head} head
 * @param {import("./report.js").Findings} found @returns {Promise<Explanation[]>}
 */
export async function readOutside(kit, { first, last, size }, found) {
  const explained = [];
  let before = -1;
  for await (const batch of readLines(kit, OUTSIDE, found)) {
    for (const { index: told, body, place } of batch) {
      const [index, entry] = [Number(told), readCanonical(body)];
      const outside = (index < first || index > last) && index > before && index < size;
      if (!outside || entry === null || !isExplaining(entry)) {
        found.add("kit.line", place);
        continue;
      }
      before = index;
      explained.push(explanationOf(index, body, entry));
    }
  }
  return explained;
}

/**
 * Holds runs of erased bodies ([first, end] each) against the entries that explain them.
 * @param {number[][]} runs @param {Explanation[]} explained @param {import("./head.js").Head} head
 * @param {import("./report.js").Findings} found
 */
export function holdErased(runs, explained, { first, last }, found) {
  for (const [begin, end] of runs) {
    found.note("note.erased", span(begin, end));
    for (const gap of unexplained(begin, end, explained)) found.add("entry.erased", span(...gap));
  }
  for (const one of explained) {
    if (one.count === null || one.first < first || one.last > last) continue;
    const inside = ([begin, end]) => Math.max(0, Math.min(end, one.last + 1) - Math.max(begin, one.first));
    const erased = runs.reduce((sum, run) => sum + inside(run), 0);
    if (erased !== one.count) found.add("retention.counts", String(one.index));
  }
}

/** The parts of a run that no span covers. */
function unexplained(begin, end, explained) {
  const gaps = [];
  let at = begin;
  for (const one of [...explained].sort((a, b) => a.first - b.first)) {
    if (one.last < at || one.first >= end) continue;
    if (one.first > at) gaps.push([at, one.first]);
    at = Math.max(at, one.last + 1);
  }
  if (at < end) gaps.push([at, end]);
  return gaps;
}
