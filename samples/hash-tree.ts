// SHA-256 of every file under a folder, on all cores: files are found while the first of them are being hashed,
// every result is written as it comes, and Ctrl-C ends it at once and keeps what was done.

import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ProcessPool } from 'drainpool';
import { findFiles } from './find-files.ts';
import { describe } from './hash-file.ts';

const HELP = `SHA-256 of every file under a folder, on all cores

  npm start -- [folder] [--out FILE] [--workers N]

folder       what to hash (default: the node_modules of this repository)
--out FILE   gets a line of JSON for every file as it is done: path, bytes, mtimeMs, sha256; or path, error
             (pathBase64 if a name is not UTF-8). FILE should not lie in the folder
--workers N  how many processes hash (default: one for each core)

Regular files are hashed, links are not followed, as with find -type f. An error is: a file or folder that
cannot be read or is gone when its turn comes, a broken link, a FIFO, a socket, a device.
Exit code: 0 if all went well, 1 if there were errors, 130 after Ctrl-C, when FILE has what was done.
`;

const isCompiled = import.meta.url.endsWith('.js');
const WORKER = new URL(isCompiled ? './hash-file.js' : './hash-file.ts', import.meta.url);
const NODE_MODULES = new URL(isCompiled ? '../../node_modules' : '../node_modules', import.meta.url);

/** How often the progress is shown: on a terminal, where one line is rewritten; elsewhere, where each is a new one. */
const REWRITE_EVERY_MS = 100;
const WRITE_EVERY_MS = 5000;

const sum = { done: 0, failed: 0, bytes: 0 };

/** Hashes what is under the folder, and resolves to the exit code. */
async function hashTree(folder: string, out: string | undefined, workers: number): Promise<number> {
  if (!statSync(folder).isDirectory()) throw new Error(`${folder} is not a folder`);
  // A job is a batch of files: a few hundred that wait are plenty.
  const pool = new ProcessPool<typeof import('./hash-file.ts')>(WORKER, { workers, jobCapacity: 256, resultCapacity: 256 });
  const file = out === undefined ? undefined : await open(out, 'w');
  // The pool answers Ctrl-C as long as it lives; a late one must not cut off the last line, or the summary.
  process.on('SIGINT', () => {});

  const over = new AbortController();
  let isAllFound = false;
  let resultsRead = 0;
  let notTaken = 0;
  const closeAtLast = (): void => {
    // A result may bring new jobs, large files: so no job is known to be the last before the last result.
    if (isAllFound && resultsRead === pool.stats().jobs.submitted) pool.jobs.close();
  };
  const found = pool.jobs.putAll(findFiles(folder, over.signal)).then(() => {
    isAllFound = true;
    closeAtLast();
  });
  const read = async (): Promise<void> => {
    for await (const result of pool.results) {
      // A batch is rejected as a whole, and only if its worker died: files have errors of their own.
      const hashed = result.status === 'fulfilled' ? result.value : describe(result.job, () => { throw result.reason; });
      sum.done += hashed.done;
      sum.failed += hashed.failed;
      sum.bytes += hashed.bytes;
      for (const path of hashed.large) void pool.jobs.put([path]).then(isTaken => { if (!isTaken) notTaken++; });
      resultsRead++;
      closeAtLast();
      await file?.appendFile(hashed.lines); // a disk that is slower than the workers holds them back
    }
  };

  const progress = setInterval(showProgress, process.stderr.isTTY ? REWRITE_EVERY_MS : WRITE_EVERY_MS).unref();
  try {
    await Promise.all([found, read()]);
  } finally {
    clearInterval(progress);
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    over.abort();
    await pool[Symbol.asyncDispose]();
    await file?.close();
  }
  const { outcome, exitCode, lost, pending } = await pool.join();
  const undone = outcome === 'completed' ? '' : `, ${lost.flat().length} lost, ${pending.flat().length + notTaken} pending`;
  process.stderr.write(`${outcome}: ${summary()}${undone}\n`);
  return exitCode === 0 && sum.failed > 0 ? 1 : exitCode;
}

function summary(): string {
  const seconds = performance.now() / 1000; // since the process was started
  const megabytes = sum.bytes / 1e6;
  return `${sum.done} done, ${sum.failed} failed, ${megabytes.toFixed(1)} MB in ${seconds.toFixed(1)} s, ${(megabytes / seconds).toFixed(1)} MB/s`;
}

function showProgress(): void {
  const { stderr } = process;
  stderr.write(stderr.isTTY ? `\r${summary().slice(0, (stderr.columns || 80) - 1)}\x1b[K` : `${summary()}\n`);
}

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { out: { type: 'string' }, workers: { type: 'string' }, help: { type: 'boolean' } },
  });
  const [folder = fileURLToPath(NODE_MODULES), ...others] = positionals;
  if (others.length > 0) throw new Error(`it takes one folder: received ${positionals.length}`);
  if (values.help === true) process.stdout.write(HELP);
  else process.exitCode = await hashTree(folder, values.out, Number(values.workers ?? availableParallelism()));
} catch (error) {
  process.stderr.write(`Cannot hash the tree: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
