// The post of 2011, "The Python Multiprocessing Queue and Large Objects": workers took items until their queue said
// that it was empty, and left. With items of 1 MB that lost some in every second run, as `put` returned before the data
// had left; so does `process.send`. The answer, there and here: a sentinel after the last item.
// Both loops below pass four items to two workers and back, as often as 2 s allow: how many runs lost nothing?
// It takes half a minute, and up to a gigabyte of memory. Press Ctrl-C when you have seen enough.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';
import type { JobReader, ResultWriter } from 'drainpool';

const { values, positionals: [role] } = parseArgs({
  allowPositionals: true,
  options: { kb: { type: 'string', default: '1,64,256,1024,16384,65536' }, 'cell-ms': { type: 'string', default: '2000' } },
});
const [ITEMS, WORKERS, MOST_RUNS] = [4, 2, 20];
const work = (): Promise<void> => setTimeout(20); // meanwhile the next item has time to arrive

/** Trusts "empty", and does not wait for what it sends. */
async function trustingWorker(): Promise<void> {
  const items: unknown[] = [];
  process.on('message', item => items.push(item));
  for (await once(process, 'message'); items.length > 0; process.send?.(items.shift())) await work();
  process.exit(); // all is done, it seems
}

async function trusting(item: Buffer): Promise<number> {
  let count = 0;
  const file = fileURLToPath(import.meta.url);
  const workers = Array.from({ length: WORKERS }, () => fork(file, ['trusting'], { serialization: 'advanced' }));
  for (const child of workers) child.on('message', () => count++).on('error', () => {}); // it left before all was sent to it
  for (let i = 0; i < ITEMS; i++) workers[i % WORKERS]?.send(item);
  await Promise.all(workers.map(async child => {
    const isRead = new Promise(resolve => child.on('disconnect', resolve));
    await new Promise(resolve => child.on('exit', resolve));
    await Promise.race([isRead, setTimeout(3000)]); // for the rest of a message that the exit cut short Node may wait for ever
  }));
  return count;
}

/** Ends at its sentinel, and each result has left before it asks for the next item. */
export async function worker(items: JobReader<Buffer>, results: ResultWriter<Buffer>): Promise<void> {
  for await (const item of items) {
    await work();
    await results.put(item);
  }
}

async function withSentinels(item: Buffer): Promise<number> {
  const pool = new ProcessPool<typeof import('./large-objects.ts')>(import.meta.url, { workers: WORKERS });
  for (let i = 0; i < ITEMS; i++) pool.jobs.put(item);
  pool.jobs.close();
  await pool.join();
  return pool.results.drain().filter(result => result.status === 'fulfilled' && result.value.equals(item)).length;
}

/** In how many percent of the runs all items came back. */
async function whole(run: (item: Buffer) => Promise<number>, item: Buffer): Promise<number> {
  const counts: number[] = [];
  const endMs = performance.now() + Number(values['cell-ms']);
  do counts.push(await run(item)); while (!isInterrupted && counts.length < MOST_RUNS && performance.now() < endMs);
  return Math.round(100 * counts.filter(count => count === ITEMS).length / counts.length);
}

let isInterrupted = false;
if (role === 'trusting') await trustingWorker();
else if (!isWorker) {
  process.once('SIGINT', () => { isInterrupted = true; });
  console.log('   items of   trusting "empty"   with sentinels');
  let worst = 100;
  for (const kB of values.kb.split(',')) {
    const row: number[] = [];
    for (const run of [trusting, withSentinels]) if (!isInterrupted) row.push(await whole(run, Buffer.alloc(Number(kB) * 1024)));
    if (isInterrupted) break;
    worst = Math.min(worst, ...row);
    console.log(`${kB.padStart(8)} kB${row.map(percent => `${percent} %`.padStart(17)).join('')}`);
  }
  if (isInterrupted) process.exitCode = 130;
  else if (worst === 100) console.log('Nothing was lost here: larger items, `--kb 1024`, may show it');
}
