// Plays one schedule: a pool and its workers, the shipped code of both, on a machine of virtual time; the program that uses the pool, and
// the faults, as the plan says. At some moment all faults stop, and from there on everything must come to its end.

import { subscribe } from 'node:diagnostics_channel';
import { getEventListeners } from 'node:events';
import { ProcessPool } from '../../lib/parent/pool.ts';
import { runProgram } from '../../lib/worker/program.ts';
import { Books, isStartError } from './books.ts';
import { JobLostError, PoolInterruptedError } from '../../lib/errors.ts';
import { SimHost } from './hosts.ts';
import { Machine, Source as Queue } from './machine.ts';
import type { Actor } from './machine.ts';
import type { Plan, SourcePlan, Step } from './plan.ts';
import { Random } from './random.ts';
import { keyOf, moduleOf, valueOf } from './work.ts';

/** After the faults have stopped it goes on for so long; then it is closed; and where that cannot be enough, terminated. */
const GOES_ON_MS = 3000;
const CLOSED_MS = 200_000;
const TERMINATED_MS = 60_000;
/** A little more than a worker has to read a large job. */
const READING_MS = 11_000;
/** A schedule that has more events goes round in circles. */
const MOST_EVENTS = 60_000;
/** How often it is looked whether jobs wait for nothing, and for how long they may. */
const LOOK_MS = 40;
const MOST_HOGGED_MS = 200;
const LOOKED_AFTER_MS = 600;
/** A guard that the machine refused is tried again every second. */
const MOST_UNGUARDED_MS = 1100;
/** Ctrl-C comes so often when nobody reads, so far apart. */
const LATE_PRESS_MS = 200;
/** So many loops over the results there may be, each of which may put a job when one of them is let in. */
const MOST_READERS = 2;
/** Some times the longest `idleTimeoutMs`. */
const IDLE_MS = 1500;
const MODULE = 'file:///simulated.js';

export interface Played {
  events: number;
  failure: string | undefined;
  /** How it ended, and what was met. */
  met: Set<string>;
}

export async function play(plan: Plan, trace?: (line: string) => void): Promise<Played> {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0; // a stack says where this program lies: the bytes of an error would depend on that
  const played = await new Player(plan, trace).play();
  Error.stackTraceLimit = stackTraceLimit;
  return played;
}

/** The schedule that is being played: what nobody catches is its failure. */
let playing: Player | undefined;
subscribe('drainpool:pool:gone', () => playing?.gone());
process.on('unhandledRejection', reason => {
  if (playing === undefined) throw reason;
  playing.unhandled(reason);
});

class Player {
  readonly #plan: Plan;
  readonly #machine: Machine;
  readonly #parent: Actor;
  readonly #books: Books;
  readonly #sim: SimHost;
  readonly #pool: ProcessPool<(job: unknown) => unknown>;
  readonly #abort = new AbortController();
  readonly #program = new Queue();
  readonly #signals = new Queue();
  /** What the program waits for. */
  readonly #waiting = new Map<string, number>();
  #isOver = false;
  #calmed = false;

