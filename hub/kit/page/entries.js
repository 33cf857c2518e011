// The entries of the kit, read line by line: what stands where, and whether it is an entry at all.

import { lines } from "./lines.js";
import { readDecimal } from "./note.js";
import { span } from "./report.js";

const TAB = 9;
const CR = 13;
const MOST_BODY = 65535;
const MOST_LINE = MOST_BODY + 20; // an index of up to 19 digits, and the tab

/** @typedef {{index: bigint, body: Uint8Array, place: string}} Line */

/**
 * Reads a member's lines in batches; those without the form are told and left out.
 * @param {import("./members.js").Members} kit @param {string} member
 * @param {import("./report.js").Findings} found @returns {AsyncGenerator<Line[]>}
 */
export async function* readLines(kit, member, found) {
  let number = 0;
  for await (const batch of lines(kit.chunks(member), MOST_LINE)) {
    const good = [];
    for (const { line, whole } of batch) {
      const place = `${member}:${++number}`;
      const one = whole ? takenApart(line, place) : null;
      if (one) good.push(one);
      else found.add("kit.line", place);
    }
    yield good;
  }
}

function takenApart(line, place) {
  const tab = line.indexOf(TAB);
  if (tab < 1 || tab > 19 || line.length - tab - 1 > MOST_BODY) return null;
  const index = readDecimal(String.fromCharCode(...line.subarray(0, tab)));
  return index === null ? null : { index, body: line.subarray(tab + 1), place };
}

/** Watches that the indexes rise one by one from `first` to `last`. */
export class Order {
  /** @param {number} first @param {number} last @param {import("./report.js").Findings} found */
  constructor(first, last, found) {
    this.next = BigInt(first);
    this.last = BigInt(last);
    this.found = found;
  }

  /** @param {Line} line @returns {boolean} whether it stands where it may */
  take({ index, body, place }) {
    if (index !== this.next && (body.includes(TAB) || body[body.length - 1] === CR)) {
      this.found.add("kit.line", place);
      return false;
    }
    if (index < this.next || index > this.last) {
      this.found.add("entry.order", String(index));
      return false;
    }
    this.#lack(index);
    this.next = index + 1n;
    return true;
  }

  close() {
    this.#lack(this.last + 1n);
  }

  #lack(end) {
    if (end > this.next) this.found.add("entry.missing", span(Number(this.next), Number(end)));
  }
}
