// What the page computes itself is held against published vectors and the browser before anything is verified.

import { fromHex, hex, same, utf8 } from "./bytes.js";
import { canonical } from "./canonical.js";
import { verifyEd25519 } from "./ed25519.js";
import { leafHash, nodeHash, sha256 } from "./sha256.js";
import { RFC_8032, signatures } from "./signing.js";

const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-4, "abc"
const LENGTHS = [0, 1, 55, 56, 63, 64, 65, 119, 120, 700, 65536, 200000]; // the edges of a block, and long

/** RFC 8785, appendix B and section 3.2.3: the order of keys by UTF-16, and how numbers are written. */
const WRITTEN =
  '{"\\r":"CR","1":"One","numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
  '"\u00f6":1,"\u20ac":2,"\ud83d\ude02":3,"\ufb33":4}';

/** The tree of eight leaves of Certificate Transparency's own tests, and its root. */
const LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOT_OF_EIGHT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";

/**
 * @typedef {{name: string, ok: boolean, by: "browser" | "page"}} Check
 * @returns {Promise<{ok: boolean, checks: Check[], verify: import("./signing.js").Verify}>}
 */
export async function selfTest() {
  const { verify, byBrowser } = await signatures();
  const checks = [
    { name: "sha256", ok: hex(sha256(utf8("abc"))) === ABC && eightLeaves() === ROOT_OF_EIGHT, by: "page" },
    { name: "ed25519", ok: await everyVector(verify), by: byBrowser ? "browser" : "page" },
    { name: "json", ok: canonical(JSON.parse(WRITTEN)) === WRITTEN, by: "page" },
  ];
  if (byBrowser) checks.push({ name: "ed25519", ok: await everyVector(verifyEd25519), by: "page" });
  if (globalThis.crypto?.subtle) checks.push({ name: "sha256", ok: await likeBrowser(), by: "browser" });
  return { ok: checks.every((check) => check.ok), checks, verify };
}

function eightLeaves() {
  let hashes = LEAVES.map((leaf) => leafHash(fromHex(leaf)));
  while (hashes.length > 1) {
    hashes = hashes.flatMap((hash, at) => (at % 2 ? [] : [nodeHash(hash, hashes[at + 1])]));
  }
  return hex(hashes[0]);
}

async function everyVector(verify) {
  for (const [key, message, signature] of RFC_8032) {
    const changed = signature.slice();
    changed[40] ^= 1;
    if (!(await verify(key, signature, message)) || (await verify(key, changed, message))) return false;
  }
  return true;
}

/** Holds the page's SHA-256 against the browser's, on messages of awkward lengths. */
async function likeBrowser() {
  for (const length of LENGTHS) {
    const message = Uint8Array.from({ length }, (_, at) => (at * 7 + (at >> 8)) & 255);
    if (!same(sha256(message), new Uint8Array(await crypto.subtle.digest("SHA-256", message)))) return false;
  }
  return true;
}
