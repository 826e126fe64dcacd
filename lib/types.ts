// The shapes that a user of the pool sees: what a worker module exports, what a result and a report
// hold. Types only: nothing of this file is left when it runs.

/** What a work function is told about its job, as its second argument. */
export interface JobContext {
  /** The id of the job, as in {@link Result}: jobs are counted from 0 in the order in which they were put. */
  readonly jobId: number;
  /** Which try of this job it is, from 1. */
  readonly attempt: number;
  /**
   * Aborts while the job runs: when the pool is terminated, or interrupted with policy `terminate`; when the `signal` of its `run()`
   * aborts, with that reason; at its timeout, with the `JobTimeoutError`. In a manual loop it is the worker's.
   */
  readonly signal: AbortSignal;
}

/** What a manual loop reads its jobs from. It ends at the sentinel, or when the pool is interrupted. */
export interface JobReader<Job> extends AsyncIterable<Job, void, undefined> {
  /** Asking for the next job says that the last one is done: it counts as fulfilled from here on. */
  next(): Promise<IteratorResult<Job, void>>;
}

/** Where a manual loop puts its results. */
export interface ResultWriter<Value> {
  /**
   * Sends a value to the parent, under the id of the job that is current (after the sentinel: of the
   * last one). Any number of values for a job, none included. The value is taken as it is now.
   *
   * Resolves when the value has left the process. Rejects with a `DataCloneError` that says where, if
   * it cannot be cloned, and with an `Error` before the first job.
   */
  put(value: Value): Promise<void>;
}

/** The job type of a worker module: `typeof import('./work.js')`, or of a bare work function. */
export type JobOf<Module> =
  Module extends (job: infer Job, ...rest: never[]) => unknown ? Job
  : Module extends { default: (job: infer Job, ...rest: never[]) => unknown } ? Job
  : Module extends { worker: (jobs: JobReader<infer Job>, ...rest: never[]) => unknown } ? Job
  : never;

/** The value type of a worker module: what its work function returns, or what its loop puts. */
export type ValueOf<Module> =
  Module extends (...args: never[]) => infer Value ? Awaited<Value>
  : Module extends { default: (...args: never[]) => infer Value } ? Awaited<Value>
  : Module extends { worker: (jobs: never, results: ResultWriter<infer Value>, ...rest: never[]) => unknown } ? Value
  : never;

/** The type of the option `workerData`: what the module's `setup` takes. */
export type DataOf<Module> = Module extends { setup: (workerData: infer Data, ...rest: never[]) => unknown } ? Data : unknown;

/** What became of a job: its value, or the reason why there is none. */
export type Result<Job, Value> =
  | { id: number; job: Job; status: 'fulfilled'; value: Value }
  | { id: number; job: Job; status: 'rejected'; reason: unknown };

/** How the pool ended. The first outcome wins: Ctrl-C and then `terminate()` is `interrupted`. */
export type Outcome = 'completed' | 'interrupted' | 'terminated' | 'failed';

/** One worker that is gone. */
export interface WorkerReport {
  pid: number;
  /** Its exit status, or null if a signal ended it. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** How many jobs it settled. */
  jobs: number;
  /** What its `teardown` threw, what its manual loop threw while it had no job, or the late error that brought it down. */
  error?: unknown;
}

/** What `join()` resolves to. `submitted` = `fulfilled` + `rejected` + `lost.length` + `pending.length`. */
export interface PoolReport<Job> {
  outcome: Outcome;
  /** The signal that interrupted the pool, if it was one. */
  signal: NodeJS.Signals | null;
  /** Why the pool failed. */
  error: Error | null;
  /**
   * For `process.exitCode`: 0; 128 + the number of the signal, if one interrupted it; 1 if the pool failed or the program ended it, or if a
   * job that was put was rejected (those of `run` and `map` told their callers).
   */
  exitCode: number;
  submitted: number;
  fulfilled: number;
  /** Jobs that threw, timed out or were cancelled, whose worker died, or that could not be sent. */
  rejected: number;
  /** Jobs that were sent to a worker and may have started when the pool ended. */
  lost: Job[];
  /** Jobs that had certainly not started when the pool ended. */
  pending: Job[];
  /** How many values manual loops put; else equal to `fulfilled`. */
  values: number;
  /** The workers that are gone, the last 1,000 of them, in the order in which they went. */
  workers: WorkerReport[];
  /** Milliseconds from the constructor to the end of the last worker. */
  durationMs: number;
}

/** A snapshot of a pool at work. */
export interface PoolStats {
  workers: {
    starting: number;
    idle: number;
    /** Has a job, or is cleaning up. */
    busy: number;
    /** How many were started in the place of one that died, so far. */
    replaced: number;
  };
  jobs: {
    submitted: number;
    /** Not sent to a worker yet, those of `run()` and `map()` included. */
    waiting: number;
    /** Sent to a worker; one that was cancelled counts until its worker lets go of it. */
    given: number;
    fulfilled: number;
    rejected: number;
  };
}
