// The parent's handle on one worker: starts the process, gives it jobs, hears what came of them, and knows
// when it is really gone. It reports to an owner, and knows neither the queues nor why a worker should end.
//
// - A worker answers in the order in which it was given jobs, so a plain first-in-first-out tells which is meant.
// - Gone means two things: its exit was seen, and its channel was read to the end. Node 20 tells of the
//   channel first, Node 26 of the exit. A message that a kill cut short is dropped by Node with the channel.

import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { extname } from 'node:path';
import { deadline } from './deadline.ts';
import { ProtocolError } from './errors.ts';
import { Batch, Channel, pack, packReason, Segments } from './ipc.ts';
import type { Packed } from './ipc.ts';
import type { Entry, Fate } from './job.ts';
import type { Settings } from './options.ts';
import { parseToParent } from './protocol.ts';
import type { FailedMessage, JobOutcome, JobsMessage, PieceMessage, ReadyMessage, ResultsMessage, ToParent, ToWorker, Wire } from './protocol.ts';
import { Fifo } from './queue.ts';
import type { WorkerReport } from './types.ts';

/** A worker that was told to give up its job has 50 ms to settle it, by its own clock; one that says nothing after this is deaf. */
const CANCEL_ANSWER_MS = 100;
/** Jobs behind one that takes longer than this are asked back, if another worker is idle. */
export const SLOW_MS = 20;
/** A message with so many bytes of jobs is full. */
const FULL_MESSAGE_BYTES = 256 * 1024;

/** The worker's program, beside this file, compiled or not. */
const PROGRAM = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);

/** What a worker left behind when it went. */
export interface Remains<Job> {
  /** Given, without a result, and may have started: at most one, but for tiny jobs of one message since its last flush. */
  started: Entry<Job>[];
  /** Certainly not started. */
  unstarted: Entry<Job>[];
  /** Why it went, if it or its channel said so. */
  cause: unknown;
  /** What the report says of it; its pid is 0 if it could not even be started. */
  report: WorkerReport;
}

export interface Owner<Job> {
  ready(worker: WorkerProcess<Job>): void;
  /** The module cannot be used, by this worker or any other. */
  failed(during: FailedMessage['during'], cause: unknown): void;
  settled(entry: Entry<Job>, fate: Fate): void;
  /** A manual loop put a value while this job was current. */
  valuePut(entry: Entry<Job>, value: unknown): void;
  /** So many jobs took so long. */
  measured(jobs: number, elapsedMs: number): void;
  /** The job that it has took longer than it may. */
  timedOut(worker: WorkerProcess<Job>, entry: Entry<Job>): void;
  /** It has had no job for `idleTimeoutMs`. */
  idled(worker: WorkerProcess<Job>): void;
  /** It is told to end, by one of the three steps. */
  ended(step: 'stop' | 'SIGTERM' | 'SIGKILL'): void;
  /** It has not started these, and never will. */
  givenBack(entries: Entry<Job>[]): void;
  /** A message was worked off: there may be room for more jobs. */
  heard(): void;
  gone(worker: WorkerProcess<Job>, remains: Remains<Job>): void;
}

/** Jobs for one message; large ones among them have been staged. */
interface Parcel<Job> {
  message: JobsMessage;
  entries: Entry<Job>[];
  isStaged: boolean;
}

export class WorkerProcess<Job> {
  readonly #child: ChildProcess;
  readonly #channel: Channel<ToParent, ToWorker>;
  readonly #owner: Owner<Job>;
  readonly #settings: Settings;
  readonly #leadsGroup: boolean;
  #graceMs: number;
  #phase: 'starting' | 'ready' | 'leaving' | 'last word said' = 'starting';
  /** What the parent told it about the end. */
  #told: 'nothing' | 'end-of-jobs' | 'stop' = 'nothing';
  #kind: ReadyMessage['kind'] = 'function';

  /** Jobs without a result, in the order in which they were given; and how many of each message, likewise. */
  readonly #given = new Fifo<Entry<Job>>();
  readonly #unanswered: number[] = [];
  /** What is to be sent yet: the first of them is crossing in pieces. No worker can have started these jobs. */
  readonly #parcels: Parcel<Job>[] = [];
  #lastSettled: Entry<Job> | undefined;
  #settledCount = 0;
  #givenTotal = 0;

