// The worker module of a schedule: each job does what its plan says, and every start and end is written into the books.

import type { JobContext, JobReader, ResultWriter } from '../../lib/types.ts';
import type { Books } from './books.ts';
import type { SimWorker } from './hosts.ts';
import type { JobPlan, Plan } from './plan.ts';

/** A value that tells which job it is: a number, a view or an object, by its size. */
export function valueOf(key: number, bytes: number): unknown {
  if (bytes < 100) return key;
  const view = new Uint8Array(bytes);
  new DataView(view.buffer).setFloat64(0, key);
  return bytes % 9000 === 0 ? { key: String(key), view } : view; // v8 writes the same number in one way or another, as it has it in memory
}

export function keyOf(value: unknown): number {
  if (typeof value === 'number') return value;
  if (value instanceof Uint8Array) return new DataView(value.buffer, value.byteOffset).getFloat64(0);
  return typeof value === 'object' && value !== null && 'key' in value ? Number(value.key) : -1;
}

/** Which attempt at which job a value, or what was thrown, comes from. */
export const signed = (key: number, attempt: number): number => key + attempt / 100;
export const jobOf = (sign: number): number => Math.floor(sign);

const never = <T>(): Promise<T> => new Promise(() => {});

export function moduleOf(worker: SimWorker, plan: Plan, books: Books): Record<string, unknown> {
  const { actor } = worker;
  const sleep = (ms: number): Promise<void> => new Promise(resolve => { actor.clock.setTimeout(resolve, ms); });

  /** What the job does before its end. */
  function takeTime({ how, ms, onAbort }: JobPlan, { signal, jobId }: JobContext): Promise<void> | undefined {
    if (how === 'computes') {
      actor.spend(ms);
      return undefined;
    }
    if (onAbort === 'nothing' || plan.kind === 'loop') return sleep(ms);
    return new Promise<void>((resolve, reject) => {
      const wait = books.waits(worker, jobId);
      actor.clock.setTimeout(() => {
        wait.untilMs = actor.now();
        resolve();
      }, ms);
      signal.addEventListener('abort', () => {
        wait.hasHeard = true;
        if (onAbort === 'returns') resolve();
        else reject(signal.reason);
      });
    });
  }

  function end(key: number, attempt: number): unknown {
    const job = plan.jobs[key]!;
    if (job.end !== 'returns') actor.machine.met.add(`a job that ${job.end}`);
    if (job.end === 'never' && job.how === 'computes') {
      worker.spinsInJob = plan.kind === 'function';
      actor.spend(Infinity);
    }
    if (job.end === 'never') return never();
    if (job.end === 'emits exit') worker.emitExit();
    if (job.end === 'exits') {
      worker.exit(9);
      return never();
    }
    if (job.end === 'is killed') {
      worker.die(null, 'SIGKILL', actor.now());
      return never();
    }
    if (job.end === 'throws') {
      books.ended(worker, key, attempt, 'threw');
      throw signed(key, attempt);
    }
    if (job.end === 'exits later') actor.clock.setImmediate(() => worker.exit(8));
    if (job.end === 'fails late') actor.clock.setImmediate(() => worker.fail(new Error('late')));
    if (job.end === 'spins later') actor.clock.setTimeout(() => actor.spend(Infinity), 3);
    if (job.uncloneable === 'value') return () => {};
    books.ended(worker, key, attempt, 'returned');
    if (job.termMs !== Infinity) actor.machine.at(actor.now() + job.termMs, () => worker.signal('SIGTERM'));
    return valueOf(signed(key, attempt), job.valueBytes);
  }

  function work(value: unknown, context: JobContext): unknown {
    const key = keyOf(value);
    const { attempt } = context;
    books.started(worker, key, attempt, context.jobId);
    const time = takeTime(plan.jobs[key]!, context);
    return time === undefined ? end(key, attempt) : time.then(() => end(key, attempt), reason => {
      books.ended(worker, key, attempt, 'threw');
      throw reason;
    });
  }

  async function loop(jobs: JobReader<unknown>, results: ResultWriter<unknown>, context: JobContext): Promise<void> {
    for await (const value of jobs) {
      const key = keyOf(value);
      const { attempt } = context;
      const job = plan.jobs[key]!;
      books.started(worker, key, attempt, context.jobId);
      await takeTime(job, context);
      for (let i = 0; i < job.puts; i++) {
        const put = results.put(valueOf(signed(key, attempt), job.valueBytes));
        if (job.loop === 'does not wait') put.catch(() => {});
        else await put;
      }
      if (job.valueBytes >= 100 && plan.options.timeoutMs !== undefined) await takeTime({ ...job, ms: 600 }, context);
      if (job.loop === 'asks twice') {
        const next = async (): Promise<void> => {
          const step = await jobs.next();
          if (step.done !== true) books.started(worker, keyOf(step.value), context.attempt, context.jobId);
        };
        await Promise.all([next(), next()]);
      }
      if (job.loop !== 'goes on') actor.machine.met.add(`a loop that ${job.loop}`);
      if (job.loop === 'leaves') return;
      if (job.loop === 'throws') throw signed(key, attempt);
      await end(key, attempt);
    }
    if (!plan.sums || worker.left.length === 0) return;
    await sleep(worker.number % 2 * 150);
    await results.put(-1 - worker.number);
    books.hasPutSum(worker);
  }

  const { setup, teardown } = worker.plan;
  return {
    ...(plan.kind === 'loop' ? { worker: loop } : { default: work }),
    ...(setup === 'none' ? {} : { setup: () => { if (setup === 'throws') throw new Error('setup throws'); } }),
    ...(teardown === 'none' ? {} : {
      teardown: async () => {
        worker.teardowns++;
        actor.machine.met.add(`a teardown that is ${teardown}`);
        if (teardown === 'blocks') actor.spend(Infinity);
        await sleep(worker.number % 3 * 40 + 2);
        if (teardown === 'throws') throw new Error('teardown throws');
        if (teardown === 'never ends') await never();
      },
    }),
  };
}
