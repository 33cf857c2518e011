// The hash tiles of the whole tree, as the kit has them (C2SP tlog-tiles): 256 hashes a tile, the next level's
// hashes each over a full tile.

import { tilePath } from "./members.js";
import { span } from "./report.js";

export const WIDTH = 256;
export const HASH = 32;
const MOST_MISSING = 1000; // tiles that are missing for each member that is there

/**
 * One level: `hashes` side by side; `there` tells for each tile whether the kit has it, `asked` whether it was
 * asked for, so that a missing one is told once, where it is missed.
 * @typedef {{count: number, hashes: Uint8Array, there: Uint8Array, asked: Uint8Array}} Level
 */

/** How many entries one hash of a level stands for. @param {number} level */
export function reach(level) {
  return WIDTH ** level;
}

/** @param {Level} level @param {number} at @returns {Uint8Array} */
export function hashAt(level, at) {
  return level.hashes.subarray(HASH * at, HASH * (at + 1));
}

/**
 * Says whether the tile of a hash is there; if not, that is told.
 * @param {Level[]} levels @param {number} level @param {number} at the hash's index
 * @param {import("./report.js").Findings} found @returns {boolean}
 */
export function isThere(levels, level, at, found) {
  const { count, there, asked } = levels[level];
  const index = Math.floor(at / WIDTH);
  if (!there[index] && !asked[index]) {
    const first = WIDTH * index;
    found.add("node.missing", span(first * reach(level), Math.min(first + WIDTH, count) * reach(level)));
  }
  asked[index] = 1;
  return there[index] === 1;
}

/**
 * Reads all tiles of a tree of `size` that are as long as they must be. Where a checkpoint promises a tree so
 * large that next to nothing of it is in the kit, all of it is missing: nobody counts to its end.
 * @param {import("./members.js").Members} kit @param {number} size
 * @param {import("./report.js").Findings} found @param {(part: number) => Promise<void> | undefined} pause
 * @returns {Promise<Level[] | null>} from the leaves up
 */
export async function readTiles(kit, size, found, pause) {
  if (size / WIDTH > MOST_MISSING * (kit.usable.size + 1)) {
    found.add("node.missing", span(0, size));
    return null;
  }
  const levels = [];
  const expected = new Set();
  const all = Math.ceil(size / WIDTH);
  for (let level = 0; size >= reach(level); level++) {
    const count = Math.floor(size / reach(level));
    const tiles = Math.ceil(count / WIDTH);
    const [there, asked] = [new Uint8Array(tiles), new Uint8Array(tiles)];
    levels.push({ count, hashes: new Uint8Array(HASH * count), there, asked });
    for (let index = 0; index < tiles; index++) {
      const width = Math.min(WIDTH, count - WIDTH * index);
      const path = tilePath(level, index, width);
      expected.add(path);
      const bytes = await kit.bytes(path);
      if (bytes?.length !== HASH * width) continue;
      levels[level].hashes.set(bytes, HASH * WIDTH * index);
      there[index] = 1;
      await pause(level ? 1 : index / all);
    }
  }
  kit.refuseOtherTiles(expected);
  return levels;
}
