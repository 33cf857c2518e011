// The result as the page shows it: findings, drawing, facts, counts, receipts, witnesses, sample.

import { parsedCanonical } from "./canonical.js";
import { html, table } from "./dom.js";
import { drawing } from "./drawing.js";
import { number, spoken, word } from "./words.js";

/** @typedef {import("./report.js").Report} Report */
/**
 * What is shown beside the report.
 * @typedef {{kit: string, sha256: string, seconds: number, bodies: Map<number, string>}} Beside
 */

/** @param {Report} report @returns {{state: "good" | "bad" | "open", title: string, why: string}} */
export function verdict(report) {
  const untrusted = report.findings.some(({ code }) => code === "trust.missing");
  if (report.ok) {
    const values = { first: number(report.first), last: number(report.last), size: number(report.size) };
    return { state: "good", title: word("proved"), why: word("proved.why", values) };
  }
  if (untrusted && report.findings.length === 1) {
    return { state: "open", title: word("untrusted"), why: word("untrusted.why") };
  }
  const count = report.findings.length;
  const why = count === 1 ? word("unproved.one") : word("unproved.why", { count: number(count) });
  return { state: "bad", title: word("unproved"), why };
}

/** @param {Report} report @param {Beside} beside @returns {Element[]} */
export function sections(report, beside) {
  return [
    section("findings", ...findings(report)),
    section("drawing", ...drawing(report)),
    section("facts", facts(report, beside), ...notes(report)),
    section("counts", counts(report)),
    ...(report.receipts.length ? [section("receipts.title", receipts(report))] : []),
    ...(report.witnesses.length ? [section("witnesses.title", witnesses(report))] : []),
    ...(report.sample.length ? [section("sample.title", ...sample(report, beside))] : []),
  ];
}

function section(title, ...content) {
  const id = `about-${title.replace(".", "-")}`;
  return html("section", { "aria-labelledby": id }, html("h2", { id }, word(title)), ...content);
}

function findings(report) {
  if (!report.findings.length) return [html("p", {}, word("findings.none"))];
  const columns = ["code", "place", "told"].map((name) => ({ title: word(`findings.${name}`) }));
  const rows = report.findings.map((found) => [html("code", {}, found.code), found.place, found[spoken()]]);
  return [table(word("findings.caption"), columns, rows)];
}

function facts(report, beside) {
  const pairs = [
    ["fact.kit", beside.kit],
    ["fact.kit.sha256", html("span", { class: "hash" }, beside.sha256)],
    ["fact.origin", report.origin],
    ["fact.size", number(report.size)],
    ["fact.entries", `${number(report.entries)} (${report.first}–${report.last})`],
    ["fact.erased", number(report.erased)],
    ["fact.root", html("span", { class: "hash" }, report.root)],
    ["fact.seconds", beside.seconds.toFixed(1)],
  ];
  return html("dl", {}, ...pairs.flatMap(([name, value]) => [html("dt", {}, word(name)), html("dd", {}, value)]));
}

function notes(report) {
  if (!report.notes.length) return [];
  const lines = report.notes.map((note) => html("li", {}, note[spoken()]));
  return [html("h3", {}, word("notes")), html("ul", { class: "notes" }, ...lines)];
}

function counts(report) {
  const agreements = Object.entries(report.counts);
  if (!agreements.length) return html("p", {}, word("counts.none"));
  const names = [...new Set(agreements.flatMap(([, sums]) => Object.keys(sums)))];
  const columns = [
    { title: word("counts.agreement") },
    ...names.map((name) => ({ title: WORDS[`count.${name}`] ? word(`count.${name}`) : name, number: true })),
  ];
  const rows = agreements.map(([agreement, sums]) => [agreement, ...names.map((name) => number(sums[name] ?? 0))]);
  return table(word("counts.caption"), columns, rows);
}

function receipts(report) {
  const columns = ["file", "verdict", "index"].map((name) => ({ title: word(`receipts.${name}`) }));
  const rows = report.receipts.map((receipt) => [
    receipt.file,
    word(receipt.in ? "receipts.in" : "receipts.out"),
    receipt.index === null ? "–" : String(receipt.index),
  ]);
  return table(word("receipts.caption"), columns, rows);
}

function witnesses(report) {
  const columns = ["name", "time"].map((name) => ({ title: word(`witnesses.${name}`) }));
  const rows = report.witnesses.map(({ name, time }) => [name, time === null ? word("witnesses.none") : utc(time)]);
  return table(word("witnesses.caption"), columns, rows);
}

function utc(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace("T", " ").slice(0, 19);
}

function sample(report, beside) {
  const drawn = report.sample.map((index) => {
    const body = beside.bodies.get(index);
    const { time, kind, submission } = (body && parsedCanonical(body)) || {};
    const name = [word("sample.entry", { index }), time, kind, submission].filter(Boolean).join(" · ");
    const shown = body ? html("pre", { tabindex: "0" }, body) : html("p", {}, word("sample.erased"));
    return html("details", {}, html("summary", {}, name), shown);
  });
  return [html("p", {}, word("sample.told")), ...drawn];
}
