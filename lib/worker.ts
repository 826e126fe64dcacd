// The program that runs in a worker: read jobs, call the module's work function or manual loop, send what
// came of it, and leave at the sentinel or at `stop`. It knows the protocol, and nothing of the pool.
//
// - It ignores the interrupt signals from its first line on, before the module is loaded.
// - It starts no job before the last message of results has left the process.
// - From a result's return until it has left, and from `stopping` on, it swallows SIGTERM.

import { setImmediate, setTimeout } from 'node:timers';
import { Batch, Channel, packReason, Segments } from './ipc.ts';
import type { JobOutcome, JobsMessage, ResultsMessage, ToParent, ToWorker, Wire } from './protocol.ts';
import { markWorker, parseToWorker } from './protocol.ts';
import type { JobContext, JobReader, ResultWriter } from './types.ts';

// A job may overwrite what is global, with the fake timers of a test say: what this program needs it takes now.
const { process, Promise } = globalThis; // an import of node:process would open stdin, stdout and stderr, and make pipes non-blocking
const { getBuiltinModule, nextTick } = process;
const on = process.on.bind(process);
const off = process.off.bind(process);
const { isView } = ArrayBuffer;
const exitProcess = process.exit.bind(process);
const now = performance.now.bind(performance);
markWorker();
const [, incoming = '', outgoing = '', ...ignoredSignals] = process.argv.splice(2);

const ours = new Set<unknown>();
/** Somebody removed a listener of ours, by `process.removeAllListeners()` say: this worker leaves between two jobs. */
let isMaimed = false;
on('removeListener', (_, listener) => {
  if (!ours.has(listener)) return;
  isMaimed = true;
  wake();
});

function listen(event: string, listener: (...args: unknown[]) => void): void {
  ours.add(listener);
  on(event, listener);
}

for (const signal of ignoredSignals) listen(signal, () => {});

const swallow = (): void => {};

// Node gives a terminal back, at its end, the mode that it had when this process started: it would undo the raw mode that the parent has set
// since. It leaves alone what is closed; and a signal that had a listener once ends a process without any of this.
for (const signal of ['SIGINT', 'SIGTERM']) {
  on(signal, swallow);
  off(signal, swallow);
}
const reallyExit: unknown = Reflect.get(process, 'reallyExit');
if (typeof reallyExit === 'function') {
  Reflect.set(process, 'reallyExit', (code: unknown) => {
    const { closeSync, fstatSync } = getBuiltinModule('node:fs');
    for (const descriptor of [1, 2]) {
      try {
        if (fstatSync(descriptor).isCharacterDevice()) closeSync(descriptor);
      } catch {
        // a job has closed it
      }
    }
    Reflect.apply(reallyExit, process, [code]);
  });
}

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

const channel = new Channel<ToWorker, ToParent>({ ...(process.send && { send: process.send.bind(process) }), on: listen }, { incoming, outgoing });

// ---- What was received

/** Messages of jobs, the oldest first; `position` is that of the next job in the first of them. */
const received: { message: JobsMessage; values: Segments }[] = [];
let position = 0;
let atSentinel = false;
let stopping = false;
/** What waits for a message, and how it is woken: one promise for all that wait. */
let arrival: Promise<void> | undefined;
let wake = (): void => {};

channel.receive(parseToWorker, message => {
  switch (message?.type) {
    case 'init':
      tellsMemory = message.tellsMemory;
      void run(message.module, message.workerData);
      break;
    case 'jobs':
      if (!stopping) received.push({ message, values: new Segments(message.segments) });
      break;
    case 'end-of-jobs':
      atSentinel = true;
      if (isLoop && !hasAsked) saySentinelRead(); // it is still preparing itself
      break;
    case 'stop':
      stop();
      break;
    case 'give-back':
      void channel.send({ type: 'given-back', jobs: dropUnstarted() });
      break;
    case 'cancel':
      cancel(message.id, channel.readReason(message.reason));
      break;
  }
  wake();
});

