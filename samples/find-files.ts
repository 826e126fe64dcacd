// Finds the files under a folder, for hash-tree.ts, while the first of them are being hashed already. It knows
// no pool. A path is one character for each of its bytes ('latin1') throughout: not every name is UTF-8.

import { existsSync } from 'node:fs';
import type { Dirent } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { sep } from 'node:path';

/** To send one small file by itself costs more than to hash it: 20,000 of them took four times as long. */
const BATCH_FILES = 128;

/**
 * Gives batches of paths: of every regular file, and of whatever is not as it should be (a broken link, a folder that
 * cannot be listed, a FIFO, a socket, a device), as the worker will find out why. Links that lead somewhere are passed
 * over, as `find -type f` does: so a loop of them is never entered. Stops soon after `signal` aborts.
 */
export async function* findFiles(root: string, signal: AbortSignal): AsyncGenerator<string[]> {
  let batch: string[] = [];
  // A list of what is still to be listed, and no recursion: a deep tree is no deep stack.
  const folders = [Buffer.from(root).toString('latin1')];
  for (let folder = folders.pop(); folder !== undefined && !signal.aborted; folder = folders.pop()) {
    try {
      // @ts-expect-error Node's types do not know that opendir, too, gives names as bytes.
      const entries: AsyncIterable<Dirent<Buffer>> = await opendir(Buffer.from(folder, 'latin1'), { encoding: 'buffer', bufferSize: 128 });
      const prefix = folder.endsWith(sep) ? folder : folder + sep;
      for await (const entry of entries) {
        if (signal.aborted) return;
        const path = prefix + entry.name.toString('latin1');
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
