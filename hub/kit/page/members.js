// Which members a kit has, which it must not have, and how large they may be (docs/reference/kit.md, rule 1).

import { readUtf8 } from "./bytes.js";
import { Archive, Unreadable, openArchive } from "./zip.js";

const NEEDED = [
  ...["manifest.json", "checkpoint", "checkpoints.jsonl", "entries.tsv", "retention.tsv", "tables/entries.csv"],
];
const OTHERS = ["README.txt", "pruefen.py", "pruefen.html", "tables/entries.parquet"];
const KNOWN = new Set([...NEEDED, ...OTHERS]);
const SHORT = new Set(["manifest.json", "checkpoint"]);
const SHORT_BYTES = 1 << 16;
const TILE_BYTES = 8192;
const LOOSE_BYTES = 1 << 20;
const TIGHTEST = 100; // deflate packs no evidence to less than a hundredth
const TILE = /^tile\/(0|[1-9][0-9]?)\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;
const HOSTILE = /^$|^\/|^[A-Za-z]:|\\|(?:^|\/)\.\.(?:\/|$)|[^\x20-\x7e]/;

/** The path of a tile (C2SP tlog-tiles). @param {number} level @param {number} index @param {number} width */
export function tilePath(level, index, width) {
  const parts = [String(index % 1000).padStart(3, "0")];
  for (let rest = Math.floor(index / 1000); rest; rest = Math.floor(rest / 1000)) {
    parts.unshift(`x${String(rest % 1000).padStart(3, "0")}`);
  }
  return `tile/${level}/${parts.join("/")}${width === 256 ? "" : `.p/${width}`}`;
}

/** A kit's members, those that may be read. */
export class Members {
  /** @param {Archive} archive @param {Set<string>} usable @param {import("./report.js").Findings} found */
  constructor(archive, usable, found) {
    this.archive = archive;
    this.usable = usable;
    this.found = found;
    this.told = new Set();
  }

  /** Names the tiles that no tree of these paths has. @param {Set<string>} expected */
  refuseOtherTiles(expected) {
    for (const name of [...this.usable].sort()) {
      if (TILE.test(name) && !expected.has(name)) this.found.add("kit.unexpected", name);
    }
  }

  /**
   * Reads a short member whole; null where it is not there or cannot be read, which is told.
   * @param {string} name @returns {Promise<Uint8Array | null>}
   */
  async bytes(name) {
    if (!this.usable.has(name)) return null;
    try {
      return await this.archive.bytes(name);
    } catch (error) {
      this.#tell(name, error);
      return null;
    }
  }

  /** Reads a short member as text; null as above, or where it is no UTF-8. @param {string} name */
  async text(name) {
    const bytes = await this.bytes(name);
    if (bytes === null) return null;
    const text = readUtf8(bytes);
    if (text === null) this.found.add("kit.text", name);
    return text;
  }

  /**
   * Reads a long member piece by piece; it ends early where it is damaged, which is told.
   * @param {string} name @returns {AsyncGenerator<Uint8Array>}
   */
  async *chunks(name) {
    if (!this.usable.has(name)) return;
    try {
      yield* this.archive.chunks(name);
    } catch (error) {
      this.#tell(name, error);
    }
  }

  #tell(name, error) {
    if (!(error instanceof Unreadable)) throw error;
    if (!this.told.has(name)) this.found.add("kit.unreadable", name);
    this.told.add(name);
  }
}

/**
 * Opens a kit and looks at its members' names and sizes; null where it is no archive.
 * @param {File} file @param {import("./report.js").Findings} found @returns {Promise<Members | null>}
 */
export async function openKit(file, found) {
  let archive;
  try {
    archive = await openArchive(file);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    found.add("kit.unreadable", file.name);
    return null;
  }
  const counts = new Map();
  for (const { name } of archive.members) counts.set(name, (counts.get(name) ?? 0) + 1);
  const usable = new Set();
  for (const [name, count] of counts) {
    const flaw = fault(archive.byName.get(name), count);
    if (flaw === null) usable.add(name);
    else if (flaw) found.add(flaw, flaw === "kit.path" ? spelled(name) : name);
  }
  for (const name of NEEDED) if (!counts.has(name)) found.add("kit.missing", name);
  return new Members(archive, usable, found);
}

/** Says what is wrong with a member: a code, null for nothing, "" for what is passed over. */
function fault(member, count) {
  const { name } = member;
  if (HOSTILE.test(name)) return "kit.path";
  if (member.link) return "kit.link";
  if (count > 1) return "kit.twice";
  if (name.endsWith("/")) return "";
  if (!KNOWN.has(name) && !TILE.test(name)) return "kit.unexpected";
  if (!Archive.reads(member)) return "kit.unreadable";
  return member.bytes > most(member) ? "kit.bomb" : null;
}

/** A hostile name, so that it can be shown: in ASCII, with what is none escaped. */
function spelled(name) {
  const short = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const plain = (sign) => (/[ -~]/.test(sign) ? sign : escaped(sign.codePointAt(0)));
  return [...name].map((sign) => short[sign] ?? plain(sign)).join("");
}

function escaped(point) {
  const [mark, width] = point < 0x100 ? ["x", 2] : point < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${mark}${point.toString(16).padStart(width, "0")}`;
}

function most({ name, packed }) {
  if (SHORT.has(name)) return SHORT_BYTES;
  return TILE.test(name) ? TILE_BYTES : LOOSE_BYTES + TIGHTEST * packed;
}
