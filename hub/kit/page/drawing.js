// The picture of how it hangs together: entries, their tree, its root, the signature under the root, and the
// witnesses and kept papers that know the same root. Each part carries a sign, a colour and a word.

import { html, svg } from "./dom.js";
import { number, word } from "./words.js";

const SIGNS = { good: "✓", bad: "✗", open: "?" };
/** Which findings speak against which part; the first part that fits takes a finding. */
const PARTS = [
  ["signature", /^(?:checkpoint\.signature|trust\.(?:missing|no_log|other_log|malformed))/],
  ["witnesses", /^(?:witness\.|trust\.(?:quorum|unwitnessed))/],
  ["kept", /^(?:kept\.|receipt\.|log\.|trust\.no_receipt_key)/],
  ["root", /^checkpoint\./],
  ["tree", /^node\./],
  ["entries", /./],
];

/**
 * Says of every part whether it holds.
 * @param {import("./report.js").Report} report @returns {Record<string, "good" | "bad" | "open">}
 */
export function standing(report) {
  const parts = { entries: "good", tree: "good", root: "good", signature: "good", witnesses: "open", kept: "open" };
  if (report.witnesses.length) parts.witnesses = "good";
  if (report.brought) parts.kept = "good";
  for (const { code } of report.findings) {
    const [part] = PARTS.find(([, pattern]) => pattern.test(code));
    if (part === "signature" && code === "trust.missing") parts[part] = parts[part] === "bad" ? "bad" : "open";
    else parts[part] = "bad";
  }
  return parts;
}

/** @param {import("./report.js").Report} report @returns {Element[]} the picture, and the same as a list */
export function drawing(report) {
  const parts = standing(report);
  const told = Object.entries(parts).map(([part, state]) => `${word(`draw.${part}`)}: ${word(`draw.${state}`)}`);
  const label = word("drawing.told", { steps: told.join(", ") });
  const picture = svg(
    "svg",
    { class: "drawing", viewBox: "0 0 980 300", role: "img", "aria-label": label },
    ...ways(),
    box(parts.entries, 10, 200, 300, 90, word("draw.entries"), `${report.first}–${report.last}`),
    tree(),
    badge(parts.tree, 160, 24, word("draw.tree")),
    box(parts.root, 370, 20, 200, 90, word("draw.root"), `${report.root.slice(0, 16)}…`),
    box(parts.signature, 640, 20, 330, 90, word("draw.signature"), clipped(report.origin, 38)),
    box(parts.witnesses, 640, 200, 330, 90, word("draw.witnesses"), cosigners(report)),
    box(parts.kept, 370, 200, 200, 90, word("draw.kept"), papers(report.brought)),
  );
  const list = told.map((line) => html("li", {}, line));
  return [html("div", { class: "sheet" }, picture), html("ul", { class: "parts" }, ...list)];
}

function cosigners(report) {
  const names = report.witnesses.filter((witness) => witness.time !== null).map((witness) => witness.name);
  return clipped(names.join(", ") || "–", 40);
}

function papers(count) {
  return count ? word("draw.papers", { count: number(count) }) : word("draw.nothing");
}

function clipped(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function box(state, x, y, width, height, name, small) {
  const [across, down] = [width - 12, height - 12];
  const outline = `M${x + 6} ${y}h${across}q6 0 6 6v${down}q0 6 -6 6h${-across}q-6 0 -6 -6v${-down}q0 -6 6 -6z`;
  return svg(
    "g",
    { class: state },
    svg("path", { class: "box", d: outline }),
    ...seal(state, x + 26, y + 30),
    svg("text", { class: "name", x: `${x + 50}`, y: `${y + 35}` }, name),
    svg("text", { class: "small", x: `${x + 16}`, y: `${y + 70}` }, small),
  );
}

function badge(state, x, y, name) {
  const text = svg("text", { class: "name", x: `${x - 38}`, y: `${y + 5}` }, name);
  return svg("g", { class: state }, ...seal(state, x - 60, y), text);
}

function seal(state, x, y) {
  return [
    svg("circle", { class: "seal", cx: `${x}`, cy: `${y}`, r: "14" }),
    svg("text", { class: "mark", x: `${x}`, y: `${y + 7}`, "text-anchor": "middle" }, SIGNS[state]),
  ];
}

/** Eight leaves and what joins them: a sign for the tree, whatever its size. */
function tree() {
  const shapes = [];
  for (let level = 0, count = 8; count > 0; level++, count >>= 1) {
    for (let at = 0; at < count; at++) {
      const [x, y] = place(level, at, count);
      shapes.push(svg("circle", { class: "leaf", cx: `${x}`, cy: `${y}`, r: "4" }));
      if (count === 1) continue;
      const [up, over] = place(level + 1, at >> 1, count / 2);
      shapes.push(svg("path", { class: "tree", d: `M${x} ${y}L${up} ${over}` }));
    }
  }
  return svg("g", {}, ...shapes);
}

function place(level, at, count) {
  return [10 + (300 / count) * (at + 0.5), 185 - level * 42];
}

function ways() {
  const lines = ["M160 59C240 59 300 65 370 65", "M570 65H640", "M470 200V110", "M805 200V110"];
  return lines.map((d) => svg("path", { class: "way", d }));
}
