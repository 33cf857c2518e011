// SHA-512 (FIPS 180-4), for Ed25519 in browsers that do not have it; slow and short, with whole numbers.

const WORD = (1n << 64n) - 1n;

/** The first so many bits behind the point of the n-th root of a prime. */
function fraction(prime, cube) {
  // a whole root of prime << (64 * power) is the root times 2^64; its low 64 bits are the fraction
  const wanted = BigInt(prime) << (cube ? 192n : 128n);
  let low = 0n;
  let high = 1n << 70n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if ((cube ? middle * middle * middle : middle * middle) <= wanted) low = middle;
    else high = middle;
  }
  return low & WORD;
}

function primes(count) {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime)) found.push(n);
  return found;
}

const ROUND_CONSTANTS = primes(80).map((prime) => fraction(prime, true));
const FIRST_STATE = primes(8).map((prime) => fraction(prime, false));

const turn = (word, by) => ((word >> by) | (word << (64n - by))) & WORD;

/** @param {Uint8Array} message @returns {Uint8Array} 64 bytes */
export function sha512(message) {
  const padded = new Uint8Array((message.length + 144) & ~127);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  const state = [...FIRST_STATE];
  const words = [];
  for (let at = 0; at < padded.length; at += 128) {
    for (let i = 0; i < 16; i++) words[i] = view.getBigUint64(at + 8 * i);
    for (let i = 16; i < 80; i++) {
      const [x, y] = [words[i - 15], words[i - 2]];
      const low = turn(x, 1n) ^ turn(x, 8n) ^ (x >> 7n);
      const high = turn(y, 19n) ^ turn(y, 61n) ^ (y >> 6n);
      words[i] = (words[i - 16] + low + words[i - 7] + high) & WORD;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 80; i++) {
      const high = turn(e, 14n) ^ turn(e, 18n) ^ turn(e, 41n);
      const one = h + high + ((e & f) ^ (~e & WORD & g)) + ROUND_CONSTANTS[i] + words[i];
      const low = turn(a, 28n) ^ turn(a, 34n) ^ turn(a, 39n);
      const two = low + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) & WORD, c, b, a, (one + two) & WORD];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i] + word) & WORD));
  }
  const digest = new Uint8Array(64);
  const out = new DataView(digest.buffer);
  state.forEach((word, i) => out.setBigUint64(8 * i, word));
  return digest;
}
