// The parent's handle on one worker: starts the process, gives it jobs, hears what came of them, and knows
// when it is really gone. It reports to an owner, and knows neither the queues nor why a worker should end.
//
// - given.ts keeps account of its jobs: what it has, what may have started, what has not.
// - Gone means two things: its exit was seen, and its channel was read to the end. Node 20 tells of the
//   channel first, Node 26 of the exit. A message that a kill cut short is dropped by Node with the channel.

import { deadline } from './deadline.ts';
import { ProtocolError } from './errors.ts';
import { Given } from './given.ts';
import type { Leftovers } from './given.ts';
import type { Child, Host, Timer } from './host.ts';
import { Batch, Channel, packReason, Segments } from './ipc.ts';
import type { Packed } from './ipc.ts';
import type { Alone, Entry, Fate } from './job.ts';
import type { Settings } from './options.ts';
import { parseToParent, WORKER_ARGUMENT } from './protocol.ts';
import type { FailedMessage, JobOutcome, JobsMessage, PieceMessage, ReadyMessage, ResultsMessage, ToParent, ToWorker, Wire } from './protocol.ts';
import type { WorkerReport } from './types.ts';

/** A worker that was told to give up its job has 50 ms to settle it, by its own clock; one that says nothing after this is deaf. */
const CANCEL_ANSWER_MS = 100;
/** Jobs behind one that takes longer than this are asked back, if another worker is idle. */
export const SLOW_MS = 20;
/** A worker without a job has so long to read the next 64 MB that it is sent. That takes a quarter of a second. */
const READING_MS = 10_000;
/** A manual loop that waits for its next job has so long, at least, to read its sentinel: it may have a sum to put. */
const LOOP_ANSWER_MS = 5000;
/** Pieces of a large value follow each other: when none has come for this long, none will. A whole one of 64 MB takes a fraction of it. */
const LARGE_SILENCE_MS = 5000;
/** A message with so many bytes of jobs is full. */
const FULL_MESSAGE_BYTES = 256 * 1024;

/** What a worker left behind when it went. */
export interface Remains<Job> extends Leftovers<Job> {
  /** Why it went, if it or its channel said so. */
  cause: unknown;
  /** What the report says of it; its pid is 0 if it could not even be started. */
  report: WorkerReport;
}

export interface Owner<Job> {
  ready(worker: WorkerProcess<Job>): void;
  /** The module cannot be used, by this worker or any other. */
  failed(during: FailedMessage['during'], cause: unknown): void;
  settled(entry: Entry<Job>, fate: Fate, value: unknown): void;
  /** A manual loop put a value while this job was current. */
  valuePut(entry: Entry<Job>, value: unknown): void;
  /** So many jobs took so long. */
  measured(jobs: number, elapsedMs: number): void;
  /** The job that it has took longer than it may. */
  timedOut(worker: WorkerProcess<Job>, entry: Entry<Job>, alone: Alone): void;
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

export class WorkerProcess<Job> {
  readonly #host: Host;
  readonly #child: Child;
  readonly #channel: Channel<ToParent, ToWorker>;
  readonly #owner: Owner<Job>;
  readonly #settings: Settings;
  /** Which round of starts it is of. */
  readonly round: number;
  #graceMs: number;
  #phase: 'starting' | 'ready' | 'leaving' | 'last word said' = 'starting';
  /** What the parent told it about the end. */
  #told: 'nothing' | 'end-of-jobs' | 'end-of-jobs, and it has read that' | 'stop' = 'nothing';
  #kind: ReadyMessage['kind'] = 'function';

