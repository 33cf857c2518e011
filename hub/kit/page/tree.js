// The tree of RFC 9162 computed anew over the entries and the kit's tiles, and compared at every step.

import { same } from "./bytes.js";
import { span } from "./report.js";
import { nodeHash, sha256 } from "./sha256.js";
import { HASH, WIDTH, hashAt, isThere, reach } from "./tiles.js";

/** The root over some hashes that stand side by side (RFC 9162, section 2.1.1). @param {Uint8Array[]} hashes */
export function rootOver(hashes) {
  let level = hashes;
  while (level.length > 1) {
    const above = [];
    for (let at = 0; at + 1 < level.length; at += 2) above.push(nodeHash(level[at], level[at + 1]));
    if (level.length % 2) above.push(level[level.length - 1]); // it waits for a neighbour further up
    level = above;
  }
  return level.length ? level[0] : sha256(new Uint8Array(0));
}

/**
 * A tree that grows by perfect subtrees. A subtree whose hash nobody tells is `null`, and so is every root
 * over it. With it goes whether something wrong below was told already.
 */
class Growing {
  constructor() {
    this.size = 0;
    /** @type {{hash: Uint8Array | null, wrong: boolean, level: number}[]} */
    this.stack = [];
  }

  /**
   * Appends a perfect subtree of 2^level entries; `compare` may replace each hash as it is completed.
   * @param {{hash: Uint8Array | null, wrong: boolean, level: number}} node
   * @param {(node: {hash: Uint8Array | null, wrong: boolean, level: number}, index: number) => void} compare
   */
  push(node, compare) {
    this.size += 2 ** node.level;
    compare(node, this.size / 2 ** node.level - 1);
    while (this.stack.length && this.stack[this.stack.length - 1].level === node.level) {
      const left = this.stack.pop();
      const hash = left.hash && node.hash && nodeHash(left.hash, node.hash);
      node = { hash, wrong: left.wrong || node.wrong, level: node.level + 1 };
      compare(node, this.size / 2 ** node.level - 1);
    }
    this.stack.push(node);
  }

  /**
   * The root; with `more`, as if that smaller subtree stood on the right.
   * @param {Uint8Array | null} more @returns {Uint8Array | null} null where it cannot be known
   */
  root(more = null) {
    const hashes = this.stack.map((node) => node.hash);
    if (more) hashes.push(more);
    if (hashes.includes(null)) return null;
    return hashes.length ? hashes.reduceRight((right, left) => nodeHash(left, right)) : sha256(new Uint8Array(0));
  }
}

/**
 * @typedef {object} Leaves the entries' own hashes: of index `first` + n at n, where `read[n]` is 1
 * @property {number} first
 * @property {Uint8Array} hashes
 * @property {Uint8Array} read
 */

/**
 * The leaf hash that is believed after the tree was computed; null where nobody tells it.
 * @param {import("./tiles.js").Level[]} levels @param {number} index @returns {Uint8Array | null}
 */
export function believedLeaf(levels, index) {
  return levels[0]?.there[Math.floor(index / WIDTH)] ? hashAt(levels[0], index) : null;
}

/**
 * Computes the tree and its roots at the sizes asked for; what does not fit is told.
 * @param {import("./tiles.js").Level[]} levels @param {number} size @param {Leaves} leaves
 * @param {Uint8Array | null} promised the root that the newest checkpoint promises
 * @param {Set<number>} sizes @param {import("./report.js").Findings} found
 * @param {(part: number) => Promise<void>} pause
 * @returns {Promise<Map<number, Uint8Array | null>>} the root at each size
 */
export async function growTree(levels, size, leaves, promised, sizes, found, pause) {
  const tree = new Growing();
  const roots = new Map(sizes.has(0) ? [[0, tree.root()]] : []);
  const grow = (node) => {
    tree.push(node, (grown, index) => compareNode(levels, grown, index, found));
    if (sizes.has(tree.size)) roots.set(tree.size, tree.root());
  };
  for (let first = 0; first < size; first += WIDTH) {
    const count = Math.min(WIDTH, size - first);
    const own = Array.from({ length: count }, (_, at) => ownHash(leaves, first + at));
    const fits = (hashes) => fitsAbove(levels, tree, first, hashes, promised, found);
    const { hashes, wrong } = settled(levels, first, own, fits, found);
    if (hashes === null && count === WIDTH) grow({ hash: null, wrong: false, level: 8 });
    else for (let at = 0; at < count; at++) grow({ hash: hashes && hashes[at], wrong: wrong.has(at), level: 0 });
    await pause(first / size);
  }
  return roots;
}

/** Holds a completed subtree against the tile that has its hash, if one has. */
function compareNode(levels, node, index, found) {
  const level = node.level / 8;
  if (level === 0 || node.level % 8 || !isThere(levels, level, index, found)) return;
  const stored = hashAt(levels[level], index);
  if (node.hash === null) {
    node.hash = stored;
  } else if (!same(node.hash, stored)) {
    if (!node.wrong) found.add("node.hash", span(index * reach(level), (index + 1) * reach(level)));
    node.wrong = true;
  }
}

/**
 * Settles the leaf hashes of one tile's entries: from the tile and from the entries themselves. Where the two
 * differ, the hash above tells which of both was changed; if it fits neither, it is the entry that is told.
 */
function settled(levels, first, own, fits, found) {
  const isStored = isThere(levels, 0, first, found);
  const stored = own.map((_, at) => hashAt(levels[0], first + at));
  const isWhole = own.every(Boolean);
  if (!isStored && !isWhole) return { hashes: null, wrong: new Set() };
  const differ = isStored ? own.flatMap((hash, at) => (hash && !same(hash, stored[at]) ? [at] : [])) : [];
  const mended = stored.map((hash, at) => own[at] ?? hash);
  const tileChanged = differ.length > 0 && fits(mended);
  for (const at of differ) found.add(tileChanged ? "node.hash" : "entry.hash", String(first + at));
  const hashes = tileChanged || !isStored ? mended : stored;
  if (hashes === mended) {
    mended.forEach((hash, at) => levels[0].hashes.set(hash, HASH * (first + at))); // what is believed from here on
    levels[0].there[first / WIDTH] = 1;
  }
  return { hashes, wrong: new Set(differ) };
}

function ownHash({ first, hashes, read }, index) {
  const at = index - first;
  return at >= 0 && read[at] ? hashes.subarray(HASH * at, HASH * (at + 1)) : null;
}

/** Holds one tile's leaves against the hash above them: in the next tile, or the promised root itself. */
function fitsAbove(levels, tree, first, hashes, promised, found) {
  const over = rootOver(hashes);
  if (hashes.length < WIDTH) return promised !== null && same(tree.root(over) ?? over, promised);
  return isThere(levels, 1, first / WIDTH, found) && same(over, hashAt(levels[1], first / WIDTH));
}
