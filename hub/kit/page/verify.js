// The verification of a kit from beginning to end, in the order of docs/reference/kit.md.

import { hex, same } from "./bytes.js";
import { parsedCanonical } from "./canonical.js";
import { Roots, findWitnessed, readStored, verifySignatures } from "./checkpoints.js";
import { isLate } from "./course.js";
import { readKept, readReceipt } from "./evidence.js";
import { readHead } from "./head.js";
import { openKit } from "./members.js";
import { isSigned } from "./note.js";
import { pacer } from "./pace.js";
import { readEntries } from "./reading.js";
import { Findings, span } from "./report.js";
import { holdErased, readOutside } from "./retained.js";
import { draw } from "./sample.js";
import { readTiles } from "./tiles.js";
import { believedLeaf, growTree } from "./tree.js";
import { noTrust, readTrust } from "./trust.js";

/** @typedef {import("./evidence.js").Brought} Brought */
/** @typedef {import("./evidence.js").Promised} Promised */
/** @typedef {import("./head.js").Head} Head */
/**
 * What is verified, and how.
 * @typedef {object} Task
 * @property {File} kit
 * @property {Brought | null} trust
 * @property {Brought[]} kept
 * @property {Brought[]} receipts
 * @property {number} sample how many entries to draw
 * @property {boolean} all whether the signatures of all checkpoints are verified, not only of some
 * @property {import("./signing.js").Verify} verify
 * @property {(part: number, step: string) => void} tell
 * @property {AbortSignal} signal
 */
/** @typedef {{report: import("./report.js").Report, bodies: Map<number, string>}} Outcome */

/**
 * Verifies a kit. What is wrong with it is in the report; thrown is only what is no fault of the kit's.
 * @param {Task} task @returns {Promise<Outcome>}
 */
export async function verifyKit(task) {
  const found = new Findings();
  const trust = trustOf(task.trust, found);
  const kit = await openKit(task.kit, found);
  const { told, bodies } = kit ? await new Verification(kit, trust, task, found).run() : NOTHING;
  found.close();
  return { report: { ok: !found.found.length, ...told, findings: found.found, notes: found.notes }, bodies };
}

/** @type {{told: any, bodies: Map<number, string>}} */
const NOTHING = {
  told: {
    ...{ origin: "", size: 0, first: 0, last: -1, root: "", entries: 0, erased: 0, counts: {}, receipts: [] },
    ...{ sample: [], witnesses: [], signatures: { checked: 0, of: 0 }, brought: 0 },
  },
  bodies: new Map(),
};

function trustOf(brought, found) {
  if (brought === null) {
    found.add("trust.missing", "");
    return noTrust();
  }
  return readTrust(new TextDecoder("utf-8", { ignoreBOM: true }).decode(brought.bytes), found);
}

/** One verification under way. */
class Verification {
  constructor(kit, trust, task, found) {
    this.kit = kit;
    this.trust = trust;
    this.task = task;
    this.found = found;
    this.pause = pacer(task.tell, task.signal);
  }

  async run() {
    const { kit, trust, task, found } = this;
    const head = await readHead(kit, found);
    const keys = await this.#believe(head);
    const promises = await readKept(task.kept, head.origin, trust, task.verify, found);
    const receipts = await this.#readReceipts(head, promises);
    const stored = await readStored(kit, head.origin, found);
    const witnessed = await this.#askWitnesses(head, stored);
    const text = head.note?.text ?? "";
    const sample = draw("hub-sample-v1", text, head.first, head.last - head.first + 1, task.sample);
    const watch = Math.max(witnessed.size ?? 0, head.first);
    const wanted = new Set([...sample, watch, ...receipts.map(({ claim }) => claim?.index)]);
    const outside = await readOutside(kit, head, found);
    const reading = await readEntries(kit, head, wanted, found, this.pause("entries", 0, 0.6));
    const { root, leaf } = await this.#growTree(head, reading, stored, promises);
    const signatures = await this.#holdSignatures(stored, text, keys);
    holdErased(reading.runs, [...this.#believed(outside, leaf), ...reading.explained], head, found);
    const counts = reading.course.close();
    const judged = receipts.map((receipt) => this.#judge(receipt, head, leaf, reading.bodies));
    this.#judgeWitnesses(head, witnessed, watch, reading);
    this.#note(head, signatures, keys);
    const told = {
      ...{ origin: head.origin, size: Number(head.size), first: head.first, last: head.last },
      root: root ? hex(root) : "",
      ...{ entries: reading.read, erased: reading.erased, counts, receipts: judged, sample },
      ...{ witnesses: witnessed.witnesses, signatures, brought: promises.length },
    };
    return { told, bodies: reading.bodies };
  }

  /** Holds the newest checkpoint's signature against the trust file; gives the keys of this log. */
  async #believe({ origin, note, size }) {
    const keys = this.trust.logs.filter((key) => key.name === origin);
    if (note === null || !this.trust.logs.length) return keys;
    if (!keys.length) this.found.add("trust.other_log", origin);
    else if (!(await isSigned(note, keys, this.task.verify))) this.found.add("checkpoint.signature", String(size));
    return keys;
  }

  /** Reads the receipts; the checkpoints in them go to the other promises. */
  async #readReceipts(head, promises) {
    const read = [];
    for (const [at, brought] of this.task.receipts.entries()) {
      const number = String(at + 1);
      const told = await readReceipt(brought, at + 1, head.origin, this.trust, this.task.verify);
      const { claim, promised, flaw } = told;
      if (flaw) this.found.add(flaw, number);
      if (promised) promises.push(promised);
      read.push({ file: brought.name, number, claim, holds: flaw === null });
    }
    return read;
  }

  async #askWitnesses({ note, size }, stored) {
    if (note === null || !this.trust.witnesses.size) return { size: null, witnesses: [] };
    const cosigned = stored.filter((one) => one && one.note.lines.length > 1).reverse();
    return findWitnessed([{ size: Number(size), note }, ...cosigned], this.trust, this.task.verify, this.found);
  }

