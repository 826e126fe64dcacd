// The oracle: books of its own, by the identity of jobs, and what must be true of them. It believes nothing that the pool counts: it
// knows what really ran, and when, and compares what the pool says became of it.

import { JobLostError, JobTimeoutError, WorkerExitError, WorkerStartError } from '../../lib/errors.ts';
import type { PoolReport, Result } from '../../lib/types.ts';
import type { SimHost, SimWorker } from './hosts.ts';
import type { Machine } from './machine.ts';
import type { Plan } from './plan.ts';
import { jobOf, keyOf, signed } from './work.ts';

interface Start {
  key: number;
  attempt: number;
  worker: SimWorker;
  atMs: number;
  endedMs: number;
  how: 'runs' | 'returned' | 'threw';
  /** Its worker was told to stop before it began. */
  isLate: boolean;
  /** Under which id the pool knows it. */
  id: number;
  /** It was told to give up before its end. */
  isCalledOff: boolean;
  /** It threw when it had been told to stop: that may have been why. */
  threwAtStop: boolean;
}

/** A job that waits, and listens to its signal. */
interface Wait {
  worker: SimWorker;
  id: number;
  sinceMs: number;
  untilMs: number;
  hasHeard: boolean;
}

export type Via = 'put' | 'putAll' | 'run' | 'map';

/** One job, as its caller knows it. */
interface Account {
  via: Via;
  /** Under which id the pool knows it, where the caller can tell. */
  id: number | undefined;
  /** Whether the pool took it; undefined where the caller cannot know. */
  isTaken: boolean | undefined;
  /** In the order in which they were heard: values, a rejection. */
  fates: { status: 'fulfilled' | 'rejected'; what: unknown }[];
  timeoutMs: number | undefined;
  /** Its signal was aborted, or its map was left. */
  isCalledOff: boolean;
  /** What its caller was told when the pool ended over it. */
  lostAs: 'lost' | 'pending' | undefined;
  /** When its map was left. */
  leftMs: number;
}

/** Behind a fault it may take so long, whatever else: SILENCE_MS and ANSWER_MS of the pool, and what `deadline` grants. */
const SLACK_MS = 6000;
/** A job that returns so long after its worker read `stop` is still in time: less than what the worker grants. */
const SETTLE_MS = 25;
/** A large value of a job may be on its way for so long when its time is up. */
const LATE_MS = 250;
/** Step 2 comes at the latest so long after step 1. */
const STEP_2_MS = 700;
/** SIGKILL, and all is heard of it. */
const SOON_MS = { calm: 1500, lively: 2000, wild: 8000 };
/** Of refusals in a row, before a pool fails. */
const MOST_REFUSALS = 6;
/** A job hears at once that it is to end: here, when somebody else has not died in between. */
const HEARS_MS = 5;
/** Of workers that died in vain, before a pool fails. */
const FEWEST_ROUNDS = 3;

export class Books {
  readonly #machine: Machine;
  readonly #plan: Plan;
  readonly #starts: Start[] = [];
  readonly accounts = new Map<number, Account>();
  /** The first moment at which nothing may be given any more. */
  endMs = Infinity;
  /** How often it was asked to end. */
  ends = 0;
  blockedMs = 0;
  /** When a job started or ended last. */
  lastMs = 0;
  /** No value goes another way than in its message. */
  readonly #areSmall: boolean;
  /** Nothing is late. */
  readonly #isPunctual: boolean;
  #pressedMs = -Infinity;
  /** Presses while it finished what ran: the first of them terminates it. */
  #steps = 0;
  /** By `terminate()`, say. */
  isTerminating = false;
  /** When it was told to end at once. */
  #killedMs = Infinity;
  /** The shortest and the longest grace that were asked for. */
  graceMs: number;
  longestGraceMs: number;
  goneMs = Infinity;
  readonly #stops = new Map<SimWorker, number>();
  /** Large values of a job are on their way to these since before the end. */
  readonly #crossing = new Set<SimWorker>();
  #heardMs = 0;
  /** No map was left, and none failed: all that was fulfilled must have been seen. */
  areMapsWhole = true;
  /** The first stop. */
  #failedMs = Infinity;
  readonly #terms = new Map<SimWorker, number>();
  /** What jobs were started under, first and last. */
  readonly #sentMs = new Map<number, number>();
  readonly #firstSentMs = new Map<number, number>();
  readonly #waits: Wait[] = [];
  readonly #mustHear: { wait: Wait; atMs: number }[] = [];
  /** Who has read that a job is called off, and had not started it. */
  readonly #calledOff = new Map<SimWorker, number>();
  readonly #sums = new Map<SimWorker, number>();
  /** Whose sums came. */
  readonly sums = new Set<number>();
  readonly #areCloneable: boolean;
  readonly #arePut: boolean;
  /** Of workers that died in vain, as the pool counts them; while nobody can be in doubt. */
  #rounds = 0;
  #streak = 0;
  #pausedUntilMs = 0;
  #areRoundsKnown = true;
  #refusals = 0;
  /** The first word of the end. */
  firstEnd: 'press' | 'interrupt' | 'terminate' | undefined;
  submitted = (): number => 0;
  /** How many workers are to stay, as the pool must believe. */
  staying = (): number => Infinity;
  isClosed = (): boolean => false;
  /** A reader is slow, and nobody may be waiting for it. */
  isHeldBack = (): boolean => false;

