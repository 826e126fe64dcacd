// The errors that a caller may want to catch, each with a `code`. It knows nothing of how they come about.

import type { PoolReport } from './types.ts';

/**
 * A worker died with a job in it: by an exit, a signal, or a broken channel. The job that had started
 * is rejected with this; `cause` is the error that brought the worker down, where it could still say so.
 */
export class WorkerExitError extends Error {
  override readonly name = 'WorkerExitError';
  readonly code = 'ERR_WORKER_EXIT';
  /** Of the worker, which is gone. */
  readonly pid: number;
  /** Its exit status, or null if a signal ended it. */
  readonly exitCode: number | null;
  /** The signal that ended it, or null if it exited. */
  readonly signal: NodeJS.Signals | null;

  /** @param id That of the job. */
  constructor(id: number, worker: { pid: number; exitCode: number | null; signal: NodeJS.Signals | null }, options?: ErrorOptions) {
    const how = worker.signal === null ? `with exit code ${worker.exitCode}` : `by ${worker.signal}`;
    super(`Cannot finish job ${id} as its worker (pid ${worker.pid}) ended ${how}${meaning(worker, options?.cause)}`, options);
    this.pid = worker.pid;
    this.exitCode = worker.exitCode;
    this.signal = worker.signal;
  }
}

/** What such an end usually means, as the system does not say it. */
function meaning({ exitCode, signal }: { exitCode: number | null; signal: NodeJS.Signals | null }, cause: unknown): string {
  if (signal === 'SIGABRT' || exitCode === 134) return ", which usually means that it was out of memory: smaller jobs need less, and `execArgv: ['--max-old-space-size=4096']` allows more";
  const isByThePool = cause instanceof ProtocolError;
  return signal === 'SIGKILL' && !isByThePool ? ', which often means that the machine was out of memory: fewer `workers` and smaller jobs need less' : '';
}

/**
 * No worker can be started, so the pool failed: its module cannot be imported, exports nothing usable, its
 * `setup` threw, or it dies again and again before it is ready. `cause` is the real error.
 */
export class WorkerStartError extends Error {
  override readonly name = 'WorkerStartError';
  readonly code = 'ERR_WORKER_START';
  #report: PoolReport<unknown> | null = null;

  /** The report of the failed pool; null until every worker is gone. An accessor: `inspect` shows the cause, not the report with all its jobs. */
  get report(): PoolReport<unknown> | null {
    return this.#report;
  }

  /** @internal */
  set report(report: PoolReport<unknown>) {
    this.#report = report;
  }
}

/** A job took longer than its `timeoutMs`, counted from its start. `cause` is what became of the attempt before, if there was one. */
export class JobTimeoutError extends Error {
  override readonly name = 'JobTimeoutError';
  readonly code = 'ERR_JOB_TIMEOUT';
  /** Milliseconds that it was allowed. */
  readonly timeoutMs: number;

  /** @param id That of the job. */
  constructor(id: number, timeoutMs: number, options?: ErrorOptions) {
    super(`Cannot finish job ${id} as it took longer than ${timeoutMs} ms`, options);
    this.timeoutMs = timeoutMs;
  }
}

/** A job of `run()` that the end of the pool overtook. */
export class JobLostError extends Error {
  override readonly name = 'JobLostError';
  readonly code = 'ERR_JOB_LOST';
  /** `lost`: it may have started. `pending`: it certainly had not. */
  readonly fate: 'lost' | 'pending';

  constructor(fate: 'lost' | 'pending', outcome: string) {
    super(`Cannot finish the job as the pool was ${outcome}: it ${fate === 'lost' ? 'may have started' : 'had not started'}`);
    this.fate = fate;
  }
}

/** The pool ended over a `map()`, which has given what was done up to the first gap. `report` says what became of all jobs. */
export class PoolInterruptedError extends Error {
  override readonly name = 'PoolInterruptedError';
  readonly code = 'ERR_POOL_INTERRUPTED';
  readonly #report: PoolReport<unknown>;

  constructor(report: PoolReport<unknown>) {
    super(`Cannot give all values as the pool was ${report.outcome}`);
    this.#report = report;
  }

  /** The report of the pool. */
  get report(): PoolReport<unknown> {
    return this.#report;
  }
}

/** A job was put, run or mapped after `close()`. */
export class PoolClosedError extends Error {
  override readonly name = 'PoolClosedError';
  readonly code = 'ERR_POOL_CLOSED';

  constructor() {
    super('Cannot take a job as the pool is closed: put jobs before `close()`');
  }
}

/** A message of the pool that is not what the protocol says. It is the `cause` of a `WorkerExitError`. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code = 'ERR_PROTOCOL';
}
