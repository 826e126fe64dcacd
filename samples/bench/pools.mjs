// The pools that are compared, behind one small interface, each with the settings that README.md gives reasons for:
//
//   run(job)                  one job, one promise
//   stream(count, jobs, each) so many jobs from an iterator; `each` gets every value, in any order
//   close()

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const url = name => new URL(name, import.meta.url);
const path = name => fileURLToPath(url(name));

/** Those that know promises only: so many calls are under way at once. */
function withCalls(run, close, underWay) {
  const stream = async (count, jobs, each) => {
    let left = count;
    const caller = async () => { while (left-- > 0) each(await run(jobs.next().value)); };
    await Promise.all(Array.from({ length: Math.min(underWay, count) }, caller));
  };
  return { run, stream, close };
}

/** `prefetch` is how many jobs may be with one worker, in pools that can; `advanced` asks for the structured clone. */
export const pools = {
  async drainpool({ workers, options = {} }) {
    const { ProcessPool } = await import('../../dist/lib/index.js');
    const pool = new ProcessPool(url('work.cjs'), { workers, ...options });
    const stream = async (count, jobs, each) => {
      const putting = pool.jobs.putAll(take(count, jobs));
      let left = count;
      for await (const { value } of pool.results) {
        each(value);
        if (--left === 0) break;
      }
      await putting;
    };
    const close = () => {
      pool.jobs.close();
      return pool.join();
    };
    return { run: job => pool.run(job), stream, close, pool };
  },

  /** No pool: what `child_process.fork` can do, with `batch` jobs in a message and two messages under way to each worker. */
  async bare({ workers, batch = 1 }) {
    const waiting = [];
    let arrived;
    const children = Array.from({ length: workers }, (_, i) => {
      const child = fork(path('bare-worker.mjs'), { serialization: 'advanced' });
      waiting[i] = [];
      child.on('message', values => arrived(values, child, i));
      return child;
    });
    const stream = (count, jobs, each) => new Promise(resolve => {
      let [unsent, left] = [count, count];
      const send = child => {
        const length = Math.min(batch, unsent);
        if (length === 0) return;
        unsent -= length;
        const message = new Array(length);
        for (let i = 0; i < length; i++) message[i] = jobs.next().value;
        child.send(message);
      };
      arrived = (values, child) => {
        send(child);
        for (let i = 0; i < values.length; i++) each(values[i]);
        left -= values.length;
        if (left === 0) resolve();
      };
      for (let window = 0; window < 2; window++) for (const child of children) send(child);
    });
    let resolveRun;
    const settle = values => resolveRun(values[0]);
    const run = job => {
      arrived = settle;
      return new Promise(resolve => {
        resolveRun = resolve;
        children[0].send([job]);
      });
    };
    const close = () => Promise.all(children.map(child => new Promise(resolve => {
      child.on('exit', resolve);
      child.disconnect();
    })));
    return { run, stream, close };
  },

  async tinypool({ workers, prefetch, advanced }) {
    const { default: Tinypool } = await import('tinypool');
    const pool = new Tinypool({
      filename: url('work.cjs').href, runtime: 'child_process', env: process.env, minThreads: workers, maxThreads: workers,
      concurrentTasksPerWorker: prefetch, ...(advanced && { serialization: 'advanced' }),
    });
    return withCalls(job => pool.run(job), () => pool.destroy(), workers * prefetch * 2);
  },

  async workerpool({ workers, prefetch, advanced }) {
    const { default: workerpool } = await import('workerpool');
    const pool = workerpool.pool(path('workerpool-worker.mjs'), {
      workerType: 'process', minWorkers: workers, maxWorkers: workers, ...(advanced && { forkOpts: { serialization: 'advanced' } }),
    });
    return withCalls(job => pool.exec('work', [job]), () => pool.terminate(), workers * prefetch * 2);
  },

  async 'jest-worker'({ workers, prefetch }) {
    const { Worker } = await import('jest-worker');
    const pool = new Worker(path('work.cjs'), { numWorkers: workers, exposedMethods: ['default'], enableWorkerThreads: false });
    return withCalls(job => pool.default(job), () => pool.end(), workers * prefetch * 2);
  },

  async 'worker-farm'({ workers, prefetch, advanced }) {
    const { default: workerFarm } = await import('worker-farm');
    const farm = workerFarm({
      maxConcurrentWorkers: workers, maxConcurrentCallsPerWorker: prefetch, autoStart: true,
      ...(advanced && { workerOptions: { serialization: 'advanced' } }),
    }, path('farm-worker.cjs'));
    const run = job => new Promise((resolve, reject) => farm(job, (error, value) => error ? reject(error) : resolve(value)));
    return withCalls(run, () => new Promise(resolve => { workerFarm.end(farm, resolve); }), workers * prefetch * 2);
  },

  async poolifier({ workers, prefetch, advanced }) {
    const { FixedClusterPool } = await import('poolifier');
    const pool = new FixedClusterPool(workers, path('poolifier-worker.cjs'), {
      enableTasksQueue: prefetch < 8, tasksQueueOptions: { concurrency: prefetch }, ...(advanced && { settings: { serialization: 'advanced' } }),
    });
    return withCalls(job => pool.execute(job), () => pool.destroy(), workers * prefetch * 2);
  },

  async piscina({ workers, prefetch }) {
    const { default: Piscina } = await import('piscina');
    const pool = new Piscina({ filename: url('work.cjs').href, minThreads: workers, maxThreads: workers, concurrentTasksPerWorker: prefetch });
    return withCalls(job => pool.run(job), () => pool.destroy(), workers * prefetch * 2);
  },
};

function* take(count, jobs) {
  while (count-- > 0) yield jobs.next().value;
}
