// The table for reading, computed anew from the entries (RFC 4180; columns in docs/reference/kit.md).

import { concat, utf8 } from "./bytes.js";
import { canonical } from "./canonical.js";
import { told } from "./catalogue.js";

const TABLE = "tables/entries.csv";
const ROW_END = [13, 10];
const QUOTE = 34;
const PLAIN = [
  ...["kind", "time", "actor.role", "actor.id", "reason", "submission", "agreement", "agreement_version"],
  ...["agreement_digest", "sender", "recipient", "purpose", "legal_basis", "counts.received", "counts.delivered"],
  ...["counts.already_delivered", "counts.refused", "counts.withheld", "counts.quarantined", "parcel.name"],
  ...["parcel.sha256", "parcel.bytes", "attempt", "receipt.kind", "receipt.sha256", "commitment.root"],
  ...["commitment.rows", "consent_policy_digest", "span.first", "span.last"],
].map((path) => path.split("."));
const WHOLE = ["counts", "reasons", "columns", "key_versions", "disclosure", "details"];

const LINE_END = "\r\n";

/** The first line of the table. @returns {string} */
function heading() {
  const plain = PLAIN.map((path) => (path[0] === "counts" ? path[1] : path.join("_")));
  return line(["index", ...plain, ...WHOLE, "nonce"]);
}

/** An entry's line of the table. @param {number} index @param {import("./catalogue.js").Entry} entry */
function row(index, entry) {
  const plain = PLAIN.map((path) => told(entry, ...path) ?? "");
  const whole = WHOLE.map((name) => (Object.hasOwn(entry, name) ? canonical(entry[name]) : ""));
  return line([String(index), ...plain, ...whole, entry.nonce]);
}

function line(cells) {
  return cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",") + LINE_END;
}

/** Compares the kit's table with the lines that its entries make; the first difference is told, once. */
export class TableCheck {
  /** @param {import("./members.js").Members} kit @param {import("./report.js").Findings} found */
  constructor(kit, found) {
    this.found = found;
    this.chunks = kit.chunks(TABLE);
    this.buffer = new Uint8Array(0);
    this.at = 0;
    this.isOver = !kit.usable.has(TABLE);
    this.unreadable = found.of("kit.unreadable");
  }

  /** Compares the heading. @param {number} first */
  async begin(first) {
    await this.#expect(first, heading());
  }

  /** @param {number} index @param {import("./catalogue.js").Entry | null} entry null where it cannot be read */
  take(index, entry) {
    if (this.isOver) return undefined;
    return entry ? this.#expect(index, row(index, entry)) : this.#passOver(index);
  }

  /** Sees that nothing is left over. @param {number} end */
  async close(end) {
    if (!this.isOver && (await this.#there(1))) this.#differ(end);
  }

  /** Synchronous where enough was read already: a million awaits would take longer than the comparing. */
  #expect(index, text) {
    const bytes = utf8(text);
    if (this.buffer.length - this.at >= bytes.length) return this.#compare(index, bytes);
    return this.#there(bytes.length).then(() => this.#compare(index, bytes));
  }

  #compare(index, bytes) {
    const end = this.at + bytes.length;
    let here = this.at;
    while (here < end && this.buffer[here] === bytes[here - this.at]) here++;
    if (here < end) this.#differ(index);
    this.at = end;
  }

  #differ(index) {
    this.isOver = true;
    const isRead = this.found.of("kit.unreadable") === this.unreadable; // else that is the reason, and told
    if (isRead) this.found.add("kit.table", String(index));
  }

  /** Reads until so many bytes are there, or no more come; tells whether they are. */
  async #there(bytes) {
    const parts = [this.buffer.subarray(this.at)];
    let there = parts[0].length;
    while (there < bytes) {
      const { done, value } = await this.chunks.next();
      if (done) break;
      parts.push(value);
      there += value.length;
    }
    if (parts.length > 1) {
      this.buffer = concat(...parts);
      this.at = 0;
    }
    return there >= bytes;
  }

  /** Passes over the line of an entry, if it has one: up to the line end behind an even number of quotes. */
  async #passOver(index) {
    const start = utf8(`"${index}",`);
    const stands = await this.#there(start.length);
    if (!stands || !start.every((byte, at) => this.buffer[this.at + at] === byte)) return;
    let isQuoted = false;
    for (let size = 0; await this.#there(size + 2); size++) {
      const byte = this.buffer[this.at + size];
      if (byte === QUOTE) isQuoted = !isQuoted;
      if (isQuoted || ROW_END.some((end, at) => this.buffer[this.at + size + at] !== end)) continue;
      this.at += size + 2;
      return;
    }
    this.at = this.buffer.length;
  }
}
