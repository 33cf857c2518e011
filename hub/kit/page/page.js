// The page itself: files in, progress, verdict out; German or English at any time.

import { hex } from "./bytes.js";
import { recognise } from "./recognise.js";
import { sections, verdict } from "./result.js";
import { selfTest } from "./self_test.js";
import { verifyKit } from "./verify.js";
import { html } from "./dom.js";
import { speak, spoken, word } from "./words.js";

const SORTS = ["kit", "trust", "receipts", "kept"];
const MANY = ["receipts", "kept"]; // of these an auditor may bring several

/** @param {string} id @returns {any} */
const by = (id) => document.getElementById(id);

/** @type {Record<string, File[]>} */
const chosen = { kit: [], trust: [], receipts: [], kept: [] };
/** @type {File[]} */
let strange = [];
/** @type {{report: import("./report.js").Report, beside: import("./result.js").Beside} | {failure: string} | null} */
let outcome = null;
/** @type {Awaited<ReturnType<typeof selfTest>> | null} */
let tested = null;
/** @type {AbortController | null} */
let running = null;

function paint() {
  document.documentElement.lang = spoken();
  document.title = word("title");
  for (const one of document.querySelectorAll("[data-word]")) one.textContent = word(one.dataset.word);
  by("switch").lang = spoken() === "de" ? "en" : "de";
  paintFiles();
  paintSelfTest();
  paintOutcome();
}

function paintFiles() {
  for (const sort of SORTS) {
    const names = chosen[sort].map((file) => file.name).join(", ");
    by(`${sort}-chosen`).textContent = names && `${word("chosen")} ${names}`;
  }
  by("unknown").hidden = !strange.length;
  by("unknown").textContent = `${word("unknown")} ${strange.map((file) => file.name).join(", ")}`;
  by("start").disabled = !chosen.kit.length || !tested?.ok;
}

function paintSelfTest() {
  if (tested === null) return;
  const browser = tested.checks.filter((check) => check.by === "browser").map((check) => check.name);
  const how = {
    sha256: word(browser.includes("sha256") ? "self.webcrypto" : "self.alone"),
    ed25519: word(browser.includes("ed25519") ? "self.browser" : "self.page"),
  };
  by("self").textContent = tested.ok ? word("self.good", how) : word("self.bad");
  by("self").className = tested.ok ? "" : "alarm";
}

function paintOutcome() {
  by("verdict").hidden = by("result").hidden = outcome === null;
  by("result").replaceChildren();
  if (outcome === null) return;
  const failure = "failure" in outcome;
  const { state, title, why } = failure
    ? { state: "bad", title: word("failed"), why: word("failed.why", { message: outcome.failure }) }
    : verdict(outcome.report);
  by("verdict").className = state;
  by("verdict-word").textContent = title;
  by("verdict-why").textContent = why;
  by("verdict-kit").textContent = failure ? "" : outcome.beside.kit;
  if (!failure) by("result").append(...sections(outcome.report, outcome.beside), actions());
}

function actions() {
  const save = html("button", { type: "button", id: "save", class: "plain" }, word("save"));
  save.addEventListener("click", saveResult);
  const print = html("button", { type: "button", class: "plain" }, word("print"));
  print.addEventListener("click", () => window.print());
  return html("p", { class: "actions" }, save, print);
}

function saveResult() {
  const address = URL.createObjectURL(new Blob([resultText()], { type: "application/json" }));
  html("a", { href: address, download: "pruefung.json" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** The result in the form of `pruefen.py --json`. */
function resultText() {
  const { brought: _, ...told } = outcome.report;
  return `${JSON.stringify(told, null, 1)}\n`;
}

function say(text) {
  by("spoken").textContent = text;
}

function tell(part, step) {
  const done = Math.floor(100 * part);
  by("bar").value = done;
  by("step").textContent = word("progress", { done, what: word(`step.${step}`) });
}

async function run() {
  running?.abort();
  const mine = (running = new AbortController());
  outcome = null;
  paintOutcome();
  by("working").hidden = false;
  by("start").disabled = true;
  say(word("working"));
  tell(0, "open");
  const began = performance.now();
  try {
    const found = await verifyKit({
      kit: chosen.kit[0],
      trust: (await brought(chosen.trust))[0] ?? null,
      kept: await brought(chosen.kept),
      receipts: await brought(chosen.receipts),
      sample: Math.max(0, Math.min(1000, by("sample").valueAsNumber || 0)),
      all: by("all").checked,
      verify: tested.verify,
      tell,
      signal: mine.signal,
    });
    const { report, bodies } = found;
    const seconds = (performance.now() - began) / 1000;
    const beside = { kit: chosen.kit[0].name, sha256: await digest(chosen.kit[0]), seconds, bodies };
    outcome = { report, beside };
  } catch (error) {
    if (mine.signal.aborted) return;
    const changed = error instanceof DOMException && error.name === "NotReadableError";
    outcome = { failure: changed ? word("failed.changed") : String(error) };
  }
  by("working").hidden = true;
  by("start").disabled = false;
  paintOutcome();
  by("verdict").focus();
  say(`${by("verdict-word").textContent}. ${by("verdict-why").textContent}`);
}

const MOST_BROUGHT = 1 << 20; // bytes of a trust file, a receipt, a checkpoint

function brought(files) {
  return Promise.all(
    files.map(async (file) => {
      const bytes = new Uint8Array(await file.slice(0, MOST_BROUGHT).arrayBuffer());
      return { name: file.name, bytes };
    }),
  );
}

const MOST_DIGESTED = 512 << 20; // WebCrypto takes only whole messages

async function digest(file) {
  if (!globalThis.crypto?.subtle || file.size > MOST_DIGESTED) return "–";
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer())));
}

/** Files from a picker stand for their own sort; the kit is started by hand. */
function picked(sort) {
  chosen[sort] = [...by(sort).files];
  paintFiles();
}

async function dropped(files) {
  strange = [];
  for (const file of files) {
    const sort = await recognise(file);
    if (sort === "unknown") strange.push(file);
    else chosen[sort] = MANY.includes(sort) ? [...chosen[sort], file] : [file];
  }
  paintFiles();
  if (chosen.kit.length && chosen.trust.length && tested?.ok) await run();
}

function listen() {
  by("switch").addEventListener("click", () => {
    speak(spoken() === "de" ? "en" : "de");
    paint();
  });
  by("start").addEventListener("click", run);
  for (const sort of SORTS) {
    by(sort).addEventListener("change", () => picked(sort));
    by(sort).addEventListener("click", () => (by(sort).value = "")); // else the same file could not be chosen anew
  }
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault(); // else the browser would leave the page and open the file
      by("drop").className = "over";
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) by("drop").className = "";
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    by("drop").className = "";
    dropped([...event.dataTransfer.files]);
  });
}

listen();
paint();
selfTest().then((result) => {
  tested = result;
  paint();
});
