// Whether the log tells every story to its end: submissions, their parcels, their receipts, their counts
// (docs/reference/kit.md, completeness).

import { told } from "./catalogue.js";

const FATES = ["delivered", "already_delivered", "refused", "withheld", "quarantined"];
const COUNTS = ["received", ...FATES];
const PATIENCE = 7 * 24 * 60 * 60 * 1e6; // microseconds, with what is still open at the end
const CLOCK_PLAY = 5 * 60 * 1e6;

/** @typedef {import("./catalogue.js").Entry} Entry */
/** @typedef {{at: number, time: string, parcel: (string | null)[], delivered: string | null}} Intent */
/**
 * A submission whose end has not come; `at` is where it began, or was first seen.
 * @typedef {object} Open
 * @property {number} at
 * @property {string} time
 * @property {boolean} before whether it began before what the kit tells
 * @property {boolean} rests whether people have to decide on it
 * @property {Intent | null} intent a parcel on its way
 */

/** Follows the entries in order, and names what has no beginning or no end. */
export class Course {
  /** @param {number} first @param {import("./report.js").Findings} found */
  constructor(first, found) {
    this.found = found;
    this.earlier = first > 0; // whether something may have begun before
    this.before = 0;
    this.newest = "";
    /** @type {Map<string, Open>} */ this.open = new Map();
    /** Entries whose receipt is still to come, by submission and kind. @type {Map<string, number>} */
    this.awaited = new Map();
    /** What resting submissions were counted with. @type {Map<string, [string, number[]]>} */
    this.resting = new Map();
    /** By agreement: submissions, transfers, and rows by fate. @type {Map<string, number[]>} */
    this.sums = new Map();
  }

  /** A body is erased: whatever was open may have ended there. */
  forget() {
    this.earlier = true;
    this.open.clear();
    this.awaited.clear();
  }

  /** @param {number} index @param {Entry} entry in the order of the log */
  take(index, entry) {
    const { kind, time } = entry;
    const submission = told(entry, "submission") ?? "";
    if (time >= this.newest) this.newest = time;
    else if (between(time, this.newest) > CLOCK_PLAY) this.found.note("note.clock", String(index));
    if (kind === "submission") {
      this.open.set(submission, { at: index, time, before: false, rests: false, intent: null });
      this.awaited.set(answer(submission, true), index);
      this.#sum(entry)[0]++;
    }
    if (kind === "receipt") this.awaited.delete(answer(submission, told(entry, "receipt", "kind") === "received"));
    if (kind === "intent") this.#intend(index, submission, entry);
    if (kind === "outcome") this.#end(index, submission, entry);
    if (kind === "decision") this.#opened(index, submission, entry);
  }

