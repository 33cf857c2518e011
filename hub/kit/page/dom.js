// Building pieces of the page. What comes out of a kit only ever becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** @param {Element} made @param {Record<string, string>} attributes @param {(Node | string)[]} children */
function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** @param {string} tag @param {Record<string, string>} attributes @param {...(Node | string)} children */
export function html(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** @param {string} tag @param {Record<string, string>} attributes @param {...(Node | string)} children */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * A table whose rows begin with their heading.
 * @param {string} caption @param {{title: string, number?: boolean}[]} columns @param {(Node | string)[][]} rows
 */
export function table(caption, columns, rows) {
  const kind = columns.map((column) => (column.number ? { class: "number" } : {}));
  const head = columns.map(({ title }, at) => html("th", { scope: "col", ...kind[at] }, title));
  const lines = rows.map(([first, ...others]) =>
    html(
      "tr",
      {},
      html("th", { scope: "row" }, first),
      ...others.map((cell, at) => html("td", kind[at + 1], cell)),
    ),
  );
  const whole = html(
    "table",
    {},
    html("caption", {}, caption),
    html("thead", {}, html("tr", {}, ...head)),
    html("tbody", {}, ...lines),
  );
  return html("div", { class: "sheet", tabindex: "0", role: "region", "aria-label": caption }, whole);
}
