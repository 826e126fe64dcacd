// npm run simulate -- [--seconds N | --schedules N] [--seed S] [--trace] [--mutants [--only WORD]]: plays schedules until one fails, on all cores.
// With --trace it plays the one of that seed alone, and prints each event.

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { findAll } from './mutate.ts';
import { draw } from './plan.ts';
import { play } from './play.ts';
import { describe, shrink } from './shrink.ts';

/** What one thread has played. */
interface Share {
  schedules: number;
  events: number;
  met: Map<string, number>;
  failure: { seed: number; text: string } | undefined;
}

/** What all threads see. */
interface Shared {
  /** Whether one has failed. */
  stop: () => boolean;
  /** Which seed this one plays now: called anew for each variant of it. */
  now: (seed: number) => void;
}

interface Task {
  firstSeed: number;
  stride: number;
  schedules: number;
  untilMs: number;
  /** A failure is told as it is, and not made smaller. */
  raw: boolean;
}

/** How often a thread looks whether another one has failed. */
const LOOK_EVERY = 200;
/** A schedule takes a millisecond or two. One that takes so many seconds never comes back. */
const MOST_SECONDS = 20;

async function playAll({ firstSeed, stride, schedules, untilMs, raw }: Task, { stop, now }: Shared): Promise<Share> {
  const share: Share = { schedules: 0, events: 0, met: new Map(), failure: undefined };
  for (let i = 0; i < schedules && Date.now() < untilMs; i++) {
    const seed = firstSeed + i * stride;
    now(seed);
    const plan = draw(seed);
    const { events, failure, met } = await play(plan);
    share.schedules++;
    share.events += events;
    for (const name of met) share.met.set(name, (share.met.get(name) ?? 0) + 1);
    if (failure !== undefined) {
      share.failure = { seed, text: failure };
      if (raw) return share;
      console.log(`seed ${seed}: ${failure}\nmaking it smaller …`); // which may never come back
      const smallest = await shrink(plan, failure, () => now(seed));
      share.failure = { seed, text: `${failure}\nthe smallest schedule that fails so:\n${describe(smallest.plan)}\nwhich ends so: ${smallest.failure}` };
      return share;
    }
    if (i % LOOK_EVERY === 0 && stop()) return share;
  }
  return share;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { seconds: { type: 'string' }, schedules: { type: 'string' }, seed: { type: 'string' }, trace: { type: 'boolean' }, smallest: { type: 'boolean' }, mutants: { type: 'boolean' }, only: { type: 'string' }, threads: { type: 'string' }, raw: { type: 'boolean' } } });
  for (const [name, least] of [['seed', 0], ['seconds', 1], ['schedules', 1], ['threads', 1]] as const) {
    const value = values[name];
    if (value !== undefined && !(/^\d+$/.test(value) && Number(value) >= least && Number.isSafeInteger(Number(value)))) throw new RangeError(`Cannot simulate as --${name} must be an integer >= ${least}: received ${value}`);
  }
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
  if (values.trace === true) {
    let plan = draw(seed);
    if (values.smallest === true) {
      const { failure } = await play(plan);
      if (failure !== undefined) ({ plan } = await shrink(plan, failure));
    }
    console.log(describe(plan));
    const { failure } = await play(plan, line => console.log(line));
    console.log(failure === undefined ? `seed ${seed}: no failure` : `seed ${seed}: ${failure}`);
    return failure === undefined ? 0 : 1;
  }
  if (values.mutants === true) return findAll(seed, values.only);
  const startMs = Date.now();
  const seconds = values.seconds === undefined && values.schedules === undefined ? 10 : Number(values.seconds ?? Infinity);
  const schedules = Number(values.schedules ?? Infinity);
  const threads = Math.min(Number(values.threads ?? availableParallelism()), schedules);
  const raw = values.raw === true;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const playing = new Float64Array(new SharedArrayBuffer(8 * threads));
  const plays = new Int32Array(new SharedArrayBuffer(4 * threads));
  const shares = await Promise.all(Array.from({ length: threads }, (_, i) => new Promise<Share>(resolve => {
    const task: Task = { firstSeed: seed + i, stride: threads, schedules: Math.ceil((schedules - i) / threads), untilMs: startMs + seconds * 1000, raw };
    const thread = new Worker(fileURLToPath(import.meta.url), { workerData: { task, stop, playing, plays, index: i } });
    let isOver = false;
    const done = (share: Share): void => {
      clearInterval(watch);
      if (share.failure !== undefined && !isOver) stop[0] = 1;
      isOver = true;
      resolve(share);
    };
    /** The thread is gone, or lost, and what it had counted with it. */
    const lost = (text: string): void => {
      const now = playing[i] || task.firstSeed;
      done({ schedules: (now - task.firstSeed) / threads + 1, events: 0, met: new Map(), failure: { seed: now, text } });
    };
    let [last, sameFor] = [0, 0];
    const watch = setInterval(() => {
      sameFor = plays[i] === last ? sameFor + 1 : 0;
      last = plays[i]!;
      if (sameFor < MOST_SECONDS) return;
      lost('it never comes back: something goes round and round in one turn');
      void thread.terminate();
    }, 1000);
    thread.on('message', done);
    thread.on('error', error => lost(`the simulator itself threw ${error instanceof Error ? error.stack : String(error)}`));
    thread.on('exit', () => lost('its thread has ended, and did not say why')); // else it has said so, and this is too late
  })));
  const sum = (of: (share: Share) => number): number => shares.reduce((total, share) => total + of(share), 0);
  const met = new Map<string, number>();
  for (const share of shares) for (const [name, count] of share.met) met.set(name, (met.get(name) ?? 0) + count);
  const failures = shares.flatMap(({ failure }) => failure ?? []);
  for (const { seed: failing, text } of failures) console.log(`seed ${failing}: ${text}\nreplay: npm run simulate -- --seed ${failing} --trace --smallest\n`);
  console.log(`met: ${[...met].sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${count}`).join(', ')}`);
  const count = sum(share => share.schedules);
  const number = (value: number): string => Math.round(value).toLocaleString('en');
  console.log(`${number(count)} schedules, ${number(sum(share => share.events))} events, ${failures.length} failures, seed ${seed}, ${number(count / (Date.now() - startMs) * 1000)} schedules a second`);
  return failures.length > 0 ? 1 : 0;
}

process.stdout.on('error', () => process.exit()); // its reader has seen enough: `| head`
process.removeAllListeners('warning'); // that a pool failed somebody may ask later: Node warns of that each time
if (isMainThread) process.exitCode = await main();
else {
  const { task, stop, playing, plays, index } = workerData as { task: Task; stop: Int32Array; playing: Float64Array; plays: Int32Array; index: number };
  parentPort?.postMessage(await playAll(task, { stop: () => Atomics.load(stop, 0) === 1, now: seed => {
    playing[index] = seed;
    plays[index]!++;
  } }));
}
