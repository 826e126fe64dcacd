// What a schedule is: data, so that it can be printed, replayed, and made smaller. `draw` makes one from a seed: first which faults and calls
// there are in it at all, then each of them. A schedule without aborts reaches corners that one with everything never does.

import type { PoolOptions } from '../../lib/options.ts';
import { SOUND } from './hosts.ts';
import type { ShellPlan, WorkerPlan } from './hosts.ts';
import type { Weather } from './machine.ts';
import { Random } from './random.ts';

/** What a job does, in the worker. */
export interface JobPlan {
  /** `computes`: nothing else happens in its worker meanwhile. */
  how: 'computes' | 'awaits';
  ms: number;
  end: 'returns' | 'throws' | 'never' | 'exits' | 'is killed' | 'fails late' | 'exits later' | 'spins later' | 'emits exit';
  /** What it does when its signal aborts, if it awaits. */
  onAbort: 'nothing' | 'returns' | 'throws';
  /** Sizes of the job and of its value; below 100 it is a number. */
  jobBytes: number;
  valueBytes: number;
  /** So long after it has returned somebody sends its worker SIGTERM. */
  termMs: number;
  /** What cannot be cloned. */
  uncloneable: 'no' | 'job' | 'value';
  /** In a loop: so many values; and what the loop does then. */
  puts: number;
  loop: 'goes on' | 'leaves' | 'throws' | 'asks twice' | 'does not wait';
}

export interface SourcePlan {
  keys: number[];
  kind: 'array' | 'generator' | 'async';
  gapMs: number;
  end: 'ends' | 'throws' | 'never ends' | 'closes the pool' | 'interrupts the pool';
  /** The last two it does while it is asked for this one, and goes on. */
  endAt: number;
}

export type Step = { atMs: number } & (
  | { do: 'put'; keys: number[] }
  | { do: 'putAll'; source: SourcePlan }
  | { do: 'run'; key: number; timeoutMs?: number; abortAfterMs?: number }
  | { do: 'map'; source: SourcePlan; gapMs: number; leaveAfter: number }
  // It may put jobs in its loop, and wait until they are in.
  // And it may compute for a while at each result: all of the pool stands still then.
  | { do: 'read'; gapMs: number; leaveAfter: number; spendMs?: number; source?: SourcePlan; byPut?: boolean }
  | { do: 'drain' | 'close' | 'join' | 'interrupt' | 'dispose' | 'abort' | 'stats' }
  | { do: 'terminate'; graceMs?: number }
  // `againAfterMs`: a shell and npm deliver it twice.
  | { do: 'press'; toGroup: boolean; againAfterMs?: number }
  | { do: 'kill'; worker: number; signal: NodeJS.Signals }
  | { do: 'stop'; worker: number; forMs: number }
  | { do: 'block'; ms: number });

export interface Plan {
  seed: number;
  weather: Weather;
  kind: 'function' | 'loop';
  options: Pick<PoolOptions, 'workers' | 'interruptPolicy' | 'graceMs' | 'jobCapacity' | 'resultCapacity' | 'chunkSize' | 'timeoutMs' | 'retries' | 'maxJobsPerWorker' | 'minWorkers' | 'idleTimeoutMs' | 'maxWorkerMemory'>;
  hasSignal: boolean;
  /** The program has a listener of its own for Ctrl-C, which interrupts the pool. */
  listens: boolean;
  /** A loop puts a value when it has read its sentinel. */
  sums: boolean;
  /** Nobody reads what is left: Ctrl-C is pressed until the program has it back. */
  isUnread: boolean;
  jobs: JobPlan[];
  /** The nth that is started; and all behind them, from the calm on too. */
  workers: WorkerPlan[];
  rest: WorkerPlan;
  shells: ShellPlan[];
  steps: Step[];
  /** From here on there are no more faults. */
  calmMs: number;
}

export const PLAIN: JobPlan = { how: 'computes', ms: 0.1, end: 'returns', onAbort: 'nothing', jobBytes: 0, valueBytes: 0, termMs: Infinity, uncloneable: 'no', puts: 1, loop: 'goes on' };