  /** How many of the oldest jobs have started, where the worker could say so. */
  #startedSaid: number | undefined;
  #sendsLargeResult = false;
  #isCancelling = false;
  #leftEarly = false;
  #isPutDown = false;
  #isTooLarge = false;
  #isBroken = false;
  #isAskedBack = false;
  #isUnneeded = false;
  #heardMs = performance.now();
  #cause: unknown;
  #thrown: { error: unknown } | undefined;
  #exit: { exitCode: number | null; signal: NodeJS.Signals | null } | undefined;
  #isChannelOpen = true;
  #isGone = false;
  #callOffKill = (): void => {};
  #callOffTimeout = (): void => {};
  #idleTimer: NodeJS.Timeout | undefined;

  /** Starts a process. @throws what `child_process.fork` throws. */
  constructor(module: { href: string; workerData: Packed }, settings: Settings, owner: Owner<Job>) {
    const { stdio, env, cwd, execArgv, graceMs, interruptSignals, ownGroup } = settings;
    this.#settings = settings;
    const brands = { incoming: randomUUID(), outgoing: randomUUID() };
    this.#owner = owner;
    this.#graceMs = graceMs;
    this.#leadsGroup = ownGroup && process.platform !== 'win32';
    this.#child = fork(PROGRAM, [brands.outgoing, brands.incoming, ...interruptSignals], {
      serialization: 'advanced',
      stdio: [...(typeof stdio === 'string' ? [stdio, stdio, stdio] : stdio), 'ipc'],
      execArgv: [...execArgv],
      detached: ownGroup,
      ...(env === undefined ? {} : { env }),
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.#channel = new Channel(this.#child, brands);
    this.#channel.receive(parseToParent, message => this.#hear(message));
    this.#child.on('exit', (exitCode, signal) => this.#exited(exitCode, signal));
    this.#child.on('disconnect', () => this.#channelEnded());
    this.#child.on('error', this.#child.pid === undefined ? error => this.#neverStarted(error) : () => {}); // a signal that was not sent
    this.#child.unref();
    this.#child.channel?.unref();
    void this.#init(module.href, this.#channel.stage(module.workerData));
  }

  /** 0 if it could not even be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What a signal to it goes to: its pid, or minus that where it leads a group of its own. */
  get target(): number {
    return this.#leadsGroup ? -this.pid : this.pid;
  }

