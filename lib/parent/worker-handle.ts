// The parent's handle on one worker: what it was told, what it said, and what follows from that. It knows neither queues nor why a worker should end.
//
// Its states, and what leads from one to the next: worker-states.ts. Its jobs: assignment.ts. Its process: worker-process.ts.
// Its end has a date from when it is to leave: the sentinel without a job, `stop`, 'stopping', SIGTERM: then it has `graceMs`, and SIGKILL follows.

import { ProtocolError } from '../errors.ts';
import type { Host, Timer } from '../host.ts';
import type { Settings } from '../options.ts';
import type { WorkerReport } from '../types.ts';
import { Channel } from '../wire/channel.ts';
import { parseToParent, WORKER_ARGUMENT } from '../wire/protocol.ts';
import type { PieceMessage, ReadyMessage, ToParent, ToWorker, Wire } from '../wire/protocol.ts';
import type { Packed } from '../wire/values.ts';
import { Assignment } from './assignment.ts';
import type { JobRecord } from './job-record.ts';
import type { WorkerOwner } from './worker-owner.ts';
import { WorkerProcess } from './worker-process.ts';
import { isStep, MAY_NOT_START, NEXT } from './worker-states.ts';
import type { Event, Reason, State } from './worker-states.ts';

/** A manual loop that waits for its next job has so long, at least, to read its sentinel: it may have a sum to put. */
const LOOP_ANSWER_MS = 5000;

export class WorkerHandle<Job> {
  readonly #host: Host;
  readonly #child: WorkerProcess;
  readonly #channel: Channel<ToParent, ToWorker>;
  readonly assignment: Assignment<Job>; // its jobs
  readonly #owner: WorkerOwner<Job>;
  readonly #settings: Settings;
  readonly round: number; // which round of starts it is of
  #state: State = 'starting';
  #kind: ReadyMessage['kind'] | undefined; // known from when it is ready
  #reason: Reason | undefined;
  #graceMs: number;
  readonly #startedMs: number;
  lastMessageAt: number;
  #startedAtExit: number | undefined; // how many jobs had started, as it said when it exited
  #cause: unknown;
  #thrown: { error: unknown } | undefined;
  #idleTimer: Timer | undefined;

