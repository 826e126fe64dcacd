// The jobs of one worker: given to it, and without a result. A worker runs its jobs in the order in which it was given them, and
// answers in that order, so that a first-in-first-out of its messages tells which job is meant; and what may have started when it dies.
//
//  crossing ─► handed over, message by message ─► answered
//  (a large value    (the oldest job without a result is the
//   is under way)     one that it has; it may have started)

import type { Entry } from './job.ts';

/** The jobs without a result of a worker that is gone. */
export interface Leftovers<Job> {
  /** These had started: the one that it was at, or those of which it said so itself. */
  started: Entry<Job>[];
  /** May have started, each of them. */
  suspects: Entry<Job>[];
  /** Certainly not started. */
  unstarted: Entry<Job>[];
}

export class Given<Job> {
  /** The messages that it has and has not answered, the oldest first; of that one, so many jobs have their result. */
  #messages: Entry<Job>[][] = [];
  #answered = 0;
  /** Those of a message that waits for a large job to cross, or could not be sent. No worker can have started them. */
  #crossing: Entry<Job>[] = [];
  #lastAnswered: Entry<Job> | undefined;
  /** Of a loop: the last job that it has done, and that was its own to the end. */
  lastDone: Entry<Job> | undefined;
  /** The job that a loop put a value for last. */
  #lastPut: Entry<Job> | undefined;
  /** How many jobs it has ever been given, and how many of them it has answered. */
  total = 0;
  answeredTotal = 0;
  /** How many of the oldest have started, where the worker could say so. */
  started: number | undefined;

  get messages(): number {
    return this.#messages.length;
  }

  get jobs(): number {
    return this.#messages.reduce((sum, { length }) => sum + length, this.#crossing.length) - this.#answered;
  }

  get isCrossing(): boolean {
    return this.#crossing.length > 0;
  }

  /** The job that it has been given longest, once it has crossed. */
  get current(): Entry<Job> | undefined {
    return this.#messages[0]?.[this.#answered];
  }

  /** The jobs of a message set out, behind their large values. */
  cross(entries: Entry<Job>[]): void {
    this.#crossing = entries;
  }

  /** From here on they may be started. */
  hand(entries: Entry<Job>[]): void {
    this.#crossing = [];
    this.#messages.push(entries);
  }

  /** Their message never left, as the worker is dead already. */
  notSent(entries: Entry<Job>[]): void {
    this.#messages = this.#messages.filter(each => each !== entries);
    this.#crossing.push(...entries);
  }

  /** Takes out the job that has its result; of a loop it is remembered, for the values that come after the sentinel. */
  answer(isLoop: boolean): Entry<Job> | undefined {
    const message = this.#messages[0];
    if (message === undefined) return undefined;
    const entry = message[this.#answered]!; // a message that is all answered is taken out
    if (isLoop) this.#lastAnswered = entry; // a call would keep its value by it
    if (isLoop && entry.state === 'given') this.lastDone = entry;
    this.answeredTotal++;
    if (++this.#answered === message.length) {
      this.#messages.shift();
      this.#answered = 0;
    }
    if (this.started !== undefined) this.started--;
    return entry;
  }

  /** The job that a loop puts a value for: the one that it has, or, after the sentinel, the last one that it had. */
  put(id: number): Entry<Job> | undefined {
    this.#lastPut = [this.current, this.#lastAnswered].find(candidate => candidate?.id === id);
    return this.#lastPut;
  }

  /** Takes out the newest so many, which it hands back: any that were given since it was asked cannot be among them, as none are. */
  takeBack(count: number): Entry<Job>[] | undefined {
    if (count > this.jobs) return undefined;
    const entries = this.#takeAll();
    const back = entries.splice(entries.length - count);
    if (entries.length > 0) this.#messages.push(entries);
    this.total -= count;
    return back;
  }

  /**
   * Takes out all, when the worker is gone. Where it could not say what has started: any job of its first message, since it starts
   * none before the results of the last one have left; but of a loop that one alone which it put a value for, since it gets none before
   * its word has left that this one is done. One whose words do not count any more (it broke the protocol) may have started all that it has.
   */
  leftovers(wasReady: boolean, isBroken: boolean): Leftovers<Job> {
    const hasPut = this.current !== undefined && this.current === this.#lastPut;
    const ofFirst = wasReady && this.#messages[0] !== undefined ? this.#messages[0].length - this.#answered : 0;
    const count = this.started ?? (hasPut ? 1 : ofFirst);
    const jobs = this.#takeAll();
    const started = count === 1 || this.started !== undefined ? jobs.splice(0, count) : [];
    const suspects = jobs.splice(0, isBroken ? Infinity : count - started.length);
    return { started, suspects, unstarted: [...jobs, ...this.#crossing] };
  }

  #takeAll(): Entry<Job>[] {
    const entries = this.#messages.flat().slice(this.#answered);
    this.#messages = [];
    this.#answered = 0;
    return entries;
  }
}
