// Runs a work function: job after job, each to its end.

import type { WorkerHost } from '../host.ts';
import type { JobOutcome } from '../wire/protocol.ts';
import type { Inbox } from './inbox.ts';
import type { Outbox } from './outbox.ts';
import type { Job, Running, WorkFunction } from './running.ts';

export class FunctionRunner {
  readonly #program: Running;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #now: () => number;

  constructor(program: Running, inbox: Inbox, outbox: Outbox, { now }: WorkerHost) {
    this.#program = program;
    this.#inbox = inbox;
    this.#outbox = outbox;
    this.#now = now;
  }

  async run(work: WorkFunction): Promise<void> {
    while (await this.#inbox.next()) {
      this.#outbox.clockMs = this.#now();
      do {
        const promise = this.#runJob(work);
        if (promise !== undefined) await promise;
      } while (this.#inbox.mayGoOn());
      if (!this.#inbox.isAtMessageEnd) await this.#inbox.look();
    }
  }

  /** Runs a job, to its end if it returns no promise. A separate function, so that a suspended frame keeps nothing alive. */
  #runJob(work: WorkFunction): Promise<void> | undefined {
    const { jobId, attempt, read } = this.#inbox.take();
    const job = this.#program.begin(jobId, attempt);
    try {
      const returned = work(read(), job);
      if (!isThenable(returned)) this.#fulfil(job, returned);
      else {
        this.#outbox.flushSoon();
        return this.#fulfilLater(job, returned);
      }
    } catch (reason) {
      this.#reject(job, reason);
    }
    return undefined;
  }

  async #fulfilLater(job: Job, promise: PromiseLike<unknown>): Promise<void> {
    try {
      this.#fulfil(job, await promise);
    } catch (reason) {
      this.#reject(job, reason);
    }
  }

  #fulfil(job: Job, value: unknown): void {
    if (this.#program.takesValues) this.#finish(job, this.#outbox.fulfilled(value, this.#inbox.isAtMessageEnd));
  }

  #reject(job: Job, reason: unknown): void {
    if (this.#program.takesReasons) this.#finish(job, this.#outbox.rejected(reason));
  }

  #finish(job: Job, outcome: JobOutcome): void {
    job.isOver = true;
    this.#outbox.finish(outcome, this.#now());
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