  /** Computes the tree, and holds every root against it that somebody promised. */
  async #growTree(head, reading, stored, promises) {
    const { found } = this;
    const size = Number(head.size);
    const levels = await readTiles(this.kit, size, found, this.pause("tiles", 0.6, 0.7));
    if (levels === null) return { root: null, leaf: () => null };
    const known = [...stored.filter(Boolean), ...promises].map((one) => Number(one.size));
    const pause = this.pause("tiles", 0.7, 0.9);
    const roots = await growTree(levels, size, reading.leaves, head.root, new Set([size, ...known]), found, pause);
    const held = new Roots(found);
    for (const one of stored) if (one) held.hold(one.size, one.root, roots.get(one.size) ?? null);
    if (head.root) held.hold(size, head.root, roots.get(size) ?? null);
    held.close();
    this.#holdPromises(head.size, stored, promises, roots);
    return { root: roots.get(size) ?? null, leaf: (index) => believedLeaf(levels, index) };
  }

  #holdPromises(size, stored, promises, roots) {
    const rising = [...promises].sort((one, other) => Number(one.size - other.size));
    for (const { size: at, root, place, platz } of rising) {
      const computed = at <= size ? roots.get(Number(at)) : null;
      if (computed && !same(computed, root)) this.found.add("log.forked", place, platz);
    }
    const sizes = [...promises.map((one) => one.size), ...stored.map((one) => BigInt(one?.size ?? 0))];
    const largest = sizes.reduce((most, one) => (one > most ? one : most), size);
    if (largest > size) this.found.add("log.cut", largest - size === 1n ? String(size) : `${size}-${largest - 1n}`);
  }

  async #holdSignatures(stored, text, keys) {
    if (!keys.length) return { checked: 0, of: stored.length };
    const { all, verify } = this.task;
    return verifySignatures(stored, text, keys, all, verify, this.found, this.pause("checkpoints", 0.9, 1));
  }

  /** Of the explaining entries outside the period, those that stand in the tree. */
  #believed(outside, leaf) {
    return outside.filter((one) => {
      const believed = leaf(one.index);
      if (believed && !same(believed, one.leaf)) this.found.add("entry.hash", String(one.index));
      return believed !== null && same(believed, one.leaf);
    });
  }

  /** Says whether a receipt is in the log. */
  #judge({ file, number, claim, holds }, { size }, leaf, bodies) {
    if (claim === null) return { file, in: false, index: null };
    const { index } = claim;
    const believed = index < size ? leaf(index) : null;
    const flaw = () => {
      if (index >= size) return "receipt.missing";
      if (!believed || !same(believed, claim.leaf)) return "receipt.leaf";
      const isRead = Boolean(bodies.get(index)); // an erased body says nothing
      return isRead && fieldOf(bodies.get(index), "submission") !== claim.submission && "receipt.submission";
    };
    const code = flaw();
    if (code) this.found.add(code, number);
    return { file, in: holds && !code, index };
  }

  #judgeWitnesses({ note, last }, witnessed, watch, reading) {
    const { trust, task, found } = this;
    if (task.trust === null || note === null) return;
    if (trust.quorum === "none") {
      found.note("note.no_witness", "");
    } else if (witnessed.size === null) {
      found.add("trust.quorum", trust.quorum);
    } else if (witnessed.size <= last) {
      found.note("note.unwitnessed", span(watch, last + 1));
      const time = fieldOf(reading.bodies.get(watch), "time");
      if (isLate(String(time), reading.course.newest)) found.add("trust.unwitnessed", span(watch, last + 1));
    }
  }

  #note({ size, first, last }, { checked, of }, keys) {
    if (keys.length && checked < of) this.found.note("note.signatures", `${checked}/${of}`);
    const outside = size - BigInt(last - first + 1);
    if (outside > 0n) this.found.note("note.outside", String(outside));
    if (this.kit.usable.has(PARQUET)) this.found.note("note.parquet", PARQUET);
  }
}

const PARQUET = "tables/entries.parquet";

function fieldOf(body, name) {
  return body === undefined ? undefined : parsedCanonical(body)?.[name];
}
