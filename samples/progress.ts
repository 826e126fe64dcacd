// Progress: a bar with the rate, the time left and what the workers do; plain lines where nobody watches.
// From `stats()`, which costs nothing, ten times a second: not from the results, which may come by the million.
// On a terminal one line is written over and over, on stderr: stdout may go elsewhere. Else it is a line every ten per cent.
// The timer holds nobody up: it is not referenced. Press Ctrl-C: the bar stays as it was, and the sum is below it.
// Options: --jobs 400, --job-ms 20, --workers 4

import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';
import type { PoolStats } from 'drainpool';

const DRAW_EVERY_MS = 100;
const BAR_COLUMNS = 30;
/** Plain lines: so many in all. */
const STEPS = 10;

/** Runs in the workers. */
export default async function work(ms: number): Promise<void> {
  await setTimeout(ms);
}

/** Draws until the returned function is called, which draws once more. */
function progress(total: number, stats: () => PoolStats): () => void {
  const startMs = performance.now();
  let drawn = 0;
  const draw = (): void => {
    const { jobs, workers } = stats();
    const done = jobs.fulfilled + jobs.rejected;
    const rate = done / (performance.now() - startMs) * 1000;
    const left = done === total ? 'done' : rate === 0 ? '…' : `${Math.ceil((total - done) / rate)} s left`;
    const all = workers.busy + workers.idle + workers.starting;
    const words = `${done}/${total}  ${rate.toFixed(0)}/s  ${left}  ${workers.busy} of ${all} workers busy`;
    if (process.stderr.isTTY) {
      const filled = Math.round(done / total * BAR_COLUMNS);
      const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_COLUMNS - filled)} ${words}`;
      process.stderr.write(`\r\x1b[K${bar.slice(0, process.stderr.columns || 80)}`);
    } else if (Math.floor(done / total * STEPS) > drawn) {
      drawn = Math.floor(done / total * STEPS);
      process.stderr.write(`${words}\n`);
    }
  };
  const timer = setInterval(draw, DRAW_EVERY_MS).unref();
  return () => {
    clearInterval(timer);
    draw();
    if (process.stderr.isTTY) process.stderr.write('\n');
  };
}

async function main(): Promise<void> {
  const type = 'string';
  const { values } = parseArgs({ options: { jobs: { type }, 'job-ms': { type }, workers: { type } } });
  const { jobs: total = 400, 'job-ms': ms = 20, workers = 4 } = values;
  const pool = new ProcessPool<typeof import('./progress.ts')>(import.meta.url, { workers: Number(workers) });
  for (let n = 0; n < Number(total); n++) void pool.jobs.put(Number(ms));
  pool.jobs.close();

  const stop = progress(Number(total), () => pool.stats());
  const report = await pool.join();
  stop();

  console.log(`${report.outcome}: ${report.fulfilled} done, ${report.lost.length} lost, ${report.pending.length} pending`);
  process.exitCode = report.exitCode;
}

if (!isWorker) await main();
