// Finds the files under a folder while others are already being hashed, for hash-tree.ts. It knows no pool.
// Names are bytes here, since not every name is UTF-8.

import { statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { sep } from 'node:path';

/** One file a message costs more than hashing it, if it is small: 20,000 of them took four times as long. */
const BATCH_FILES = 64;
/** A batch of more bytes would leave other workers idle at the end; a file larger than this is a batch of its own. */
const BATCH_BYTES = 4 * 1024 * 1024;

/**
 * Gives batches of paths: every regular file, and everything that is not as it should be, for the worker to say
 * why: broken links, folders that cannot be listed, FIFOs, sockets and devices. Valid links are passed over, as
 * `find -type f` does, so a loop of them is never entered. Stops soon after `signal` aborts.
 */
export async function* findFiles(root: string, signal: AbortSignal): AsyncGenerator<Buffer[]> {
  let batch: Buffer[] = [];
  let bytes = 0;
  for await (const { path, size } of walk(Buffer.from(root), signal)) {
    if (batch.length === BATCH_FILES || (batch.length > 0 && bytes + size > BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(path);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** A list of folders to come instead of recursion: a deep tree is no deep stack. */
async function* walk(root: Buffer, signal: AbortSignal): AsyncGenerator<{ path: Buffer; size: number }> {
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const prefix = folder.toString().endsWith(sep) ? folder : Buffer.concat([folder, Buffer.from(sep)]);
    try {
      // @ts-expect-error The types of opendir do not know the encoding that Node's other readers of folders have.
      for await (const entry of await opendir(folder, { encoding: 'buffer', bufferSize: 128 })) {
        if (signal.aborted) return;
        const path = Buffer.concat([prefix, Buffer.from(entry.name)]);
        if (entry.isDirectory()) folders.push(path);
        else {
          const stat = statOf(path);
          if (stat === undefined || !entry.isSymbolicLink()) yield { path, size: stat?.size ?? 0 };
        }
      }
    } catch {
      yield { path: folder, size: 0 };
    }
  }
}

function statOf(path: Buffer): Stats | undefined {
  try {
    return statSync(path); // a promise of it takes longer than hashing a small file
  } catch {
    return undefined;
  }
}
