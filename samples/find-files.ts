// Finds the files under a folder, for hash-tree.ts, while the first of them are being hashed already.
// It knows no pool. Paths are bytes here, each as one character ('latin1'): not every name is UTF-8.

import { existsSync } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { sep } from 'node:path';

/** One small file in a message costs more than to hash it: 20,000 of them took three times as long. */
const BATCH_FILES = 64;

/**
 * Gives batches of paths, of every regular file and of whatever is not as it should be: broken links, folders that
 * cannot be listed, FIFOs, sockets and devices. Who gets them will find out why. Links that lead somewhere are
 * passed over, as `find -type f` does: so no loop is ever entered. Stops soon after `signal` aborts.
 */
export async function* findFiles(root: string, signal: AbortSignal): AsyncGenerator<string[]> {
  let batch: string[] = [];
  // A list of what is still to be listed, instead of recursion: a deep tree is no deep stack.
  const folders = [Buffer.from(root).toString('latin1')];
  for (let folder = folders.pop(); folder !== undefined && !signal.aborted; folder = folders.pop()) {
    const prefix = folder.endsWith(sep) ? folder : folder + sep;
    try {
      // @ts-expect-error The types do not know that the encoding may be 'buffer', as it may for readdir.
      for await (const entry of await opendir(Buffer.from(folder, 'latin1'), { encoding: 'buffer', bufferSize: 128 })) {
        if (signal.aborted) return;
        const path = prefix + Buffer.from(entry.name).toString('latin1');
        if (entry.isDirectory()) folders.push(path);
        else if (!entry.isSymbolicLink() || !existsSync(Buffer.from(path, 'latin1'))) batch.push(path);
        if (batch.length < BATCH_FILES) continue;
        yield batch;
        batch = [];
      }
    } catch {
      batch.push(folder);
    }
  }
  if (batch.length > 0) yield batch;
}
