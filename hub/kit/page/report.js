// What was found: codes, places and sentences in both languages, as the kit's other verifier tells them.
// SENTENCES is hub/kit/sentences.json, laid in when the page is built.

const MOST_OF_A_KIND = 50;

/** @typedef {{code: string, place: string, de: string, en: string}} Finding */
/**
 * @typedef {object} Report
 * @property {boolean} ok
 * @property {string} origin
 * @property {number} size
 * @property {string} root in hex
 * @property {number} first
 * @property {number} last
 * @property {number} entries
 * @property {number} erased
 * @property {Finding[]} findings
 * @property {Finding[]} notes
 * @property {Record<string, Record<string, number>>} counts by agreement
 * @property {{file: string, in: boolean, index: number | null}[]} receipts
 * @property {number[]} sample
 * @property {{name: string, cosigned: boolean, size: number | null, time: number | null}[]} witnesses
 * @property {{checked: number, of: number}} signatures of checkpoints
 * @property {number} brought how many papers were held against the log: kept checkpoints and receipts
 */

/** @returns {Finding} */
function sentence(list, code, place, platz = place) {
  const { de, en } = SENTENCES[list][code];
  return { code, place, de: de.replaceAll("{place}", () => platz), en: en.replaceAll("{place}", () => place) };
}

/** Gathers findings and notes, at most 50 of one code; the rest is counted. */
export class Findings {
  constructor() {
    /** @type {Finding[]} */ this.found = [];
    /** @type {Finding[]} */ this.notes = [];
    this.counts = new Map();
  }

  /** @param {string} code @param {string} place @param {string} platz the place in German, if in other words */
  add(code, place, platz = place) {
    if (this.#count(code) <= MOST_OF_A_KIND) this.found.push(sentence("findings", code, place, platz));
  }

  /** @param {string} code @param {string} place */
  note(code, place) {
    if (this.#count(code) <= MOST_OF_A_KIND) this.notes.push(sentence("notes", code, place));
  }

  #count(code) {
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1);
    return this.counts.get(code);
  }

  /** How often a code was told. @param {string} code @returns {number} */
  of(code) {
    return this.counts.get(code) ?? 0;
  }

  /** Closes the lists: what was only counted is told in one sentence for each code. */
  close() {
    for (const code of [...this.counts.keys()].sort()) {
      const more = this.counts.get(code) - MOST_OF_A_KIND;
      if (more <= 0) continue;
      const list = code.startsWith("note.") ? this.notes : this.found;
      list.push({ ...sentence("words", "more", String(more)), code, place: `+${more}` });
    }
  }
}

/** Names the entries from `first` up to, not including, `end`. @param {number} first @param {number} end */
export function span(first, end) {
  return end - first === 1 ? String(first) : `${first}-${end - 1}`;
}
