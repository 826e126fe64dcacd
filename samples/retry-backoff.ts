// Tries a job again that threw, later and later: a loop around `run()`.
// The pool itself tries again only what its worker's death or a timeout cut short (`retries`), as nobody but you knows which
// errors pass: here those with the code EAGAIN do.
// Between two tries the job holds no worker. The wait doubles, and half of it is chance, so that many do not come back together.
// One signal ends all of it: the tries that run, those that wait for a worker, and the pauses. Press Ctrl-C in a pause.
// Options: --base-ms 200, --tries 5

import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

interface Job { name: string; failures: number; attempt: number }

/** Runs in the workers: fails as often as it is to. */
export default function flaky({ name, failures, attempt }: Job): string {
  if (failures === Infinity) throw new Error(`${name} is broken`);
  if (attempt <= failures) throw Object.assign(new Error(`${name} is busy`), { code: 'EAGAIN' });
  return `${name} done`;
}

interface Patience { tries: number; baseMs: number; signal: AbortSignal }

/** Calls until it resolves, at most so often; what does not pass is thrown at once. */
async function retry<Value>(call: (attempt: number) => Promise<Value>, { tries, baseMs, signal }: Patience): Promise<Value> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(attempt);
    } catch (error) {
      const mayPass = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (!mayPass || attempt === tries) throw error;
      console.log(`${error.message}, try ${attempt}`);
      await setTimeout(baseMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2), undefined, { signal });
    }
  }
}

async function main(): Promise<void> {
  const type = 'string';
  const { values: { 'base-ms': baseMs = '200', tries = '5' } } = parseArgs({ options: { 'base-ms': { type }, tries: { type } } });
  const pool = new ProcessPool<typeof import('./retry-backoff.ts')>(import.meta.url, { workers: 2 });
  const controller = new AbortController();
  const { signal } = controller;
  const over = pool.join().then(report => { // Ctrl-C ends the pool; the pauses end with it
    controller.abort();
    return report;
  });

  const found = [['a', 0], ['b', 2], ['c', 9], ['d', Infinity]] as const;
  await Promise.all(found.map(async ([name, failures]) => {
    const patience = { tries: Number(tries), baseMs: Number(baseMs), signal };
    await retry(attempt => pool.run({ name, failures, attempt }, { signal }), patience).then(
      value => console.log(value),
      (error: unknown) => console.log(`${name} given up: ${String(error)}`),
    );
  }));

  pool.jobs.close();
  const report = await over;
  console.log(`${report.outcome}: ${report.fulfilled} tries succeeded, ${report.rejected} failed`);
  process.exitCode = report.exitCode;
}

if (!isWorker) await main();
