// Runs a manual loop: hands it both queues, and tells from what it asks for when a job is done.

import type { WorkerHost } from '../host.ts';
import type { JobContext, JobReader, ResultWriter } from '../types.ts';
import type { JobOutcome } from '../wire/protocol.ts';
import type { Inbox } from './inbox.ts';
import type { Outbox } from './outbox.ts';
import type { Job, Loop, Running } from './running.ts';

export class LoopRunner {
  readonly #program: Running;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #now: () => number;
  readonly #saySentinelRead: () => void;
  /** What its signal is that of: the only one that a loop has. */
  readonly #beforeFirst: Job;
  #hasAsked = false;
  /** It has put a value whose job is not said to be done. */
  #hasPut = false;

  constructor(program: Running, inbox: Inbox, outbox: Outbox, { now }: WorkerHost, saySentinelRead: () => void) {
    this.#program = program;
    this.#beforeFirst = program.current;
    this.#inbox = inbox;
    this.#outbox = outbox;
    this.#now = now;
    this.#saySentinelRead = saySentinelRead;
  }

  /** The sentinel has come. One that is still preparing itself will read it: it may take its time. */
  sentinelCame(): void {
    if (!this.#hasAsked) this.#saySentinelRead();
  }

  /** Resolves when the loop is over, to what it threw while it had no job. */
  async run(loop: Loop): Promise<{ error: unknown } | undefined> {
    try {
      await loop(this.#jobs, this.#results, this.#context());
      this.#finish();
    } catch (error) {
      if (this.#isBetweenJobs) return { error };
      if (!this.#program.isStopping) this.#finish(this.#outbox.rejected(error));
    }
    return undefined;
  }

  get #isBetweenJobs(): boolean {
    const { current } = this.#program;
    return current === this.#beforeFirst || current.isOver;
  }

  /** The current job is over. */
  #finish(outcome: JobOutcome = { done: true }): void {
    if (this.#isBetweenJobs || !this.#program.takesValues) return;
    this.#program.current.isOver = true;
    this.#outbox.finish(outcome, this.#now());
  }

  readonly #jobs: JobReader<unknown> = {
    next: () => this.#next(),
    [Symbol.asyncIterator]: () => this.#jobs,
  };

  async #next(): Promise<IteratorResult<unknown, undefined>> {
    this.#hasAsked = true;
    this.#finish();
    if (this.#hasPut) await this.#outbox.flush(); // killed between a value and this message, its job would be tried again, and put it twice
    this.#hasPut = false;
    for (;;) {
      do {
        if (!await this.#inbox.next(() => this.#finish())) {
          this.#saySentinelRead();
          return { done: true, value: undefined };
        }
        this.#finish(); // a loop that asked for two at once: it has got the second
      } while (!this.#inbox.hasJob || (this.#inbox.isAtMessageEnd && this.#outbox.hasUnsent)); // another call was quicker
      const { jobId, attempt, read } = this.#inbox.take();
      this.#program.begin(jobId, attempt);
      this.#outbox.clockMs = this.#now();
      this.#outbox.flushSoon();
      try {
        return { done: false, value: read() };
      } catch (reason) {
        this.#finish(this.#outbox.rejected(reason)); // it cannot be read: the loop gets the next one
      }
    }
  }

  readonly #results: ResultWriter<unknown> = {
    put: value => {
      const sent = this.#put(value);
      if (!this.#program.takesValues) sent.catch(() => {}); // a loop that does not look is not to die of it while it cleans up
      return sent;
    },
  };

  async #put(value: unknown): Promise<void> {
    if (this.#program.current === this.#beforeFirst) throw new Error('Cannot put a result as there is no job yet: ask for the first one before');
    if (!this.#program.takesValues) throw new Error('Cannot put a result as the worker is leaving');
    this.#hasPut = true;
    await this.#outbox.put(value, this.#program.current.jobId);
  }

  /** It speaks of whichever job is current; its signal is that of the worker. */
  #context(): JobContext {
    const program = this.#program;
    const beforeFirst = this.#beforeFirst;
    return {
      get jobId() { return program.current.jobId; },
      get attempt() { return program.current.attempt; },
      get signal() { return beforeFirst.signal; },
    };
  }
}
