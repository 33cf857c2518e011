"""What can be checked of WCAG 2.1 AA by a program, in the page itself: each finding is a sentence."""

from playwright.sync_api import Page

NARROW = 320  # CSS pixels, WCAG 1.4.10

CHECKS = """() => {
  const found = [];
  const all = selector => [...document.querySelectorAll(selector)];
  const name = e => (e.getAttribute('aria-label') || e.textContent || '').trim();
  if (!['de', 'en'].includes(document.documentElement.lang)) found.push('no language');
  if (!document.title) found.push('no title');
  if (all('h1').length !== 1) found.push(`${all('h1').length} main headings`);
  let last = 1;
  for (const h of all('h1,h2,h3,h4')) {
    const level = +h.tagName[1];
    if (level > last + 1) found.push(`heading ${h.textContent} skips a level`);
    last = level;
  }
  for (const one of ['main', 'header']) if (all(one).length !== 1) found.push(`no single ${one}`);
  for (const t of all('table')) {
    if (!t.caption || !t.caption.textContent.trim()) found.push('a table without caption');
    for (const h of t.querySelectorAll('th')) if (!h.scope) found.push(`th ${h.textContent} without scope`);
    for (const r of t.querySelectorAll('tbody tr'))
      if (!r.querySelector('th')) found.push('a row without th');
  }
  for (const s of all('svg')) {
    const told = s.getAttribute('aria-hidden') === 'true';
    if (!told && !(s.getAttribute('role') === 'img' && name(s))) found.push('a picture without a text');
  }
  for (const l of all('a,button')) if (!name(l)) found.push('a link or button without a name');
  for (const i of all('select,input:not([type=hidden])'))
    if (!i.labels || !i.labels.length) found.push(`no label for ${i.name}`);
  for (const n of all('nav')) if (!n.getAttribute('aria-label')) found.push('a nav without a name');
  const ids = all('[id]').map(e => e.id);
  if (new Set(ids).size !== ids.length) found.push('an id is used twice');
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = [r, g, b].map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * part[0] + .7152 * part[1] + .0722 * part[2];
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !e.checkVisibility()) continue;
    if (e.closest('svg,style,script')) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)} of "${e.textContent.trim().slice(0, 30)}"`);
  }
  for (const bar of all('rect, .state, .chips a')) {
    const fill = bar.tagName === 'rect' ? rgb(getComputedStyle(bar).fill) : null;
    if (fill && (1.05) / (light(fill) + .05) < 3) found.push(`${bar.getAttribute('class')} is too light`);
  }
  return [...new Set(found)];
}"""


def flaws(page: Page) -> list[str]:
    """Tell what keeps people from using this page."""
    found: list[str] = page.evaluate(CHECKS)
    wide = page.viewport_size
    assert wide is not None
    page.set_viewport_size({"width": NARROW, "height": 800})
    across = page.evaluate("document.documentElement.scrollWidth")
    if across > NARROW:
        found.append(f"{across} pixels wide on a screen of {NARROW}")
    page.set_viewport_size(wide)
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    if outline in ("none", ""):
        found.append("the focus cannot be seen")
    return found
