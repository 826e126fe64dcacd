// The worker module of hash-tree.ts: a batch of paths in, a line of JSON for each of them out. It reads
// synchronously: a worker has nothing else to do, and promises take longer than hashing a small file. While it
// is busy with a large one it hears nothing, and a Ctrl-C ends it by SIGTERM.

import { isUtf8 } from 'node:buffer';
import { createHash, hash } from 'node:crypto';
import { closeSync, constants, openSync, opendirSync, readSync, statSync } from 'node:fs';

/** What became of a batch; `large` are files that were left for later. */
export type Hashed = { done: number; failed: number; bytes: number; lines: string; large: string[] };
type Digest = { bytes: number; mtimeMs: number; sha256: string };

/** What of a file is in memory at a time. A file that does not fit in is large. */
const piece = Buffer.allocUnsafe(1024 * 1024);

/** A large file is hashed only by itself: in batches, one worker could be left with all of them at the end. */
export default function hashFiles(paths: string[]): Hashed {
  return describe(paths, path => hashFile(path, paths.length === 1));
}

/** Each path has a line of its own: its digest, or what getting it threw. */
export function describe(paths: string[], digest: (path: Buffer) => Digest | 'large'): Hashed {
  const all: Hashed = { done: 0, failed: 0, bytes: 0, lines: '', large: [] };
  for (const latin1 of paths) {
    const path = Buffer.from(latin1, 'latin1');
    const line = isUtf8(path) ? { path: path.toString() } : { pathBase64: path.toString('base64') };
    try {
      const found = digest(path);
      if (found === 'large') {
        all.large.push(latin1);
        continue;
      }
      Object.assign(line, found);
      all.done++;
      all.bytes += found.bytes;
    } catch (error) {
      Object.assign(line, { error: error instanceof Error ? error.message : String(error) });
      all.failed++;
    }
    all.lines += `${JSON.stringify(line)}\n`;
  }
  return all;
}

function hashFile(path: Buffer, isAlone: boolean): Digest | 'large' {
  const stat = statSync(path);
  if (stat.isDirectory()) opendirSync(path).closeSync(); // throws what kept it from being listed
  // Not even opened: that alone can block, as with a FIFO, or set something off, as with a watchdog.
  if (!stat.isFile()) throw new Error('Cannot hash it as it is not a regular file');
  if (stat.size > piece.length && !isAlone) return 'large';
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); // it may have become a FIFO just now
  try {
    const { mtimeMs } = stat;
    let bytes = readSync(file, piece);
    if (bytes === stat.size) return { bytes, mtimeMs, sha256: hash('sha256', piece.subarray(0, bytes)) };
    // On to the end, not to `size`: that is 0 under /proc, and old for a file that grows.
    const sha256 = createHash('sha256');
    for (let read = bytes; read > 0; bytes += read) {
      sha256.update(piece.subarray(0, read));
      read = readSync(file, piece);
    }
    return { bytes, mtimeMs, sha256: sha256.digest('hex') };
  } finally {
    closeSync(file);
  }
}