/** The parent is gone: nobody will read what we do. */
listen('disconnect', () => exitProcess(1));

// ---- The life of a worker

type WorkFunction = (job: unknown, context: JobContext) => unknown;
type Loop = (jobs: JobReader<unknown>, results: ResultWriter<unknown>, context: JobContext) => unknown;
type Hook = (workerData?: unknown) => unknown;

let teardown: Hook | undefined;
/** What a loop threw while it had no job, or what `teardown` threw. */
let thrown: { error: unknown } | undefined;
let phase: 'starting' | 'working' | 'gave up' | 'left' = 'starting';
let giveUp = (): void => {};
let isLoop = false;
/** Whether the loop has asked for a job. */
let hasAsked = false;

async function run(href: string, workerData: Wire): Promise<void> {
  let during: 'import' | 'exports' | 'setup' = 'import';
  let module: Usable;
  try {
    const exports: Record<string, unknown> = await import(href);
    during = 'exports';
    module = usable(exports);
    during = 'setup';
    await module.setup?.(channel.read(workerData));
    teardown = module.teardown;
  } catch (reason) {
    if (stopping) return;
    const failure = channel.stage(packReason(reason));
    await channel.sendLarge();
    await channel.send({ type: 'failed', during, reason: failure });
    phase = 'left';
    return exitProcess(1);
  }
  if (stopping) return;
  phase = 'working';
  isLoop = module.kind === 'loop';
  await channel.send({ type: 'ready', kind: module.kind });
  if (isLoop && atSentinel) saySentinelRead();
  await Promise.race([module.main(), new Promise<void>(resolve => { giveUp = resolve; })]);
  return leave();
}

/** From here on a loop may take as long as it likes. */
function saySentinelRead(): void {
  if (!stopping) void channel.send({ type: 'sentinel-read' });
}

/** Asked to leave: hands back what has not started and lets the job that runs fulfil, for a moment. */
function stop(): void {
  if (stopping) return giveUp();
  sayStopping();
  dropUnstarted();
  if (phase === 'starting') void leave();
  current.abort();
  beforeFirst.abort();
  setTimeout(() => {
    if (phase === 'working') phase = 'gave up';
    giveUp();
  }, SETTLE_MS);
}

/** Asked to give up a job: its signal aborts. A worker that it does not let go of leaves. */
function cancel(id: number, reason: unknown): void {
  if (stopping) return;
  const job = current;
  if (received[0]?.message.firstId === id) { // it came alone, and has not started
    dropUnstarted();
    started++;
    settle({ rejected: undefined });
    void flush();
  }
  if (job.jobId !== id || job.isOver) return;
  job.abort(reason);
  if (isLoop) {
    beforeFirst.abort(reason); // the only signal that a loop has: it cannot be used again
    isMaimed = true;
  }
  setTimeout(() => {
    if (job.isOver || phase !== 'working') return;
    phase = 'gave up';
    sayStopping();
    giveUp();
  }, SETTLE_CANCELLED_MS);
}

/** Forgets the jobs that have not started: how many they were. */
function dropUnstarted(): number {
  let count = -position;
  for (const { message: { jobs } } of received) {
    count += jobs.length;
    for (const wire of jobs.slice(position)) channel.drop(wire);
    position = 0;
  }
  received.length = 0;
  return count;
}

function sayStopping(): void {
  stopping = true;
  shield();
  void channel.send({ type: 'stopping', started });
}

async function leave(): Promise<void> {
  await flush();
  const isInOrder = !stopping;
  const stopped = new Promise<void>(resolve => { giveUp = resolve; });
  if (isInOrder) sayStopping();
  try {
    await teardown?.();
  } catch (error) {
    thrown = { error };
  }
  const error = thrown === undefined ? undefined : channel.stage(packReason(thrown.error));
  await channel.sendLarge();
  await channel.send({ type: 'end-of-results', failed: thrown !== undefined, error });
  phase = 'left';
  if (isInOrder) await Promise.race([outputWritten(), stopped]);
  exitProcess(thrown === undefined ? 0 : 1);
}

