// The program that runs in a worker: read jobs, call the module's work function or manual loop, send what came of it, and leave at the
// sentinel or at `stop`. It knows the protocol, and nothing of the pool; what it needs of its process a host gives it, so that it may
// exist many times in one process.
//
//  state      a value  a rejection  SIGTERM       READY    STOP       OVER       STUCK     LATE      UNUSABLE  DONE
//  starting   –        –            ends it       working  settling   –          –         –         left      –
//  working    counts   counts       ends it (1)   –        settling   finishing  given up  –         –         –
//  settling   counts   no           does nothing  –        settling   finishing  –         given up  –         –
//  finishing  counts   no           does nothing  –        finishing  –          –         given up  –         left
//  given up   no       no           does nothing  –        given up   given up   –         given up  –         left
//  left       –        –            does nothing  –        left       –          –         left      –         –
//
//  READY: the module is set up. STOP: told so; a second one ends the wait for what runs. OVER: the sentinel was read, the loop
//  returned, a listener of ours was removed, or the job that ran at `stop` is over. STUCK: a job that was cancelled does not let go. LATE: 30 ms after `stop`. UNUSABLE: the module is. DONE: all results
//  have left, and `teardown` is over.
//  (1) but while a large result is under way: see outbox.ts
//
// `stopping` is sent on the way out of starting or working, once: from there on no job starts, and those that have not are the pool's again.

import type { WorkerHost } from '../host.ts';
import { Channel } from '../wire/channel.ts';
import type { CancelMessage, PieceMessage, ToParent, ToWorker, Wire } from '../wire/protocol.ts';
import { parseToWorker } from '../wire/protocol.ts';
import { packReason } from '../wire/values.ts';
import { FunctionRunner } from './functions.ts';
import { Inbox } from './inbox.ts';
import { LoopRunner } from './loop.ts';
import { Outbox } from './outbox.ts';
import type { Hook, Job, Loop, Running, WorkFunction } from './running.ts';

// A job may overwrite what is global: what this program needs it takes now.
const { Promise } = globalThis;

/** How long a running job has, after `stop`, to fulfil. */
const SETTLE_MS = 30;
/** How long a job has, after it was cancelled, to settle; then this worker leaves. */
const SETTLE_CANCELLED_MS = 50;

type State = 'starting' | 'working' | 'settling' | 'finishing' | 'given up' | 'left';
type Event = 'READY' | 'STOP' | 'OVER' | 'STUCK' | 'LATE' | 'UNUSABLE' | 'DONE';

/** The table above. */
export const NEXT: Record<State, Partial<Record<Event, State>>> = {
  starting: { READY: 'working', STOP: 'settling', UNUSABLE: 'left' },
  working: { STOP: 'settling', OVER: 'finishing', STUCK: 'given up' },
  settling: { STOP: 'settling', OVER: 'finishing', LATE: 'given up' },
  finishing: { STOP: 'finishing', LATE: 'given up', DONE: 'left' },
  'given up': { STOP: 'given up', OVER: 'given up', LATE: 'given up', DONE: 'left' },
  left: { STOP: 'left', LATE: 'left' },
};

/** Listens from now on: the first message says what to load. @throws TypeError if the process has no channel. */
export function runProgram(host: WorkerHost): void {
  new Program(host).listen();
}

class Program implements Running {
  readonly #host: WorkerHost;
  readonly #channel: Channel<ToWorker, ToParent>;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  #state: State = 'starting';
  readonly #beforeFirst = new RunningJob(-1, 0, this);
  current: RunningJob = this.#beforeFirst;
  #loop: LoopRunner | undefined;
  #teardown: Hook | undefined;
  /** What a loop threw while it had no job, or what `teardown` threw. */
  #thrown: { error: unknown } | undefined;
  /** An error that nobody may have caught. */
  #late: { error: unknown } | undefined;
  /** Ends the wait for what runs now: the jobs, or the readers of what they printed. */
  #giveUp = (): void => {};

  constructor(host: WorkerHost) {
    this.#host = host;
    this.#channel = new Channel(host.endpoint, host.tokens, host.sizes);
    this.#outbox = new Outbox(host, this.#channel);
    this.#inbox = new Inbox(host, this.#channel, this.#outbox);
  }

