// The lines of a long member, in batches, while it is read.

const LF = 10;

/**
 * Cuts chunks into lines without their line feed. A line that grows past `most` bytes, and one at the end
 * without its line feed, is not whole; of the former only the beginning is handed out.
 * @param {AsyncIterable<Uint8Array>} chunks @param {number} most
 * @returns {AsyncGenerator<{line: Uint8Array, whole: boolean}[]>}
 */
export async function* lines(chunks, most) {
  let rest = new Uint8Array(0);
  let skips = false; // the rest of a line that was too long
  for await (const chunk of chunks) {
    const batch = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      if (!skips) batch.push({ line: joined(rest, chunk.subarray(start, end)), whole: true });
      skips = false;
      rest = new Uint8Array(0);
      start = end + 1;
    }
    if (!skips) rest = joined(rest, chunk.slice(start));
    if (rest.length > most) {
      batch.push({ line: rest, whole: false });
      rest = new Uint8Array(0);
      skips = true;
    }
    yield batch;
  }
  if (rest.length) yield [{ line: rest, whole: false }];
}

function joined(rest, more) {
  if (!rest.length) return more;
  const line = new Uint8Array(rest.length + more.length);
  line.set(rest);
  line.set(more, rest.length);
  return line;
}
