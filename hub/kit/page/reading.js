// One pass over the entries of a kit: their order and form, their course, their table, and what is looked for.

import { readUtf8 } from "./bytes.js";
import { readEntry } from "./catalogue.js";
import { Course } from "./course.js";
import { Order, readLines } from "./entries.js";
import { explanationOf, isExplaining } from "./retained.js";
import { leafHash } from "./sha256.js";
import { TableCheck } from "./table.js";
import { HASH } from "./tiles.js";

/**
 * What a pass over the entries gives.
 * @typedef {object} Reading
 * @property {import("./tree.js").Leaves} leaves their own hashes
 * @property {number} read how many bodies there were
 * @property {number} erased how many lines had none
 * @property {number[][]} runs of erased bodies, as [first, end]
 * @property {import("./retained.js").Explanation[]} explained
 * @property {Map<number, string>} bodies those that were looked for
 * @property {Course} course
 */

/**
 * @param {import("./members.js").Members} kit @param {import("./head.js").Head} head
 * @param {Set<number>} wanted indexes whose bodies are looked for
 * @param {import("./report.js").Findings} found @param {(part: number) => Promise<void> | undefined} pause
 * @returns {Promise<Reading>}
 */
export async function readEntries(kit, { first, last }, wanted, found, pause) {
  const count = last - first + 1;
  const leaves = { first, hashes: new Uint8Array(HASH * count), read: new Uint8Array(count) };
  const course = new Course(first, found);
  const reading = { leaves, read: 0, erased: 0, runs: [], explained: [], bodies: new Map(), course };
  const order = new Order(first, last, found);
  const table = new TableCheck(kit, found);
  await table.begin(first);
  for await (const batch of readLines(kit, "entries.tsv", found)) {
    for (const line of batch) {
      if (!order.take(line)) continue;
      const index = Number(line.index);
      if (line.body.length) await takeBody(reading, index, line.body, wanted, table, found);
      else erase(reading, index);
    }
    await pause((Number(order.next) - first) / count);
  }
  order.close();
  await table.close(last + 1);
  return reading;
}

function takeBody(reading, index, body, wanted, table, found) {
  const { leaves } = reading;
  leaves.hashes.set(leafHash(body), HASH * (index - leaves.first));
  leaves.read[index - leaves.first] = 1;
  reading.read++;
  if (wanted.has(index)) reading.bodies.set(index, readUtf8(body) ?? "");
  const { entry, flaw } = readEntry(body);
  if (flaw) {
    found.add(flaw, String(index));
    return table.take(index, null);
  }
  reading.course.take(index, entry);
  if (isExplaining(entry)) reading.explained.push(explanationOf(index, body, entry));
  return table.take(index, entry);
}

function erase(reading, index) {
  reading.erased++;
  const run = reading.runs[reading.runs.length - 1];
  if (run?.[1] === index) run[1]++;
  else reading.runs.push([index, index + 1]);
  reading.course.forget();
}