  readonly #given = new Given<Job>();
  #sendsLargeResult = false;
  /** The job that it has took longer than it may, while a large value of it was on its way. */
  #isOverdue = false;
  #isCancelling = false;
  #leftEarly = false;
  #isPutDown = false;
  #isTooLarge = false;
  #isBroken = false;
  #isAskedBack = false;
  /** Jobs came back from behind this one: nothing goes there again. */
  #slowJob: Entry<Job> | undefined;
  #isUnneeded = false;
  readonly #startedMs: number;
  #heardMs: number;
  /** How many jobs had started, as its last word says. */
  #startedAtExit: number | undefined;
  #cause: unknown;
  #thrown: { error: unknown } | undefined;
  /** The job of a loop that put a value which cannot be read: it is rejected when it is done. */
  #unread: { entry: Entry<Job>; error: unknown } | undefined;
  #exit: Pick<WorkerReport, 'exitCode' | 'signal'> | undefined;
  #isChannelOpen = true;
  #isGone = false;
  /** How many messages of jobs have not left yet, for all that is known. */
  #sending = 0;
  #killAtMs = Infinity;
  #callOffKill = (): void => {};
  #callOffReading = (): void => {};
  #callOffTimeout = (): void => {};
  #idleTimer: Timer | undefined;

  /** Starts a process. @throws what the host throws. */
  constructor(host: Host, module: { href: string; workerData: Packed }, settings: Settings, owner: Owner<Job>, round: number) {
    this.#host = host;
    this.#startedMs = this.#heardMs = host.now();
    this.#settings = settings;
    this.round = round;
    const brands = { incoming: host.token(), outgoing: host.token() };
    this.#owner = owner;
    this.#graceMs = settings.graceMs;
    this.#child = host.startWorker([`${WORKER_ARGUMENT}${module.href}`, brands.outgoing, brands.incoming, ...settings.interruptSignals], settings);
    // Before anything else: nobody must be able to miss it.
    this.#child.on('error', error => this.#neverStarted(error));
    this.#channel = new Channel(this.#child, brands, host.sizes);
    this.#channel.receive(parseToParent, message => this.#hear(message));
    this.#child.on('exit', (exitCode, signal) => this.#exited(exitCode, signal));
    this.#child.on('disconnect', () => this.#channelEnded());
    void this.#init(module.href, this.#channel.stage(module.workerData));
  }

  /** 0 if it could not even be started. */
  get pid(): number {
    return this.#child.pid;
  }

  /** What a signal to it goes to: its pid, or minus that where it leads a group of its own. */
  get target(): number {
    return this.#child.target;
  }

