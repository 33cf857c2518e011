// The checksum of ZIP members (CRC-32, ISO 3309), four bytes a step.

const TABLES = [new Int32Array(256), new Int32Array(256), new Int32Array(256), new Int32Array(256)];
for (let byte = 0; byte < 256; byte++) {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  TABLES[0][byte] = sum;
}
for (let byte = 0; byte < 256; byte++) {
  for (let step = 1; step < 4; step++) {
    const before = TABLES[step - 1][byte];
    TABLES[step][byte] = (before >>> 8) ^ TABLES[0][before & 255];
  }
}

/** @param {Uint8Array} bytes @param {number} before the checksum so far @returns {number} */
export function crc32(bytes, before = 0) {
  const [one, two, three, four] = TABLES;
  let sum = ~before;
  let at = 0;
  for (const end = bytes.length - 3; at < end; at += 4) {
    sum ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    sum = four[sum & 255] ^ three[(sum >>> 8) & 255] ^ two[(sum >>> 16) & 255] ^ one[sum >>> 24];
  }
  for (; at < bytes.length; at++) sum = (sum >>> 8) ^ one[(sum ^ bytes[at]) & 255];
  return ~sum >>> 0;
}