/** Resolves when readers have taken what jobs wrote to pipes: Node's exit forgets it. Only where something is under way, as a look opens stdout and stderr. */
async function outputWritten(): Promise<void> {
  if (!process.getActiveResourcesInfo().some(name => name.endsWith('WriteWrap'))) return;
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writable) await new Promise<unknown>(resolve => stream.on('error', resolve).write('', resolve));
  }
}

let late: { error: unknown } | undefined;
listen('uncaughtExceptionMonitor', error => {
  late = { error };
  setImmediate(() => { late = undefined; }); // the module has a listener of its own, and the worker lives on
});

/** A worker that ends in any other way can still send, in one synchronous write, what is done and how far it was. */
listen('exit', () => {
  if (phase === 'left') return;
  if (outcomes.length > 0 && !channel.hasLarge) void takeResults()();
  void channel.send({ type: 'exiting', started, failed: late !== undefined, error: packReason(late?.error) });
});

// ---- Results

/** What became of jobs and is not sent yet; `settled` of them end a job. */
let outcomes: JobOutcome[] = [];
let settled = 0;
/** How many jobs were started whose outcome has not been written to the channel. */
let started = 0;
const batch = new Batch();
let unsentBytes = 0;
let workedMs = 0;
let flushed = Promise.resolve();
let tellsMemory = false;

function settle(outcome: JobOutcome): void {
  outcomes.push(outcome);
  settled++;
  if (outcome instanceof Uint8Array || typeof outcome === 'string') unsentBytes += outcome.length;
}

/** Sends what is there, after what is already being sent. Resolves when it has left the process. */
function flush(): Promise<void> {
  process.nextTick = nextTick; // Node's channel calls back through it, in both directions
  flushed = flushed.then(async () => {
    if (outcomes.length === 0) return;
    const send = takeResults();
    if (channel.hasLarge) await channel.sendLarge();
    await send();
  });
  return flushed;
}

/** Takes out what is there, and returns what sends it. */
function takeResults(): () => Promise<unknown> {
  const message: ResultsMessage = { type: 'results', outcomes, segments: batch.take(), elapsedMs: workedMs, memoryBytes: tellsMemory ? process.memoryUsage.rss() : 0 };
  const count = settled;
  outcomes = [];
  settled = unsentBytes = workedMs = 0;
  return () => {
    started -= count;
    return channel.send(message);
  };
}

let flushTimer: NodeJS.Timeout | undefined;

/** What is done does not wait for a job that awaits something. */
function flushSoon(): void {
  flushTimer ??= setTimeout(() => {
    flushTimer = undefined;
    void flush();
  }, FLUSH_WITHIN_MS);
}

let shielded = false;

/** From here on SIGTERM does nothing: a result is under way, or this worker is leaving. */
function shield(): void {
  if (shielded) return;
  shielded = true;
  on('SIGTERM', swallow);
}

/** User code that never returns must die of SIGTERM. */
function unshield(): void {
  if (!shielded || stopping) return;
  shielded = false;
  off('SIGTERM', swallow);
}

// ---- Jobs

class RunningJob implements JobContext {
  readonly jobId: number;
  readonly attempt: number;
  isOver = false;
  #controller: AbortController | undefined;

  constructor(jobId: number, attempt: number) {
    this.jobId = jobId;
    this.attempt = attempt;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (stopping) this.abort();
    return this.#controller.signal;
  }

  abort(reason: unknown = new DOMException('The pool is ending', 'AbortError')): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }
}

const beforeFirst = new RunningJob(-1, 0);
/** The job that runs, or ran last. */
let current = beforeFirst;
let startMs = 0;
let lookedMs = now();

/** Sends what was done some time ago, and lets messages in: the first immediate still runs in the turn of the loop that calls it. */
async function look(): Promise<void> {
  if (workedMs >= FLUSH_AFTER_MS || unsentBytes >= FLUSH_BYTES || channel.hasLarge) await flush();
  for (let turn = 0; turn < 2; turn++) await new Promise(resolve => { setImmediate(resolve); });
  lookedMs = now();
}