  constructor(plan: Plan, trace: ((line: string) => void) | undefined) {
    playing = this;
    this.#plan = plan;
    const machine = new Machine(plan.seed, plan.weather);
    this.#machine = machine;
    machine.trace = trace;
    this.#parent = machine.add('pool');
    this.#parent.listenTo(this.#program);
    this.#parent.listenTo(this.#signals);
    const books = new Books(machine, plan, () => this.#parent.turnMs);
    this.#books = books;
    const sim = new SimHost({
      machine,
      parent: this.#parent,
      random: new Random(plan.seed, 2),
      program: runProgram,
      exports: worker => moduleOf(worker, plan, books),
      workerPlan: number => this.#calmed ? plan.rest : plan.workers[number] ?? plan.rest,
      exited: (worker, exitCode, signal) => {
        worker.isExitKnown = true;
        if (worker.isChannelEnded) books.left(worker);
        worker.onExit(exitCode, signal);
      },
      channelEnded: worker => {
        if (worker.isExitKnown && !worker.isChannelEnded) books.left(worker);
        worker.isChannelEnded = true;
        worker.onDisconnect();
      },
      shellPlan: number => plan.shells[number] ?? { start: 'ok', shotMs: Infinity },
    });
    this.#sim = sim;
    sim.onSent = (worker, envelope) => books.sent(worker, Array.isArray(envelope) ? envelope[1] : envelope);
    sim.onHeard = (worker, envelope) => books.heard(worker, Array.isArray(envelope) ? envelope[1] : envelope);
    sim.onKill = (worker, signal) => books.killed(worker, signal);
    sim.onStart = () => books.tries();
    sim.onRefused = () => books.refused();
    sim.onStarted = worker => {
      books.begins(worker, sim.workers);
      worker.onRead = envelope => books.read(worker, Array.isArray(envelope) ? envelope[1] : envelope);
      worker.onSay = envelope => books.says(worker, Array.isArray(envelope) ? envelope[1] : envelope);
      worker.toParent.onLeft = (envelope, sentMs) => books.leftWorker(worker, Array.isArray(envelope) ? envelope[1] : envelope, sentMs);
      worker.toWorker.onLeft = envelope => books.leftPool(worker, Array.isArray(envelope) ? envelope[1] : envelope);
    };
    this.#pool = new ProcessPool<(job: unknown) => unknown>(new URL(MODULE), { ...plan.options, ...(plan.hasSignal ? { signal: this.#abort.signal } : {}) }, sim.host);
    books.submitted = () => this.#submitted;
    books.staying = () => sim.workers.filter(worker => !worker.isTold && !(worker.isExitKnown && worker.isChannelEnded)).length;
    books.isClosed = () => this.#pool.jobs.closed;
    books.isHeldBack = () => this.#isHeldBack();
  }

  /** That the pool failed nobody may have asked yet: then it is an unhandled rejection, as README says. */
  unhandled(reason: unknown): void {
    if (isStartError(reason)) return;
    this.#machine.fail(`nobody caught ${reason instanceof Error ? reason.stack ?? reason.message : String(reason)}`);
  }

  gone(): void {
    this.#machine.say('pool', () => 'is gone');
    this.#books.goneMs = this.#machine.nowMs;
    for (const { name, actor } of this.#sim.workers) if (actor.isAlive) this.#machine.fail(`the pool says that it is gone, and ${name} is alive`);
  }

  play(): Promise<Played> {
    const { steps, calmMs } = this.#plan;
    for (const step of steps) this.#at(step.atMs, step);
    this.#machine.at(calmMs, () => this.#calm());
    const blockedMs = steps.reduce((sum, step) => sum + (step.do === 'block' ? step.ms : step.do === 'read' ? (step.spendMs ?? 0) * this.#plan.jobs.length : 0), 0);
    const closedMs = calmMs + GOES_ON_MS + blockedMs;
    this.#machine.at(closedMs, () => this.#inProgram(() => {
      this.#checkIdleness();
      this.#checkWarmth();
      this.#checkGuarded();
      this.#checkFeeding();
      const waits = [...this.#waiting.keys()].filter(name => name !== 'read' && name !== 'map');
      if (this.#books.goneMs < closedMs - 100 && waits.length > 0) this.#machine.fail(`the pool is gone, and the program still waits for ${waits.join(', ')}`);
      this.#checkHold();
      this.#finish();
    }));
    const isSlow = this.#plan.workers.some(({ heldMs, teardown }) => heldMs > 0 || teardown !== 'none'); // such workers keep their jobs until they are gone
    if (this.#plan.weather !== 'wild' && !isSlow) for (let atMs = LOOK_MS; atMs < calmMs + LOOKED_AFTER_MS; atMs += LOOK_MS) this.#machine.at(atMs, () => this.#look());
    const spinning = this.#plan.jobs.filter(({ end }) => end === 'spins later').length; // each keeps its worker, and a large job on its way to it
    const forcedMs = closedMs + CLOSED_MS + (1 + (this.#plan.options.retries ?? 0)) * spinning * READING_MS;
    this.#machine.at(forcedMs, () => this.#inProgram(() => {
      if (this.#isOver) return;
      if (!this.#mayBeStuck()) this.#machine.fail(`it does not end: ${this.#whatWaits()}`);
      else {
        this.#machine.met.add('ended by force');
        this.#ends(() => this.#wait('terminate', this.#pool.terminate()), 'terminate');
      }
    }));
    const untilMs = forcedMs + TERMINATED_MS;
    return new Promise(resolve => {
      const turn = (): void => {
        const machine = this.#machine;
        if (machine.failure === undefined && machine.events < MOST_EVENTS && machine.step(this.#isOver && machine.nowMs >= closedMs ? Math.max(machine.nowMs, this.#parent.localMs) + 1000 : untilMs)) setImmediate(turn);
        else {
          this.#check();
          playing = undefined;
          resolve({ events: machine.events, failure: machine.failure, met: machine.met });
        }
      };
      turn();
    });
  }

  // ---- The faults

  #at(atMs: number, step: Step): void {
    this.#machine.at(atMs, () => {
      const { workers } = this.#sim;
      switch (step.do) {
        case 'kill':
          workers.filter(({ actor }) => actor.isAlive)[step.worker]?.signal(step.signal);
          break;
        case 'stop': {
          const worker = workers.filter(({ actor }) => actor.isAlive)[step.worker];
          worker?.signal('SIGSTOP');
          this.#machine.at(atMs + step.forMs, () => worker?.signal('SIGCONT'));
          break;
        }
        case 'block':
          this.#inProgram(() => this.#spend(step.ms));
          break;
        case 'press':
          this.#press(step.toGroup);
          if (step.againAfterMs !== undefined) this.#machine.at(atMs + step.againAfterMs, () => this.#press(false));
          break;
        default:
          this.#inProgram(() => this.#do(step));
          return;
      }
      this.#machine.met.add(step.do);
    });
  }

  #press(toGroup: boolean): void {
    this.#machine.say('world', () => toGroup ? 'Ctrl-C' : 'SIGINT to the pool');
    if (toGroup) for (const worker of this.#sim.workers) worker.signal('SIGINT');
    this.#parent.post(() => {
      const callbacks = this.#sim.signals.get('SIGINT');
      if (callbacks === undefined) return; // it would end the program
      const press = (): void => {
        if (this.#plan.listens && this.#books.goneMs === Infinity) this.#wait('interrupt', this.#pool.interrupt());
        for (const callback of [...callbacks]) callback();
      };
      if (this.#books.pressed()) this.#ends(press, 'press');
      else press();
    }, 0, this.#signals);
  }

  #calm(): void {
    this.#machine.say('world', () => 'from here on there are no faults');
    this.#calmed = true;
    for (const worker of this.#sim.workers) worker.signal('SIGCONT');
  }

  #inProgram(run: () => void): void {
    this.#parent.post(run, 0, this.#program);
  }

  /** What may be for ever, faults or not. */
  #mayBeStuck(): boolean {
    const { jobs, workers, options } = this.#plan;
    const hasEnded = this.#books.endMs !== Infinity; // then nobody waits for those that do not start
    if (this.#plan.kind === 'loop' && jobs.some(({ end }) => end === 'spins later')) return true; // behind its sentinel a loop may take as long as it likes
    return jobs.some(({ end, loop }) => end === 'never' && loop === 'asks twice') || jobs.some(({ end }) => (end === 'never' || end === 'spins later') && options.timeoutMs === undefined) || (!hasEnded && workers.some(plan => plan.import === 'never ends'));
  }

  #whatWaits(): string {
    const { workers, jobs } = this.#pool.stats();
    return `${JSON.stringify({ workers, jobs })}; the program waits for ${[...this.#waiting.keys()].join(', ')}`;
  }

  // ---- The program

  /** What ends the pool, or may. */
  #ends(run: () => void, what: 'press' | 'interrupt' | 'terminate'): void {
    this.#books.ends++;
    this.#books.firstEnd ??= what;
    run();
    this.#books.endMs = Math.min(this.#books.endMs, this.#machine.nowMs);
  }

  #wait(name: string, promise: Promise<unknown>): void {
    this.#waiting.set(name, (this.#waiting.get(name) ?? 0) + 1);
    const settled = (): void => {
      const count = this.#waiting.get(name)! - 1;
      if (count > 0) this.#waiting.set(name, count);
      else this.#waiting.delete(name);
    };
    promise.then(settled, error => {
      settled();
      if (!isStartError(error)) this.#machine.fail(`${name} rejects with ${String(error)}`);
    });
  }

  /** The program computes: nothing else happens in its process. */
  #spend(ms: number): void {
    this.#books.blockedMs += ms;
    this.#parent.spend(ms);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise(resolve => this.#parent.later(resolve, ms));
  }

