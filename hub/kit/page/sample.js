// Draws that everybody repeats: the seed comes from the checkpoint, so nobody chose them.

import { concat, u64, utf8 } from "./bytes.js";
import { sha256 } from "./sha256.js";

/**
 * Draws distinct indexes from `first` on, in the order of drawing; all of them if so many are wanted.
 * @param {string} word what is drawn for @param {string} text of the checkpoint, without its signatures
 * @param {number} first @param {number} count of those to draw from @param {number} wanted
 * @returns {number[]}
 */
export function draw(word, text, first, count, wanted) {
  const seed = sha256(utf8(`${word}\n${text}`));
  const drawn = new Set();
  for (let j = 0; drawn.size < Math.min(wanted, count); j++) {
    const digest = sha256(concat(seed, u64(j)));
    drawn.add(first + Number(new DataView(digest.buffer).getBigUint64(0) % BigInt(count)));
  }
  return [...drawn];
}
