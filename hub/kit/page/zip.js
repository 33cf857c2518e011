// Reads a ZIP archive from a file, member by member, without unpacking it and without trusting it: the names,
// sizes and checksums of the central directory are claims that are held against what is there (PKWARE APPNOTE).

import { readUtf8 } from "./bytes.js";
import { crc32 } from "./crc32.js";

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const LONGEST_COMMENT = 65535;
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;
const UTF8 = 0x800;
const FULL = 0xffffffff;
const BLOCK = 1 << 20;
const KIND = 0o170000;
const SYMLINK = 0o120000;

/** No kit has more members or a longer directory; a forged one must not fill the memory. */
const MOST_MEMBERS = 2_000_000;
const MOST_DIRECTORY_BYTES = 512 << 20;

/** The archive, or one member of it, is not what a ZIP archive is. */
export class Unreadable extends Error {}

/**
 * @typedef {object} Member
 * @property {string} name
 * @property {number} method
 * @property {number} flags
 * @property {number} crc
 * @property {number} packed bytes in the archive
 * @property {number} bytes when unpacked, as the directory claims
 * @property {number} at where its local header begins
 * @property {boolean} link whether it is a symbolic link
 */

export class Archive {
  /** @param {Blob} file @param {Member[]} members in the order of the directory */
  constructor(file, members) {
    this.file = file;
    this.members = members;
    /** The last of several members of one name counts, as it does for other readers. */
    this.byName = new Map(members.map((member) => [member.name, member]));
  }

  /** @param {string} name @returns {boolean} */
  has(name) {
    return this.byName.has(name);
  }

  /**
   * Reads a whole member of bearable size. Throws `Unreadable` where it is damaged.
   * @param {string} name @returns {Promise<Uint8Array>}
   */
  async bytes(name) {
    const member = this.byName.get(name);
    const whole = new Uint8Array(member.bytes);
    let at = 0;
    for await (const chunk of this.chunks(name)) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }

  /**
   * Reads a member block by block. Throws `Unreadable` as soon as it is longer than claimed, and at its end
   * where length or checksum differ; what was read since the last whole block is then not handed out.
   * @param {string} name @returns {AsyncGenerator<Uint8Array>}
   */
  async *chunks(name) {
    const member = this.byName.get(name);
    const packed = await this.#packed(member);
    let [bytes, sum, filled] = [0, 0, 0];
    let block = new Uint8Array(Math.min(BLOCK, member.bytes));
    for await (let chunk of member.method === STORED ? pieces(packed) : inflated(packed)) {
      bytes += chunk.length;
      if (bytes > member.bytes) throw new Unreadable(name);
      sum = crc32(chunk, sum);
      while (filled + chunk.length >= BLOCK) {
        block.set(chunk.subarray(0, BLOCK - filled), filled);
        chunk = chunk.subarray(BLOCK - filled);
        yield block;
        block = new Uint8Array(BLOCK);
        filled = 0;
      }
      block.set(chunk, filled);
      filled += chunk.length;
    }
    if (bytes !== member.bytes || sum !== member.crc) throw new Unreadable(name);
    if (filled) yield block.subarray(0, filled);
  }

  /** Says whether a member is packed in a way that this page reads. @param {Member} member */
  static reads(member) {
    return [STORED, DEFLATED].includes(member.method) && !(member.flags & ENCRYPTED);
  }

  /** Finds the member's packed bytes behind its local header, which must tell the same story. */
  async #packed(member) {
    const head = await view(this.file, member.at, 30);
    const known = head !== null && head.getUint32(0, true) === LOCAL && Archive.reads(member);
    if (!known || head.getUint16(8, true) !== member.method) {
      throw new Unreadable(member.name);
    }
    const nameAt = member.at + 30;
    const start = nameAt + head.getUint16(26, true) + head.getUint16(28, true);
    const name = await view(this.file, nameAt, head.getUint16(26, true));
    const isHere = name !== null && nameOf(name, head.getUint16(6, true)) === member.name;
    if (!isHere || start + member.packed > this.file.size) {
      throw new Unreadable(member.name);
    }
    return this.file.slice(start, start + member.packed);
  }
}

/**
 * Opens an archive by the directory at its end. Throws `Unreadable` where there is none.
 * @param {Blob} file @returns {Promise<Archive>}
 */