  #job(key: number): unknown {
    const { uncloneable, jobBytes } = this.#plan.jobs[key]!;
    return uncloneable === 'job' ? { key, callback() {} } : valueOf(key, jobBytes);
  }

  get #submitted(): number {
    return this.#pool.stats().jobs.submitted;
  }

  #do(step: Step): void {
    const pool = this.#pool;
    this.#machine.say('program', () => JSON.stringify(step));
    this.#machine.met.add(step.do);
    switch (step.do) {
      case 'put':
        for (const key of step.keys) void this.#put(key);
        break;
      case 'putAll':
        void this.#putAll(step.source);
        break;
      case 'run':
        this.#run(step);
        break;
      case 'map':
        this.#wait('map', this.#map(step));
        break;
      case 'read':
        this.#wait('read', this.#read(step));
        break;
      case 'drain':
        for (const result of pool.results.drain()) this.#books.result(result);
        break;
      case 'close':
        pool.jobs.close();
        break;
      case 'join':
        this.#hasJoined = true;
        this.#wait('join', pool.join());
        break;
      case 'interrupt':
        this.#ends(() => this.#wait('interrupt', pool.interrupt()), 'interrupt');
        break;
      case 'abort':
        if (this.#plan.hasSignal) this.#ends(() => this.#abort.abort(), 'interrupt');
        break;
      case 'terminate':
        this.#books.isTerminating = true;
        this.#books.graceMs = Math.min(this.#books.graceMs, step.graceMs ?? Infinity);
        if (step.graceMs !== undefined && step.graceMs <= 500) this.#books.mustBeGoneSoon(2 * step.graceMs);
        this.#books.longestGraceMs = Math.max(this.#books.longestGraceMs, step.graceMs ?? 0);
        this.#ends(() => this.#wait('terminate', pool.terminate(step.graceMs === undefined ? {} : { graceMs: step.graceMs })), 'terminate');
        break;
      case 'dispose': {
        const { submitted, fulfilled, rejected } = pool.stats().jobs;
        const dispose = async (): Promise<void> => {
          await pool[Symbol.asyncDispose]();
          if (this.#books.goneMs === Infinity) this.#machine.fail('the pool is disposed, and not gone');
        };
        if (submitted > fulfilled + rejected) this.#ends(() => this.#wait('dispose', dispose()), 'terminate');
        else this.#wait('dispose', dispose());
        break;
      }
      case 'stats':
        break;
      default:
        throw new Error(`no program does ${step.do}`);
    }
  }

  #put(key: number): Promise<unknown> {
    const account = this.#books.submit(key, 'put');
    const before = this.#submitted;
    const promise = this.#pool.jobs.put(this.#job(key));
    account.isTaken = this.#submitted > before;
    account.id = before;
    const isOver = this.#isOverCapacity(0);
    const settled = promise.then(isTaken => {
      if (isTaken !== account.isTaken) this.#machine.fail(`put() resolves to ${isTaken} for job ${key}`);
      if (isOver && isTaken && this.#books.endMs === Infinity && this.#isOverCapacity(this.#sources + MOST_READERS)) this.#machine.fail(`put() of job ${key} lets go while ${this.#pool.jobs.size} jobs wait`);
    }).catch(error => {
      if (account.isTaken) throw error;
    });
    this.#wait('put', settled);
    return settled;
  }

  #putAll(plan: SourcePlan): Promise<unknown> {
    for (const key of plan.keys) this.#books.submit(key, 'putAll');
    this.#sources++;
    const asked = (i: number): void => {
      if (i > 0 && this.#isOverCapacity(this.#sources + MOST_READERS)) this.#machine.fail(`putAll() reads on while ${this.#pool.jobs.size} jobs wait`);
    };
    const promise = this.#pool.jobs.putAll(this.#source(plan, asked)).then(count => {
      if (count < plan.keys.length && plan.end === 'ends') this.#isPutInPart = true; // the end of the pool may be why
      if (count > plan.keys.length) this.#machine.fail(`putAll() says that it put ${count} of ${plan.keys.length} jobs`);
    }, () => {});
    this.#wait('putAll', promise);
    return promise;
  }

  /** An iterable that ends, or not, as its plan says. */
  #source(plan: SourcePlan, isAsked: (i: number) => void): Iterable<unknown> | AsyncIterable<unknown> {
    if (plan.end !== 'ends') this.#machine.met.add(`a source that ${plan.end}`);
    const last = (): Promise<void> | undefined => {
      if (plan.end === 'throws') throw new Error('the source throws');
      return plan.end === 'never ends' && plan.kind === 'async' ? new Promise(() => {}) : undefined;
    };
    const jobs = plan.keys.map((key, i) => () => {
      if (i === plan.endAt && plan.end === 'closes the pool') this.#pool.jobs.close();
      if (i === plan.endAt && plan.end === 'interrupts the pool') this.#ends(() => this.#wait('interrupt', this.#pool.interrupt()), 'interrupt');
      return this.#job(key);
    });
    if (plan.kind === 'array') return jobs.map((job, i) => plan.end.endsWith('the pool') && i === plan.endAt ? this.#job(plan.keys[i]!) : job());
    const sleep = (ms: number): Promise<void> => this.#sleep(ms);
    let isOpen = false;
    if (plan.end !== 'never ends') this.#open.push(() => isOpen);
    const asked = (i: number): void => {
      isAsked(i);
      const nowMs = this.#machine.nowMs;
      if (this.#books.endMs < nowMs - 1) this.#machine.fail(`a source is read on ${(nowMs - this.#books.endMs).toFixed(2)} ms after the end`);
    };
    if (plan.kind === 'generator') return (function* () {
      isOpen = true;
      try {
        for (const [i, job] of jobs.entries()) {
          asked(i);
          yield job();
        }
        void last();
      } finally {
        isOpen = false;
      }
    })();
    return (async function* () {
      isOpen = true;
      try {
        for (const [i, job] of jobs.entries()) {
          asked(i);
          if (plan.gapMs > 0) await sleep(plan.gapMs);
          yield job();
        }
        await last();
      } finally {
        isOpen = false;
      }
    })();
  }

  #run({ key, timeoutMs, abortAfterMs }: Extract<Step, { do: 'run' }>): void {
    const account = this.#books.submit(key, 'run', timeoutMs);
    const controller = abortAfterMs === undefined ? undefined : new AbortController();
    const abort = (): void => {
      account.isCalledOff = true;
      controller?.abort(`abort ${key}`);
    };
    if (abortAfterMs !== undefined && abortAfterMs < 0) abort();
    if (controller !== undefined) this.#controllers.push(controller);
    const before = this.#submitted;
    const promise = this.#pool.run(this.#job(key), { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(controller === undefined ? {} : { signal: controller.signal }) });
    account.isTaken = this.#submitted > before;
    account.id = before;
    if (abortAfterMs !== undefined && abortAfterMs >= 0) this.#parent.later(abort, abortAfterMs);
    this.#wait('run', promise.then(value => this.#books.fate(key, 'fulfilled', value), reason => {
      // One that the pool ended over is in its report.
      if (reason instanceof JobLostError) account.lostAs = reason.fate;
      if (reason instanceof JobLostError || isStartError(reason)) return;
      if (account.isTaken === true) this.#books.fate(key, 'rejected', reason);
    }));
  }

  async #map({ source, gapMs, leaveAfter }: Extract<Step, { do: 'map' }>): Promise<void> {
    for (const key of source.keys) this.#books.submit(key, 'map');
    let count = 0;
    let last = -1;
    try {
      const { jobCapacity = Infinity } = this.#plan.options;
      const asked = (i: number): void => {
        if (i - count > jobCapacity) this.#machine.fail(`map reads ${i - count} jobs ahead`);
      };
      for await (const value of this.#pool.map(this.#source(source, asked))) {
        const key = Math.floor(keyOf(value));
        const index = source.keys.indexOf(key);
        if (index <= last) this.#machine.fail(`map gives job ${key} out of order`);
        last = index;
        this.#books.fate(key, 'fulfilled', value);
        if (++count >= leaveAfter) break;
        if (gapMs > 0) await this.#sleep(gapMs);
      }
      if (count >= leaveAfter) {
        this.#books.areMapsWhole = false;
        for (const key of source.keys) this.#books.accounts.get(key)!.leftMs = this.#machine.nowMs;
      } else if (source.end === 'ends' && count < source.keys.length) this.#machine.fail(`a map just ends after ${count} of ${source.keys.length} values`);
    } catch (error) {
      // The end of the pool; or the first failure, in order, behind which the others are dropped.
      if (!(error instanceof PoolInterruptedError)) this.#books.areMapsWhole = false;
    }
  }

  async #read({ gapMs, leaveAfter, spendMs = 0, source, byPut = false }: Omit<Extract<Step, { do: 'read' }>, 'do' | 'atMs'>): Promise<void> {
    let count = 0;
    this.#reading++;
    for await (const result of this.#pool.results) {
      this.#books.result(result);
      if (spendMs > 0) this.#spend(spendMs);
      if (count === 0 && source !== undefined) {
        this.#feeding++;
        if (byPut) for (const key of source.keys) await this.#put(key);
        else await this.#putAll(source);
        this.#feeding--;
      }
      if (++count >= leaveAfter) {
        this.#reading--;
        break;
      }
      if (gapMs > 0) await this.#sleep(gapMs);
    }
    if (count < leaveAfter) this.#hasJustEnded = true;
  }

  // ---- What must be so meanwhile

  #hoggedMs = 0;
  #forgottenMs = 0;
  #unguardedMs = 0;
  /** How many `putAll()` there were. */
  #sources = 0;
  #isPutInPart = false;
  /** How many loops over the results have not been left. */
  #reading = 0;
  /** Whether iterators that were begun are not at their end. */
  readonly #open: (() => boolean)[] = [];
  readonly #controllers: AbortController[] = [];
  /** A loop over the results came to its end, and threw nothing. */
  #hasJustEnded = false;
  /** How many readers wait for jobs that they put in their own loop; and how many others read. */
  #feeding = 0;

  /** While work is pending the event loop is held. */
  #checkHold(): void {
    if (this.#books.goneMs !== Infinity) return;
    const { workers, jobs: { submitted, fulfilled, rejected } } = this.#pool.stats();
    const isHeld = [...this.#parent.timers].some(({ isProgram, isRef }) => isRef && !isProgram) || this.#parent.immediates.length > 0;
    const isEnding = this.#books.endMs < this.#machine.nowMs - LOOK_MS || (this.#pool.jobs.closed && workers.idle + workers.busy + workers.starting > 0);
    if ((submitted > fulfilled + rejected || isEnding) && !isHeld) this.#machine.fail('work is pending, and nothing holds the event loop');
  }

  /** More wait than may, and so many besides. */
  #isOverCapacity(more: number): boolean {
    return this.#pool.jobs.size > (this.#plan.options.jobCapacity ?? 8192) + more;
  }

  /** Nothing that was put may be given out. */
  #isHeldBack(): boolean {
    const { resultCapacity = Infinity } = this.#plan.options;
    return this.#reading > 0 && !this.#waiting.has('put') && !this.#waiting.has('putAll') && this.#pool.results.size >= resultCapacity && !this.#hasJoined;
  }

  /** An idle pool does not hold the event loop, and keeps its workers warm. */
  #checkWarmth(): void {
    const { workers: plans, options: { minWorkers = 0 }, weather, jobs: all } = this.#plan;
    if (this.#books.endMs !== Infinity || this.#books.goneMs !== Infinity || this.#pool.jobs.closed || weather === 'wild') return;
    const { workers, jobs } = this.#pool.stats();
    const isSound = [...plans, this.#plan.rest].every(plan => plan.start === 'ok' && plan.import === 'ok' && plan.setup !== 'throws' && plan.livesMs === Infinity) && all.every(({ end }) => end === 'returns' || end === 'throws');
    if (isSound && workers.idle + workers.busy + workers.starting < minWorkers) this.#machine.fail(`${JSON.stringify(workers)} are warm: ${minWorkers} are wanted`);
    const isIdle = jobs.waiting + jobs.given + workers.busy + workers.starting === 0;
    if (isIdle && [...this.#parent.timers].some(({ isProgram, isRef }) => isRef && !isProgram)) this.#machine.fail('the pool is idle, and holds the event loop');
  }

  /** A reader that puts jobs in its own loop does not wait for itself. */
  #checkFeeding(): void {
    const { workers, jobs } = this.#pool.stats();
    const isAlone = this.#waiting.get('read') === this.#feeding;
    if (this.#feeding > 0 && isAlone && workers.idle > 0 && jobs.waiting > 0 && jobs.given === 0 && this.#books.endMs === Infinity) this.#machine.fail('a reader waits for itself, as it awaits its own put() or putAll()');
  }

  /** Jobs must not wait for long behind one that takes its time, while a worker has nothing to do. */
  #look(): void {
    this.#checkHold();
    this.#checkGuard();
    const { workers, jobs } = this.#pool.stats();
    const nowMs = this.#machine.nowMs;
    const isOther = this.#parent.localMs > nowMs || this.#sim.workers.some(({ actor }) => actor.localMs > nowMs || (actor.isAlive && actor.isStopped));
    const { options } = this.#plan;
    const mayStart = workers.starting === 0 && workers.idle + workers.busy < options.workers! && !this.#books.isPaused && this.#plan.workers.every(({ start }) => start === 'ok');
    const isHogged = jobs.waiting === (this.#isHeldBack() ? this.#pool.jobs.size : 0) && (workers.idle > 0 || mayStart) && jobs.given > workers.busy && nowMs < this.#books.endMs && !isOther;
    this.#hoggedMs = isHogged ? this.#hoggedMs + LOOK_MS : 0;
    const mayBeGiven = jobs.waiting - (this.#waiting.has('read') && this.#pool.results.size >= (this.#plan.options.resultCapacity ?? Infinity) ? this.#pool.jobs.size : 0);
    this.#forgottenMs = mayBeGiven > 0 && workers.idle > 0 && nowMs < this.#books.endMs && !isOther ? this.#forgottenMs + LOOK_MS : 0;
    if (this.#forgottenMs > MOST_HOGGED_MS) this.#machine.fail(`jobs wait, and a worker is idle: ${JSON.stringify(this.#pool.stats())}`);
    if (this.#hoggedMs > MOST_HOGGED_MS) this.#machine.fail(`jobs wait behind others, and a worker is idle: ${JSON.stringify(this.#pool.stats())}`);
  }

  /** The guard knows who lives, and does not shoot at pids that may be another's. */
  #checkGuard(): void {
    const { workers, shells } = this.#sim;
    const alive = workers.filter(({ actor }) => actor.isAlive);
    const [shell] = shells;
    if (this.#plan.shells.some(({ start }) => start === 'missing') || this.#books.goneMs !== Infinity) return;
    this.#unguardedMs = shell === undefined && alive.length > 0 ? this.#unguardedMs + LOOK_MS : 0;
    const refusals = this.#plan.shells.filter(({ start }) => start === 'refused').length;
    if (this.#unguardedMs > MOST_UNGUARDED_MS * (1 + refusals) + this.#books.blockedMs) this.#machine.fail('nobody guards the workers');
    if (shell === undefined) return;
    for (const { pid, name } of alive) if (!shell.pids.includes(pid)) this.#machine.fail(`${name} is not on the list of the guard`);
    if (this.#parent.localMs > this.#machine.nowMs) this.#goneBefore = []; // it stands still, and has not heard all
    this.#goneBefore = this.#goneBefore.filter(worker => !shell.pids.includes(worker.pid) || void this.#machine.fail(`${worker.name} is gone, and on the list of the guard`));
    this.#goneBefore = workers.filter(({ isExitKnown, isChannelEnded }) => isExitKnown && isChannelEnded);
  }

  /** One that was shot, or refused, is there again. */
  #checkGuarded(): void {
    const { shells, calmMs, weather } = this.#plan;
    if (this.#books.goneMs !== Infinity || this.#books.endMs !== Infinity || weather === 'wild') return;
    if (shells.some(({ start }) => start === 'missing') || shells.filter(({ start }) => start === 'refused').length > 2 || shells.some(({ shotMs }) => shotMs !== Infinity && shotMs > calmMs)) return;
    if (this.#sim.shells.size === 0 && this.#sim.workers.some(({ actor }) => actor.isAlive)) this.#machine.fail('nobody guards the workers');
  }

  #goneBefore: SimHost['workers'] = [];

  /** Nobody has done anything for a while: workers that need not be there have left. */
  #checkIdleness(): void {
    const { idleTimeoutMs, minWorkers = 0 } = this.#plan.options;
    if (idleTimeoutMs === undefined || this.#books.endMs !== Infinity || this.#pool.jobs.closed || this.#plan.weather === 'wild') return;
    if (this.#plan.workers.some(({ teardown, heldMs }) => teardown !== 'none' || heldMs > 0) || this.#plan.jobs.some(({ end, loop }) => end === 'spins later' || (end === 'never' && loop === 'asks twice'))) return; // they may take their time
    const { workers, jobs } = this.#pool.stats();
    const isBusy = jobs.waiting + jobs.given > 0 || this.#machine.nowMs - this.#books.lastMs < IDLE_MS;
    if (!isBusy && workers.idle + workers.busy > minWorkers) this.#machine.fail(`workers stay that have nothing to do: ${JSON.stringify(workers)}, where ${minWorkers} are wanted`);
  }

  // ---- The end

  /** Closes, joins, and reads what is left. */
  #finish(): void {
    this.#machine.say('program', () => 'closes, joins and reads what is left');
    this.#pool.jobs.close();
    if (!this.#isUnread) this.#wait('the last read', this.#read({ gapMs: 0, leaveAfter: Infinity }));
    this.#hasJoined = true;
    this.#pool.join().then(report => {
      if (report.outcome === 'failed') this.#machine.fail('join() resolves, and the pool failed');
      this.#joined(report);
    }, error => {
      if (isStartError(error) && error.report !== null) this.#joined(error.report);
      else this.#machine.fail(`join rejects with ${String(error)}`);
    });
  }

  get #isUnread(): boolean {
    return this.#plan.isUnread && !this.#plan.steps.some(step => step.do === 'read');
  }

  #hasJoined = false;

  #report: Awaited<ReturnType<ProcessPool['join']>> | undefined;

  #joined(report: Awaited<ReturnType<ProcessPool['join']>>): void {
    this.#report = report;
    this.#isOver = true;
    const press = (then = (): void => {}): void => this.#parent.later(() => {
      this.#press(false);
      then();
    }, LATE_PRESS_MS);
    if (this.#isUnread) press(press);
    this.#machine.met.add(report.outcome);
    if (report.outcome === 'failed') this.#books.endMs = Math.min(this.#books.endMs, this.#machine.nowMs);
  }

  #check(): void {
    const machine = this.#machine;
    if (machine.failure !== undefined) return;
    if (machine.events >= MOST_EVENTS) return machine.fail(`there is no end of events: ${this.#whatWaits()}`);
    if (this.#report === undefined) return machine.fail(`it does not end: ${this.#whatWaits()}`);
    if (this.#waiting.size > 0) machine.fail(`the program waits for ever for ${[...this.#waiting.keys()].join(', ')}`);
    if (this.#report.outcome === 'failed' && this.#hasJustEnded) machine.fail('the pool failed, and a loop over its results just ended');
    if (this.#report.outcome === 'completed' && this.#isPutInPart) machine.fail('putAll() says that it put less than there was');
    if (this.#open.some(isOpen => isOpen())) machine.fail('an iterator is not closed');
    for (const { signal } of [this.#abort, ...this.#controllers]) if (!signal.aborted && getEventListeners(signal, 'abort').length > 0) machine.fail('a listener is left at a signal');
    const { immediates } = this.#parent;
    const timers = [...this.#parent.timers].filter(({ isProgram }) => !isProgram);
    if (timers.length > 0) machine.fail(`${timers.length} timers of the pool are left`);
    if (immediates.length > 0) machine.fail('an immediate of the pool is left');
    if (this.#sim.signals.size > 0) machine.fail(`the pool still listens to ${[...this.#sim.signals.keys()].join(', ')}`);
    if (this.#sim.shells.size > 0) machine.fail('the guard is left behind');
    if (this.#isUnread) for (const result of this.#pool.results.drain()) this.#books.result(result);
    if (this.#pool.results.size > 0) machine.fail('there are results that no reader got');
    this.#books.verify(this.#report, this.#sim);
  }
}
