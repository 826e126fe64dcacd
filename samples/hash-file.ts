// The worker module of hash-tree.ts: gets paths, and answers for each of them with its digest or with what was
// wrong with it. It reads synchronously: a worker has nothing else to do meanwhile, and promises take several
// times as long over a small file. In the middle of a large one it hears nothing, so Ctrl-C ends it by SIGTERM.

import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readSync, statSync } from 'node:fs';

export type Outcome = { bytes: number; mtimeMs: number; sha256: string } | { error: string };

/** What of a file is in memory at a time. */
const piece = Buffer.allocUnsafe(1024 * 1024);

/** Each path has an outcome of its own, in the order of the paths: one bad file spoils no other. */
export default function hashFiles(paths: Buffer[]): Outcome[] {
  return paths.map(path => {
    try {
      return hashFile(path);
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  });
}

function hashFile(path: Buffer): Outcome {
  // Looked at before it is opened, since opening can do things: to a tape, or to a watchdog.
  const stat = statSync(path);
  if (!stat.isFile() && !stat.isDirectory()) throw new Error('Cannot hash it as it is not a regular file');
  // A FIFO that took its place just now would block us for ever without O_NONBLOCK.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    // To the end, not to `stat.size`: that is 0 under /proc, and out of date for a file that grows.
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      hash.update(piece.subarray(0, read));
      bytes += read;
    }
    return { bytes, mtimeMs: stat.mtimeMs, sha256: hash.digest('hex') };
  } finally {
    closeSync(file);
  }
}
