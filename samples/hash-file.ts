// The worker module of hash-tree.ts: a batch of paths in, and for each of them a line of JSON out. It reads
// synchronously: a worker has nothing else to do, and promises take longer than hashing a small file. In the
// middle of a large one it hears nothing; a Ctrl-C then ends it by SIGTERM.

import { isUtf8 } from 'node:buffer';
import { createHash, hash } from 'node:crypto';
import { closeSync, constants, openSync, opendirSync, readSync, statSync } from 'node:fs';

/** What became of a batch: a line of JSON for each file, and the large ones, which were left for later. */
export type Hashed = { done: number; failed: number; bytes: number; lines: string; large: string[] };
type Digest = { bytes: number; mtimeMs: number; sha256: string };

/** What of a file is in memory at a time. A file that does not fit in is a large one. */
const piece = Buffer.allocUnsafe(1024 * 1024);

/**
 * A path is one character for each of its bytes ('latin1'): not every name is UTF-8, and a Buffer costs 4 µs to send.
 * A large file is hashed only as a batch of its own: else one worker may be left with all of them at the end.
 */
export default function hashFiles(paths: string[]): Hashed {
  return tally(paths, path => hashFile(path, paths.length === 1));
}

/** Every path has a line of its own: its digest, or what getting it threw. */
export function tally(paths: string[], digest: (path: Buffer) => Digest | 'large'): Hashed {
  const sum: Hashed = { done: 0, failed: 0, bytes: 0, lines: '', large: [] };
  for (const path of paths) {
    const bytes = Buffer.from(path, 'latin1');
    const name = isUtf8(bytes) ? { path: bytes.toString() } : { pathBase64: bytes.toString('base64') };
    try {
      const outcome = digest(bytes);
      if (outcome === 'large') {
        sum.large.push(path);
        continue;
      }
      sum.done++;
      sum.bytes += outcome.bytes;
      sum.lines += `${JSON.stringify({ ...name, ...outcome })}\n`;
    } catch (error) {
      sum.failed++;
      sum.lines += `${JSON.stringify({ ...name, error: error instanceof Error ? error.message : String(error) })}\n`;
    }
  }
  return sum;
}

function hashFile(path: Buffer, isAlone: boolean): Digest | 'large' {
  const stat = statSync(path);
  if (stat.isDirectory()) opendirSync(path).closeSync(); // throws what kept it from being listed
  // Not even opened: that alone can block, as a FIFO does, or set something off, as a watchdog does.
  if (!stat.isFile()) throw new Error('Cannot hash it as it is not a regular file');
  if (stat.size > piece.length && !isAlone) return 'large';
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); // or a FIFO that has just taken its place
  try {
    let bytes = readSync(file, piece);
    if (bytes === stat.size) return { bytes, mtimeMs: stat.mtimeMs, sha256: hash('sha256', piece.subarray(0, bytes)) };
    // On to the end, not to `size`: that is 0 under /proc, and old for a file that grows.
    const sha256 = createHash('sha256');
    for (let read = bytes; read > 0; bytes += read) {
      sha256.update(piece.subarray(0, read));
      read = readSync(file, piece);
    }
    return { bytes, mtimeMs: stat.mtimeMs, sha256: sha256.digest('hex') };
  } finally {
    closeSync(file);
  }
}
