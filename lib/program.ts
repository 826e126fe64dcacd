// The program that runs in a worker: read jobs, call the module's work function or manual loop, send what
// came of it, and leave at the sentinel or at `stop`. It knows the protocol, and nothing of the pool; what it needs of its process a host
// gives it, so that it may exist many times in one process.
//
// - It starts no job before the last message of results has left the process.
// - From a result's return until it has left, and from `stopping` on, it swallows SIGTERM.

import type { Timer, WorkerHost } from './host.ts';
import { Batch, Channel, packReason, Segments } from './ipc.ts';
import type { CancelMessage, JobOutcome, JobsMessage, PieceMessage, ResultsMessage, ToParent, ToWorker, Wire } from './protocol.ts';
import { parseToWorker } from './protocol.ts';
import type { JobContext, JobReader, ResultWriter } from './types.ts';

// A job may overwrite what is global: what this program needs it takes now.
const { Promise } = globalThis;
const { isView } = ArrayBuffer;

/** How long a running job has, after `stop`, to fulfil. */
const SETTLE_MS = 30;
/** How long a job has, after it was cancelled, to settle; then this worker leaves. */
const SETTLE_CANCELLED_MS = 50;
/** Between two jobs a worker looks for messages at most this often: a look takes two turns of the event loop, once a millisecond that was 4 % of the time. */
const LOOK_EVERY_MS = 2.5;
/** What has taken so long is sent, before its message is all done. */
const FLUSH_AFTER_MS = 4.5;
/** Results wait for company behind a job that awaits something no longer than this. */
const FLUSH_WITHIN_MS = 4;
/** Results of so many bytes are sent, whatever else is in their message. */
const FLUSH_BYTES = 256 * 1024;
/** The last look was so long ago that the next thing is another one. */
const LONG_AGO = -Infinity;

type WorkFunction = (job: unknown, context: JobContext) => unknown;
type Loop = (jobs: JobReader<unknown>, results: ResultWriter<unknown>, context: JobContext) => unknown;
type Hook = (workerData?: unknown) => unknown;

/** Listens from now on: the first message says what to load. @throws TypeError if the process has no channel. */
export function runProgram(host: WorkerHost): void {
  new Program(host).listen();
}

class Program {
  readonly #host: WorkerHost;
  /** Asked for each job. */
  readonly #now: () => number;
  readonly #channel: Channel<ToWorker, ToParent>;

  /** Messages of jobs, the oldest first; `position` is that of the next job in the first of them. */
  readonly #received: { message: JobsMessage; values: Segments }[] = [];
  #position = 0;
  #atSentinel = false;
  isStopping = false;
  /** What waits for a message, and how it is woken: one promise for all that wait. */
  #arrival: Promise<void> | undefined;
  #wake = (): void => {};

  #teardown: Hook | undefined;
  /** What a loop threw while it had no job, or what `teardown` threw. */
  #thrown: { error: unknown } | undefined;
  #phase: 'starting' | 'working' | 'gave up' | 'left' = 'starting';
  #giveUp = (): void => {};
  #isLoop = false;
  /** Whether the loop has asked for a job. */
  #hasAsked = false;
  /** It cannot go on as it should, since a listener of its was removed say: it leaves between two jobs. */
  #isMaimed = false;
  #late: { error: unknown } | undefined;

  /** What became of jobs and is not sent yet; `settled` of them end a job. */
  #outcomes: JobOutcome[] = [];
  #settled = 0;
  /** How many jobs were started whose outcome has not been written to the channel. */
  #started = 0;
  readonly #batch = new Batch();
  #unsentBytes = 0;
  #workedMs = 0;
  #flushed = Promise.resolve();
  /** How many flushes are under way. */
  #flushes = 0;
  #flushTimer: Timer | undefined;
  #tellsMemory = false;
  #isShielded = false;

