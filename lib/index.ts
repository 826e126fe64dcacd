// The public names, and nothing else.

export { JobLostError, JobTimeoutError, PoolClosedError, PoolInterruptedError, ProtocolError, WorkerExitError, WorkerStartError } from './errors.ts';
export type { PoolOptions } from './options.ts';
export { isWorker, ProcessPool } from './pool.ts';
export type { RunOptions } from './pool.ts';
export type { JobQueue, ResultQueue } from './queue.ts';
export type { DataOf, JobContext, JobOf, JobReader, Outcome, PoolReport, PoolStats, Result, ResultWriter, ValueOf, WorkerReport } from './types.ts';