/** What there may be in a schedule, and how often. */
const FEATURES = {
  loop: 0.2, run: 0.5, map: 0.2, putAll: 0.4, put: 0.6, manyJobs: 0.15,
  read: 0.6, slowReader: 0.2, busyReader: 0.15, leavingReader: 0.2, drain: 0.2,
  press: 0.3, interrupt: 0.15, terminate: 0.15, close: 0.5, abort: 0.1, dispose: 0.08, finish: 0.3, shortGrace: 0.3,
  kill: 0.25, stop: 0.15, block: 0.12, slowJobs: 0.4, neverJobs: 0.1, throws: 0.2, exits: 0.15, lateFailures: 0.1, deaths: 0.12,
  startFaults: 0.12, noStart: 0.04, refusals: 0.1, slowStarts: 0.2, teardowns: 0.15, held: 0.1, shells: 0.1, spins: 0.1, idleDeaths: 0.12, feeding: 0.1,
  timeouts: 0.15, jobTimeouts: 0.15, aborts: 0.2, retries: 0.25, recycling: 0.15, idle: 0.15, minWorkers: 0.15, memory: 0.08,
  listens: 0.1, twice: 0.3, sums: 0.3, unread: 0.1,
  large: 0.12, uncloneable: 0.08, sourceFaults: 0.2, tinyCapacity: 0.25,
} as const;

/** Each keeps its worker, and a large job on its way to it, for ten seconds. */
const MOST_SPINS = 6;

export type Feature = keyof typeof FEATURES;

export function draw(seed: number): Plan {
  const random = new Random(seed);
  const has = Object.fromEntries(Object.entries(FEATURES).map(([name, probability]) => [name, random.chance(probability)])) as Record<Feature, boolean>;
  return new Drawing(random, has).plan(seed);
}

class Drawing {
  readonly #random: Random;
  readonly #has: Record<Feature, boolean>;
  readonly #jobs: JobPlan[] = [];
  #timeoutMs = 0;
  #spins = 0;
  /** How long it all takes, roughly. */
  readonly #spanMs: number;

  constructor(random: Random, has: Record<Feature, boolean>) {
    this.#random = random;
    this.#has = has;
    this.#spanMs = 20 + random.spread(2000);
  }