  readonly #beforeFirst = new RunningJob(-1, 0, this);
  /** The job that runs, or ran last. */
  #current = this.#beforeFirst;
  #startMs = 0;
  #lookedMs: number;

  constructor(host: WorkerHost) {
    this.#host = host;
    this.#now = host.now;
    this.#channel = new Channel(host.endpoint, host.tokens, host.sizes);
    this.#lookedMs = host.now();
  }

  listen(): void {
    this.#channel.receive(parseToWorker, message => this.#hear(message));
    this.#host.on('disconnect', () => this.#host.exit(1)); // the parent is gone: nobody will read what we do
    this.#host.on('tampered', () => {
      this.#isMaimed = true;
      this.#wake();
    });
    this.#host.on('failure', error => {
      this.#late = { error };
      this.#host.setImmediate(() => { this.#late = undefined; }); // the module has a listener of its own, and the worker lives on
    });
    this.#host.on('exit', () => this.#exiting());
  }

  #hear(message: ToWorker | PieceMessage | undefined): void {
    switch (message?.type) {
      case 'init':
        this.#tellsMemory = message.tellsMemory;
        void this.#run(message.module, message.workerData);
        break;
      case 'jobs':
        if (!this.isStopping) this.#received.push({ message, values: new Segments(message.segments) });
        break;
      case 'end-of-jobs':
        this.#atSentinel = true;
        if (this.#isLoop && !this.#hasAsked) this.#saySentinelRead(); // it is still preparing itself
        break;
      case 'stop':
        this.#stop();
        break;
      case 'give-back':
        void this.#channel.send({ type: 'given-back', jobs: this.#dropUnstarted() });
        break;
      case 'cancel':
        this.#cancel(message);
        break;
    }
    this.#wake();
  }

  // ---- The life of a worker

  async #run(href: string, workerData: Wire): Promise<void> {
    let during: 'import' | 'exports' | 'setup' = 'import';
    let module: Usable;
    try {
      const exports = await this.#host.load(href);
      during = 'exports';
      module = usable(exports);
      during = 'setup';
      await module.setup?.(this.#channel.read(workerData));
      this.#teardown = module.teardown;
    } catch (reason) {
      if (this.isStopping) return;
      const failure = this.#channel.stage(packReason(reason));
      await this.#channel.sendLarge();
      await this.#channel.send({ type: 'failed', during, reason: failure });
      this.#phase = 'left';
      return this.#host.exit(1);
    }
    if (this.isStopping) return;
    this.#phase = 'working';
    this.#isLoop = module.kind === 'loop';
    await this.#channel.send({ type: 'ready', kind: module.kind });
    if (this.#isLoop && this.#atSentinel) this.#saySentinelRead();
    const main = module.kind === 'loop' ? this.#runLoop(module.loop) : this.#runFunction(module.work);
    await Promise.race([main, new Promise<void>(resolve => { this.#giveUp = resolve; })]);
    return this.#leave();
  }

  /** From here on a loop may take as long as it likes. */
  #saySentinelRead(): void {
    if (!this.isStopping) void this.#channel.send({ type: 'sentinel-read' });
  }

  /** Asked to leave: hands back what has not started and lets the job that runs fulfil, for a moment. */
  #stop(): void {
    if (this.isStopping) return this.#giveUp();
    this.#sayStopping();
    this.#dropUnstarted();
    if (this.#phase === 'starting') void this.#leave();
    this.#current.abort();
    this.#beforeFirst.abort();
    this.#host.setTimeout(() => {
      if (this.#phase === 'working') this.#phase = 'gave up';
      this.#giveUp();
    }, SETTLE_MS);
  }

  /** Asked to give up a job: its signal aborts. A worker that it does not let go of leaves. */
  #cancel({ id, reason: packed }: CancelMessage): void {
    const reason = this.#channel.readReason(packed);
    if (this.isStopping) return;
    const job = this.#current;
    if (this.#received[0]?.message.firstId === id) { // it came alone, and has not started
      this.#dropUnstarted();
      this.#started++;
      this.#settle({ rejected: undefined });
      void this.#flush();
    }
    if (job.jobId !== id || job.isOver) return;
    job.abort(reason);
    if (this.#isLoop) {
      this.#beforeFirst.abort(reason); // the only signal that a loop has: it cannot be used again
      this.#isMaimed = true;
    }
    this.#host.setTimeout(() => {
      if (job.isOver || this.#phase !== 'working') return;
      this.#phase = 'gave up';
      this.#sayStopping();
      this.#giveUp();
    }, SETTLE_CANCELLED_MS);
  }

  /** Forgets the jobs that have not started: how many they were. */
  #dropUnstarted(): number {
    let count = -this.#position;
    for (const { message: { jobs } } of this.#received) {
      count += jobs.length;
      for (const wire of jobs.slice(this.#position)) this.#channel.drop(wire);
      this.#position = 0;
    }
    this.#received.length = 0;
    return count;
  }

  #sayStopping(): void {
    this.isStopping = true;
    this.#shield();
    void this.#channel.send({ type: 'stopping', started: this.#started });
  }

  async #leave(): Promise<void> {
    await this.#flush();
    if (this.#lookedMs === LONG_AGO) await this.#look();
    const isInOrder = !this.isStopping;
    const stopped = new Promise<void>(resolve => { this.#giveUp = resolve; });
    if (isInOrder) this.#sayStopping();
    try {
      await this.#teardown?.();
    } catch (error) {
      this.#thrown = { error };
    }
    const thrown = this.#thrown;
    const error = thrown === undefined ? undefined : this.#channel.stage(packReason(thrown.error));
    await this.#channel.sendLarge();
    await this.#channel.send({ type: 'end-of-results', failed: thrown !== undefined, error });
    this.#phase = 'left';
    if (isInOrder) await Promise.race([this.#host.outputWritten(), stopped]);
    this.#host.exit(thrown === undefined ? 0 : 1);
  }

  /**
   * A worker that ends in any other way can still send, in one synchronous write, what is done and how far it was. What it does next, a job or
   * its cleaning up, is behind a look, which never comes back where the process has ended.
   */
  #exiting(): void {
    if (this.#phase !== 'left') {
      this.#dropFromLargeOn();
      if (this.#outcomes.length > 0) void this.#takeResults()();
      void this.#channel.send({ type: 'exiting', started: this.#started, failed: this.#late !== undefined, error: packReason(this.#late?.error) });
    }
    this.#lookedMs = LONG_AGO;
  }

  /** A job has only emitted 'exit': any message takes back the last word that was said. */
  #sayAlive(): void {
    void this.#channel.send({ type: 'results', outcomes: [], segments: [], elapsedMs: 0, memoryBytes: 0 });
  }

  /** A large value cannot be sent any more, nor can what follows it: results are told from their order. */
  #dropFromLargeOn(): void {
    const large = this.#outcomes.findIndex(isLarge);
    if (large === -1) return;
    this.#outcomes.length = large;
    this.#settled = this.#outcomes.filter(outcome => !isPut(outcome)).length;
  }

  // ---- Results

  #settle(outcome: JobOutcome): void {
    this.#outcomes.push(outcome);
    this.#settled++;
    if (outcome instanceof Uint8Array || typeof outcome === 'string') this.#unsentBytes += outcome.length;
  }

  /** Sends what is there, after what is already being sent. Resolves when it has left the process. */
  #flush(): Promise<void> {
    this.#host.restore();
    this.#flushes++;
    this.#flushed = this.#flushed.then(async () => {
      if (this.#outcomes.length > 0) {
        const send = this.#takeResults();
        if (this.#channel.hasLarge) await this.#channel.sendLarge();
        await send();
      }
      this.#flushes--;
    });
    return this.#flushed;
  }

  /** Whether something that is done has not left the process. */
  get #hasUnsent(): boolean {
    return this.#outcomes.length > 0 || this.#flushes > 0;
  }

  /** Takes out what is there, and returns what sends it. */
  #takeResults(): () => Promise<unknown> {
    const message: ResultsMessage = {
      type: 'results',
      outcomes: this.#outcomes,
      segments: this.#batch.take(),
      elapsedMs: this.#workedMs,
      memoryBytes: this.#tellsMemory ? this.#host.memoryBytes() : 0,
    };
    const count = this.#settled;
    this.#outcomes = [];
    this.#settled = this.#unsentBytes = this.#workedMs = 0;
    return () => {
      this.#started -= count;
      return this.#channel.send(message);
    };
  }

  /** What is done does not wait for a job that awaits something. */
  #flushSoon(): void {
    this.#flushTimer ??= this.#host.setTimeout(() => {
      this.#flushTimer = undefined;
      void this.#flush();
    }, FLUSH_WITHIN_MS);
  }

  /** From here on SIGTERM does nothing: a result is under way, or this worker is leaving. */
  #shield(): void {
    if (this.#isShielded) return;
    this.#isShielded = true;
    this.#host.shield(true);
  }

  /** User code that never returns must die of SIGTERM. */
  #unshield(): void {
    if (!this.#isShielded || this.isStopping) return;
    this.#isShielded = false;
    this.#host.shield(false);
  }

  // ---- Jobs

  /** Sends what was done some time ago, and lets messages in: the first immediate still runs in the turn of the loop that calls it. */
  async #look(): Promise<void> {
    if (this.#workedMs >= FLUSH_AFTER_MS || this.#unsentBytes >= FLUSH_BYTES || this.#channel.hasLarge) await this.#flush();
    for (let turn = 0; turn < 2; turn++) await new Promise<void>(resolve => { this.#host.setImmediate(resolve); });
    if (this.#lookedMs === LONG_AGO) this.#sayAlive();
    this.#lookedMs = this.#now();
  }

  /**
   * Waits until there is a job to start: false at the sentinel, and from `stopping` on. The results of the message before have left.
   * A loop lets go of the job that it has before it waits: one that asked for two at once may only now have it, and the next may wait for its end.
   */
  async #hasJob(letGo = (): void => {}): Promise<boolean> {
    if (this.#position === 0) await this.#flush();
    if (this.#now() - this.#lookedMs > LOOK_EVERY_MS) await this.#look();
    this.#isMaimed ||= this.#host.isTamperedWith();
    while (!this.isStopping && !this.#isMaimed) {
      if (this.#received.length > 0) return true;
      if (this.#atSentinel) return false;
      letGo();
      if (this.#outcomes.length > 0) await this.#flush();
      else await (this.#arrival ??= new Promise(resolve => {
        this.#wake = () => {
          this.#arrival = undefined;
          resolve();
        };
      }));
      this.#lookedMs = this.#now();
    }
    return false;
  }

  /** Takes the next job; to be called only when there is one. */
  #startJob(): StartedJob {
    const { message, values } = this.#received[0]!;
    const job = new RunningJob(message.firstId + this.#position, message.attempt, this);
    const wire = message.jobs[this.#position++];
    if (this.#position === message.jobs.length) {
      this.#received.shift();
      this.#position = 0;
    }
    this.#started++;
    this.#unshield();
    this.#current = job;
    return { job, read: () => this.#channel.read(wire, values) };
  }

  /** Whether the next job may start at once: it came in the same message as the last one, nothing large waits to be sent, and it is too early for a look. */
  #mayGoOn(nowMs: number): boolean {
    return this.#position > 0 && nowMs - this.#lookedMs < LOOK_EVERY_MS && this.#workedMs < FLUSH_AFTER_MS && this.#unsentBytes < FLUSH_BYTES
      && !this.#channel.hasLarge && !this.isStopping && !this.#isMaimed;
  }

  async #runFunction(work: WorkFunction): Promise<void> {
    while (await this.#hasJob()) {
      this.#startMs = this.#now();
      do {
        const promise = this.#runJob(work, this.#startJob());
        if (promise !== undefined) await promise;
      } while (this.#mayGoOn(this.#startMs));
      if (this.#position > 0) await this.#look();
    }
  }

  /** Runs a job, to its end if it returns no promise. Apart from the loop, as a frame that waits would keep its values. */
  #runJob(work: WorkFunction, { job, read }: StartedJob): Promise<void> | undefined {
    try {
      const returned = work(read(), job);
      if (!isThenable(returned)) this.#fulfil(job, returned);
      else {
        if (this.#outcomes.length > 0) this.#flushSoon();
        return this.#fulfilLater(job, returned);
      }
    } catch (reason) {
      this.#reject(job, reason);
    }
    return undefined;
  }

  async #fulfilLater(job: RunningJob, promise: PromiseLike<unknown>): Promise<void> {
    try {
      this.#fulfil(job, await promise);
    } catch (reason) {
      this.#reject(job, reason);
    }
  }

  /** One that gave up its job does not hear of it. */
  #fulfil(job: RunningJob, value: unknown): void {
    if (this.#phase === 'working') this.#finish(job, this.#snapshot(value));
  }

  /** Nor does one that was told to stop: the job may have been ended by that. */
  #reject(job: RunningJob, reason: unknown): void {
    if (this.#phase === 'working' && !this.isStopping) this.#finish(job, this.#rejected(reason));
  }

  #rejected(reason: unknown): JobOutcome {
    return { rejected: this.#channel.stage(packReason(reason)) };
  }

  /** The next job starts where this one ends. */
  #finish(job: RunningJob, outcome: JobOutcome): void {
    job.isOver = true;
    const nowMs = this.#now();
    this.#workedMs += nowMs - this.#startMs;
    this.#startMs = nowMs;
    this.#settle(outcome);
  }

  /** What is shielded is the last job of a message, whose results leave now: the others are tiny, and lost until the next flush. */
  #snapshot(value: unknown): JobOutcome {
    if (isView(value) || (this.#position === 0 && !isSmall(value))) this.#shield();
    const { bytes } = this.#batch;
    try {
      const wire = this.#channel.take(value, 'value', this.#batch);
      this.#unsentBytes += this.#batch.bytes - bytes;
      return wire;
    } catch (error) {
      return this.#rejected(error);
    }
  }

  async #runLoop(loop: Loop): Promise<void> {
    let isOver = true;
    let hasPut = false;
    const finishCurrent = (outcome: JobOutcome = { done: true }): void => {
      if (isOver || this.#phase !== 'working') return;
      isOver = true;
      this.#finish(this.#current, outcome);
    };
    const jobs: JobReader<unknown> = {
      next: async () => {
        this.#hasAsked = true;
        finishCurrent();
        if (hasPut) await this.#flush(); // shot between a value and this word, the job would be tried again, and put it twice
        hasPut = false;
        for (;;) {
          do {
            if (!await this.#hasJob(finishCurrent)) {
              this.#saySentinelRead();
              return { done: true, value: undefined };
            }
            finishCurrent(); // a loop that asked for two at once: it has got the second
          } while (this.#received.length === 0 || (this.#position === 0 && this.#hasUnsent)); // another call was quicker
          const { read } = this.#startJob();
          isOver = false;
          this.#startMs = this.#now();
          if (this.#outcomes.length > 0) this.#flushSoon();
          try {
            return { done: false, value: read() };
          } catch (reason) {
            finishCurrent(this.#rejected(reason)); // it cannot be read: the loop gets the next one
          }
        }
      },
      [Symbol.asyncIterator]: () => jobs,
    };
    const put = async (value: unknown): Promise<void> => {
      if (this.#current === this.#beforeFirst) throw new Error('Cannot put a result as there is no job yet: ask for the first one before');
      if (this.#phase !== 'working') throw new Error('Cannot put a result as the worker is leaving');
      if (!isSmall(value)) this.#shield();
      hasPut = true;
      this.#outcomes.push({ value: this.#channel.take(value, 'value'), id: this.#current.jobId });
      await this.#flush();
    };
    const results: ResultWriter<unknown> = {
      put: value => {
        const sent = put(value);
        if (this.#phase !== 'working') sent.catch(() => {}); // a loop that does not look is not to die of it while it cleans up
        return sent;
      },
    };
    try {
      await loop(jobs, results, this.#loopContext());
      finishCurrent();
    } catch (error) {
      if (isOver) this.#thrown = { error };
      else if (!this.isStopping) finishCurrent(this.#rejected(error));
    }
  }

  /** The context of a loop speaks of whichever job is current; its signal is that of the worker. */
  #loopContext(): JobContext {
    const current = (): RunningJob => this.#current;
    const beforeFirst = this.#beforeFirst;
    return {
      get jobId() { return current().jobId; },
      get attempt() { return current().attempt; },
      get signal() { return beforeFirst.signal; },
    };
  }
}

class RunningJob implements JobContext {
  readonly jobId: number;
  readonly attempt: number;
  isOver = false;
  readonly #worker: { readonly isStopping: boolean };
  #controller: AbortController | undefined;

  constructor(jobId: number, attempt: number, worker: { readonly isStopping: boolean }) {
    this.jobId = jobId;
    this.attempt = attempt;
    this.#worker = worker;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#worker.isStopping) this.abort();
    return this.#controller.signal;
  }

  abort(reason: unknown = new DOMException('The pool is ending', 'AbortError')): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }
}

/** `read` is to be called once. */
interface StartedJob {
  job: RunningJob;
  read: () => unknown;
}

/** Whether a value is so small that it is sent before anybody could have lost patience. */
function isSmall(value: unknown): boolean {
  return typeof value === 'string' ? value.length < 65536 : typeof value !== 'object' || value === null;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

// ---- The module

type Usable = { setup: Hook | undefined; teardown: Hook | undefined } & ({ kind: 'function'; work: WorkFunction } | { kind: 'loop'; loop: Loop });

/** What a worker module must export. A CommonJS module may have it all on its default export. */
function usable(exports: Record<string, unknown>): Usable {
  const names = typeof exports['default'] === 'object' && !('worker' in exports) ? { ...exports['default'] } : exports;
  const { default: work, worker: loop, setup, teardown }: Record<string, unknown> = names;
  if (setup !== undefined && !isFunction<Hook>(setup)) throw new TypeError(`Cannot use the worker module as its \`setup\` must be a function: found ${typeof setup}`);
  if (teardown !== undefined && !isFunction<Hook>(teardown)) throw new TypeError(`Cannot use the worker module as its \`teardown\` must be a function: found ${typeof teardown}`);
  if (isFunction<WorkFunction>(work)) return { kind: 'function', work, setup, teardown };
  if (isFunction<Loop>(loop)) return { kind: 'loop', loop, setup, teardown };
  const found = Object.keys(exports).join(', ');
  throw new TypeError(`Cannot use the worker module as it must export a default function or a function \`worker\`: found ${found === '' ? 'no exports' : found}`);
}

/** Whether it is one of a loop's values, which does not end a job. */
const isPut = (outcome: JobOutcome): boolean => typeof outcome === 'object' && outcome !== null && 'value' in outcome;

/** Whether its bytes go ahead of its message. */
function isLarge(outcome: JobOutcome): boolean {
  if (typeof outcome !== 'object' || outcome === null || outcome instanceof Uint8Array) return false;
  if ('next' in outcome) return outcome.next !== 'plain';
  return 'rejected' in outcome ? isLarge(outcome.rejected) : 'value' in outcome && isLarge(outcome.value);
}

function isFunction<F extends (...args: never[]) => unknown>(value: unknown): value is F {
  return typeof value === 'function';
}