  get state(): 'starting' | 'idle' | 'busy' {
    if (this.#phase === 'starting') return 'starting';
    return this.#phase === 'ready' && !this.hasJob && !this.isLeaving ? 'idle' : 'busy';
  }

  get hasJob(): boolean {
    return this.#given.messages > 0 || this.#given.isCrossing;
  }

  get givenCount(): number {
    return this.#given.jobs;
  }

  get isLoop(): boolean {
    return this.#kind === 'loop';
  }

  get wasReady(): boolean {
    return this.#phase !== 'starting';
  }

  /** Whether one more message of jobs may be sent, where `window` of them may be under way. */
  hasRoom(window: number): boolean {
    if (this.#phase !== 'ready' || this.isLeaving || this.#isAskedBack || this.#given.isCrossing) return false;
    const { current } = this.#given;
    return current === undefined || (this.#given.messages < window && current.alone === null && current !== this.#slowJob);
  }

  /** Whether it has been told to leave, or is dead already. */
  get isLeaving(): boolean {
    return this.#told !== 'nothing' || this.#isPutDown || this.#exit !== undefined;
  }

  /** Whether another one should take its place: it died, left early, had its share of jobs or memory, or could not let go of a job. */
  get isToBeReplaced(): boolean {
    const hasLeftInOrder = this.#phase === 'last word said' && !this.#leftEarly && !this.#isBroken;
    return !hasLeftInOrder || this.jobsLeft <= 0 || this.#isTooLarge || this.#isCancelling;
  }

  get livedMs(): number {
    return this.#host.now() - this.#startedMs;
  }

  /** How many more jobs it may ever have. */
  get jobsLeft(): number {
    return (this.#settings.maxJobsPerWorker ?? Infinity) - this.#given.total;
  }

  /** Whether the pool may SIGTERM it after `stop`: it does not answer, and not because it is sending a large result or being sent a large job. */
  get isDeaf(): boolean {
    return (this.#phase === 'starting' || (this.#phase === 'ready' && this.#given.messages > 0)) && !this.#sendsLargeResult;
  }

  /** Whether it left of its own accord: a manual loop that returned early, or threw. */
  get leftEarly(): boolean {
    return this.#leftEarly;
  }

  /**
   * Gives it as many jobs as `take` has and a message can hold, and returns them: they have consecutive ids, and are all at the same
   * attempt. The values are those of this moment. A job that cannot be cloned is rejected here, and is the last: ids have no gaps.
   */
  give(take: () => Entry<Job> | undefined): Entry<Job>[] {
    this.#host.clearTimeout(this.#idleTimer);
    const { pid } = this;
    const batch = new Batch();
    const entries: Entry<Job>[] = [];
    const jobs: Wire[] = [];
    for (let bytes = 0; bytes <= FULL_MESSAGE_BYTES;) {
      const entry = take();
      if (entry === undefined) break;
      try {
        const before = batch.bytes;
        const wire = this.#channel.take(entry.job, 'job', batch);
        bytes += batch.bytes - before + sizeOf(wire);
        jobs.push(wire);
        entry.pid = pid; // one that cannot be sent has had no worker
        entries.push(entry);
      } catch (reason) {
        this.#owner.settled(entry, 'rejected', reason);
        break;
      }
    }
    this.#host.assert(this.#phase === 'ready' && !this.isLeaving, 'jobs go to workers that are ready, and are not told to leave');
    const [first] = entries;
    if (first === undefined) this.#mindIdleness(); // none could be cloned: it still has nothing to do
    else {
      this.#given.total += entries.length;
      void this.#cross({ type: 'jobs', firstId: first.id, attempt: first.alone?.attempt ?? 1, jobs, segments: batch.take() }, entries);
    }
    return entries;
  }

  /** Has it give up a job: its signal aborts, and if it neither settles the job nor leaves it is ended. */
  cancel(entry: Entry<Job>, reason: unknown): void {
    if (this.#given.current !== entry) return; // still crossing: then it is told when it has it
    this.#isCancelling = true;
    const packed = packReason(reason); // only read by the job's signal: a large one is not worth its way
    void this.#channel.send({ type: 'cancel', id: entry.id, reason: sizeOf(packed) > FULL_MESSAGE_BYTES ? undefined : packed });
    this.#callOffTimeout();
    this.#isOverdue = false;
    this.#callOffTimeout = deadline(this.#host, CANCEL_ANSWER_MS, () => {
      if (this.#given.current === entry && this.#phase === 'ready') this.kill('SIGTERM');
    });
    if (this.isLoop) this.endOfJobs(); // it has but one signal, which has aborted: it is not asked for another job
  }

  /** Whether it has been at a job for a while. */
  isAtWork(nowMs: number): boolean {
    return this.#phase === 'ready' && this.hasJob && nowMs - this.#heardMs > SLOW_MS;
  }

  /** Whether it may be asked for jobs back: none is on its way that would be taken for one of them. */
  get hasToSpare(): boolean {
    return this.#given.jobs > 1 && !this.#given.isCrossing && !this.#isAskedBack && this.#phase === 'ready' && this.#told !== 'stop';
  }

  /** Whether it sits on jobs behind one that takes long. */
  isSlow(nowMs: number): boolean {
    return this.hasToSpare && nowMs - this.#heardMs > SLOW_MS;
  }

  /** Asks for the jobs that it has not started. One that is busy in a loop hears of it after its job. */
  askBack(): void {
    this.#isAskedBack = true;
    void this.#channel.send({ type: 'give-back' });
  }

  /**
   * Sends the sentinel, once, behind the jobs that it was given: when it has done them it has `graceMs` to leave. So has one that is not
   * ready when there is nothing left that it could be given.
   */
  endOfJobs(isUnneeded = false): void {
    if (isUnneeded && this.#phase === 'starting' && !this.#isUnneeded) {
      this.#isUnneeded = true;
      this.#endWithin(this.#graceMs);
    }
    if (this.#told !== 'nothing' || this.#given.isCrossing) return;
    this.#told = 'end-of-jobs';
    this.#host.clearTimeout(this.#idleTimer);
    void this.#channel.send({ type: 'end-of-jobs' });
    this.#awaitLeaving();
  }

  /** The sentinel is the next thing that it reads. One that does not is deaf: a timer that its last job left spins, say. A loop has a value to lose. */
  #awaitLeaving(): void {
    const ms = this.isLoop ? Math.max(this.#graceMs, LOOP_ANSWER_MS) : this.#graceMs;
    if (this.#told === 'end-of-jobs' && this.#phase === 'ready' && !this.hasJob) this.#endWithin(ms);
  }

  /** Step 1 of terminate: asks it to leave. From its answer on, or from SIGTERM, it has `graceMs`. */
  stop(graceMs: number): void {
    this.#told = 'stop';
    this.#host.clearTimeout(this.#idleTimer);
    this.#graceMs = graceMs;
    void this.#channel.send({ type: 'stop' });
    if (this.#exit === undefined) this.#endWithin(graceMs);
    else this.hasten(graceMs);
    this.#owner.ended('stop');
  }

  /** It is leaving already: the shorter grace counts. */
  hasten(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs, graceMs);
    if (this.#host.now() + graceMs < this.#killAtMs) this.#endWithin(graceMs);
  }

  /** Steps 2 and 3 of terminate. One that was stopped must go on to die of SIGTERM. */
  kill(wanted: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#exit !== undefined) return this.hasten(0); // its pid, and that of its group, may be another's by now
    const signal = this.#settings.interruptSignals.includes('SIGTERM') ? 'SIGKILL' : wanted; // they ignore it
    this.#isPutDown = true;
    if (signal === 'SIGKILL') this.#graceMs = 0; // nothing that it holds is worth a wait
    this.#child.kill(signal);
    if (signal === 'SIGTERM') {
      this.#child.kill('SIGCONT');
      this.#endWithin(this.#graceMs);
    }
    this.#owner.ended(signal);
  }

  async #init(module: string, workerData: Wire): Promise<void> {
    await this.#channel.sendLarge();
    await this.#channel.send({ type: 'init', module, workerData, tellsMemory: this.#settings.maxWorkerMemory !== undefined });
  }

  async #cross(message: JobsMessage, entries: Entry<Job>[]): Promise<void> {
    const mustWait = this.#channel.hasLarge;
    if (mustWait) {
      this.#given.cross(entries);
      this.#awaitReading();
      const hasLeft = await this.#channel.sendLarge(() => {
        this.#awaitReading();
        return this.#told === 'stop' || !this.#isChannelOpen;
      });
      this.#callOffReading();
      if (!hasLeft) return;
    }
    this.#hand(message, entries);
    if (this.jobsLeft <= 0) this.endOfJobs();
    if (mustWait) this.#owner.heard();
  }

  /** A worker without a job reads what it is sent, piece by piece. One that does not is deaf. */
  #awaitReading(): void {
    this.#callOffReading();
    if (this.#given.messages === 0) this.#callOffReading = deadline(this.#host, READING_MS, () => this.kill('SIGKILL'));
  }

  /** From here on its jobs may be started. */
  #hand(message: JobsMessage, entries: Entry<Job>[]): void {
    this.#host.assert(this.#told !== 'stop', 'no jobs follow a stop');
    this.#given.hand(entries);
    this.#sending++;
    void this.#channel.send(message).then(hasLeft => {
      this.#sending--;
      if (!hasLeft) this.#given.notSent(entries); // its end will be heard soon
    });
    const [entry] = entries;
    if (entry === undefined || entry.alone === null) return;
    const { alone } = entry;
    if (entry.state !== 'given') this.cancel(entry, alone.failure); // called off while it crossed
    else if (alone.timeoutMs !== Infinity) this.#limit(entry, alone, alone.timeoutMs);
  }

  /** A large value that is on its way may be the job's result: then it was in time. One that does not go on is none. */
  #limit(entry: Entry<Job>, alone: Alone, ms: number): void {
    this.#callOffTimeout = deadline(this.#host, ms, () => {
      this.#isOverdue = this.#sendsLargeResult && this.#host.now() - this.#heardMs < LARGE_SILENCE_MS;
      if (this.#isOverdue) this.#limit(entry, alone, LARGE_SILENCE_MS);
      else this.#owner.timedOut(this, entry, alone);
    });
  }