  /** Starts a process. @throws what the host throws. */
  constructor(host: Host, module: { href: string; workerData: Packed }, settings: Settings, { owner, round }: { owner: WorkerOwner<Job>; round: number }) {
    this.#host = host;
    this.#startedMs = this.lastMessageAt = host.now();
    this.#settings = settings;
    this.round = round;
    this.#owner = owner;
    this.#graceMs = settings.graceMs;
    const tokens = { incoming: host.token(), outgoing: host.token() };
    const child = host.startWorker([`${WORKER_ARGUMENT}${module.href}`, tokens.outgoing, tokens.incoming, ...settings.interruptSignals], settings);
    this.#child = new WorkerProcess(host, child, {
      overdue: () => this.kill('SIGKILL'),
      disconnected: () => this.#state === 'finished',
      exited: () => this.assignment.stopClock(),
      neverStarted: error => { this.#cause = error; },
      gone: exit => this.assignment.whenKnown(() => this.#gone(exit)),
    });
    this.#channel = new Channel(child, tokens, host.sizes);
    this.assignment = new Assignment(host, settings, this.#channel, { worker: this, owner });
    this.#channel.receive(parseToParent, message => this.#received(message));
    this.#child.listen(() => this.#graceMs);
    void this.#init(module.href, this.#channel.encodePacked(module.workerData));
  }

  // ---- What it is

  /** 0 if it could not even be started. */
  get pid(): number {
    return this.#child.pid;
  }

  /** What a signal to it goes to: its pid, or minus that where it leads a group of its own. */
  get target(): number {
    return this.#child.target;
  }

  get activity(): 'starting' | 'idle' | 'busy' {
    if (!this.wasReady && this.#state !== 'leaving' && this.#state !== 'finished') return 'starting';
    return this.#state === 'ready' && !this.assignment.hasJob && !this.isLeaving ? 'idle' : 'busy';
  }

  get wasReady(): boolean {
    return this.#kind !== undefined;
  }

  get isLoop(): boolean {
    return this.#kind === 'loop';
  }

  get livedMs(): number {
    return this.#host.now() - this.#startedMs;
  }

  get isConnected(): boolean {
    return this.#child.isChannelOpen && this.#child.exit === undefined;
  }

  /** Whether it is to leave, or is dead already: it gets no more jobs. */
  get isLeaving(): boolean {
    return (this.#state !== 'starting' && this.#state !== 'ready') || this.#child.exit !== undefined;
  }

  get mayAnswer(): boolean {
    return this.wasReady && this.#state !== 'leaving' && this.#state !== 'finished' && this.#state !== 'gone';
  }

  get mayNotStart(): boolean {
    return MAY_NOT_START.has(this.#state);
  }

  /** Whether one more message of jobs may be sent, where `window` of them may be under way. */
  hasRoom(window: number): boolean {
    return this.#state === 'ready' && !this.isLeaving && this.assignment.hasRoom(window);
  }

  get hasReclaimable(): boolean {
    return this.assignment.isReclaimable && this.mayAnswer && !this.mayNotStart;
  }

  /** Whether the pool may SIGTERM it: it does not answer `stop`, and not because something large is under way, in either direction. */
  get isUnresponsive(): boolean {
    return this.#state === 'stopping' && (!this.wasReady || this.assignment.hasSent) && !this.assignment.receivesLarge;
  }

  /** Why another one should take its place, once it is gone. */
  get reason(): Reason | undefined {
    return this.#reason;
  }

  // ---- What it is told

  /** Takes the step of the table. False where there is none. */
  #go(event: Event): boolean {
    const next = NEXT[this.#state][event];
    if (next !== undefined) this.#state = next;
    return next !== undefined;
  }

  async #init(module: string, workerData: Wire): Promise<void> {
    await this.#channel.sendLarge();
    await this.#channel.send({ type: 'init', module, workerData, tellsMemory: this.#settings.maxWorkerMemory !== undefined });
  }

  /** Sends it as many jobs as `take` has and a message can hold, and returns them. */
  send(take: () => JobRecord<Job> | undefined): JobRecord<Job>[] {
    this.#host.assert(this.#state === 'ready', 'jobs go to workers that are ready, and are not told to leave');
    this.#host.clearTimeout(this.#idleTimer);
    const records = this.assignment.send(take);
    if (records.length === 0) this.#awaitJob(); // none could be cloned
    return records;
  }

  /**
   * Sends the sentinel, once, behind its jobs: when it has done them it has `graceMs` to leave. So has one that is not ready when there is
   * nothing left that it could be sent.
   */
  endOfJobs(isUnneeded = false): void {
    if (isUnneeded && !this.wasReady && !this.#child.isLimited) this.#child.endWithin(this.#graceMs);
    if ((this.#state !== 'starting' && this.#state !== 'ready') || this.assignment.isHeld) return;
    this.#sendSentinel();
    this.#awaitLeaving();
  }

  #sendSentinel(): void {
    this.#go('SENTINEL');
    this.#host.clearTimeout(this.#idleTimer);
    void this.#channel.send({ type: 'end-of-jobs' });
  }

  /** The sentinel is the next thing that it reads. One that does not read it never will: a timer that its last job left spins, say. A loop has a value to lose. */
  #awaitLeaving(): void {
    if (this.#state === 'draining' && this.wasReady && !this.assignment.hasJob) this.#leaveWithin();
  }

  #leaveWithin(): void {
    this.#child.endWithin(this.isLoop ? Math.max(this.#graceMs, LOOP_ANSWER_MS) : this.#graceMs);
  }

  /** Step 1 of terminate: asks it to leave. It has `graceMs`, and again from its answer on, or from SIGTERM. */
  stop(graceMs: number): void {
    this.#go('STOP');
    this.#host.clearTimeout(this.#idleTimer);
    this.#graceMs = graceMs;
    void this.#channel.send({ type: 'stop' });
    if (this.#child.exit === undefined) this.#child.endWithin(graceMs);
    else this.hasten(graceMs);
    this.#owner.ended('stop', this.pid);
  }

  /** It is leaving already: the shorter grace counts. */
  hasten(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs, graceMs);
    this.#child.hasten(graceMs);
  }

  /** Steps 2 and 3 of terminate. */
  kill(wanted: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#child.exit !== undefined) return this.hasten(0); // its pid, and that of its group, may be another's by now
    const signal = this.#settings.interruptSignals.includes('SIGTERM') ? 'SIGKILL' : wanted; // they ignore it
    this.#go('KILL');
    if (signal === 'SIGKILL') this.#graceMs = 0; // nothing that it holds is worth a wait
    this.#child.signal(signal);
    if (signal === 'SIGTERM') this.#child.endWithin(this.#graceMs);
    this.#owner.ended(signal, this.pid);
  }

  // ---- What it says

  #received(message: ToParent | PieceMessage | undefined): void {
    this.#startedAtExit = undefined; // a job has only emitted 'exit': the worker lives on
    this.lastMessageAt = this.#host.now();
    try {
      if (this.#reason !== 'protocol') this.#understand(message); // else nothing that it says counts any more
    } catch (cause) {
      this.broken('what cannot be read', cause);
    }
    this.#owner.received();
  }

  #understand(message: ToParent | PieceMessage | undefined): void {
    if (message === undefined) return this.broken('one that is not of the protocol');
    const { type } = message;
    const before = this.#state;
    if (isStep(type) && !this.#go(type)) return this.broken(`'${type}' when it was ${before}`);
    switch (type) {
      case 'piece':
        this.assignment.receivesLarge = true;
        break;
      case 'ready':
        this.#kind = message.kind;
        this.#owner.ready();
        this.#jobsChanged();
        break;
      case 'failed':
        this.#owner.failed(message.during, this.#channel.readReason(message.reason));
        break;
      case 'results':
        this.assignment.results(message);
        this.#checkMemory(message.memoryBytes);
        this.#jobsChanged();
        this.assignment.judge();
        break;
      case 'reclaimed':
        this.assignment.handedBack(message.jobs);
        this.#jobsChanged();
        break;
      case 'sentinel-read':
        if (before === 'draining') this.#child.endWithin(Infinity); // what a loop does now is its work
        break;
      case 'stopping':
        if (!this.assignment.isStuck && (before === 'ready' || ((before === 'draining' || before === 'summing') && this.assignment.hasJob))) this.#reason ??= 'left early';
        this.assignment.started(message.started);
        if (message.started === 0) this.assignment.stopClock(); // nothing runs in it, nor will
        this.#child.endWithin(this.#graceMs);
        break;
      case 'exiting':
        this.#startedAtExit = message.started;
        this.#cause = this.#channel.readReason(message.error);
        if (message.failed) this.#thrown = { error: this.#cause };
        break;
      case 'end-of-results':
        if (message.failed) this.#thrown = { error: this.#channel.readReason(message.error) };
        break;
      /* c8 ignore next 2 -- a message of the protocol that nobody understands does not compile */
      default:
        message satisfies never;
    }
  }

  #checkMemory(bytes: number): void {
    if (bytes <= (this.#settings.maxWorkerMemory ?? Infinity)) return;
    this.#reason ??= 'memory';
    this.endOfJobs();
  }

  #jobsChanged(): void {
    if (!this.assignment.hasJob) this.#awaitJob();
    this.#awaitLeaving();
  }

  #awaitJob(): void {
    const { idleTimeoutMs } = this.#settings;
    if (idleTimeoutMs === undefined || this.isLeaving) return;
    this.#host.clearTimeout(this.#idleTimer);
    this.#idleTimer = this.#host.setTimeout(() => this.#owner.idled(), idleTimeoutMs).unref();
  }

  /** It has survived SIGTERM, and let go of its job: it may leave after all. */
  jobOver(): void {
    if (this.#state !== 'dying' || this.#graceMs === 0) return;
    this.#sendSentinel();
    this.#leaveWithin();
  }

  thrown(error: unknown): void {
    this.#thrown = { error };
  }

  broken(what: string, cause?: unknown): void {
    this.#reason = 'protocol';
    this.#cause = new ProtocolError(`Cannot go on with the worker (pid ${this.pid}) as it sent ${what}`, cause === undefined ? {} : { cause });
    this.kill('SIGKILL');
  }

  #gone(exit: Pick<WorkerReport, 'exitCode' | 'signal'>): void {
    if (this.#state !== 'finished') this.#reason ??= 'crashed';
    else if (this.assignment.left <= 0) this.#reason ??= 'job limit';
    else if (this.assignment.isStuck) this.#reason ??= 'stuck';
    this.#state = 'gone';
    if (this.#startedAtExit !== undefined) this.assignment.started(this.#startedAtExit);
    this.#child.end();
    this.#host.clearTimeout(this.#idleTimer);
    const thrown = this.#thrown === undefined ? {} : { error: this.#thrown.error };
    const report = { pid: this.pid, ...exit, jobs: this.assignment.settled, ...thrown };
    this.#owner.gone({ ...this.assignment.end(this.wasReady, this.#reason === 'protocol'), cause: this.#cause, report });
  }
}