  readonly #turnMs: () => number;

  constructor(machine: Machine, plan: Plan, turnMs: () => number) {
    this.#turnMs = turnMs;
    this.#machine = machine;
    this.#plan = plan;
    this.#areSmall = plan.jobs.every(({ jobBytes, valueBytes }) => jobBytes + valueBytes < 100);
    this.#areCloneable = plan.jobs.every(({ uncloneable }) => uncloneable === 'no');
    this.#arePut = plan.steps.every(step => step.do !== 'run' && step.do !== 'map');
    this.#isPunctual = plan.weather !== 'wild' && plan.steps.every(step => step.do !== 'block' && step.do !== 'stop' && !('spendMs' in step));
    this.graceMs = this.longestGraceMs = plan.options.graceMs ?? 5000;
  }

  // ---- What happens

  started(worker: SimWorker, key: number, attempt: number, id: number): void {
    const atMs = worker.actor.now();
    this.lastMs = this.#machine.nowMs;
    this.#machine.say(worker.name, () => `starts job ${key} (id ${id}), attempt ${attempt}`);
    this.#checkResultsLeft(worker, key);
    this.#starts.push({ key, attempt, worker, atMs, endedMs: Infinity, how: 'runs', isLate: worker.stopReadMs <= atMs, id, isCalledOff: false, threwAtStop: false });
    if (this.#calledOff.get(worker) === id) this.#machine.fail(`${worker.name} started job ${key} after it had read that it is called off`);
  }

  /** No job starts before the results of the messages before its own have left. */
  #checkResultsLeft(worker: SimWorker, key: number): void {
    const id = this.accounts.get(key)?.id;
    const own = id === undefined ? -1 : worker.given.findIndex(ids => ids.includes(id));
    if (own === -1) return;
    const before = worker.given.slice(0, own).reduce((sum, { length }) => sum + length, 0);
    if (before > worker.leftJobs) this.#machine.fail(`${worker.name} started job ${key}, and ${before - worker.leftJobs} results of the messages before have not left`);
  }

  /** Whether workers that died in vain keep others from being started. */
  get isPaused(): boolean {
    return this.#machine.nowMs < this.#pausedUntilMs;
  }

  ended(worker: SimWorker, key: number, attempt: number, how: 'returned' | 'threw'): void {
    this.#machine.say(worker.name, () => `job ${key} ${how}`);
    const start = this.#starts.findLast(each => each.worker === worker && each.key === key && each.attempt === attempt);
    if (start === undefined) return this.#machine.fail(`job ${key} ended without having started`);
    this.lastMs = this.#machine.nowMs;
    start.endedMs = worker.actor.now();
    start.how = how;
    start.threwAtStop = how === 'threw' && worker.stopReadMs !== Infinity;
  }

  /** A job waits from now on, and hears if its signal aborts. */
  waits(worker: SimWorker, id: number): Wait {
    const wait: Wait = { worker, id, sinceMs: worker.actor.now(), untilMs: Infinity, hasHeard: false };
    this.#waits.push(wait);
    return wait;
  }

  /** A worker sends a message: it may leave later, or never. */
  says(worker: SimWorker, message: unknown): void {
    this.#machine.say(worker.name, () => `sends ${show(message)}`);
  }

