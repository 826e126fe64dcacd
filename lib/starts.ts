// When a worker may be started again after others died in vain: before they were ready, or ready and without a job. It knows neither
// workers nor the pool.
//
//  how it died                                   next try                       so many rounds in a row are too many
//  by itself, before it was ready                100, 200, 400 ms later         4
//  by itself, ready, before its first job        100, 200 ms later              3
//  killed: by the kernel or from outside, say    100, 200, … 3200 ms later      7
//  by an interrupt signal: a Ctrl-C              at once                        20
//
// Workers of one round count once, as they died of the same thing; after the first round one worker at a time is tried.

import { clearTimeout, setTimeout } from './time.ts';

const MOST_ROUNDS = { starting: 4, ready: 3, killed: 7, interrupted: 20 };
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3200;

/** Signals that a process gives itself: the next one will, too. */
const OWN_SIGNALS: ReadonlySet<string> = new Set(['SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGSEGV', 'SIGSYS', 'SIGTRAP']);

export class Starts {
  readonly #interruptSignals: readonly string[];
  readonly #resume: () => void;
  /** What a start is to be remembered by. */
  round = 0;
  /** How many rounds in a row died in vain. */
  streak = 0;
  #pause: NodeJS.Timeout | undefined;

  /** @param resume Called when starts are allowed again. */
  constructor(interruptSignals: readonly string[], resume: () => void) {
    this.#interruptSignals = interruptSignals;
    this.#resume = resume;
  }

  get arePaused(): boolean {
    return this.#pause !== undefined;
  }

  /** A worker had a job to the end. */
  progressed(): void {
    this.streak = 0;
  }

  /** A worker of that round died in vain. Whether that is once too often. */
  died(round: number, signal: string | null, wasReady: boolean): boolean {
    if (round !== this.round) return false;
    this.round++;
    this.streak++;
    const how = signal === null || OWN_SIGNALS.has(signal) ? wasReady ? 'ready' : 'starting' : this.#interruptSignals.includes(signal) ? 'interrupted' : 'killed';
    if (how !== 'interrupted') this.#wait(Math.min(FIRST_PAUSE_MS * 2 ** (this.streak - 1), LONGEST_PAUSE_MS));
    return this.streak >= MOST_ROUNDS[how];
  }

  /** Lets nothing of it outlive the pool. */
  end(): void {
    clearTimeout(this.#pause);
  }

  /** Pending work holds the event loop: this timer need not. */
  #wait(ms: number): void {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#resume();
    }, ms).unref();
  }
}
