// 2016: every worker cleans up for three seconds; a second Ctrl-C ends that, where it made a deadlock.
// In the second program of the post of 2016 the workers caught Ctrl-C and cleaned up, while the parent closed and joined
// the pool. That went well for one Ctrl-C; a second one during the cleanup left all processes there for ever. Here the
// cleanup is the module's `teardown`. Press Ctrl-C once: it runs to its end. Press it again: it is over at once, and
// nobody is left. Whoever takes longer than `graceMs` is killed, even if nobody presses again: try --grace-ms 1000.
// Options: --workers 4, --job-ms 60000, --cleanup-ms 3000, --grace-ms 5000

import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

const say = (words: string): void => console.log(`worker ${process.pid}: ${words}`);

let cleanupMs = 0;

/** Once in each worker, before its first job. */
export function setup(workerData: number): void {
  cleanupMs = workerData;
}

export default async function work(ms: number): Promise<void> {
  say('works');
  await setTimeout(ms);
}

/** Once in each worker, before it leaves: after its last job as well as after Ctrl-C. */
export async function teardown(): Promise<void> {
  say('cleans up');
  await setTimeout(cleanupMs);
  say('is clean');
}

async function main(): Promise<void> {
  const type = 'string';
  const { values } = parseArgs({ options: { workers: { type }, 'job-ms': { type }, 'cleanup-ms': { type }, 'grace-ms': { type } } });
  const { workers = 4, 'job-ms': ms = 60_000, 'cleanup-ms': cleanup = 3000, 'grace-ms': grace = 5000 } = values;
  console.log(`parent ${process.pid}: press Ctrl-C, and again during the cleanup`);

  const options = { workers: Number(workers), workerData: Number(cleanup), graceMs: Number(grace) };
  const pool = new ProcessPool<typeof work>(import.meta.url, options);
  for (let n = 0; n < options.workers; n++) pool.jobs.put(Number(ms));
  pool.jobs.close();
  const report = await pool.join(); // resolves when every worker is gone, and not before

  for (const { pid, exitCode, signal } of report.workers) console.log(`worker ${pid}: ${signal ?? `exit code ${exitCode}`}`);
  console.log(`${report.outcome}: ${report.fulfilled} done, ${report.lost.length} lost, ${report.pending.length} pending`);
  process.exitCode = report.exitCode;
}

if (!isWorker) await main();
