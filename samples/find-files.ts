// Finds the files of hash-tree.ts: those under a folder, while the first of them are being hashed already, and those that
// an earlier run has done. A path is one character for each of its bytes ('latin1') throughout: not every name is UTF-8.

import { createReadStream, createWriteStream, existsSync, lstatSync } from 'node:fs';
import type { Dirent } from 'node:fs';
import { opendir, rename } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

const BATCH_FILES = 64; // to send one small file by itself costs more than to hash it: 20,000 of them took four times as long
const LARGE_BYTES = 256 * 1024; // a large file is a batch by itself: so no worker is left with many of them at the end

const bytesOf = (path: string): Buffer => Buffer.from(path, 'latin1');
const sizeOf = (path: string): number => { try { return lstatSync(bytesOf(path)).size; } catch { return 0; } }; // the worker will see

/** Gives batches of paths: of every regular file that is not known, and of whatever is not as it should be (a broken link, a
 * folder that cannot be listed, a FIFO, a socket, a device), as the worker will find out why. Links that lead somewhere are
 * passed over, as `find -type f` does: so a loop of them is never entered. Stops soon after nobody wants more. */
export async function* findFiles(root: string, known: ReadonlySet<string>, isOver: () => boolean): AsyncGenerator<string[]> {
  const batch: string[] = [];
  const folders = [Buffer.from(root).toString('latin1')]; // no recursion: a deep tree is no deep stack
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      // @ts-expect-error Node's types do not know that opendir, too, gives names as bytes.
      const entries: AsyncIterable<Dirent<Buffer>> = await opendir(bytesOf(folder), { encoding: 'buffer', bufferSize: 128 });
      for await (const entry of entries) {
        if (isOver()) return;
        const path = folder.replace(/\/?$/, '/') + entry.name.toString('latin1');
        if (entry.isDirectory()) folders.push(path);
        else if (known.has(path) || (entry.isSymbolicLink() && existsSync(bytesOf(path)))) continue;
        else if (sizeOf(path) > LARGE_BYTES) yield [path];
        else if (batch.push(path) === BATCH_FILES) yield batch.splice(0);
      }
    } catch {
      batch.push(folder);
    }
  }
  if (batch.length > 0) yield batch;
}

/** Keeps the lines of FILE whose files have their size and `mtimeMs` still, and gives their paths (some 100 bytes of memory
 * each). Others go: errors, files that have changed or gone, a last line that was cut short. FILE is replaced in one step. */
export async function keepWhatHolds(file: string): Promise<Set<string>> {
  const known = new Set<string>();
  if (!existsSync(file)) return known;
  if (!lstatSync(file).isFile()) throw new Error(`--resume needs a regular file, to read and to replace: received ${file}`);
  await pipeline(createReadStream(file, 'utf8'), async function* (chunks: AsyncIterable<string>) {
    let rest = '';
    for await (const chunk of chunks) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      yield lines.filter(line => holds(line, known)).map(line => `${line}\n`).join('');
    }
  }, createWriteStream(`${file}.part`, { flush: true }));
  await rename(`${file}.part`, file);
  return known;
}

function holds(line: string, known: Set<string>): boolean {
  try {
    const { path, pathBase64, bytes, mtimeMs } = JSON.parse(line);
    const name = Buffer.from(path ?? pathBase64, path === undefined ? 'base64' : 'utf8');
    const stat = lstatSync(name); // a link in its place has a size of its own
    return stat.size === bytes && stat.mtimeMs === mtimeMs && known.size < known.add(name.toString('latin1')).size;
  } catch {
    return false; // no whole line, or the file is gone
  }
}
