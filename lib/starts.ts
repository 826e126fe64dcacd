// When a worker may be started again after others died before they were ready. It knows neither workers nor the pool.

import { clearTimeout, setTimeout } from './time.ts';

/** How long to wait before the next try, round by round: after the last one the pool fails. */
const START_AGAIN_MS = [100, 200, 400];
/** The same after a death by a signal, without limit. */
const START_AFTER_SIGNAL_MS = 100;

export class Starts {
  readonly #resume: () => void;
  /** What a start is to be remembered by: those of one round that fail count once, as they died of the same thing. */
  round = 0;
  /** How many rounds in a row failed. */
  failedRounds = 0;
  #pause: NodeJS.Timeout | undefined;

  /** @param resume Called when starts are allowed again. */
  constructor(resume: () => void) {
    this.#resume = resume;
  }

  get arePaused(): boolean {
    return this.#pause !== undefined;
  }

  succeeded(): void {
    this.failedRounds = 0;
  }

  diedBySignal(): void {
    this.#wait(START_AFTER_SIGNAL_MS);
  }

  /** Whether it may be tried again. */
  died(round: number): boolean {
    if (round !== this.round) return true;
    this.round++;
    const ms = START_AGAIN_MS[this.failedRounds++];
    if (ms !== undefined) this.#wait(ms);
    return ms !== undefined;
  }

  /** Lets nothing of it outlive the pool. */
  end(): void {
    clearTimeout(this.#pause);
  }

  #wait(ms: number): void {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#resume();
    }, ms);
  }
}
