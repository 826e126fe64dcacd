// When a worker may be started again after others died in vain: before they were ready, or ready and without a job. It knows neither
// workers nor the pool.
//
//  how it died                                   next try                       so many rounds in a row are too many
//  by itself, before it was ready                100, 200, 400 ms later         4
//  by itself, ready, before its first job        100, 200 ms later              3
//  killed: by the kernel or from outside, say    100, 200, … 3200 ms later      7
//  by an interrupt signal: a Ctrl-C              at once                        20
//
// While another worker does the work it goes on, up to a minute apart. One that had lived for a minute begins a new row.
//
// Workers of one round count once, as they died of the same thing. From the second round on they are started one by one, until a
// job is done: the next one when the last is ready, has died, or has taken longer than anybody would.

import type { Clock, Timer } from '../host.ts';

const MOST_ROUNDS = { starting: 4, ready: 3, killed: 7, interrupted: 20 };
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 60_000;
/** A start that takes longer than this does not keep the next one waiting. */
const START_MS = 3000;
/** A worker that has lived for so long has not died of what others died of before. */
const LONG_LIFE_MS = 60_000;

/** After the machine refused a process, which costs next to nothing: twice as long each time, up to a limit. */
const REFUSED_MS = 100;
const MOST_REFUSED_MS = 12_800;
/** Where there is no worker at all, so many refusals in a row are the end: that takes three seconds. */
const MOST_REFUSALS = 6;

/** Signals that a process gives itself: the next one will, too. */
const OWN_SIGNALS: ReadonlySet<string> = new Set(['SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGSEGV', 'SIGSYS', 'SIGTRAP']);

export class Starts {
  readonly #clock: Clock;
  readonly #interruptSignals: readonly string[];
  readonly #resume: () => void;
  /** What a start is to be remembered by. */
  round = 0;
  /** How many rounds in a row died in vain. */
  crashStreak = 0;
  #pause: Timer | undefined;
  /** How many times in a row the machine refused a process. */
  refusals = 0;
  #refusalPause: Timer | undefined;

  /** @param resume Called when starts are allowed again. */
  constructor(clock: Clock, interruptSignals: readonly string[], resume: () => void) {
    this.#clock = clock;
    this.#interruptSignals = interruptSignals;
    this.#resume = resume;
  }

  get arePaused(): boolean {
    return this.#pause !== undefined || this.#refusalPause !== undefined;
  }

  /** A worker had a job to the end. */
  progressed(): void {
    this.crashStreak = 0;
  }

  /** A worker of that round died in vain. Whether that is once too often. */
  died({ round, wasReady, livedMs }: { round: number; wasReady: boolean; livedMs: number }, signal: string | null): boolean {
    if (round !== this.round) return false;
    if (livedMs > LONG_LIFE_MS) this.progressed();
    this.round++;
    this.crashStreak++;
    const how = signal === null || OWN_SIGNALS.has(signal) ? wasReady ? 'ready' : 'starting' : this.#interruptSignals.includes(signal) ? 'interrupted' : 'killed';
    this.#wait(how === 'interrupted' ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (this.crashStreak - 1), LONGEST_PAUSE_MS));
    return this.crashStreak >= MOST_ROUNDS[how];
  }

  /** The machine refused a process. Whether it may be tried again. A pool that is short of workers and has nothing to do holds no event loop. */
  refused(hasOthers: boolean): boolean {
    const ms = Math.min(REFUSED_MS * 2 ** this.refusals++, MOST_REFUSED_MS);
    if (!hasOthers && this.refusals >= MOST_REFUSALS) return false;
    this.#clock.clearTimeout(this.#refusalPause);
    this.#refusalPause = this.#clock.setTimeout(() => {
      this.#refusalPause = undefined;
      this.#resume();
    }, ms).unref();
    return true;
  }

  /** A process was started. */
  began(): void {
    this.resetRefusals();
    if (this.crashStreak > 0) this.#wait(START_MS);
  }

  /** It is ready. */
  ready(): void {
    this.#wait(0);
  }

  /** A process was started, or one is gone: the machine may have room for another. */
  resetRefusals(): void {
    this.refusals = 0;
    this.#clock.clearTimeout(this.#refusalPause);
    this.#refusalPause = undefined;
  }

  /** Lets nothing of it outlive the pool. */
  end(): void {
    this.#clock.clearTimeout(this.#refusalPause);
    this.#clock.clearTimeout(this.#pause);
  }

  /** Pending work holds the event loop: this timer need not. */
  #wait(ms: number): void {
    this.#clock.clearTimeout(this.#pause);
    this.#pause = ms === 0 ? undefined : this.#clock.setTimeout(() => {
      this.#pause = undefined;
      this.#resume();
    }, ms).unref();
  }
}