  get state(): 'starting' | 'idle' | 'busy' {
    if (this.#phase === 'starting') return 'starting';
    return this.#phase === 'ready' && !this.hasJob ? 'idle' : 'busy';
  }

  get hasJob(): boolean {
    return this.givenCount > 0;
  }

  get givenCount(): number {
    return this.#given.size + this.#parcels.reduce((sum, { entries }) => sum + entries.length, 0);
  }

  get isLoop(): boolean {
    return this.#kind === 'loop';
  }

  get wasReady(): boolean {
    return this.#phase !== 'starting';
  }

  /** Whether one more message of jobs may be sent, where `window` of them may be under way. */
  hasRoom(window: number): boolean {
    if (this.#phase !== 'ready' || this.#told !== 'nothing' || this.#isPutDown || this.#isAskedBack || this.#parcels.length > 0) return false;
    return this.#unanswered.length === 0 || (this.#unanswered.length < window && this.#given.peek()?.isAlone === false);
  }

  /** Whether it has been told to leave. */
  get isLeaving(): boolean {
    return this.#told !== 'nothing' || this.#isPutDown;
  }

  /** Whether another one should take its place: it died, left early, had its share, or could not let go of a job. */
  get isToBeReplaced(): boolean {
    return !this.hasLeftInOrder || this.isSpent || this.#isCancelling;
  }

  /** How many more jobs it may ever have. */
  get jobsLeft(): number {
    return (this.#settings.maxJobsPerWorker ?? Infinity) - this.#givenTotal;
  }

  /** Whether it leaves because it has had its share of jobs or memory. */
  get isSpent(): boolean {
    return this.jobsLeft <= 0 || this.#isTooLarge;
  }

  /** Whether the pool may SIGTERM it after `stop`: it does not answer, and not because it is sending a large result. */
  get isDeaf(): boolean {
    return (this.#phase === 'starting' || (this.#phase === 'ready' && this.hasJob)) && !this.#sendsLargeResult;
  }

  /** Whether it left of its own accord: a manual loop that returned early, or threw. */
  get leftEarly(): boolean {
    return this.#leftEarly;
  }

  /** Whether it went at the sentinel or at `stop`, having said so. */
  get hasLeftInOrder(): boolean {
    return this.#phase === 'last word said' && !this.#leftEarly && !this.#isBroken;
  }

  /**
   * Gives it jobs with consecutive ids, all at the same attempt, in one message, or in several if they are large. The values
   * are those of this moment. A job that cannot be cloned is rejected here.
   */
  give(entries: Entry<Job>[]): void {
    clearTimeout(this.#idleTimer);
    this.#givenTotal += entries.length;
    const batch = new Batch();
    let parcel: Parcel<Job> | undefined;
    let bytes = 0;
    const seal = (): void => {
      if (parcel !== undefined) parcel.message.segments = batch.take();
      parcel = undefined;
      bytes = 0;
    };
    for (const entry of entries) {
      try {
        const plain = batch.add(entry.job);
        const wire = plain === undefined ? this.#channel.stage(pack(entry.job, 'job')) : plain.wire;
        if (parcel === undefined) {
          parcel = { message: { type: 'jobs', firstId: entry.id, attempt: entry.attempt, jobs: [], segments: [] }, entries: [], isStaged: false };
          this.#parcels.push(parcel);
        }
        parcel.message.jobs.push(wire);
        parcel.entries.push(entry);
        parcel.isStaged = this.#channel.hasStaged;
        bytes += plain?.bytes ?? sizeOf(wire);
        if (bytes > FULL_MESSAGE_BYTES || parcel.isStaged) seal();
      } catch (reason) {
        seal(); // ids in a message have no gaps
        this.#owner.settled(entry, { status: 'rejected', reason });
      }
    }
    seal();
    void this.#sendParcels();
  }

  /** Has it give up a job: its signal aborts, and if it neither settles the job nor leaves it is ended. */
  cancel(entry: Entry<Job>, reason: unknown): void {
    if (this.#given.peek() !== entry) return; // still crossing: then it is told when it has it
    this.#isCancelling = true;
    void this.#channel.send({ type: 'cancel', id: entry.id, reason: small(packReason(reason)) });
    this.#callOffTimeout();
    this.#callOffTimeout = deadline(CANCEL_ANSWER_MS, () => {
      if (this.#given.peek() === entry && this.#phase === 'ready') this.kill('SIGTERM');
    });
  }

  /** Whether it sits on jobs behind one that takes long. */
  isSlow(nowMs: number): boolean {
    const isSettled = this.#parcels.length === 0 && !this.#isAskedBack; // none is on its way that would be taken for one of them
    return this.#given.size > 1 && isSettled && this.#told === 'nothing' && nowMs - this.#heardMs > SLOW_MS;
  }

  /** Asks for the jobs that it has not started. One that is busy in a loop hears of it after its job. */
  askBack(): void {
    this.#isAskedBack = true;
    void this.#channel.send({ type: 'give-back' });
  }

  /** Sends the sentinel, once, behind the jobs that it was given. One that is not ready when all is done has `graceMs` to become so, and leave. */
  endOfJobs(isAllDone = false): void {
    if (isAllDone && this.#phase === 'starting' && !this.#isUnneeded) {
      this.#isUnneeded = true;
      this.#endWithin(this.#graceMs);
    }
    if (this.#told !== 'nothing' || this.#parcels.length > 0) return;
    this.#told = 'end-of-jobs';
    clearTimeout(this.#idleTimer);
    void this.#channel.send({ type: 'end-of-jobs' });
  }

  /** Step 1 of terminate: asks it to leave. From its answer on, or from SIGTERM, it has `graceMs`. */
  stop(graceMs: number): void {
    this.#told = 'stop';
    clearTimeout(this.#idleTimer);
    this.#graceMs = graceMs;
    void this.#channel.send({ type: 'stop' });
    this.#endWithin(graceMs);
    this.#owner.ended('stop');
  }

  /** Steps 2 and 3 of terminate. One that was stopped must go on to die of SIGTERM. */
  kill(wanted: 'SIGTERM' | 'SIGKILL'): void {
    const signal = this.#settings.interruptSignals.includes('SIGTERM') ? 'SIGKILL' : wanted; // they ignore it
    this.#isPutDown = true;
    this.#signal(signal);
    if (signal === 'SIGTERM') {
      this.#signal('SIGCONT');
      this.#endWithin(this.#graceMs);
    }
    this.#owner.ended(signal);
  }

  /** What it started ends with it, where it leads a group. */
  #signal(signal: NodeJS.Signals): void {
    if (this.target >= 0) this.#child.kill(signal);
    else {
      try {
        process.kill(this.target, signal);
      } catch {
        // nobody of the group is left
      }
    }
  }

  async #init(module: string, workerData: Wire): Promise<void> {
    await this.#channel.sendStaged();
    await this.#channel.send({ type: 'init', module, workerData, tellsMemory: this.#settings.maxWorkerMemory !== undefined });
  }

  /** One after the other, as a large job must have crossed before the next message may. */
  async #sendParcels(): Promise<void> {
    let hasCrossed = false;
    for (let parcel = this.#parcels[0]; parcel !== undefined; parcel = this.#parcels[0]) {
      if (parcel.isStaged) {
        hasCrossed = true;
        await this.#channel.sendStaged(() => this.#told === 'stop' || !this.#isChannelOpen);
        if (this.#told === 'stop' || !this.#isChannelOpen) return;
      }
      this.#parcels.shift();
      this.#hand(parcel);
    }
    if (this.jobsLeft <= 0) this.endOfJobs();
    if (hasCrossed) this.#owner.heard();
  }

  /** From here on its jobs may be started. */
  #hand({ message, entries }: Parcel<Job>): void {
    for (const entry of entries) this.#given.push(entry);
    this.#unanswered.push(entries.length);
    void this.#channel.send(message);
    const [entry] = entries;
    if (entry?.isAlone !== true) return;
    if (entry.state !== 'given') this.cancel(entry, entry.failure); // called off while it crossed
    else if (entry.timeoutMs !== Infinity) {
      this.#callOffTimeout = deadline(entry.timeoutMs, () => {
        if (!this.#sendsLargeResult) this.#owner.timedOut(this, entry); // else it was in time
      });
    }
  }

  #hear(message: ToParent | PieceMessage | undefined): void {
    this.#heardMs = performance.now();
    try {
      if (!this.#isBroken) this.#understand(message); // else nothing that it says counts any more
    } catch (cause) {
      this.#broken('what cannot be read', cause);
    }
    this.#owner.heard();
  }

  #understand(message: ToParent | PieceMessage | undefined): void {
    switch (message?.type) {
      case 'piece':
        this.#sendsLargeResult = true;
        break;
      case 'ready':
        this.#phase = 'ready';
        this.#kind = message.kind;
        this.#owner.ready(this);
        this.#mindIdleness();
        break;
      case 'failed':
        this.#phase = 'last word said';
        this.#owner.failed(message.during, this.#channel.read(message.reason));
        break;
      case 'results':
        this.#sendsLargeResult = false;
        this.#results(message);
        break;
      case 'given-back':
        this.#takeBack(message.jobs);
        break;
      case 'stopping':
        this.#phase = 'leaving';
        this.#leftEarly = !this.#isCancelling && (this.#told === 'nothing' || (this.#told === 'end-of-jobs' && this.hasJob));
        this.#startedSaid = message.started;
        this.#endWithin(this.#graceMs);
        break;
      case 'exiting':
        this.#startedSaid = message.started;
        this.#cause = this.#channel.read(message.error);
        break;
      case 'end-of-results':
        this.#phase = 'last word said';
        if (message.failed) this.#thrown = { error: this.#channel.read(message.error) };
        break;
      default:
        this.#broken('one that is not of the protocol');
    }
  }

  #results({ outcomes, segments, elapsedMs, memoryBytes }: ResultsMessage): void {
    const before = this.#settledCount;
    const values = new Segments(segments);
    for (const outcome of outcomes) {
      if (isPut(outcome)) this.#valuePut(outcome);
      else this.#settle(outcome, values);
    }
    const settled = this.#settledCount - before;
    if (settled > 0) this.#owner.measured(settled, elapsedMs);
    if (memoryBytes > (this.#settings.maxWorkerMemory ?? Infinity)) {
      this.#isTooLarge = true;
      this.endOfJobs();
    }
    if (!this.hasJob) this.#mindIdleness();
  }

  #mindIdleness(): void {
    const { idleTimeoutMs } = this.#settings;
    if (idleTimeoutMs === undefined) return;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#owner.idled(this), idleTimeoutMs).unref();
  }

  /** The newest so many jobs: any that were given since it was asked cannot be, as none are. */
  #takeBack(count: number): void {
    this.#isAskedBack = false;
    if (count > this.#given.size) return this.#broken('more jobs back than it was given');
    const entries = this.#given.drain();
    const back = entries.splice(entries.length - count);
    for (const entry of entries) this.#given.push(entry);
    for (let left = count; left > 0;) {
      const last = this.#unanswered.pop()!;
      if (last > left) this.#unanswered.push(last - left);
      left -= Math.min(last, left);
    }
    this.#givenTotal -= count;
    this.#owner.givenBack(back);
  }

  /** A loop puts values for the job that it has, or, after the sentinel, for the last one that it had. */
  #valuePut({ id, value }: { id: number; value: Wire }): void {
    const entry = [this.#given.peek(), this.#lastSettled].find(candidate => candidate?.id === id);
    if (entry === undefined) this.#broken(`a value for job ${id}, which it does not have`);
    else this.#owner.valuePut(entry, this.#channel.read(value));
  }

  #settle(outcome: Exclude<JobOutcome, { value: Wire }>, values: Segments): void {
    const entry = this.#given.shift();
    if (entry === undefined) return this.#broken('a result without a job');
    this.#lastSettled = entry;
    this.#settledCount++;
    if (--this.#unanswered[0]! === 0) this.#unanswered.shift();
    if (this.#startedSaid !== undefined) this.#startedSaid--;
    if (entry.isAlone) {
      this.#callOffTimeout();
      this.#isCancelling = false;
      if (this.#isPutDown) this.endOfJobs(); // it has survived SIGTERM, and let go of its job after all
    }
    this.#owner.settled(entry, this.#fateOf(outcome, values));
  }

  #fateOf(outcome: Exclude<JobOutcome, { value: Wire }>, values: Segments): Fate {
    try {
      if (isDone(outcome)) return { status: 'done' };
      if (isRejected(outcome)) return { status: 'rejected', reason: this.#channel.read(outcome.rejected) };
      return { status: 'fulfilled', value: this.#channel.read(outcome, values) };
    } catch (reason) {
      return { status: 'rejected', reason }; // too large for this process, say
    }
  }

  #broken(what: string, cause?: unknown): void {
    this.#isBroken = true;
    this.#cause = new ProtocolError(`Cannot go on with the worker (pid ${this.pid}) as it sent ${what}`, cause === undefined ? {} : { cause });
    this.kill('SIGKILL');
  }

  #endWithin(ms: number): void {
    this.#callOffKill();
    this.#callOffKill = deadline(ms, () => {
      if (this.#exit === undefined) this.kill('SIGKILL');
      else this.#child.disconnect();
    });
  }

  /** A worker without a channel can neither hear nor answer: unless it has said all, it must not live on. */
  #channelEnded(): void {
    this.#isChannelOpen = false;
    if (this.#exit === undefined && this.#phase !== 'last word said') this.#signal('SIGKILL'); // dead already, mostly: no step of ours
    this.#goneOnce();
  }

  #neverStarted(error: Error): void {
    this.#cause = error;
    this.#isChannelOpen = false;
    this.#exited(null, null);
  }

  #exited(exitCode: number | null, signal: NodeJS.Signals | null): void {
    this.#exit = { exitCode, signal };
    if (this.#leadsGroup) this.#signal('SIGKILL'); // what it started and left behind
    // Somebody else may hold the other end of its channel open, a program that it started and left, say.
    this.#endWithin(this.#graceMs);
    this.#goneOnce();
  }

  /** Here a job becomes one that may have started, or one that certainly has not. */
  #goneOnce(): void {
    if (this.#exit === undefined || this.#isChannelOpen || this.#isGone) return;
    this.#isGone = true;
    this.#callOffKill();
    this.#callOffTimeout();
    clearTimeout(this.#idleTimer);
    const thrown = this.#thrown === undefined ? {} : { error: this.#thrown.error };
    const jobs = this.#given.drain();
    // Where it could not say so: any job of its first message, since it starts none before the results of the last one have left.
    const startedCount = this.#startedSaid ?? (this.wasReady ? this.#unanswered[0] ?? 0 : 0);
    this.#owner.gone(this, {
      started: jobs.slice(0, startedCount),
      unstarted: [...jobs.slice(startedCount), ...this.#parcels.flatMap(({ entries }) => entries)],
      cause: this.#cause,
      report: { pid: this.pid, ...this.#exit, jobs: this.#settledCount, ...thrown },
    });
  }
}

/** How much of a message it is, roughly. */
function sizeOf(wire: Wire): number {
  return typeof wire === 'string' || wire instanceof Uint8Array ? wire.length : 8;
}

/** A reason is only read by the job's signal: a large one is not worth its way. */
function small(reason: Packed): Wire {
  return sizeOf(reason) > FULL_MESSAGE_BYTES ? undefined : reason;
}

const isTagged = (outcome: JobOutcome): outcome is Exclude<JobOutcome, Wire> =>
  typeof outcome === 'object' && outcome !== null && !(outcome instanceof Uint8Array) && !('pieces' in outcome);

const isPut = (outcome: JobOutcome): outcome is { value: Wire; id: number } => isTagged(outcome) && 'value' in outcome;
const isDone = (outcome: JobOutcome): outcome is { done: true } => isTagged(outcome) && 'done' in outcome;
const isRejected = (outcome: JobOutcome): outcome is { rejected: Wire } => isTagged(outcome) && 'rejected' in outcome;