/**
 * Waits until there is a job to start: false at the sentinel, and from `stopping` on. The results of the message before have left.
 * A loop lets go of the job that it has before it waits: one that asked for two at once may only now have it, and the next may wait for its end.
 */
async function hasJob(letGo = (): void => {}): Promise<boolean> {
  if (position === 0) await flush();
  if (now() - lookedMs > LOOK_EVERY_MS) await look();
  isMaimed ||= process.listenerCount('removeListener') === 0;
  while (!stopping && !isMaimed) {
    if (received.length > 0) return true;
    if (atSentinel) return false;
    letGo();
    if (outcomes.length > 0) await flush();
    else await (arrival ??= new Promise(resolve => {
      wake = () => {
        arrival = undefined;
        resolve();
      };
    }));
    lookedMs = now();
  }
  return false;
}

/** `read` is to be called once. */
interface StartedJob {
  job: RunningJob;
  read: () => unknown;
}

/** Takes the next job; to be called only when there is one. */
function startJob(): StartedJob {
  const { message, values } = received[0]!;
  const job = new RunningJob(message.firstId + position, message.attempt);
  const wire = message.jobs[position++];
  if (position === message.jobs.length) {
    received.shift();
    position = 0;
  }
  started++;
  unshield();
  current = job;
  return { job, read: () => channel.read(wire, values) };
}

/** Whether the next job may start at once: it came in the same message as the last one, nothing large waits to be sent, and it is too early for a look. */
function mayGoOn(nowMs: number): boolean {
  return position > 0 && nowMs - lookedMs < LOOK_EVERY_MS && workedMs < FLUSH_AFTER_MS && unsentBytes < FLUSH_BYTES && !channel.hasLarge && !stopping && !isMaimed;
}

async function runFunction(work: WorkFunction): Promise<void> {
  while (await hasJob()) {
    startMs = now();
    do {
      const promise = runJob(work, startJob());
      if (promise !== undefined) await promise;
    } while (mayGoOn(startMs));
    if (position > 0) await look();
  }
}

/** Runs a job, to its end if it returns no promise. Apart from the loop, as a frame that waits would keep its values. */
function runJob(work: WorkFunction, { job, read }: StartedJob): Promise<void> | undefined {
  try {
    const returned = work(read(), job);
    if (!isThenable(returned)) fulfil(job, returned);
    else {
      if (outcomes.length > 0) flushSoon();
      return fulfilLater(job, returned);
    }
  } catch (reason) {
    reject(job, reason);
  }
  return undefined;
}

async function fulfilLater(job: RunningJob, promise: PromiseLike<unknown>): Promise<void> {
  try {
    fulfil(job, await promise);
  } catch (reason) {
    reject(job, reason);
  }
}

/** One that gave up its job does not hear of it. */
function fulfil(job: RunningJob, value: unknown): void {
  if (phase === 'working') finish(job, snapshot(value));
}

/** Nor does one that was told to stop: the job may have been ended by that. */
function reject(job: RunningJob, reason: unknown): void {
  if (phase === 'working' && !stopping) finish(job, { rejected: channel.stage(packReason(reason)) });
}

/** The next job starts where this one ends. */
function finish(job: RunningJob, outcome: JobOutcome): void {
  job.isOver = true;
  const nowMs = now();
  workedMs += nowMs - startMs;
  startMs = nowMs;
  settle(outcome);
}

