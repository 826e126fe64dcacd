// The public names, and nothing else.

export { JobLostError, JobTimeoutError, PoolClosedError, PoolInterruptedError, ProtocolError, WorkerExitError, WorkerStartError } from './errors.ts';
export type { PoolOptions, RunOptions } from './options.ts';
export type { JobQueue } from './parent/job-queue.ts';
export { isWorker, ProcessPool } from './parent/pool.ts';
export type { ResultQueue } from './parent/result-queue.ts';
export type { DataOf, JobContext, JobOf, JobReader, Outcome, PoolReport, PoolStats, Result, ResultWriter, ValueOf, WorkerReport } from './types.ts';
