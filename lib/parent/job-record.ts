// One job inside the pool, from the moment it was accepted until its outcome is known. It knows neither queues nor workers.

import type { JobLostError, WorkerStartError } from '../errors.ts';

/** What became of a job. */
export type Settled = { status: 'fulfilled'; value: unknown } | { status: 'rejected'; reason: unknown };

/** `done` is the end of a job in a manual loop, which puts its values apart. */
export type Outcome = Settled['status'] | 'done';

/** Whom the result goes to, where it does not go to the result queue. */
export interface Caller {
  /** Nobody wants the result any more: what comes back without one does not wait again. */
  readonly isGone?: boolean;
  settle(outcome: Settled): void;
  /** The pool ended over the job. */
  unfinished(error: JobLostError | WorkerStartError): void;
}

export interface JobRecord<Job = unknown> {
  readonly id: number;
  readonly job: Job;
  /** Null for a job that was put. */
  readonly caller: Caller | null;
  /** `cancelled`: its worker still has it, and what comes of it does not count any more. */
  state: 'waiting' | 'in flight' | 'cancelled' | 'over';
  /** The worker that it was dispatched to last. */
  pid: number | null;
  /** Set for a job that travels in a message of its own, to an idle worker, with nothing behind it. Apart, as most jobs are small and many. */
  isolated: Isolated | null;
}

export interface Isolated {
  /** Milliseconds from its start; Infinity for none. */
  readonly timeoutMs: number;
  /** From 1. */
  attempt: number;
  /** A worker died with it, or it timed out: it is not certain any more that it has not started. */
  isSuspect: boolean;
  /** What became of the last attempt. */
  failure: unknown;
  /** How many workers were killed while it was being sent to them. */
  killed: number;
}

export const isolated = (timeoutMs = Infinity): Isolated => ({ timeoutMs, attempt: 1, isSuspect: false, failure: undefined, killed: 0 });
