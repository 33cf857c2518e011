// Who signed what: Ed25519 by the browser (WebCrypto), or by the page's own code where the browser cannot.

import { fromHex } from "./bytes.js";
import { verifyEd25519 } from "./ed25519.js";

/** The first two test vectors of RFC 8032, section 7.1: key, message, signature. */
export const RFC_8032 = [
  [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  ],
  [
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  ],
].map((vector) => vector.map(fromHex));

/** Imported keys by their bytes in hex; a log's checkpoints are all signed by one. */
const imported = new Map();

async function byBrowser(key, signature, message) {
  const name = key.join();
  if (!imported.has(name)) {
    imported.set(name, crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]));
  }
  try {
    return await crypto.subtle.verify({ name: "Ed25519" }, await imported.get(name), signature, message);
  } catch {
    return false; // these bytes are no key
  }
}

/** Says whether this browser verifies Ed25519 itself, here, in a page from a file. */
async function browserCan() {
  try {
    const [key, message, signature] = RFC_8032[1];
    const held = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    return await crypto.subtle.verify({ name: "Ed25519" }, held, signature, message);
  } catch {
    return false;
  }
}

/**
 * @typedef {(key: Uint8Array, signature: Uint8Array, message: Uint8Array) => Promise<boolean>} Verify
 * @returns {Promise<{verify: Verify, byBrowser: boolean}>}
 */
export async function signatures() {
  if (await browserCan()) return { verify: byBrowser, byBrowser: true };
  return { verify: async (...signed) => verifyEd25519(...signed), byBrowser: false };
}
