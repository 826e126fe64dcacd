// The program of 2012, "Python Multiprocessing and KeyboardInterrupt Revisited", and the answer that it discusses: an
// initialiser makes the workers ignore SIGINT, the parent closes and joins. That worked only thanks to a `sleep` before
// the `join`, which no Ctrl-C could interrupt; and results that were done were out of reach.
// Here workers ignore SIGINT by themselves, `setup` is for what your jobs need, and `join()` ends at once on Ctrl-C.
// Press Ctrl-C when some counts are done: they are printed.

import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

const STEP = 100_000;
const primes: number[] = [];
let jobMs = 0;

/** Runs once in each worker, before its first job; `workerData` comes from the pool's options. */
export function setup(workerData: { limit: number; jobMs: number }): void {
  jobMs = workerData.jobMs;
  const isComposite = new Uint8Array(workerData.limit);
  for (let n = 2; n < workerData.limit; n++) {
    if (isComposite[n] === 1) continue;
    primes.push(n);
    for (let multiple = n * n; multiple < workerData.limit; multiple += n) isComposite[multiple] = 1;
  }
  console.log(`worker ${process.pid} has a table of ${primes.length} primes`);
}

/** Runs once for each job. */
export default async function count(from: number): Promise<number> {
  console.log(`worker ${process.pid} counts from ${from}`);
  await setTimeout(jobMs);
  return primes.filter(prime => prime >= from && prime < from + STEP).length;
}

if (!isWorker) {
  const { values } = parseArgs({ options: { 'job-ms': { type: 'string', default: '2000' } } });
  const pool = new ProcessPool<typeof import('./init-worker.ts')>(import.meta.url, {
    workers: 3,
    workerData: { limit: 6 * STEP, jobMs: Number(values['job-ms']) },
  });
  for (let i = 0; i < 6; i++) pool.jobs.put(i * STEP);
  pool.jobs.close();

  const report = await pool.join(); // at once, with no sleep in front of it
  for (const result of pool.results.drain().sort((a, b) => a.id - b.id)) {
    if (result.status === 'fulfilled') console.log(`${result.value} primes from ${result.job} on`);
  }
  console.log(`${report.outcome}: ${report.fulfilled} of ${report.submitted} counted`);
  process.exitCode = report.exitCode;
}
