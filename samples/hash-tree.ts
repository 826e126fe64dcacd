// SHA-256 of every file under a folder, on all cores: the files are found while the first of them are being
// hashed, each result is written as it comes, and Ctrl-C ends it at once and keeps what was done.
//
//   npm start -- [folder] [--out FILE] [--workers N]

import { isUtf8 } from 'node:buffer';
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ProcessPool } from 'drainpool';
import { findFiles } from './find-files.ts';
import type { Outcome } from './hash-file.ts';

const HELP = `SHA-256 of every file under a folder, on all cores

  npm start -- [folder] [--out FILE] [--workers N] [--help]

folder       what to hash; without it: the node_modules of this repository
--out FILE   write a line of JSON for every file as it is done: path, bytes, mtimeMs, sha256, or path, error;
             pathBase64 instead of path where a name is not UTF-8. FILE should not lie in the folder
--workers N  how many processes hash; without it: one for each core

Only regular files are hashed, and links are not followed, as with find -type f. What is not as it should be
is an error: broken links, files and folders that cannot be read or that are gone when their turn comes,
FIFOs, sockets and devices. Ctrl-C ends it at once, and what was done is in FILE, in whole lines.

Exit code: 0 if every file was hashed, 1 if not, 130 after Ctrl-C.
`;

const isCompiled = import.meta.url.endsWith('.js');
const WORKER = new URL(isCompiled ? './hash-file.js' : './hash-file.ts', import.meta.url);
const NODE_MODULES = new URL(isCompiled ? '../../node_modules' : '../node_modules', import.meta.url);

/** How often the progress is shown: on a terminal, where one line is rewritten; in a log, where each is a new line. */
const TERMINAL_EVERY_MS = 100;
const LOG_EVERY_MS = 5000;

interface Sum {
  done: number;
  failed: number;
  bytes: number;
}

/** Hashes what is under the folder, and resolves to the exit code. */
async function hashTree(folder: string, out: string | undefined, workers: number): Promise<number> {
  if (!statSync(folder).isDirectory()) throw new Error(`${folder} is not a folder`);
  const file = out === undefined ? undefined : await open(out, 'w');
  // A job is a batch of files: a few hundred of them waiting are plenty.
  const pool = new ProcessPool<typeof import('./hash-file.ts')>(WORKER, { workers, jobCapacity: 256, resultCapacity: 256 });
  // While the pool lives it answers Ctrl-C; what comes later must not cut off the last line or the summary.
  process.on('SIGINT', () => {});

  const over = new AbortController();
  const find = async (): Promise<void> => {
    await pool.jobs.putAll(findFiles(folder, over.signal));
    pool.jobs.close();
  };
  const sum: Sum = { done: 0, failed: 0, bytes: 0 };
  const read = async (): Promise<void> => {
    for await (const result of pool.results) {
      // A batch is rejected as a whole only if its worker died.
      const outcomes = result.status === 'fulfilled' ? result.value : result.job.map(() => ({ error: String(result.reason) }));
      for (const outcome of outcomes) count(outcome, sum);
      const lines = result.job.map((path, i) => JSON.stringify({ ...nameOf(path), ...outcomes[i] }) + '\n');
      await file?.appendFile(lines.join('')); // a disk that is slower than the workers holds them back
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
  const undone = outcome === 'completed' ? '' : `, ${lost.flat().length} lost, ${pending.flat().length} pending`;
  process.stderr.write(`${outcome}: ${describe(sum)}${undone}\n`);
  return exitCode === 0 && sum.failed > 0 ? 1 : exitCode;
}

function nameOf(path: Buffer): { path: string } | { pathBase64: string } {
  return isUtf8(path) ? { path: path.toString() } : { pathBase64: path.toString('base64') };
}

function count(outcome: Outcome, sum: Sum): void {
  if ('error' in outcome) sum.failed++;
  else {
    sum.done++;
    sum.bytes += outcome.bytes;
  }
}

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