  /** What was on its way has come, and was a value of a loop: its job goes on, and has had its time. Unless the next message, which is here already, says that it is done. */
  #judgeOverdue(): void {
    const entry = this.#given.current;
    const alone = entry?.alone;
    if (!this.#isOverdue || !alone) return;
    this.#host.setImmediate(() => {
      if (!this.#isOverdue || this.#given.current !== entry) return;
      this.#isOverdue = false;
      this.#owner.timedOut(this, entry, alone);
    });
  }

  #hear(message: ToParent | PieceMessage | undefined): void {
    this.#startedAtExit = undefined; // a job has only emitted 'exit': the worker lives on
    this.#heardMs = this.#host.now();
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
        this.#awaitLeaving();
        break;
      case 'failed':
        this.#phase = 'last word said';
        this.#owner.failed(message.during, this.#channel.readReason(message.reason));
        break;
      case 'results':
        this.#sendsLargeResult = false;
        this.#results(message);
        this.#judgeOverdue();
        break;
      case 'given-back':
        this.#takeBack(message.jobs);
        break;
      case 'sentinel-read':
        if (this.#told !== 'end-of-jobs' || this.#isPutDown) break; // it is to leave now, all the same
        this.#told = 'end-of-jobs, and it has read that';
        this.#endWithin(Infinity); // what a loop does now is its work
        break;
      case 'stopping':
        this.#phase = 'leaving';
        this.#leftEarly = !this.#isCancelling && this.#told !== 'stop' && (this.#told === 'nothing' || this.hasJob);
        this.#given.started = message.started;
        this.#endWithin(this.#graceMs);
        break;
      case 'exiting':
        this.#startedAtExit = message.started;
        this.#cause = this.#channel.readReason(message.error);
        if (message.failed) this.#thrown = { error: this.#cause };
        break;
      case 'end-of-results':
        this.#phase = 'last word said';
        if (message.failed) this.#thrown = { error: this.#channel.readReason(message.error) };
        break;
      default:
        this.#broken('one that is not of the protocol');
    }
  }

  #results({ outcomes, segments, elapsedMs, memoryBytes }: ResultsMessage): void {
    const before = this.#given.answeredTotal;
    const values = new Segments(segments);
    for (const outcome of outcomes) {
      if (!isTagged(outcome)) this.#settle('fulfilled', outcome, values);
      else if ('value' in outcome) this.#valuePut(outcome);
      else if ('rejected' in outcome) this.#settle('rejected', outcome.rejected);
      else this.#settle('done');
    }
    const settled = this.#given.answeredTotal - before;
    if (settled > 0) this.#owner.measured(settled, elapsedMs);
    if (memoryBytes > (this.#settings.maxWorkerMemory ?? Infinity)) {
      this.#isTooLarge = true;
      this.endOfJobs();
    }
    if (!this.hasJob) this.#mindIdleness();
    this.#awaitLeaving();
  }

  #mindIdleness(): void {
    const { idleTimeoutMs } = this.#settings;
    if (idleTimeoutMs === undefined || this.isLeaving) return;
    this.#host.clearTimeout(this.#idleTimer);
    this.#idleTimer = this.#host.setTimeout(() => this.#owner.idled(this), idleTimeoutMs).unref();
  }

  #takeBack(count: number): void {
    this.#isAskedBack = false;
    const entries = this.#given.takeBack(count);
    if (entries === undefined) return this.#broken('more jobs back than it was given');
    this.#slowJob = this.#given.current;
    this.#owner.givenBack(entries);
    if (!this.hasJob) this.#mindIdleness();
    this.#awaitLeaving();
  }

  #valuePut({ id, value }: { id: number; value: Wire }): void {
    const entry = this.#given.put(id);
    if (entry === undefined) return this.#broken(`a value for job ${id}, which it does not have`);
    const read = this.#channel.attempt(value);
    const isCurrent = entry === this.#given.current;
    if ('error' in read) {
      if (isCurrent) this.#unread = { entry, error: read.error };
      else this.#thrown = read; // put after the sentinel: its job has its result
      return;
    }
    // The value of a job that has timed out is dropped: it has its outcome, or another attempt will give it. What a loop puts behind
    // its jobs, a sum say, goes to the last one that it has done.
    const ofCurrent = entry.state === 'given' ? entry : undefined;
    const takes = isCurrent ? ofCurrent : this.#given.lastDone;
    if (takes !== undefined) this.#owner.valuePut(takes, read.value);
  }

  #settle(fate: Fate, wire?: Wire, values?: Segments): void {
    const entry = this.#given.answer(this.isLoop);
    if (entry === undefined) return this.#broken('a result without a job');
    if (entry.alone !== null) {
      this.#callOffTimeout();
      this.#isOverdue = false;
      this.#isCancelling = false;
      if (this.#isPutDown) this.endOfJobs(); // it has survived SIGTERM, and let go of its job after all
    }
    if (fate === 'done' && this.#unread?.entry === entry) return this.#owner.settled(entry, 'rejected', this.#unread.error);
    let value: unknown;
    try {
      value = this.#channel.read(wire, values);
    } catch (reason) {
      return this.#owner.settled(entry, 'rejected', reason); // too large for this process, say
    }
    this.#owner.settled(entry, fate, value);
  }

  #broken(what: string, cause?: unknown): void {
    this.#isBroken = true;
    this.#cause = new ProtocolError(`Cannot go on with the worker (pid ${this.pid}) as it sent ${what}`, cause === undefined ? {} : { cause });
    this.kill('SIGKILL');
  }

  #endWithin(ms: number): void {
    this.#callOffKill();
    this.#killAtMs = this.#host.now() + ms;
    if (ms === Infinity) return;
    this.#callOffKill = deadline(this.#host, ms, () => {
      if (this.#exit === undefined) this.kill('SIGKILL');
      else this.#child.closeChannel(); // somebody else holds the other end
    });
  }

  /** A worker without a channel can neither hear nor answer: unless it has said all, it must not live on. */
  #channelEnded(): void {
    this.#isChannelOpen = false;
    if (this.#exit === undefined && this.#phase !== 'last word said') this.#child.kill('SIGKILL'); // dead already, mostly: no step of ours
    this.#goneOnce();
  }

  #neverStarted(error: Error): void {
    this.#cause = error;
    this.#isChannelOpen = false;
    this.#exited(null, null);
  }

  #exited(exitCode: number | null, signal: NodeJS.Signals | null): void {
    this.#exit = { exitCode, signal };
    if (this.target < 0) this.#child.kill('SIGKILL'); // what it started and left behind, for the last time
    // Somebody else may hold the other end of its channel open, a program that it started and left, say.
    this.#endWithin(this.#graceMs);
    this.#goneOnce();
  }

  /** Of a message that was sent to one that is dead already Node says so two turns later at the most: until then it is not clear what may have started. */
  #goneOnce(): void {
    if (this.#exit === undefined || this.#isChannelOpen || this.#isGone) return;
    this.#isGone = true;
    const exit = this.#exit;
    if (this.#sending === 0) this.#tellGone(exit);
    else this.#host.setImmediate(() => this.#host.setImmediate(() => this.#tellGone(exit)));
  }

  #tellGone(exit: Pick<WorkerReport, 'exitCode' | 'signal'>): void {
    this.#given.started = this.#startedAtExit ?? this.#given.started;
    this.#callOffKill();
    this.#callOffReading();
    this.#callOffTimeout();
    this.#host.clearTimeout(this.#idleTimer);
    const thrown = this.#thrown === undefined ? {} : { error: this.#thrown.error };
    const report = { pid: this.pid, ...exit, jobs: this.#given.answeredTotal, ...thrown };
    this.#owner.gone(this, { ...this.#given.leftovers(this.wasReady, this.#isBroken), cause: this.#cause, report });
  }
}

/** How much of a message it is, roughly: what goes ahead of it is to be the last of it. */
function sizeOf(wire: Wire): number {
  if (typeof wire === 'string' || wire instanceof Uint8Array) return wire.length;
  if (typeof wire !== 'object' || wire === null) return 8;
  return wire.next === 'plain' ? 0 : Infinity; // the batch knows
}

const isTagged = (outcome: JobOutcome): outcome is Exclude<JobOutcome, Wire> =>
  typeof outcome === 'object' && outcome !== null && !(outcome instanceof Uint8Array) && !('next' in outcome);