  /** Takes the step of the table. */
  #go(event: Event): void {
    const next = NEXT[this.#state][event];
    this.#host.assert(next !== undefined, `there is a step for ${event} in '${this.#state}'`);
    /* c8 ignore next -- without a step the state stays: the simulator looks for such an event, and there is none */
    this.#state = next ?? this.#state;
  }

  get isStopping(): boolean {
    return this.#state !== 'starting' && this.#state !== 'working';
  }

  get takesValues(): boolean {
    return this.#state === 'working' || this.#state === 'settling' || this.#state === 'finishing';
  }

  get takesReasons(): boolean {
    return this.#state === 'working';
  }

  begin(jobId: number, attempt: number): RunningJob {
    this.current = new RunningJob(jobId, attempt, this);
    return this.current;
  }

  listen(): void {
    this.#channel.receive(parseToWorker, message => this.#received(message));
    this.#host.on('disconnect', () => this.#host.exit(1)); // the parent is gone: nobody will read what we do
    this.#host.on('tampered', () => this.#inbox.close());
    this.#host.on('failure', error => {
      this.#late = { error };
      this.#host.setImmediate(() => { this.#late = undefined; }); // the module has a listener of its own, and the worker lives on
    });
    this.#host.on('exit', () => this.#exiting());
  }

  #received(message: ToWorker | PieceMessage | undefined): void {
    switch (message?.type) {
      case 'init':
        this.#outbox.tellsMemory = message.tellsMemory;
        void this.#run(message.module, message.workerData);
        break;
      case 'jobs':
        if (!this.isStopping) this.#inbox.receive(message);
        break;
      case 'end-of-jobs':
        this.#inbox.hasEnd = true;
        this.#loop?.sentinelCame();
        break;
      case 'stop':
        this.#stop();
        break;
      case 'reclaim':
        void this.#channel.send({ type: 'reclaimed', jobs: this.#inbox.drop() });
        break;
      case 'cancel':
        this.#cancel(message);
        break;
    }
    this.#inbox.wake();
  }

  async #run(href: string, workerData: Wire): Promise<void> {
    let during: 'import' | 'exports' | 'setup' = 'import';
    let module: WorkerModule;
    try {
      const exports = await this.#host.load(href);
      during = 'exports';
      module = workerModuleOf(exports);
      during = 'setup';
      await module.setup?.(this.#channel.read(workerData));
    } catch (reason) {
      if (!this.isStopping) await this.#fail(during, reason);
      return;
    }
    if (this.isStopping) return;
    this.#teardown = module.teardown;
    this.#go('READY');
    await this.#channel.send({ type: 'ready', kind: module.kind });
    const main = this.#main(module);
    await Promise.race([main, new Promise<void>(resolve => { this.#giveUp = resolve; })]);
    return this.#leave();
  }

  async #fail(during: 'import' | 'exports' | 'setup', reason: unknown): Promise<void> {
    this.#go('UNUSABLE');
    const failure = this.#channel.encodePacked(packReason(reason));
    await this.#channel.sendLarge();
    await this.#channel.send({ type: 'failed', during, reason: failure });
    this.#host.exit(1);
  }

  async #main(module: WorkerModule): Promise<void> {
    if (module.kind === 'function') return new FunctionRunner(this, this.#inbox, this.#outbox, this.#host).run(module.work);
    this.#loop = new LoopRunner(this, this.#inbox, this.#outbox, this.#host, () => this.#saySentinelRead());
    if (this.#inbox.hasEnd) this.#loop.sentinelCame();
    this.#thrown = await this.#loop.run(module.loop) ?? this.#thrown; // it may end when this worker has given it up, and has torn down
  }

  /** From here on a loop may take as long as it likes. */
  #saySentinelRead(): void {
    if (!this.isStopping) void this.#channel.send({ type: 'sentinel-read' });
  }

  /** Asked to leave: hands back what has not started and lets the job that runs fulfil, for a moment. */
  #stop(): void {
    const wasStarting = this.#state === 'starting';
    const isFirst = !this.isStopping;
    this.#go('STOP');
    if (!isFirst) return this.#giveUp();
    this.#sayStopping();
    this.#inbox.drop();
    if (wasStarting) void this.#leave();
    this.current.abort();
    this.#beforeFirst.abort();
    this.#host.setTimeout(() => {
      this.#go('LATE');
      this.#giveUp();
    }, SETTLE_MS);
  }

  /** Asked to give up a job: its signal aborts. A worker that it does not let go of leaves. */
  #cancel({ id, reason: packed }: CancelMessage): void {
    const reason = this.#channel.readReason(packed);
    if (this.isStopping) return;
    const job = this.current;
    if (this.#inbox.isNext(id)) { // it is isolated, and has not started
      this.#inbox.drop();
      this.#outbox.started++;
      this.#outbox.settle({ rejected: undefined });
      void this.#outbox.flush();
    }
    if (job.jobId !== id || job.isOver) return;
    job.abort(reason);
    if (this.#loop !== undefined) {
      this.#beforeFirst.abort(reason); // the only signal that a loop has: it cannot be used again
      this.#inbox.close();
    }
    this.#host.setTimeout(() => {
      if (job.isOver || this.#state !== 'working') return;
      this.#go('STUCK');
      this.#sayStopping();
      this.#giveUp();
    }, SETTLE_CANCELLED_MS);
  }

  #sayStopping(): void {
    this.#inbox.close();
    this.#outbox.raiseShield(true);
    void this.#channel.send({ type: 'stopping', started: this.#outbox.started });
  }

  async #leave(): Promise<void> {
    await this.#outbox.flush();
    if (this.#inbox.mustLook) await this.#inbox.look();
    const isInOrder = !this.isStopping;
    const stopped = new Promise<void>(resolve => { this.#giveUp = resolve; });
    this.#go('OVER');
    if (isInOrder) this.#sayStopping();
    try {
      await this.#teardown?.();
    } catch (error) {
      this.#thrown = { error };
    }
    const thrown = this.#thrown;
    const error = thrown === undefined ? undefined : this.#channel.encodePacked(packReason(thrown.error));
    await this.#channel.sendLarge();
    await this.#channel.send({ type: 'end-of-results', failed: thrown !== undefined, error });
    this.#go('DONE');
    if (isInOrder) await Promise.race([this.#host.outputWritten(), stopped]);
    this.#host.exit(thrown === undefined ? 0 : 1);
  }

  /**
   * A worker that ends in any other way can still send, in one synchronous write, what is done and how far it was. What it does next, a job or
   * its cleaning up, is behind a look, which never comes back where the process has ended.
   */
  #exiting(): void {
    if (this.#state !== 'left') {
      this.#outbox.sendLast();
      void this.#channel.send({ type: 'exiting', started: this.#outbox.started, failed: this.#late !== undefined, error: packReason(this.#late?.error) });
    }
    this.#inbox.lookFirst();
  }
}

/** The job that a worker runs, as the work function sees it: its `context`. */
class RunningJob implements Job {
  readonly jobId: number;
  readonly attempt: number;
  /** It has its outcome. */
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

// ---- The module

type WorkerModule = { setup: Hook | undefined; teardown: Hook | undefined } & ({ kind: 'function'; work: WorkFunction } | { kind: 'loop'; loop: Loop });

/** A CommonJS module may have it all on its default export. @throws TypeError that says what was found instead. */
function workerModuleOf(exports: Record<string, unknown>): WorkerModule {
  const names = typeof exports['default'] === 'object' && !('worker' in exports) ? { ...exports['default'] } : exports;
  const { default: work, worker: loop, setup, teardown }: Record<string, unknown> = names;
  if (setup !== undefined && !isFunction<Hook>(setup)) throw new TypeError(`Cannot use the worker module as its \`setup\` must be a function: found ${typeof setup}`);
  if (teardown !== undefined && !isFunction<Hook>(teardown)) throw new TypeError(`Cannot use the worker module as its \`teardown\` must be a function: found ${typeof teardown}`);
  if (isFunction<WorkFunction>(work)) return { kind: 'function', work, setup, teardown };
  if (isFunction<Loop>(loop)) return { kind: 'loop', loop, setup, teardown };
  const found = Object.keys(exports).join(', ');
  throw new TypeError(`Cannot use the worker module as it must export a default function or a function \`worker\`: found ${found === '' ? 'no exports' : found}`);
}

function isFunction<F extends (...args: never[]) => unknown>(value: unknown): value is F {
  return typeof value === 'function';
}
