// 2016: a hundred workers wait three seconds each, and Ctrl-C makes no stack trace.
// In the first program of the post of 2016 Ctrl-C reached every worker of the pool, and each printed a stack trace, with
// the parent's among them. Here the workers ignore Ctrl-C, and the parent alone answers it. Press it at any moment: not
// one line on stderr, and the report says what became of each job.
// Options: --workers 100, --job-ms 3000

import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

interface Job { n: number; ms: number }

/** The work function. Every worker loads this file for it. */
export default async function hello({ n, ms }: Job): Promise<string> {
  console.log(`worker ${process.pid}: hello, job ${n}`);
  await setTimeout(ms);
  return `bye from ${process.pid}`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { workers: { type: 'string' }, 'job-ms': { type: 'string' } } });
  const { workers = 100, 'job-ms': ms = 3000 } = values;
  console.log(`parent ${process.pid}: ${workers} jobs, press Ctrl-C`);

  const pool = new ProcessPool<typeof hello>(import.meta.url, { workers: Number(workers) });
  for (let n = 1; n <= Number(workers); n++) pool.jobs.put({ n, ms: Number(ms) });
  pool.jobs.close();
  const report = await pool.join();

  for (const result of pool.results.drain()) {
    console.log(`job ${result.job.n}: ${result.status === 'fulfilled' ? result.value : result.reason}`);
  }
  console.log(`${report.outcome}: ${report.fulfilled} done, ${report.lost.length} lost, ${report.pending.length} pending`);
  process.exitCode = report.exitCode;
}

if (!isWorker) await main();