  /** The open submission that an entry belongs to; one begun before is taken up here. */
  #opened(index, submission, { time }) {
    const known = this.open.get(submission);
    if (known) return known;
    const met = { at: index, time, before: this.earlier, rests: false, intent: null };
    if (this.earlier) {
      this.before++;
      this.open.set(submission, met);
    } else {
      this.found.add("complete.submission_missing", String(index));
    }
    return met;
  }

  #intend(index, submission, entry) {
    const one = this.#opened(index, submission, entry);
    if (one.intent) this.found.add("complete.intent_open", String(one.intent.at));
    const delivered = told(entry, "counts", "delivered");
    one.intent = { at: index, time: entry.time, parcel: parcelOf(entry), delivered };
    if (!rowsOf(entry)) this.found.add("complete.counts", String(index));
    const committed = told(entry, "commitment", "rows");
    if (committed !== null && committed !== delivered) this.found.add("commitment.rows", String(index));
  }

  #end(index, submission, entry) {
    const one = this.#opened(index, submission, entry);
    const parcel = parcelOf(entry);
    const isSame = () => one.intent.parcel.every((part, at) => part === parcel[at]);
    const ended = one.intent !== null && parcel[0] !== null && isSame();
    if (entry.reason === "stopped" && told(entry, "counts", "received") === null) {
      if (ended) one.intent = null;
      else if (!one.before) this.found.add("complete.intent_missing", String(index));
      return;
    }
    const rows = rowsOf(entry);
    let fits = rows !== null;
    if (parcel[0] !== null) {
      this.#sum(entry)[1]++;
      if (ended) fits &&= one.intent.delivered === told(entry, "counts", "delivered");
      else if (!one.before) this.found.add("complete.intent_missing", String(index));
    } else {
      if (one.intent) this.found.add("complete.intent_open", String(one.intent.at));
      if (rows?.[1] && !one.before) this.found.add("complete.intent_missing", String(index));
    }
    if (!fits) this.found.add("complete.counts", String(index));
    one.intent = null;
    this.#settle(index, submission, one, entry);
  }

  /** Counts the rows of an outcome in place of an earlier one's, and sees whether the submission rests. */
  #settle(index, submission, one, entry) {
    const rested = one.rests;
    one.rests = Number(told(entry, "counts", "quarantined") ?? 0) > 0 && entry.reason !== "acknowledged";
    if (!(rested && one.rests)) this.awaited.set(answer(submission, false), index);
    const earlier = this.resting.get(submission);
    this.resting.delete(submission);
    if (earlier) this.#count(...earlier, -1);
    const rows = COUNTS.map((name) => Number(told(entry, "counts", name) ?? 0));
    const agreement = told(entry, "agreement") ?? "";
    this.#count(agreement, rows, 1);
    if (one.rests) this.resting.set(submission, [agreement, rows]);
    else this.open.delete(submission);
  }

  #count(agreement, rows, sign) {
    const sums = this.#sumOf(agreement);
    rows.forEach((count, at) => (sums[at + 2] += sign * count));
  }

  #sum(entry) {
    return this.#sumOf(told(entry, "agreement") ?? "");
  }

  #sumOf(agreement) {
    if (!this.sums.has(agreement)) this.sums.set(agreement, Array(2 + COUNTS.length).fill(0));
    return this.sums.get(agreement);
  }

  /** Says what is still open at the end. @returns {Record<string, Record<string, number>>} counts by agreement */
  close() {
    for (const { at, time, rests, intent } of this.open.values()) {
      if (!rests) this.#late(time, "submission_open", "open", at);
      if (intent) this.#late(intent.time, "intent_open", "intent_open", intent.at);
    }
    for (const at of [...this.awaited.values()].sort((one, other) => one - other)) {
      this.found.add("complete.receipt_missing", String(at));
    }
    if (this.before) this.found.note("note.before", String(this.before));
    const names = ["submissions", "transfers", ...COUNTS];
    const counts = [...this.sums].sort(([one], [other]) => (one < other ? -1 : 1));
    const named = (sums) => Object.fromEntries(names.map((name, at) => [name, sums[at]]));
    return Object.fromEntries(counts.map(([agreement, sums]) => [agreement, named(sums)]));
  }

  #late(time, finding, note, at) {
    if (isLate(time, this.newest)) this.found.add(`complete.${finding}`, String(at));
    else this.found.note(`note.${note}`, String(at));
  }
}

/** Whether an entry is older than what may still be open at the end. @param {string} time @param {string} newest */
export function isLate(time, newest) {
  return between(time, newest) > PATIENCE;
}

function answer(submission, received) {
  return `${received ? "received" : "outcome"} ${submission}`;
}

function parcelOf(entry) {
  return [told(entry, "parcel", "name"), told(entry, "parcel", "sha256")];
}

/** Received and the five fates; null where one lacks, or they do not add up. */
function rowsOf(entry) {
  const counts = COUNTS.map((name) => told(entry, "counts", name));
  if (counts.includes(null)) return null;
  const rows = counts.map(Number);
  return rows[0] === rows.slice(1).reduce((sum, count) => sum + count, 0) ? rows : null;
}

/** Microseconds from one time to a later one; none where one of them is no day of the calendar. */
function between(earlier, later) {
  const [from, to] = [instant(earlier), instant(later)];
  return Number.isNaN(from) || Number.isNaN(to) ? 0 : to - from;
}

function instant(time) {
  const seconds = new Date(`${time.slice(0, 19)}Z`);
  const isDay = !Number.isNaN(seconds.getTime()) && seconds.toISOString().startsWith(time.slice(0, 19));
  return isDay && !time.startsWith("0000") ? seconds.getTime() * 1000 + Number(time.slice(20, 26)) : NaN;
}
