// What the kit says about itself: its newest checkpoint and its manifest, which must agree. The manifest is a
// table of contents and proves nothing.

import { isObject } from "./catalogue.js";
import { readLines } from "./entries.js";
import { readCheckpoint, readNote } from "./note.js";
import { Findings } from "./report.js";

/**
 * @typedef {object} Head
 * @property {string} origin
 * @property {bigint} size
 * @property {Uint8Array | null} root as the checkpoint promises it
 * @property {import("./note.js").Note | null} note
 * @property {number} first
 * @property {number} last of the entries in the kit; below `first` where it has none
 */

/**
 * @param {import("./members.js").Members} kit @param {import("./report.js").Findings} found
 * @returns {Promise<Head>}
 */
export async function readHead(kit, found) {
  const text = await kit.text("checkpoint");
  let note = text === null ? null : readNote(text);
  const promised = note && readCheckpoint(note.text);
  if (!promised) note = null;
  if (text !== null && !promised) found.add("checkpoint.malformed", "checkpoint");
  const manifest = await readManifest(kit, found);
  const size = promised ? promised.size : BigInt(index(manifest?.size, Infinity) ?? 0);
  if (promised && manifest) {
    if (manifest.origin !== promised.origin) found.add("kit.manifest", "origin");
    if (manifest.size !== Number(promised.size)) found.add("kit.manifest", "size");
  }
  const [first, last] = spanOf(manifest, Number(size), found) ?? (await endsOfEntries(kit, size));
  const origin = promised ? promised.origin : String(manifest?.origin ?? "");
  return { origin, size, root: promised?.root ?? null, note, first, last };
}

async function readManifest(kit, found) {
  const text = await kit.text("manifest.json");
  if (text === null) return null;
  const manifest = parsed(text);
  if (manifest === null) found.add("kit.manifest", "manifest.json");
  else if (manifest.format !== 1) found.add("kit.manifest", "format");
  return manifest;
}

function parsed(text) {
  try {
    const told = JSON.parse(text);
    return isObject(told) && Object.keys(told).length ? told : null;
  } catch {
    return null;
  }
}

function spanOf(manifest, size, found) {
  if (!manifest) return null;
  const [first, last] = [index(manifest.first, size), index(manifest.last, size)];
  if (first !== null && last !== null && first <= last) return [first, last];
  found.add("kit.manifest", first === null ? "first" : "last");
  return null;
}

function index(value, end) {
  return Number.isInteger(value) && value >= 0 && value < end ? value : null;
}

/** First and last from the lines themselves, where the manifest does not tell. */
async function endsOfEntries(kit, size) {
  let [first, last] = [null, -1];
  for await (const batch of readLines(kit, "entries.tsv", new Findings())) {
    for (const { index } of batch) {
      if (index >= size) continue;
      first ??= Number(index);
      last = Number(index);
    }
  }
  return first === null ? [0, -1] : [first, Math.max(first, last)];
}