  /** A worker reads a message. */
  read(worker: SimWorker, message: unknown): void {
    this.#machine.say(worker.name, () => `reads ${show(message)}`);
    if (!(message instanceof Object && 'type' in message)) return;
    if (message.type === 'jobs') this.#calledOff.delete(worker);
    if (message.type !== 'cancel' || !('id' in message) || worker.stopReadMs !== Infinity) return;
    const { id } = message;
    const ran = this.#starts.findLast(start => start.worker === worker);
    if (ran === undefined || ran.id !== id) this.#calledOff.set(worker, Number(id));
    else if (ran.how === 'runs') ran.isCalledOff = true;
    const atMs = worker.actor.now();
    for (const wait of this.#waits) if (wait.worker === worker && wait.id === id) this.#mustHear.push({ wait, atMs });
  }

  /** A loop has put what it had when its reader ended. */
  hasPutSum(worker: SimWorker): void {
    this.#sums.set(worker, worker.actor.now());
  }

  /** A message has left a worker. */
  leftWorker(worker: SimWorker, message: unknown, sentMs: number): void {
    if (typeof message !== 'object' || message === null || !('type' in message)) return;
    worker.saidMs = message.type === 'exiting' ? sentMs : Infinity; // one that says more has only emitted 'exit'
    if (message.type === 'stopping') worker.stoppingMs = sentMs;
    if (!('outcomes' in message) || !Array.isArray(message.outcomes)) return;
    worker.leftJobs += message.outcomes.filter(outcome => !(outcome instanceof Object && 'value' in outcome)).length;
    for (const outcome of message.outcomes) {
      const value: unknown = outcome instanceof Object && 'rejected' in outcome ? outcome.rejected : outcome instanceof Object && 'value' in outcome ? outcome.value : outcome;
      if (typeof value === 'number') worker.left.push({ sign: value, sentMs });
    }
  }

  /** A message has left for a worker. */
  leftPool(worker: SimWorker, message: unknown): void {
    if (!(message instanceof Object && 'firstId' in message && 'jobs' in message && Array.isArray(message.jobs))) return;
    worker.given.push(message.jobs.map((_, i) => Number(message.firstId) + i));
  }

  /** The pool sends a message. */
  sent(worker: SimWorker, message: unknown): void {
    const type = typeof message === 'object' && message !== null && 'type' in message ? message.type : undefined;
    const nowMs = this.#machine.nowMs;
    this.#machine.say('pool', () => `sends ${worker.name} ${show(message)}`);
    this.#machine.met.add(`sent ${String(type)}`);
    const { minWorkers = 0, maxJobsPerWorker, maxWorkerMemory } = this.#plan.options;
    const isIdled = type === 'end-of-jobs' && !this.isClosed() && this.firstEnd === undefined && maxJobsPerWorker === undefined && maxWorkerMemory === undefined;
    if (type === 'cancel') worker.wasCancelled = true;
    const isUsedUp = worker.wasCancelled && this.#plan.kind === 'loop'; // its one signal has aborted
    if (isIdled && !isUsedUp && this.#terms.get(worker) === undefined && this.staying() <= minWorkers && this.#plan.workers.every(({ start }) => start !== 'no process')) this.#machine.fail(`${worker.name} may leave, and ${minWorkers} are wanted`);
    if (type === 'stop' || type === 'end-of-jobs') worker.isTold = true;
    if (type === 'jobs') this.#gives(worker, message as { firstId: number; jobs: unknown[] });
    if (type === 'cancel') this.#callsOff(worker, (message as { id: number }).id);
    if (type === 'stop') this.#failedMs = Math.min(this.#failedMs, nowMs); // it may be dead by now
    if (type === 'jobs' && worker.isExitKnown && this.#areSmall) this.#machine.fail(`${worker.name} was given jobs, and the pool had heard of its exit`);
    if (!worker.actor.isAlive) return;
    const wasUnderWay = this.#plan.options.interruptPolicy === 'finish' && this.#crossing.has(worker);
    if (type === 'piece' && this.endMs >= nowMs) this.#crossing.add(worker);
    if (type === 'jobs') this.#crossing.delete(worker);
    if (type === 'jobs' && this.endMs <= nowMs && !wasUnderWay) this.#machine.fail(`${worker.name} was given jobs after the end at ${this.endMs.toFixed(2)} ms`);
    if (type === 'stop') {
      this.#stops.set(worker, nowMs);
    }
  }

  #gives(worker: SimWorker, { firstId, jobs }: { firstId: number; jobs: unknown[] }): void {
    const { options } = this.#plan;
    const fail = (what: string): void => this.#machine.fail(`${worker.name} was given job id ${firstId} ${what}`);
    const nowMs = this.#machine.nowMs;
    if (worker.hasAnswered && worker.plan.memoryBytes > (options.maxWorkerMemory ?? Infinity) && this.#areSmall) fail('though it holds too much memory');
    if (this.isHeldBack() && this.#areSmall && this.#areCloneable && this.#arePut) fail('though the results are full');
    const account = this.#byId(firstId);
    if ((account?.timeoutMs ?? options.timeoutMs) !== undefined && worker.given.flat().length > worker.answered) fail('behind others, and it has a time limit');
    // First come, first served.
    const isFirst = (other: Account): boolean => other.via === 'put' && other.id !== undefined && other.id < firstId && other.isTaken === true && !this.#sentMs.has(other.id) && other.fates.length === 0;
    if (account?.via === 'run' && options.resultCapacity === undefined && this.#areSmall && this.#areCloneable && [...this.accounts.values()].some(isFirst)) fail('ahead of one that was put before');
    for (let i = 0; i < jobs.length; i++) {
      if (!this.#sentMs.has(firstId + i)) this.#firstSentMs.set(firstId + i, nowMs);
      this.#sentMs.set(firstId + i, nowMs);
    }
  }

  #callsOff(worker: SimWorker, id: number): void {
    const nowMs = this.#machine.nowMs;
    this.#streak = 0; // a time limit is a result, too
    const account = this.#byId(id);
    if (account?.isCalledOff === true) return;
    const timeoutMs = account === undefined ? this.#plan.options.timeoutMs : account.timeoutMs;
    const hadMs = nowMs - (this.#sentMs.get(id) ?? 0);
    if (timeoutMs !== undefined && hadMs < timeoutMs - 0.01) this.#machine.fail(`${worker.name} is to give up job id ${id} after ${hadMs.toFixed(2)} ms: it has ${timeoutMs}`);
    if (worker.toParent.isUnreadSince(this.#turnMs())) this.#machine.fail(`${worker.name} is to give up job id ${id}, and what it had said was not read`);
  }

  #byId(id: number): Account | undefined {
    for (const account of this.accounts.values()) if (account.id === id && account.isTaken === true) return account;
    return undefined;
  }

  // ---- Starts

  /** A worker was started. */
  begins(worker: SimWorker, workers: readonly SimWorker[]): void {
    const { workers: most = Infinity, minWorkers = 0 } = this.#plan.options;
    worker.round = this.#rounds;
    this.#refusals = 0;
    const alive = workers.filter(({ actor }) => actor.isAlive).length;
    if (alive > most) this.#machine.fail(`there are ${alive} workers: at most ${most} were wanted`);
    if (alive === workers.length && alive > Math.max(minWorkers, this.submitted()) && !workers.some(({ isTold }) => isTold)) this.#machine.fail(`${alive} workers were started for ${this.submitted()} jobs`);
  }

  /** A start is tried, whatever comes of it. */
  tries(): void {
    const nowMs = this.#machine.nowMs;
    if (this.#areRoundsKnown && nowMs < this.#pausedUntilMs - 0.01) this.#machine.fail(`a worker is started ${(this.#pausedUntilMs - nowMs).toFixed(2)} ms too early after others died in vain`);
  }

  refused(): void {
    this.#refusals++;
  }

  /** The pool hears the last of a worker. */
  left(worker: SimWorker): void {
    this.#refusals = 0;
    if (worker.isTold && !worker.leftByItself) this.#areRoundsKnown = false;
    if (worker.isTold || this.endMs !== Infinity) return;
    if (worker.wasReady || worker.deathSignal === 'SIGINT') this.#areRoundsKnown = false; // it may have died in vain, or not
    if (worker.round !== this.#rounds) return;
    this.#rounds++;
    this.#pausedUntilMs = this.#machine.nowMs + Math.min(100 * 2 ** this.#streak++, 60_000);
  }

  /** The pool reads a message. */
  heard(worker: SimWorker, message: unknown): void {
    this.#machine.say('pool', () => `hears of ${worker.name}: ${show(message)}`);
    this.#heardMs = this.#machine.nowMs;
    if (!(message instanceof Object && 'type' in message)) return;
    if (message.type === 'stopping') worker.hasSaidStopping = true;
    if (message.type === 'results' && 'memoryBytes' in message && message.memoryBytes !== 0) worker.hasAnswered = true;
    if (message.type === 'results') this.#streak = 0;
    if (message.type === 'ready') {
      worker.wasReady = true;
      this.#pausedUntilMs = 0;
    }
    if (message.type === 'reclaimed' && 'jobs' in message) for (let count = Number(message.jobs); count > 0; count--) {
      worker.given.at(-1)?.pop();
      if (worker.given.at(-1)?.length === 0) worker.given.pop();
    }
    if ('outcomes' in message && Array.isArray(message.outcomes)) worker.answered += message.outcomes.filter(outcome => !(outcome instanceof Object && 'value' in outcome)).length;
  }

  /** The pool sends a signal. */
  killed(worker: SimWorker, signal: NodeJS.Signals): void {
    const nowMs = this.#machine.nowMs;
    this.#machine.say('pool', () => `sends ${signal} to ${worker.name}`);
    this.#machine.met.add(`sent ${signal}`);
    const stoppedMs = this.#stops.get(worker);
    const { timeoutMs, idleTimeoutMs } = this.#plan.options;
    const isPure =  this.ends === 1 && this.#plan.options.interruptPolicy !== 'finish' && timeoutMs === undefined && idleTimeoutMs === undefined &&
      ![...this.accounts.values()].some(account => account.timeoutMs !== undefined || account.isCalledOff) && stoppedMs !== undefined && stoppedMs >= this.endMs && worker.actor.isAlive;
    if (signal === 'SIGTERM') {
      this.#terms.set(worker, nowMs);
      if (worker.toParent.isUnreadSince(this.#turnMs())) this.#machine.fail(`${worker.name} got SIGTERM, and what it had said was not read`);
      if (isPure && worker.hasSaidStopping) this.#machine.fail(`${worker.name} got SIGTERM though it had answered`);
      if (isPure && nowMs - this.#heardMs < 49.999 && nowMs - stoppedMs < 499) this.#machine.fail(`${worker.name} got SIGTERM ${(nowMs - this.#heardMs).toFixed(2)} ms after a word of another one`);
      if (isPure && nowMs - stoppedMs < 49.999) this.#machine.fail(`${worker.name} got SIGTERM ${(nowMs - stoppedMs).toFixed(2)} ms after stop`);
    } else if (signal === 'SIGKILL' && isPure && this.#areSmall && nowMs - stoppedMs > STEP_2_MS + this.blockedMs && !this.#terms.has(worker) && !worker.hasSaidStopping && worker.given.flat().length > worker.answered) {
      this.#machine.fail(`${worker.name} did not answer stop, and got SIGKILL without SIGTERM before`);
    } else if (signal === 'SIGKILL' && isPure && nowMs - stoppedMs < this.graceMs - 0.001) {
      this.#machine.fail(`${worker.name} got SIGKILL ${(nowMs - stoppedMs).toFixed(2)} ms after stop: it has ${this.graceMs}`);
    }
  }

  /** A press counts where the last one is not just before it. From where the pool is each takes the next step: the last is SIGKILL. */
  pressed(): boolean {
    const nowMs = this.#machine.nowMs;
    if (nowMs - this.#pressedMs <= 100) return false;
    this.#pressedMs = nowMs;
    if (nowMs - this.endMs < 1) return true; // one that was pressed in the turn of another end may count as the same
    const steps = this.#plan.options.interruptPolicy === 'finish' && !this.isTerminating ? ++this.#steps : 2;
    if (this.endMs !== Infinity && steps >= 2) this.mustBeGoneSoon();
    return true;
  }

  mustBeGoneSoon(afterMs = 0): void {
    this.#killedMs = Math.min(this.#killedMs, this.#machine.nowMs + afterMs);
  }

  submit(key: number, via: Via, timeoutMs = this.#plan.options.timeoutMs): Account {
    const account: Account = { via, id: undefined, isTaken: undefined, fates: [], timeoutMs, isCalledOff: false, lostAs: undefined, leftMs: Infinity };
    if (this.accounts.has(key)) this.#machine.fail(`the schedule submits job ${key} twice`);
    this.accounts.set(key, account);
    return account;
  }

  /** A result came out of the result queue. */
  result(result: Result<unknown, unknown>): void {
    if (result.status === 'fulfilled' && typeof result.value === 'number' && result.value < 0) {
      const worker = -1 - result.value;
      if (this.sums.has(worker)) this.#machine.fail(`the sum of worker ${worker} is there twice`);
      this.sums.add(worker);
      return;
    }
    this.fate(keyOf(result.job), result.status, result.status === 'fulfilled' ? result.value : result.reason);
  }

  fate(key: number, status: 'fulfilled' | 'rejected', what: unknown): void {
    this.#machine.say('program', () => `gets job ${key}: ${status} ${what instanceof Error ? what.name : String(keyOf(what))}`);
    const account = this.accounts.get(key);
    if (account === undefined) return this.#machine.fail(`there is a result of job ${key}, which nobody put`);
    account.fates.push({ status, what });
  }

  // ---- What must be true of it

  /** What a process did when it was dead did not happen. */
  #isReal({ worker, atMs }: Start): boolean {
    return atMs !== Infinity && atMs <= worker.actor.diedMs;
  }

  verify(report: PoolReport<unknown>, host: SimHost): void {
    const fail = (what: string): void => this.#machine.fail(what);
    const lost = this.#keys(report.lost, 'lost');
    const pending = this.#keys(report.pending, 'pending');
    const starts = new Map<number, Start[]>();
    for (const start of this.#starts) {
      if (!this.#isReal(start)) continue;
      if (!this.accounts.has(start.key)) fail(`job ${start.key} was run, and nobody put it`);
      if (start.isLate) fail(`${start.worker.name} started job ${start.key} after it had read stop`);
      starts.set(start.key, [...starts.get(start.key) ?? [], start]);
    }
    let known = 0;
    let unknown = 0;
    let fulfilled = 0;
    let rejected = 0;
    let values = 0;
    for (const [key, account] of this.accounts) {
      const ran = starts.get(key) ?? [];
      const ends = [...account.fates.map(({ status }) => status), ...lost.has(key) ? ['lost'] : [], ...pending.has(key) ? ['pending'] : []];
      if (account.isTaken === false && (ends.some(end => end !== 'rejected') || ran.length > 0)) fail(`job ${key} was refused, and then ${ends.join(', ')}`);
      if (account.isTaken === false) continue;
      const isLoop = this.#plan.kind === 'loop';
      const isSettledUnseen = ends.length === 0 && (isLoop || account.via === 'map');
      if (ends.length === 0 && account.isTaken === true && !isSettledUnseen) fail(`job ${key} has no fate`);
      const last = ends.at(-1);
      this.#machine.say('books', () => `job ${key}${account.id === undefined ? '' : ` (id ${account.id})`}: ${last ?? 'nobody was told'}`);
      if (isLoop ? ends.slice(0, -1).some(end => end !== 'fulfilled') : ends.length > 1) fail(`job ${key} has more than one fate: ${ends.join(', ')}`);
      if (ends.length > 0 || account.isTaken === true) known++;
      else unknown++;
      if (isLoop) values += ends.filter(end => end === 'fulfilled').length;
      if (last === 'fulfilled' && !isLoop) fulfilled++;
      if (last === 'rejected') rejected++;
      if (lost.has(key) && ran.length === 0 && account.timeoutMs === undefined && account.id !== undefined && !this.#mayHaveStarted(host, account.id)) fail(`job ${key} is lost, and cannot have been started`);
      if (pending.has(key) && ran.length > 0) fail(`job ${key} is pending, and was started by ${ran[0]!.worker.name}`);
      if (account.isTaken === true && account.lostAs !== undefined && !(account.lostAs === 'lost' ? lost : pending).has(key)) fail(`job ${key} is ${ends.join(', ')}, and its caller heard that it is ${account.lostAs}`);
      for (const start of ran) if (this.#areSmall && (this.#firstSentMs.get(start.id) ?? 0) > account.leftMs) fail(`job ${key} was given out after its map had been left`);
      for (const { status, what } of account.fates) this.#judge(key, account, status, what, ran, host);
      this.#judgeStarts(key, ran, last);
    }
    if (report.submitted < known || report.submitted > known + unknown) fail(`${report.submitted} jobs are submitted in the report: there were ${known}`);
    const sum = report.fulfilled + report.rejected + report.lost.length + report.pending.length;
    if (sum !== report.submitted) fail(`the report has ${report.submitted} jobs, and ${sum} fates`);
    const unseen = [...this.accounts.values()].filter(({ via, fates }) => via === 'map' && fates.length === 0).length;
    if (this.#plan.kind === 'function' && (report.fulfilled < fulfilled || report.fulfilled > fulfilled + (this.areMapsWhole ? 0 : unseen))) fail(`${report.fulfilled} jobs are fulfilled in the report: there were ${fulfilled}`);
    if (report.rejected < rejected || report.rejected > rejected + unseen) fail(`${report.rejected} jobs are rejected in the report: there were ${rejected}`);
    if (this.#plan.kind === 'loop' && report.values !== values + this.sums.size) fail(`${report.values} values are in the report: there were ${values} and ${this.sums.size} sums`);
    this.#judgeWorkers(host);
    this.#judgeReport(report);
    this.#judgeSignals();
    const soonMs = this.goneMs - this.#killedMs;
    if (soonMs > SOON_MS[this.#plan.weather] + this.blockedMs) fail(`it was told to end at once, and took ${soonMs.toFixed(0)} ms`);
    if (report.error !== null && /in a row/.test(report.error.message) && !/refused it/.test(report.error.message)) this.#judgeFailure(host);
    if (this.endMs !== Infinity && this.#plan.options.interruptPolicy !== 'finish') {
      const tookMs = this.goneMs - this.endMs;
      const mostMs = 2 * this.longestGraceMs + SLACK_MS + this.blockedMs;
      if (tookMs > mostMs) fail(`the end took ${tookMs.toFixed(0)} ms: at most ${mostMs.toFixed(0)} were to be expected`);
    }
  }

  #keys(jobs: unknown[], name: string): Set<number> {
    const keys = new Set<number>();
    for (const job of jobs) {
      const key = keyOf(job);
      if (keys.has(key)) this.#machine.fail(`job ${key} is ${name} twice`);
      if (!this.accounts.has(key)) this.#machine.fail(`job ${key} is ${name}, and nobody put it`);
      keys.add(key);
    }
    return keys;
  }

  #judgeReport({ outcome, signal, exitCode, error, workers }: PoolReport<unknown>): void {
    const fail = (what: string): void => this.#machine.fail(what);
    const isPressed = this.firstEnd === 'press';
    if (outcome === 'interrupted' && (this.firstEnd === 'terminate' || (signal === 'SIGINT') !== isPressed)) fail(`the report says ${outcome} by ${signal}: it was ${this.firstEnd}`);
    if (outcome === 'terminated' && this.firstEnd !== 'terminate') fail(`the report says ${outcome}: it was ${this.firstEnd}`);
    const isRejected = [...this.accounts.values()].some(({ via, fates }) => (via === 'put' || via === 'putAll') && fates.at(-1)?.status === 'rejected');
    if (exitCode !== (signal !== null ? 130 : outcome === 'completed' && !isRejected ? 0 : 1)) fail(`the exit code of ${outcome} by ${signal} is ${exitCode}`);
    if (outcome === 'failed' && /refused it/.test(error?.message ?? '') && this.#refusals < MOST_REFUSALS) fail(`the pool failed after ${this.#refusals} refusals`);
    if (outcome === 'failed' && /before it is ready/.test(error?.message ?? '') && this.#areRoundsKnown && this.#rounds < 4) fail(`the pool failed after ${this.#rounds} rounds`);
    if (workers.length > 1000) fail('the report lists too many workers');
  }

  /** A job that waits hears that it is to end: at the stop of its worker, or as it is called off. */
  #judgeSignals(): void {
    const stops = this.#waits.map(wait => ({ wait, atMs: wait.worker.stopReadMs }));
    for (const { wait: { worker, sinceMs, untilMs, hasHeard, id }, atMs } of [...stops, ...this.#mustHear]) {
      if (sinceMs < atMs && Math.min(untilMs, worker.actor.diedMs) > atMs + HEARS_MS && atMs !== Infinity && !hasHeard) this.#machine.fail(`job id ${id} in ${worker.name} does not hear that it is to end`);
    }
  }

  #judge(key: number, account: Account, status: 'fulfilled' | 'rejected', what: unknown, ran: Start[], host: SimHost): void {
    const fail = (why: string): void => this.#machine.fail(`job ${key} was ${status}, ${why}`);
    if (status === 'fulfilled') {
      const sign = keyOf(what);
      if (jobOf(sign) !== key) return fail(`with the value of job ${jobOf(sign)}`);
      const from = ran.filter(each => signed(key, each.attempt) === sign);
      if (this.#plan.kind === 'function' && from.length > 0 && from.every(({ isCalledOff }) => isCalledOff)) fail('by an attempt that had been told to give up');
      if (from.length === 0) fail('and the attempt that it comes from never started');
      else if (this.#plan.kind === 'function' && !from.some(({ how, endedMs, worker }) => how === 'returned' && endedMs <= worker.actor.diedMs)) fail('and had not returned');
    } else if (typeof what === 'number') {
      const from = ran.filter(each => signed(key, each.attempt) === what);
      if (this.#plan.kind === 'function' && from.length === 0) fail('by what no attempt threw');
      if (this.#plan.kind === 'function' && from.length > 0 && from.every(({ threwAtStop }) => threwAtStop)) fail('by what it threw when it had been told to stop');
    } else if (what instanceof WorkerExitError) {
      const worker = ran.find(each => each.worker.pid === what.pid)?.worker;
      // One that was killed cannot say that it had not started a job that had left for it.
      const isLarge = this.#plan.jobs[key]!.jobBytes >= 100; // it may be killed by its size, on its way
      if (worker === undefined && !isLarge && account.id !== undefined && !this.#mayHaveStarted(host, account.id)) fail(`by the death of process ${what.pid}, which cannot have started it`);
      if (worker === undefined && what.signal === null) fail(`by the death of process ${what.pid}, which had not started it`);
      else if (worker?.actor.isAlive === true) fail('by the death of a worker that is alive');
    } else if (what instanceof JobTimeoutError) {
      this.#machine.met.add('a timeout');
      if (account.timeoutMs === undefined) fail('by a timeout that it does not have');
      const areQuick = this.#isPunctual && this.#areSmall && this.#plan.jobs.every(({ end }) => end !== 'spins later') && this.#plan.steps.every(step => step.do !== 'stop');
      if (areQuick && (account.timeoutMs ?? 0) >= 50 && ran.length === 0) fail('by a timeout, and was never started');
    } else if (what instanceof JobLostError) fail('as lost, which is no rejection');
    else if (what instanceof Error && what.name === 'AbortError') fail('by the end of the pool');
  }

  /** Whether a worker that was killed, and could not say how far it was, had it in the first message that it had not answered. */
  #mayHaveStarted({ workers }: SimHost, id: number): boolean {
    return workers.some(worker => {
      if (worker.deathSignal === null && worker.saidMs <= worker.actor.diedMs) return false;
      let answered = worker.answered;
      for (const ids of worker.given) {
        if (answered < ids.length) return ids.indexOf(id) >= answered;
        answered -= ids.length;
      }
      return false;
    });
  }

  #judgeStarts(key: number, ran: Start[], end: string | undefined): void {
    const fail = (why: string): void => this.#machine.fail(`job ${key} ${why}`);
    const { options, kind } = this.#plan;
    const account = this.accounts.get(key)!;
    for (const [i, start] of ran.entries()) {
      const next = ran[i + 1];
      const { actor } = start.worker;
      const hasReturned = start.how !== 'runs' && start.endedMs <= actor.diedMs;
      const sign = signed(key, start.attempt);
      const hasLeft = start.worker.left.some(left => left.sign === sign && left.sentMs <= actor.diedMs);
      if (start.attempt > 1 + (options.retries ?? 0)) fail(`had attempt ${start.attempt}`);
      if (next !== undefined) {
        this.#machine.met.add(next.attempt === start.attempt ? 'a suspect' : 'a retry');
        if (next.attempt < start.attempt) fail('went back to an earlier attempt');
        if (next.attempt === start.attempt && start.worker.saidMs <= actor.diedMs) fail(`was started twice, in ${start.worker.name} and ${next.worker.name}, at the same attempt`);
        if (next.attempt === start.attempt && (options.chunkSize === 1 || options.timeoutMs !== undefined)) fail('was started twice at the same attempt, and travels alone');
        if (next.attempt === start.attempt && hasLeft) fail('was started again, and its result had left');
        if (next.atMs < start.atMs) fail('started before an earlier attempt');
      }
      const mayBeDropped = account.timeoutMs !== undefined || account.isCalledOff || account.via === 'map' || next !== undefined;
      if (kind === 'function' && hasLeft && !mayBeDropped && (end === 'lost' || end === 'pending')) fail(`is ${end}, and its result had left its worker`);
      const wasInTime = hasReturned && start.how === 'returned' && start.endedMs < start.worker.stopReadMs + SETTLE_MS;
      const couldSay = start.worker.deathSignal === null && start.worker.saidMs <= actor.diedMs && start.endedMs < start.worker.stopReadMs && this.#areSmall;
      if (kind === 'function' && wasInTime && !mayBeDropped && couldSay && end !== 'fulfilled') fail(`is ${end}: it had returned in a worker that said all before it exited`);
      const tookMs = start.endedMs - start.atMs;
      if (kind === 'loop' && next === undefined && this.#plan.jobs[key]!.loop === 'goes on' && account.timeoutMs !== undefined && this.#isPunctual && hasReturned && tookMs > account.timeoutMs + LATE_MS && end !== 'rejected' && !(end === 'lost' && (options.retries ?? 0) > 0)) fail(`took ${tookMs.toFixed(0)} ms and is ${end}: it had ${account.timeoutMs}`);
      const { valueBytes } = this.#plan.jobs[key]!;
      const isView = valueBytes >= 3000 && valueBytes % 9000 !== 0;
      if (kind === 'function' && wasInTime && !mayBeDropped && isView && start.worker.deathSignal === 'SIGTERM' && end !== 'fulfilled') fail(`is ${end}: SIGTERM took its value, which is large`);
      if (kind === 'function' && wasInTime && !mayBeDropped && start.worker.leftByItself && end !== 'fulfilled') fail(`is ${end}: it had returned in a worker that left in order`);
    }
  }

  /** Workers that die do not fail a pool in which jobs are done. */
  #judgeFailure({ workers }: SimHost): void {
    const deaths = workers.map(({ actor }) => actor.diedMs).filter(diedMs => diedMs < this.goneMs).sort((a, b) => b - a);
    const sinceMs = deaths[FEWEST_ROUNDS - 1] ?? 0;
    const done = this.#starts.find(start => this.#isReal(start) && !start.worker.wasCancelled && start.how !== 'runs' && start.endedMs > sinceMs && start.endedMs < start.worker.actor.diedMs && start.worker.left.some(({ sign, sentMs }) => sign === signed(start.key, start.attempt) && sentMs <= start.worker.actor.diedMs && sentMs < this.#failedMs - 100));
    if (done !== undefined) this.#machine.fail(`the pool failed, and job ${done.key} was done in between`);
  }

  #judgeWorkers(host: SimHost): void {
    const most = this.#plan.options.maxJobsPerWorker ?? Infinity;
    for (const worker of host.workers) {
      const jobs = this.#starts.filter(start => start.worker === worker && this.#isReal(start)).length;
      if (jobs > most) this.#machine.fail(`${worker.name} had ${jobs} jobs: its share is ${most}`);
      if (worker.actor.isAlive) this.#machine.fail(`${worker.name} is left behind`);
      if (worker.plan.teardown !== 'none' && worker.wasReady && worker.leftByItself && worker.teardowns !== 1) this.#machine.fail(`${worker.name} left, and had ${worker.teardowns} teardowns`);
      const isOwn = this.#starts.every(start => start.worker !== worker || (start.how === 'returned' && !start.isCalledOff));
      if (this.#sums.has(worker) && worker.leftByItself && isOwn && this.#plan.options.timeoutMs === undefined && !this.sums.has(worker.number)) this.#machine.fail(`the sum of ${worker.name} is lost`);
    }
  }
}

export const isStartError = (error: unknown): error is WorkerStartError => error instanceof WorkerStartError;

function show(message: unknown): string {
  if (typeof message !== 'object' || message === null || !('type' in message)) return String(message);
  if (message.type === 'jobs' && 'jobs' in message && Array.isArray(message.jobs) && 'firstId' in message) return `jobs, ${message.jobs.length} from id ${String(message.firstId)}`;
  if (message.type === 'piece' && 'bytes' in message && ArrayBuffer.isView(message.bytes)) return `a piece of ${message.bytes.byteLength} bytes`;
  if (message.type === 'results' && 'outcomes' in message && Array.isArray(message.outcomes)) return `${message.outcomes.length} results`;
  if ('started' in message) return `${String(message.type)}, ${String(message.started)} started`;
  return String(message.type);
}