/** Whether a value is so small that it is sent before anybody could have lost patience. */
function isSmall(value: unknown): boolean {
  return typeof value === 'string' ? value.length < 65536 : typeof value !== 'object' || value === null;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** What is shielded is the last job of a message, whose results leave now: the others are tiny, and lost until the next flush. */
function snapshot(value: unknown): JobOutcome {
  if (isView(value) || (position === 0 && !isSmall(value))) shield();
  const { bytes } = batch;
  try {
    const wire = channel.take(value, 'value', batch);
    unsentBytes += batch.bytes - bytes;
    return wire;
  } catch (error) {
    return { rejected: channel.stage(packReason(error)) };
  }
}

async function runLoop(loop: Loop): Promise<void> {
  let isOver = true;
  let hasPut = false;
  const finishCurrent = (outcome: JobOutcome = { done: true }): void => {
    if (isOver || phase !== 'working') return;
    isOver = true;
    finish(current, outcome);
  };
  const jobs: JobReader<unknown> = {
    next: async () => {
      hasAsked = true;
      finishCurrent();
      if (hasPut) await flush(); // shot between a value and this word, the job would be tried again, and put it twice
      hasPut = false;
      for (;;) {
        do {
          if (!await hasJob(finishCurrent)) {
            saySentinelRead();
            return { done: true, value: undefined };
          }
          finishCurrent(); // a loop that asked for two at once: it has got the second
        } while (received.length === 0); // another call was quicker
        const { read } = startJob();
        isOver = false;
        startMs = now();
        if (outcomes.length > 0) flushSoon();
        try {
          return { done: false, value: read() };
        } catch (reason) {
          finishCurrent({ rejected: channel.stage(packReason(reason)) }); // it cannot be read: the loop gets the next one
        }
      }
    },
    [Symbol.asyncIterator]: () => jobs,
  };
  const put = async (value: unknown): Promise<void> => {
    if (current === beforeFirst) throw new Error('Cannot put a result as there is no job yet: ask for the first one before');
    if (phase !== 'working') throw new Error('Cannot put a result as the worker is leaving');
    if (!isSmall(value)) shield();
    hasPut = true;
    outcomes.push({ value: channel.take(value, 'value'), id: current.jobId });
    await flush();
  };
  const results: ResultWriter<unknown> = {
    put: value => {
      const sent = put(value);
      if (phase !== 'working') sent.catch(() => {}); // a loop that does not look is not to die of it while it cleans up
      return sent;
    },
  };
  try {
    await loop(jobs, results, loopContext);
    finishCurrent();
  } catch (error) {
    if (isOver) thrown = { error };
    else if (!stopping) finishCurrent({ rejected: channel.stage(packReason(error)) });
  }
}

/** The context of a loop speaks of whichever job is current; its signal is that of the worker. */
const loopContext: JobContext = {
  get jobId() { return current.jobId; },
  get attempt() { return current.attempt; },
  get signal() { return beforeFirst.signal; },
};

// ---- The module

interface Usable {
  kind: 'function' | 'loop';
  main: () => Promise<void>;
  setup: Hook | undefined;
  teardown: Hook | undefined;
}

/** What a worker module must export. A CommonJS module may have it all on its default export. */
function usable(exports: Record<string, unknown>): Usable {
  const names = typeof exports['default'] === 'object' && !('worker' in exports) ? { ...exports['default'] } : exports;
  const { default: work, worker: loop, setup, teardown }: Record<string, unknown> = names;
  if (setup !== undefined && !isFunction<Hook>(setup)) throw new TypeError(`Cannot use the worker module as its \`setup\` must be a function: found ${typeof setup}`);
  if (teardown !== undefined && !isFunction<Hook>(teardown)) throw new TypeError(`Cannot use the worker module as its \`teardown\` must be a function: found ${typeof teardown}`);
  if (isFunction<WorkFunction>(work)) return { kind: 'function', main: () => runFunction(work), setup, teardown };
  if (isFunction<Loop>(loop)) return { kind: 'loop', main: () => runLoop(loop), setup, teardown };
  const found = Object.keys(exports).join(', ');
  throw new TypeError(`Cannot use the worker module as it must export a default function or a function \`worker\`: found ${found === '' ? 'no exports' : found}`);
}

function isFunction<F extends (...args: never[]) => unknown>(value: unknown): value is F {
  return typeof value === 'function';
}
