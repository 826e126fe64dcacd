// The time limit of the job that a worker has, and the time that it has to let go of one that was cancelled. It knows neither the worker's
// state nor what becomes of the job.
//
//  no job ─► limited ─► timed out (its owner cancels it) ─► let go, or stuck
//                └─► overdue: its time is up while a large value is on its way, which may be its result. Judged when that has come.

import type { Host } from '../host.ts';
import { deadline } from './deadline.ts';
import type { JobRecord } from './job-record.ts';

/** Pieces of a large value follow each other: when none has come for this long, none will. A whole one of 64 MB takes a fraction of it. */
const LARGE_SILENCE_MS = 5000;
/** A worker that was told to give up its job has 50 ms to settle it, by its own clock; one that says nothing after this is stuck. */
const CANCEL_ANSWER_MS = 100;

export interface LimitOwner<Job> {
  /** Whether a large value is on its way here, as far as is known. */
  receivesLarge(): boolean;
  lastMessageAt(): number;
  timedOut(record: JobRecord<Job>): void;
  /** The worker does not let go of it. */
  stuck(record: JobRecord<Job>): void;
}

export class TimeLimit<Job> {
  readonly #host: Host;
  readonly #owner: LimitOwner<Job>;
  #overdue: JobRecord<Job> | undefined;
  #cancelTimer = (): void => {};

  constructor(host: Host, owner: LimitOwner<Job>) {
    this.#host = host;
    this.#owner = owner;
  }

  /** Its time begins. */
  start(record: JobRecord<Job>, ms: number): void {
    this.#cancelTimer = deadline(this.#host, ms, () => {
      const isOverdue = this.#owner.receivesLarge() && this.#host.now() - this.#owner.lastMessageAt() < LARGE_SILENCE_MS;
      this.#overdue = isOverdue ? record : undefined;
      if (isOverdue) this.start(record, LARGE_SILENCE_MS);
      else this.#owner.timedOut(record);
    });
  }

  /** It was told to give up its job. */
  awaitLettingGo(record: JobRecord<Job>): void {
    this.end();
    this.#cancelTimer = deadline(this.#host, CANCEL_ANSWER_MS, () => this.#owner.stuck(record));
  }

  /** It has let go of its job, or is gone. */
  end(): void {
    this.#cancelTimer();
    this.#overdue = undefined;
  }

  /** A large value has come, and was a value of a loop: its job has had its time. But wait one turn: the next message, which may be here already, may say that it is done. */
  judge(): void {
    const record = this.#overdue;
    if (record === undefined) return;
    this.#host.setImmediate(() => {
      if (this.#overdue !== record) return;
      this.#overdue = undefined;
      this.#owner.timedOut(record);
    });
  }
}
