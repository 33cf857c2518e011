// What an auditor dropped onto the page: a kit, a trust file, receipts, kept checkpoints.

import { readUtf8 } from "./bytes.js";

const ENOUGH = 4 << 20; // no text that an auditor brings is longer

/** @typedef {"kit" | "trust" | "receipts" | "kept" | "unknown"} Sort */

/** @param {File} file @returns {Promise<Sort>} */
export async function recognise(file) {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (head[0] === 0x50 && head[1] === 0x4b) return "kit";
  if (file.size > ENOUGH) return "unknown";
  const text = readUtf8(new Uint8Array(await file.arrayBuffer()));
  if (text === null) return "unknown";
  if (/^\s*[\w-]+\.[\w-]+\.[\w-]*\s*$/.test(text)) return "receipts";
  if (/^(?:[ \t]*(?:#.*)?\n)*[ \t]*(?:log|witness|group|quorum|receipt|kept)[ \t]/.test(text)) return "trust";
  if (/\n\n— /.test(text)) return "kept";
  return "unknown";
}
