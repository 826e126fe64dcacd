// The worker module of hash-tree.ts: a batch of paths in, a line of JSON for each of them out. It reads synchronously, as it
// has nothing else to do; while it is busy with a large file it hears nothing, and a Ctrl-C ends it by SIGTERM.

import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, opendirSync, readSync, statSync } from 'node:fs';

const piece = Buffer.allocUnsafe(1024 * 1024); // what of a file is in memory at a time

export default function hashFiles(paths: string[]): { failed: number; bytes: number; lines: string } {
  const all = { failed: 0, bytes: 0, lines: '' };
  for (const path of paths) {
    try {
      const found = hashFile(Buffer.from(path, 'latin1'));
      all.bytes += found.bytes;
      all.lines += lineOf(path, found);
    } catch (error) {
      all.failed++;
      all.lines += lineOf(path, error);
    }
  }
  return all;
}

export function lineOf(latin1: string, found: unknown): string {
  const path = Buffer.from(latin1, 'latin1');
  const name = isUtf8(path) ? { path: path.toString() } : { pathBase64: path.toString('base64') };
  return `${JSON.stringify(Object.assign(name, found instanceof Error ? { error: found.message } : found))}\n`;
}

function hashFile(path: Buffer): { bytes: number; mtimeMs: number; sha256: string } {
  const stat = statSync(path); // before the first byte: a file that changes while it is read will not look unchanged
  if (stat.isDirectory()) opendirSync(path).closeSync(); // throws what kept it from being listed
  // Not even opened: that alone can block, as with a FIFO, or set something off, as with a watchdog.
  if (!stat.isFile()) throw new Error('Cannot hash it as it is not a regular file');
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); // it may have become a FIFO just now
  try {
    const sha256 = createHash('sha256');
    let bytes = 0;
    // On to the end, not to `size`: that is 0 under /proc, and old for a file that grows.
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      sha256.update(piece.subarray(0, read));
      bytes += read;
    }
    return { bytes, mtimeMs: stat.mtimeMs, sha256: sha256.digest('hex') };
  } finally {
    closeSync(file);
  }
}
