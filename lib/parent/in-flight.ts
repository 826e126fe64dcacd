// The jobs of one worker: dispatched to it, and without a result. A worker runs its jobs in the order in which they were sent, and
// answers in that order, so that a first-in-first-out of its messages tells which job is meant; and what may have started when it dies.
//
//  held ─► sent, message by message ─► answered
//  (a large value    (the oldest job without a result is the
//   is under way)     current one; it may have started)

import type { JobRecord } from './job-record.ts';

/** The jobs without a result of a worker that is gone. */
export interface Leftovers<Job> {
  /** These had started: the current one, or those of which the worker said so itself. */
  started: JobRecord<Job>[];
  /** May have started, each of them. */
  suspects: JobRecord<Job>[];
  /** Certainly not started. */
  unstarted: JobRecord<Job>[];
}

export class InFlight<Job> {
  /** The messages that it has and has not answered, the oldest first; of that one, so many jobs have their result. */
  #messages: JobRecord<Job>[][] = [];
  #answered = 0;
  /** Those of a message that waits for its large values to be sent, or could not be sent. No worker can have started them. */
  #held: JobRecord<Job>[] = [];
  #lastAnswered: JobRecord<Job> | undefined;
  /** Of a loop: the last job that it has done, and that was not cancelled. */
  lastDone: JobRecord<Job> | undefined;
  /** The job that a loop put a value for last. */
  #lastPut: JobRecord<Job> | undefined;
  /** How many jobs were ever dispatched to it, and how many of them it has answered. */
  total = 0;
  answeredTotal = 0;
  /** How many of the oldest have started, where the worker could say so. */
  started: number | undefined;

  get messages(): number {
    return this.#messages.length;
  }

  get jobs(): number {
    return this.#messages.reduce((sum, { length }) => sum + length, this.#held.length) - this.#answered;
  }

  get isHeld(): boolean {
    return this.#held.length > 0;
  }

  /** The oldest job whose message was sent. */
  get current(): JobRecord<Job> | undefined {
    return this.#messages[0]?.[this.#answered];
  }

  /** The message of these waits for its large values. */
  hold(records: JobRecord<Job>[]): void {
    this.#held = records;
  }

  /** From here on they may be started. */
  sent(records: JobRecord<Job>[]): void {
    this.#held = [];
    this.#messages.push(records);
  }

  /** Their message never left, as the worker is dead already. */
  notSent(records: JobRecord<Job>[]): void {
    this.#messages = this.#messages.filter(each => each !== records);
    this.#held.push(...records);
  }

  /** Takes out the job that has its result; of a loop it is remembered, for the values that come after the sentinel. */
  answer(isLoop: boolean): JobRecord<Job> | undefined {
    const message = this.#messages[0];
    if (message === undefined) return undefined;
    const record = message[this.#answered]!; // a message that is all answered is taken out
    if (isLoop) this.#lastAnswered = record; // for a call, remembering the record would keep its value in memory
    if (isLoop && record.state === 'in flight') this.lastDone = record;
    this.answeredTotal++;
    if (++this.#answered === message.length) {
      this.#messages.shift();
      this.#answered = 0;
    }
    if (this.started !== undefined) this.started--;
    return record;
  }

  /** The job that a loop puts a value for: the current one, or, after the sentinel, the last one that it had. */
  put(id: number): JobRecord<Job> | undefined {
    this.#lastPut = [this.current, this.#lastAnswered].find(candidate => candidate?.id === id);
    return this.#lastPut;
  }

  /** Takes out the newest so many, which it hands back. None was sent since it was asked. */
  reclaim(count: number): JobRecord<Job>[] | undefined {
    if (count > this.jobs) return undefined;
    const records = this.#takeAll();
    const back = records.splice(records.length - count);
    if (records.length > 0) this.#messages.push(records);
    this.total -= count;
    return back;
  }

  /**
   * Takes out all, when the worker is gone. Where it could not say what has started: any job of its first message, since it starts
   * none before the results of the last one have left; but of a loop only the one that it put a value for, since it gets the next one when
   * its "done" message is flushed. One that broke the protocol may have started all that it has.
   */
  leftovers(wasReady: boolean, brokeProtocol: boolean): Leftovers<Job> {
    const hasPut = this.current !== undefined && this.current === this.#lastPut;
    const ofFirst = wasReady && this.#messages[0] !== undefined ? this.#messages[0].length - this.#answered : 0;
    const count = this.started ?? (hasPut ? 1 : ofFirst);
    const jobs = this.#takeAll();
    const started = count === 1 || this.started !== undefined ? jobs.splice(0, count) : [];
    const suspects = jobs.splice(0, brokeProtocol ? Infinity : count - started.length);
    return { started, suspects, unstarted: [...jobs, ...this.#held] };
  }

  #takeAll(): JobRecord<Job>[] {
    const records = this.#messages.flat().slice(this.#answered);
    this.#messages = [];
    this.#answered = 0;
    return records;
  }
}