  /** Of what a schedule has, it has not everything. */
  #often(feature: Feature, probability: number): boolean {
    return this.#has[feature] && this.#random.chance(probability);
  }

  #moment(): number {
    return this.#random.unit() * this.#spanMs;
  }

  plan(seed: number): Plan {
    const random = this.#random;
    const has = this.#has;
    const kind = has.loop ? 'loop' : 'function';
    const workers = random.integer(1, has.manyJobs ? 4 : 3);
    const options: Plan['options'] = { workers };
    if (has.finish) options.interruptPolicy = 'finish';
    if (has.shortGrace) options.graceMs = random.pick([0, 1, 20, 100, 1000]);
    if (has.tinyCapacity) {
      options.jobCapacity = random.integer(1, 5);
      options.resultCapacity = random.integer(1, 5);
    }
    if (has.slowReader && random.chance(0.5)) options.resultCapacity = random.integer(1, 3);
    if (random.chance(0.5)) options.chunkSize = random.pick([1, 1, 2, 3, 5, 10]);
    if (has.timeouts) options.timeoutMs = this.#timeoutMs = random.pick([5, 50, 300]);
    if (has.retries) options.retries = random.integer(1, 3);
    if (has.recycling) options.maxJobsPerWorker = random.integer(1, 5);
    if (has.minWorkers) options.minWorkers = random.integer(0, workers);
    if (has.idle) options.idleTimeoutMs = random.pick([1, 30, 200]);
    if (has.memory) options.maxWorkerMemory = 5000;
    const steps = this.#steps();
    return {
      seed,
      weather: random.pick(['calm', 'lively', 'lively', 'wild']),
      kind,
      options,
      hasSignal: has.abort || has.listens,
      listens: has.listens,
      sums: has.sums && has.loop,
      isUnread: has.unread,
      jobs: this.#jobs,
      workers: Array.from({ length: has.noStart ? random.integer(0, 4) : 12 }, () => this.#worker()),
      rest: has.noStart ? { ...SOUND, import: random.pick(['exits', 'is killed']) } : SOUND,
      shells: has.shells ? Array.from({ length: 3 }, () => ({ start: random.pick(['ok', 'ok', 'missing', 'refused', 'refused']), shotMs: random.chance(0.3) ? this.#moment() : Infinity })) : [],
      steps: steps.sort((a, b) => a.atMs - b.atMs),
      calmMs: this.#spanMs,
    };
  }

  #steps(): Step[] {
    const random = this.#random;
    const has = this.#has;
    const steps: Step[] = [];
    const some = (most: number): number => random.integer(1, most);
    const calls = (['put', 'putAll', 'run', 'map'] as const).filter(name => has[name] && (name !== 'run' && name !== 'map' || !has.loop || random.chance(0.1)));
    for (const call of calls.length > 0 ? calls : ['put' as const]) {
      for (let i = some(call === 'run' ? 8 : 3); i > 0; i--) {
        const atMs = random.chance(0.5) ? 0 : this.#moment();
        if (call === 'put') steps.push({ atMs, do: 'put', keys: this.#often('idle', 0.3) ? this.#hogs() : this.#keys(some(has.manyJobs ? 60 : 6)) });
        else if (call === 'run') {
          steps.push({
            atMs,
            do: 'run',
            key: this.#job(),
            ...(this.#often('jobTimeouts', 0.5) ? { timeoutMs: random.pick([1, 10, 60, 300]) } : {}),
            ...(this.#often('aborts', 0.5) ? { abortAfterMs: random.chance(0.1) ? -1 : random.spread(300) } : {}),
          });
        } else if (call === 'putAll') steps.push({ atMs, do: 'putAll', source: this.#source() });
        else steps.push({ atMs, do: 'map', source: this.#source(), gapMs: has.slowReader ? random.spread(100) : 0, leaveAfter: this.#often('leavingReader', 0.5) ? some(5) : Infinity });
      }
    }
    if (has.read) for (let i = random.chance(0.8) ? 1 : 2; i > 0; i--) {
      steps.push({ atMs: this.#moment() / 4, do: 'read', gapMs: has.slowReader ? random.spread(400) : 0, leaveAfter: this.#often('leavingReader', 0.7) ? some(6) : Infinity, ...(has.busyReader || this.#often('timeouts', 0.3) ? { spendMs: random.spread(100) } : {}), ...(this.#often('feeding', 0.7) ? { source: this.#source(), byPut: random.chance(0.5) } : {}) });
    }
    if (has.drain) for (let i = some(3); i > 0; i--) steps.push({ atMs: this.#moment(), do: 'drain' });
    if (has.press && has.held) for (let i = 0, atMs = this.#moment(); i < 3; i++) steps.push({ atMs: atMs + 150 * i, do: 'press', toGroup: true });
    if (has.press) for (let i = some(3); i > 0; i--) steps.push({ atMs: this.#moment() + (random.chance(0.3) ? this.#spanMs : 0), do: 'press', toGroup: random.chance(0.5), ...(this.#often('twice', 0.5) ? { againAfterMs: random.unit() * 60 } : {}) });
    for (const name of ['interrupt', 'close', 'abort', 'dispose'] as const) if (has[name]) for (let i = random.chance(0.8) ? 1 : 2; i > 0; i--) steps.push({ atMs: this.#moment(), do: name });
    if (has.terminate) for (let i = some(2); i > 0; i--) steps.push({ atMs: this.#moment(), do: 'terminate', ...(random.chance(0.5) ? { graceMs: random.pick([0, 10, 500, 9000]) } : {}) });
    if (random.chance(0.2)) steps.push({ atMs: this.#moment(), do: 'join' });
    if (random.chance(0.2)) steps.push({ atMs: this.#moment(), do: 'stats' });
    if (has.kill) for (let i = some(4); i > 0; i--) steps.push({ atMs: this.#moment(), do: 'kill', worker: random.integer(0, 3), signal: random.pick(['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGSEGV', 'SIGINT']) });
    if (has.stop) for (let i = some(3); i > 0; i--) {
      const atMs = this.#moment();
      steps.push({ atMs, do: 'stop', worker: random.integer(0, 2), forMs: random.spread(3000) });
      if (random.chance(0.2)) steps.push({ atMs: atMs + 10 * random.unit(), do: 'interrupt' }, { atMs: atMs - 1, do: 'stop', worker: 0, forMs: 3000 });
    }
    if (has.block) for (let i = some(3); i > 0; i--) steps.push({ atMs: this.#moment(), do: 'block', ms: random.spread(3000) });
    return steps;
  }

  #keys(count: number): number[] {
    return Array.from({ length: count }, () => this.#job());
  }

  /** Quick jobs, and among them one that others may have to wait behind. */
  #hogs(): number[] {
    const keys = this.#keys(this.#random.integer(4, 12));
    for (const key of keys) Object.assign(this.#jobs[key]!, PLAIN);
    Object.assign(this.#jobs[this.#random.pick(keys)]!, { how: 'awaits', ms: 500 });
    return keys;
  }

  #job(): number {
    const random = this.#random;
    const job: JobPlan = { ...PLAIN, how: random.chance(0.5) ? 'computes' : 'awaits', ms: this.#often('slowJobs', 0.5) ? random.spread(400) : random.unit() / 4, onAbort: random.pick(['nothing', 'returns', 'throws']) };
    if (this.#often('neverJobs', 0.2)) job.end = 'never';
    if (this.#often('throws', 0.3)) job.end = 'throws';
    if (this.#often('exits', 0.2)) job.end = random.pick(['exits', 'exits later', 'emits exit']);
    if (this.#often('deaths', 0.2)) job.end = 'is killed';
    if (this.#often('lateFailures', 0.2)) job.end = 'fails late';
    if (this.#often('spins', 0.1) && this.#spins++ < MOST_SPINS) job.end = 'spins later';
    if (this.#often('spins', 0.3)) job.jobBytes = 20_000; // a worker that spins does not read it
    if (this.#often('large', 0.3)) job.jobBytes = random.pick([1000, 3000, 9000, 20_000]);
    if (this.#often('large', 0.3)) job.valueBytes = random.pick([1000, 3000, 9000, 20_000]);
    if (job.valueBytes > 0 && this.#often('kill', 0.5)) job.termMs = random.spread(20);
    if (this.#often('uncloneable', 0.2)) job.uncloneable = random.pick(['job', 'value']);
    if (this.#often('idle', 0.15)) job.uncloneable = 'job'; // a worker that is given nothing after all
    if (this.#has.loop) {
      job.puts = random.integer(0, 3);
      if (this.#often('timeouts', 0.3)) Object.assign(job, { how: 'awaits', ms: this.#timeoutMs + random.integer(1, 40), end: 'returns', loop: 'goes on' }); // it gives up in time
      if (this.#often('timeouts', 0.3)) Object.assign(job, { valueBytes: 20_000, ms: Math.max(0, this.#timeoutMs - random.integer(1, 20)), end: 'returns', loop: 'goes on' }); // the time may be up while a value is on its way
      if (this.#often('exits', 0.1)) Object.assign(job, { valueBytes: 20_000, puts: 2, end: 'emits exit', loop: 'does not wait' });
      else if (random.chance(0.15)) job.loop = random.pick(['leaves', 'throws', 'asks twice', 'does not wait']);
    }
    return this.#jobs.push(job) - 1;
  }

  #source(): SourcePlan {
    const random = this.#random;
    return {
      keys: this.#keys(random.integer(0, this.#has.manyJobs ? 80 : 8)),
      kind: random.pick(['array', 'generator', 'async']),
      gapMs: random.chance(0.7) ? 0 : random.spread(50),
      endAt: random.integer(0, 4),
      end: this.#often('sourceFaults', 0.6) ? random.pick(['throws', 'never ends', 'closes the pool', 'interrupts the pool']) : 'ends',
    };
  }

  #worker(): WorkerPlan {
    const random = this.#random;
    const plan: WorkerPlan = { ...SOUND, bootMs: this.#often('slowStarts', 0.4) ? random.spread(1000) : 1 + random.unit() * 5 };
    if (this.#often('refusals', 0.4)) plan.start = random.pick(['refused', 'no process']);
    if (this.#often('startFaults', 0.4)) plan.import = random.pick(['exits', 'is killed', 'exits', 'is killed', 'never ends', 'throws', 'exports nothing']);
    if (this.#often('slowStarts', 0.4)) plan.importMs = random.spread(1000);
    if (this.#often('startFaults', 0.1)) plan.setup = 'throws';
    if (this.#often('teardowns', 0.6)) plan.teardown = random.pick(['ok', 'ok', 'throws', 'never ends', 'blocks']);
    if (this.#often('held', 0.5)) plan.heldMs = random.spread(20_000);
    if (plan.heldMs > 0 && random.chance(0.5)) plan.teardown = 'never ends'; // so that it is killed
    if (this.#often('memory', 0.3)) plan.memoryBytes = 6000;
    if (this.#often('idleDeaths', 0.5)) plan.livesMs = random.spread(300);
    return plan;
  }
}
