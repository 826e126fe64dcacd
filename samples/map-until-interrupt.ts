// What was added to the post of 2010 a year later: `pool.map_async(...).get(a huge timeout)`, three lines that exit at
// once on Ctrl-C. But `get` gives all or nothing: results that were done are out of reach.
// Here the results are read as they come, so that whatever was done is in hand when Ctrl-C ends the loop.
// Press Ctrl-C after a few squares: the list has gaps, and says so.

import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

/** Runs in the workers. */
export default async function square({ n, ms }: { n: number; ms: number }): Promise<number> {
  console.log(`worker ${process.pid} squares ${n}`);
  await setTimeout(ms);
  return n * n;
}

if (!isWorker) {
  const { values: { 'job-ms': jobMs } } = parseArgs({ options: { 'job-ms': { type: 'string', default: '2000' } } });
  const numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const pool = new ProcessPool<typeof import('./map-until-interrupt.ts')>(import.meta.url, { workers: 3 });
  for (const n of numbers) pool.jobs.put({ n, ms: Number(jobMs) });
  pool.jobs.close();

  const squares = new Map<number, number>();
  for await (const result of pool.results) { // ends after the last result, or at Ctrl-C
    if (result.status !== 'fulfilled') continue;
    squares.set(result.job.n, result.value);
    console.log(`${squares.size} of ${numbers.length} done: the square of ${result.job.n} is ${result.value}`);
  }

  const { outcome, exitCode } = await pool.join();
  console.log(`${outcome}: ${numbers.map(n => squares.get(n) ?? '-').join(' ')}`);
  process.exitCode = exitCode;
}
