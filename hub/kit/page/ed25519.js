// Ed25519 (RFC 8032, section 5.1.7), only verification, for browsers without it. Nothing here is secret, so
// nothing has to take the same time.

import { concat } from "./bytes.js";
import { sha512 } from "./sha512.js";

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

const modulo = (value) => ((value % P) + P) % P;

function power(base, exponent) {
  let result = 1n;
  for (base = modulo(base); exponent; exponent >>= 1n, base = (base * base) % P) {
    if (exponent & 1n) result = (result * base) % P;
  }
  return result;
}

const D = modulo(-121665n * power(121666n, P - 2n));
const ROOT = power(2n, (P - 1n) / 4n); // a square root of -1

function little(bytes) {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** Points are [X, Y, Z, T] with x = X/Z, y = Y/Z, xy = T/Z. */
function plus([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = modulo((y1 - x1) * (y2 - x2));
  const b = modulo((y1 + x1) * (y2 + x2));
  const c = modulo(2n * t1 * t2 * D);
  const d = modulo(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [modulo(e * f), modulo(g * h), modulo(f * g), modulo(e * h)];
}

function times(factor, point) {
  let result = [0n, 1n, 1n, 0n];
  for (; factor; factor >>= 1n, point = plus(point, point)) {
    if (factor & 1n) result = plus(result, point);
  }
  return result;
}

/** Reads 32 bytes as a point (section 5.1.3); null where they are none. */
function point(bytes) {
  const number = little(bytes);
  const sign = number >> 255n;
  const y = number & ((1n << 255n) - 1n);
  if (y >= P) return null;
  const u = modulo(y * y - 1n);
  const v = modulo(D * y * y + 1n);
  let x = modulo(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n));
  const check = modulo(v * x * x);
  if (check === modulo(-u)) x = modulo(x * ROOT);
  else if (check !== u) return null;
  if (x === 0n && sign) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, modulo(x * y)];
}

const BASE = point(Uint8Array.of(0x58, ...Array(31).fill(0x66)));

/**
 * @param {Uint8Array} key 32 bytes @param {Uint8Array} signature @param {Uint8Array} message
 * @returns {boolean}
 */
export function verifyEd25519(key, signature, message) {
  if (key.length !== 32 || signature.length !== 64) return false;
  const [r, s] = [signature.subarray(0, 32), little(signature.subarray(32))];
  const [from, holder] = [point(r), point(key)];
  if (!from || !holder || s >= ORDER) return false;
  const k = little(sha512(concat(r, key, message))) % ORDER;
  const [left, right] = [times(s, BASE), plus(from, times(k, holder))];
  return [0, 1].every((axis) => modulo(left[axis] * right[2] - right[axis] * left[2]) === 0n);
}