export async function openArchive(file) {
  const { at, bytes, count, shift } = await findDirectory(file);
  if (count > MOST_MEMBERS || bytes > MOST_DIRECTORY_BYTES) throw new Unreadable("directory");
  const directory = await view(file, at, bytes);
  if (directory === null) throw new Unreadable("directory");
  const members = [];
  let cursor = 0;
  while (members.length < count) {
    if (cursor + 46 > bytes || directory.getUint32(cursor, true) !== CENTRAL) throw new Unreadable("directory");
    const nameBytes = directory.getUint16(cursor + 28, true);
    const extraBytes = directory.getUint16(cursor + 30, true);
    const next = cursor + 46 + nameBytes + extraBytes + directory.getUint16(cursor + 32, true);
    if (next > bytes) throw new Unreadable("directory");
    const one = member(directory, cursor, nameBytes, extraBytes);
    members.push({ ...one, at: one.at + shift });
    cursor = next;
  }
  return new Archive(file, members);
}

/** @param {DataView} directory @returns {Member} */
function member(directory, at, nameBytes, extraBytes) {
  const flags = directory.getUint16(at + 8, true);
  const found = {
    name: nameOf(new DataView(directory.buffer, directory.byteOffset + at + 46, nameBytes), flags),
    flags,
    method: directory.getUint16(at + 10, true),
    crc: directory.getUint32(at + 16, true),
    packed: directory.getUint32(at + 20, true),
    bytes: directory.getUint32(at + 24, true),
    at: directory.getUint32(at + 42, true),
    link: (directory.getUint16(at + 40, true) & KIND) === SYMLINK, // the upper half: the mode in Unix
  };
  let cursor = at + 46 + nameBytes;
  for (const end = cursor + extraBytes; cursor + 4 <= end; ) {
    const [tag, length] = [directory.getUint16(cursor, true), directory.getUint16(cursor + 2, true)];
    cursor += 4;
    if (tag === 1) readSizes64(found, directory, cursor, Math.min(cursor + length, end)); // zip64
    cursor += length;
  }
  return found;
}

/** Only the fields that do not fit in 32 bits stand in the zip64 field, in this order. */
function readSizes64(found, directory, cursor, end) {
  for (const field of ["bytes", "packed", "at"]) {
    if (found[field] !== FULL || cursor + 8 > end) continue;
    found[field] = Number(directory.getBigUint64(cursor, true));
    cursor += 8;
  }
}

/**
 * Finds the directory: it ends where its end record begins. Where it says that it began elsewhere, something
 * was put before the archive, and everything stands that much further on.
 */
async function findDirectory(file) {
  const tailAt = Math.max(0, file.size - END_BYTES - LONGEST_COMMENT);
  const tail = await view(file, tailAt, file.size - tailAt);
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END) continue;
    const [count, bytes, start] = [
      tail.getUint16(at + 10, true),
      tail.getUint32(at + 12, true),
      tail.getUint32(at + 16, true),
    ];
    return (await findDirectory64(file, tailAt + at)) ?? placed(tailAt + at, start, bytes, count);
  }
  throw new Unreadable("directory");
}

async function findDirectory64(file, endAt) {
  const locator = await view(file, endAt - 20, 20);
  if (locator === null || locator.getUint32(0, true) !== LOCATOR64) return null;
  const end = await view(file, endAt - 76, 56);
  if (end === null || end.getUint32(0, true) !== END64) throw new Unreadable("directory");
  const [count, bytes, start] = [32, 40, 48].map((field) => Number(end.getBigUint64(field, true)));
  return placed(endAt - 76, start, bytes, count);
}

function placed(end, start, bytes, count) {
  const at = end - bytes;
  if (at < start) throw new Unreadable("directory");
  return { at, bytes, count, shift: at - start };
}

/** @returns {Promise<DataView | null>} null where the file does not reach so far */
async function view(file, at, bytes) {
  if (at < 0 || at + bytes > file.size) return null;
  return new DataView(await file.slice(at, at + bytes).arrayBuffer());
}

const CODE_PAGE_437 =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀" +
  "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

/** A name is in UTF-8 where the flags say so, otherwise in the code page of old. */
function nameOf(view, flags) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  if (flags & UTF8) {
    const name = readUtf8(bytes);
    if (name === null) throw new Unreadable("name");
    return name;
  }
  return Array.from(bytes, (byte) => (byte < 128 ? String.fromCharCode(byte) : CODE_PAGE_437[byte - 128])).join("");
}

async function* pieces(blob) {
  for (let at = 0; at < blob.size; at += BLOCK) {
    yield new Uint8Array(await blob.slice(at, at + BLOCK).arrayBuffer());
  }
}

async function* inflated(blob) {
  const reader = blob.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error instanceof TypeError) throw new Unreadable("deflate"); // so the streams call broken data
    throw error;
  } finally {
    reader.cancel().catch(() => {}); // whoever stops early leaves no stream behind
  }
}
