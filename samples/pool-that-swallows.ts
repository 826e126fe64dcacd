// The "before": the pool of the post of 2010, "Python Multiprocessing and KeyboardInterrupt", as one writes it in
// Node without this library. It keeps three workers busy, replaces one that dies, and its parent survives Ctrl-C to
// print the results. But a terminal sends Ctrl-C to the workers, too: they die in the middle of their jobs, new workers
// take the next ones, the promises of the dead stay pending, and what was done is never printed. Exit code 13.
// Press Ctrl-C in the first round, or in the second; then try the repairs that come to mind:
// --shield nobody: all die, and every result with them; --shield everybody: Ctrl-C does nothing at all.

import { fork } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: { 'job-ms': jobMs, shield } } = parseArgs({
  options: { 'job-ms': { type: 'string', default: '2000' }, shield: { type: 'string', default: 'parent' } },
});

if (process.send === undefined) await main();
else worker();

function worker(): void {
  if (shield === 'everybody') process.on('SIGINT', () => {});
  process.on('message', async job => {
    console.log(`worker ${process.pid} starts job ${job}`);
    await setTimeout(Number(jobMs));
    process.send?.(`job ${job} was done by worker ${process.pid}`);
  });
}

async function main(): Promise<void> {
  if (shield !== 'nobody') process.on('SIGINT', () => console.log('the parent survives Ctrl-C'));
  const waiting: { job: number; resolve: (value: unknown) => void }[] = [];
  const promises = [1, 2, 3, 4, 5, 6].map(job => new Promise(resolve => { waiting.push({ job, resolve }); }));
  for (let i = 0; i < 3; i++) startWorker();
  for (const value of await Promise.all(promises)) console.log(value);

  function startWorker(): void {
    const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2));
    giveNext();
    child.on('exit', (_, signal) => {
      if (signal !== null && waiting.length > 0) startWorker();
    });

    function giveNext(): void {
      const next = waiting.shift();
      if (next === undefined) return child.disconnect(); // nothing is left to do: the worker ends
      child.once('message', value => {
        next.resolve(value);
        giveNext();
      });
      child.send(next.job);
    }
  }
}
