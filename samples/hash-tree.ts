// SHA-256 of every file under a folder, on all cores: files are found while the first of them are being hashed, every result
// is written as it comes, Ctrl-C ends it at once and keeps what was done, and --resume goes on from there.

import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { parseArgs } from 'node:util';
import { ProcessPool } from 'drainpool';
import { findFiles, keepWhatHolds } from './find-files.ts';
import { lineOf } from './hash-file.ts';

const HELP = `SHA-256 of every file under a folder: npm start -- [folder] [--out FILE [--resume]] [--workers N]

folder       what to hash (default: node_modules)
--out FILE   gets a line of JSON for every file as it is done: path, bytes, mtimeMs, sha256; or path, error
             (pathBase64 if a name is not UTF-8). FILE should not lie in the folder
--resume     go on with FILE, of the same folder: files whose size and mtimeMs it has are passed over
--workers N  how many processes hash (default: one for each core)

Regular files are hashed, links are not followed, as with find -type f. An error is: a file or folder that
cannot be read or is gone when its turn comes, a broken link, a FIFO, a socket, a device.
Exit code: 0 if all went well, 1 if there were errors, 130 after Ctrl-C, when FILE has what was done.
`;

const SHOW_EVERY_MS = process.stderr.isTTY ? 100 : 5000; // on a terminal one line is rewritten, elsewhere each is a new one
const sum = { done: 0, failed: 0, bytes: 0 };
const summary = (): string => {
  const [seconds, megabytes] = [performance.now() / 1000, sum.bytes / 1e6]; // seconds since the process was started
  return `${sum.done} done, ${sum.failed} failed, ${megabytes.toFixed(1)} MB in ${seconds.toFixed(1)} s, ${(megabytes / seconds).toFixed(1)} MB/s`;
};
const say = (text: string, end = '\n'): void => { process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}${end}` : `${text}\n`); };
process.stderr.on('error', () => {}); // whoever read it has gone: no reason to stop

/** Hashes what is under the folder, and resolves to the exit code. */
async function hashTree(folder: string, out: string | undefined, isResumed: boolean, workers: number): Promise<number> {
  if (!statSync(folder).isDirectory()) throw new Error(`${folder} is not a folder`);
  const known = isResumed && out !== undefined ? await keepWhatHolds(out) : new Set<string>();
  const worker = new URL(`./hash-file${extname(import.meta.url)}`, import.meta.url);
  // A job is a batch of files: a few hundred that wait are plenty.
  const pool = new ProcessPool<typeof import('./hash-file.ts')>(worker, { workers, jobCapacity: 256, resultCapacity: 256 });
  const file = out === undefined ? undefined : await open(out, isResumed ? 'a' : 'w');
  let size = (await file?.stat())?.size ?? 0;
  process.on('SIGINT', () => {}); // the pool answers Ctrl-C while it lives; a late one must not cut off a line, or the summary
  const progress = setInterval(() => say(summary().slice(0, (process.stderr.columns || 1000) - 1), ''), SHOW_EVERY_MS).unref();
  const found = pool.jobs.putAll(findFiles(folder, known, () => pool.jobs.closed)).finally(() => pool.jobs.close());
  try {
    for await (const { job, ...result } of pool.results) {
      // A batch is rejected as a whole, and only if its worker died: files have errors of their own.
      const { failed, bytes, lines } = result.status === 'fulfilled' ? result.value
        : { failed: job.length, bytes: 0, lines: job.map(path => lineOf(path, result.reason)).join('') };
      sum.done += job.length - failed;
      sum.failed += failed;
      sum.bytes += bytes;
      await file?.appendFile(lines); // a disk that is slower than the workers holds them back
      size += Buffer.byteLength(lines);
    }
    await found;
  } finally {
    clearInterval(progress);
    await pool[Symbol.asyncDispose]();
    await file?.truncate(size).catch(() => {}); // a disk that became full has half a line; a pipe has no size
    await file?.close();
  }
  const { outcome, exitCode, lost, pending } = await pool.join();
  const left = outcome === 'completed' ? '' : `, ${lost.flat().length} lost, ${pending.flat().length} pending`;
  say(`${outcome}: ${summary()}${isResumed ? `, ${known.size} kept` : ''}${left}`);
  return exitCode === 0 && sum.failed > 0 ? 1 : exitCode;
}

try {
  const { values: { out, resume = false, workers, help }, positionals: [folder = 'node_modules', ...others] } = parseArgs({ allowPositionals: true, options: {
    out: { type: 'string' }, resume: { type: 'boolean' }, workers: { type: 'string' }, help: { type: 'boolean' },
  } });
  if (others.length > 0) throw new Error(`it takes one folder: received ${others.length + 1}`);
  if (resume && out === undefined) throw new Error('--resume goes with --out FILE, which tells what is done');
  if (help === true) process.stdout.write(HELP);
  else process.exitCode = await hashTree(folder, out, resume, Number(workers ?? availableParallelism()));
} catch (error) {
  say(`Cannot hash the tree: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
