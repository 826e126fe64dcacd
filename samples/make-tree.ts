// Makes a folder to try hash-tree.ts on: files of mixed sizes, most of them small and a few large, of bytes that look
// random. The same numbers make the same files every time:
//
//   node dist/samples/make-tree.js FOLDER [--files N] [--bytes N]
//
// --files N  how many, 100 in a folder (default: 4000)
// --bytes N  how many in all of them together (default: 2147483648). A million small ones: --files 1000000 --bytes 300000000

import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const FILES_IN_FOLDER = 100;
/** Sizes are spread evenly over so many powers of e: the largest is about a thousand times as large as the smallest. */
const SPREAD = 7;
const BUFFER_BYTES = 4 * 1024 * 1024;

/** Mulberry32: a number from 0 up to 1, the same ones in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function makeTree(root: string, files: number, bytes: number): void {
  const random = generator(2010);
  const buffer = Buffer.from(Uint32Array.from({ length: BUFFER_BYTES / 4 }, () => random() * 2 ** 32).buffer);
  const weights = Float64Array.from({ length: files }, () => Math.exp(SPREAD * random()));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let folder = '';
  let [weightSoFar, bytesSoFar] = [0, 0];
  for (const [i, weight] of weights.entries()) {
    if (i % FILES_IN_FOLDER === 0) mkdirSync(folder = join(root, String(i / FILES_IN_FOLDER)), { recursive: true });
    const file = openSync(join(folder, `file ${i}`), 'w');
    weightSoFar += weight;
    // Rounded as a sum, so that they come to exactly `bytes`.
    for (const end = Math.round((weightSoFar / total) * bytes); bytesSoFar < end;) {
      const start = Math.floor(random() * (BUFFER_BYTES / 2));
      bytesSoFar += writeSync(file, buffer, start, Math.min(BUFFER_BYTES - start, end - bytesSoFar));
    }
    closeSync(file);
  }
}

try {
  const { values, positionals: [root = '', ...others] } = parseArgs({ allowPositionals: true, options: { files: { type: 'string', default: '4000' }, bytes: { type: 'string', default: '2147483648' } } });
  if (root === '' || others.length > 0 || !/^\d+ \d+$/.test(`${values.files} ${values.bytes}`)) throw new Error('it takes FOLDER [--files N] [--bytes N]');
  makeTree(root, Number(values.files), Number(values.bytes));
} catch (error) {
  process.stderr.write(`Cannot make the tree: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
