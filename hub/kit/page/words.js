// What the page says, in German first; WORDS is words.json, laid in when the page is built.

/** @type {"de" | "en"} */
let language = "de";

/** @returns {"de" | "en"} */
export function spoken() {
  return language;
}

/** @param {"de" | "en"} to */
export function speak(to) {
  language = to;
}

/** @param {string} key @param {Record<string, string | number>} values @returns {string} */
export function word(key, values = {}) {
  const text = WORDS[key][language === "de" ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** A whole number as people of this language write it. @param {number} value @returns {string} */
export function number(value) {
  return value.toLocaleString(language === "de" ? "de-DE" : "en-GB");
}
