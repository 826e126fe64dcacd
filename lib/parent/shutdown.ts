// How a pool ends. It knows workers, and neither queues nor jobs.
//
//  state        interrupt(), an abort, a signal   terminate()                  a failure            a press                    no worker is left
//  running      finishing or terminating (1)      terminating: step 1          terminating: step 1  as interrupt()             gone (2)
//  finishing    –                                 terminating: step 1          –                    terminating: step 1        gone
//  terminating  –                                 the shorter grace counts     –                    step 3, for all            gone
//  gone         –                                 –                            –                    Ctrl-C is given back (3)   –
//
// (1) By `interruptPolicy`. (2) Once it is closed and all jobs have their outcome. (3) At the second press, where nobody reads the results; where they
// are read, Ctrl-C is given back without a press when none is left.
//
// The three steps, for all workers together: 1. `stop` by message. 2. SIGTERM to those that are starting, or have jobs, and do not answer, once all
// have been silent for 50 ms, and 500 ms later at the latest. 3. SIGKILL to those that are not gone when their grace is over; 0 is at once.
// The first reason stays: Ctrl-C and then `terminate()` is `interrupted`.
// A press in the turn in which the program itself interrupted the pool is that same press (`isNew`).

import type { Host } from '../host.ts';
import type { Settings } from '../options.ts';
import { deadline } from './deadline.ts';
import { events } from './events.ts';
import type { End } from './ledger.ts';

/** Step 2 of terminate comes when no worker has sent anything for this long: a loaded machine answers late, one worker after another. */
const SILENCE_MS = 50;
/** Step 2 of terminate comes at the latest this long after step 1. */
const ANSWER_MS = 500;

/** A worker, as its end sees it. */
interface EndingWorker {
  /** It does not answer, and not because of something large that is under way. */
  readonly isUnresponsive: boolean;
  stop(graceMs: number): void;
  hasten(graceMs: number): void;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export interface ShutdownOwner {
  /** What the events call the pool. */
  readonly pool: object;
  /** From here on nothing is accepted or dispatched, and what waits is pending. */
  ended(end: End): void;
  /** Something may be possible now. */
  advance(): void;
  /** A press when all is over. */
  pressedLate(): void;
}

export class Shutdown {
  state: 'running' | 'finishing' | 'terminating' | 'gone' = 'running';
  /** Why the pool ends. */
  end: End | undefined;
  readonly #host: Host;
  readonly #settings: Settings;
  readonly #workers: ReadonlySet<EndingWorker>;
  readonly #owner: ShutdownOwner;
  /** Ended in this very turn. */
  isNew = false;
  #lastMessageAt = 0;
  #cancelStep2 = (): void => {};

  constructor(host: Host, settings: Settings, workers: ReadonlySet<EndingWorker>, owner: ShutdownOwner) {
    this.#host = host;
    this.#settings = settings;
    this.#workers = workers;
    this.#owner = owner;
  }

  /** A worker has said something. */
  received(): void {
    this.#lastMessageAt = this.#host.now();
  }

  /** A signal of the interrupt signals: takes the next step from where the pool is, however it came there. */
  press(signal: NodeJS.Signals): void {
    // A listener of the program was called for the same press first, and interrupted the pool.
    if (this.isNew) this.end = this.end?.outcome === 'interrupted' ? { ...this.end, signal } : this.end;
    else if (this.state === 'running') this.interrupt(signal);
    else if (this.state === 'finishing') this.#terminate(this.#settings.graceMs);
    else if (this.state === 'terminating') this.#killAll();
    else this.#owner.pressedLate();
  }

  interrupt(signal: NodeJS.Signals | null): void {
    if (!this.#begin({ outcome: 'interrupted', signal, error: null })) return;
    if (this.#settings.interruptPolicy === 'terminate') this.#terminate(this.#settings.graceMs);
    else this.#owner.advance();
    if (events.interrupted.hasSubscribers) events.interrupted.publish({ pool: this.#owner.pool, signal });
  }

  terminate(graceMs: number): void {
    this.#begin({ outcome: 'terminated', signal: null, error: null });
    this.#terminate(graceMs);
  }

  fail(error: NonNullable<End['error']>): void {
    if (this.#begin({ outcome: 'failed', signal: null, error })) this.#terminate(this.#settings.graceMs);
  }

  /** No worker is left, and nobody will start one. */
  gone(): void {
    this.state = 'gone';
    this.#cancelStep2();
  }

  #begin(end: End): boolean {
    if (this.state !== 'running') return false;
    this.end = end;
    this.state = 'finishing';
    this.isNew = true;
    this.#host.queueMicrotask(() => { this.isNew = false; });
    this.#owner.ended(end);
    return true;
  }

  /** Step 1, for all workers together. Where that is done already, the shorter grace counts; 0 is SIGKILL now. */
  #terminate(graceMs: number): void {
    if (this.state === 'terminating') for (const worker of this.#workers) worker.hasten(graceMs);
    else if (this.state === 'finishing') {
      this.state = 'terminating';
      for (const worker of this.#workers) worker.stop(graceMs);
      this.received();
      this.#awaitAnswers(this.#lastMessageAt + ANSWER_MS);
    }
    if (graceMs === 0) this.#killAll();
    this.#owner.advance();
  }

  /** Step 2: once all are silent. Step 3 is a deadline of each worker. */
  #awaitAnswers(latestMs: number): void {
    this.#cancelStep2 = deadline(this.#host, SILENCE_MS, () => {
      const nowMs = this.#host.now();
      if (nowMs - this.#lastMessageAt < SILENCE_MS && nowMs < latestMs) return this.#awaitAnswers(latestMs);
      for (const worker of this.#workers) if (worker.isUnresponsive) worker.kill('SIGTERM');
    });
  }

  #killAll(): void {
    for (const worker of this.#workers) worker.kill('SIGKILL');
  }
}
