// SHA-256 of every file under a folder, on all cores: the files are found while the first of them are being
// hashed, each result is written as it comes, and Ctrl-C ends it at once and keeps what was done.
//
//   npm start -- [folder] [--out FILE] [--workers N]

import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ProcessPool } from 'drainpool';
import { findFiles } from './find-files.ts';
import { tally } from './hash-file.ts';
import type { Hashed } from './hash-file.ts';

const HELP = `SHA-256 of every file under a folder, on all cores

  npm start -- [folder] [--out FILE] [--workers N]

folder       what to hash (default: the node_modules of this repository)
--out FILE   gets a line of JSON for every file as it is done: path, bytes, mtimeMs, sha256; or path, error
             (pathBase64 if a name is not UTF-8). It should not lie in the folder
--workers N  how many processes hash (default: one for each core)

Regular files are hashed, links are not followed, as with find -type f. An error is: a file or folder that
cannot be read or is gone when its turn comes, a broken link, a FIFO, a socket, a device.
Exit code: 0 if all went well, 1 if there were errors, 130 after Ctrl-C, when FILE has what was done.
`;

const isCompiled = import.meta.url.endsWith('.js');
const WORKER = new URL(isCompiled ? './hash-file.js' : './hash-file.ts', import.meta.url);
const NODE_MODULES = new URL(isCompiled ? '../../node_modules' : '../node_modules', import.meta.url);

/** How often the progress is shown: on a terminal, where one line is rewritten; in a log, where each is a new line. */
const TERMINAL_EVERY_MS = 100;
const LOG_EVERY_MS = 5000;

/** Hashes what is under the folder, and resolves to the exit code. */
async function hashTree(folder: string, out: string | undefined, workers: number): Promise<number> {
  if (!statSync(folder).isDirectory()) throw new Error(`${folder} is not a folder`);
  const file = out === undefined ? undefined : await open(out, 'w');
  // A job is a batch of files: a few hundred of them waiting are plenty.
  const pool = new ProcessPool<typeof import('./hash-file.ts')>(WORKER, { workers, jobCapacity: 256, resultCapacity: 256 });
  // While the pool lives it answers Ctrl-C; what comes later must not cut off the last line or the summary.
  process.on('SIGINT', () => {});

  const over = new AbortController();
  const sum = { done: 0, failed: 0, bytes: 0, left: 0 };
  let isFound = false;
  let settled = 0;
  // A batch may hand back large files, so the last job is known only when all have their result.
  const closeAtEnd = (): void => {
    if (isFound && settled === pool.stats().jobs.submitted) pool.jobs.close();
  };
  const find = async (): Promise<void> => {
    await pool.jobs.putAll(findFiles(folder, over.signal));
    isFound = true;
    closeAtEnd();
  };
  const read = async (): Promise<void> => {
    for await (const result of pool.results) {
      // A batch is rejected as a whole, and only if its worker died.
      const { done, failed, bytes, lines, large } = result.status === 'fulfilled' ? result.value : tally(result.job, () => { throw result.reason; });
      sum.done += done;
      sum.failed += failed;
      sum.bytes += bytes;
      await file?.appendFile(lines); // a disk that is slower than the workers holds them back
      for (const path of large) void pool.jobs.put([path]).then(isTaken => { if (!isTaken) sum.left++; });
      settled++;
      closeAtEnd();
    }
  };

  const hideProgress = showProgress(sum);
  try {
    await Promise.all([find(), read()]);
  } finally {
    hideProgress();
    over.abort();
    await pool[Symbol.asyncDispose]();
    await file?.close();
  }
  const { outcome, exitCode, lost, pending } = await pool.join();
  const undone = outcome === 'completed' ? '' : `, ${lost.flat().length} lost, ${pending.flat().length + sum.left} pending`;
  process.stderr.write(`${outcome}: ${describe(sum)}${undone}\n`);
  return exitCode === 0 && sum.failed > 0 ? 1 : exitCode;
}

type Sum = Pick<Hashed, 'done' | 'failed' | 'bytes'>;

function describe({ done, failed, bytes }: Sum): string {
  const seconds = performance.now() / 1000; // since the process was started
  const megabytes = bytes / 1e6;
  return `${done} done, ${failed} failed, ${megabytes.toFixed(1)} MB in ${seconds.toFixed(1)} s, ${(megabytes / seconds).toFixed(1)} MB/s`;
}

/** Shows the sum on stderr from time to time, until the function that it returns is called. */
function showProgress(sum: Sum): () => void {
  const { stderr } = process;
  const show = (): void => {
    if (stderr.isTTY) stderr.write(`\r${describe(sum).slice(0, (stderr.columns || 80) - 1)}\x1b[K`);
    else stderr.write(`${describe(sum)}\n`);
  };
  const timer = setInterval(show, stderr.isTTY ? TERMINAL_EVERY_MS : LOG_EVERY_MS).unref();
  return () => {
    clearInterval(timer);
    if (stderr.isTTY) stderr.write('\r\x1b[K');
  };
}

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { out: { type: 'string' }, workers: { type: 'string' }, help: { type: 'boolean' } },
  });
  const [folder = fileURLToPath(NODE_MODULES), ...others] = positionals;
  if (others.length > 0) throw new Error(`one folder is what it takes: received ${positionals.length}`);
  if (values.help === true) process.stdout.write(HELP);
  else process.exitCode = await hashTree(folder, values.out, Number(values.workers ?? availableParallelism()));
} catch (error) {
  process.stderr.write(`Cannot hash the tree: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
