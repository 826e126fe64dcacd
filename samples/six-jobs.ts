// The program of 2010, "Python Multiprocessing and KeyboardInterrupt": six jobs of two seconds on three workers. With
// a pool, Ctrl-C was swallowed by the jobs that ran, and the workers took the next ones. So its author wrote two queues
// and three processes by hand; but these left jobs undone now and then, and hung on results over 64 kB.
// Here Ctrl-C ends it at once, what was done is printed, and each of the six jobs is accounted for.
// Press Ctrl-C in the second round, when jobs 4 to 6 run: three results, three jobs lost, exit code 130.

import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

type Job = { number: number; ms: number };

/** Runs in the workers. */
export default async function work({ number, ms }: Job): Promise<string> {
  console.log(`worker ${process.pid} starts job ${number}`);
  await setTimeout(ms);
  return `job ${number} was done by worker ${process.pid}`;
}

if (!isWorker) {
  const { values: { 'job-ms': jobMs } } = parseArgs({ options: { 'job-ms': { type: 'string', default: '2000' } } });
  const pool = new ProcessPool<typeof import('./six-jobs.ts')>(import.meta.url, { workers: 3 });
  for (let number = 1; number <= 6; number++) pool.jobs.put({ number, ms: Number(jobMs) });
  pool.jobs.close(); // a sentinel for each worker follows the last job

  const report = await pool.join(); // every worker is gone, Ctrl-C or not
  for (const result of pool.results.drain()) if (result.status === 'fulfilled') console.log(result.value);

  const numbers = (jobs: Job[]): string => jobs.map(({ number }) => number).join(' ') || 'none';
  console.log(`${report.outcome}: ${report.fulfilled} done; lost: ${numbers(report.lost)}; pending: ${numbers(report.pending)}`);
  process.exitCode = report.exitCode; // 0; 1 if a job was rejected; 130 after Ctrl-C
}
