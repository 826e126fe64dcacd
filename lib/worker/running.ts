// What the parts of the program know of each other, and of the module. Types only: nothing of this file is left when it runs.

import type { JobContext, JobReader, ResultWriter } from '../types.ts';

export type WorkFunction = (job: unknown, context: JobContext) => unknown;
export type Loop = (jobs: JobReader<unknown>, results: ResultWriter<unknown>, context: JobContext) => unknown;
export type Hook = (workerData?: unknown) => unknown;

/** The job that runs, as what runs it sees it. */
export interface Job extends JobContext {
  /** It has its outcome. */
  isOver: boolean;
}

/** The program, as what runs jobs sees it. */
export interface Running {
  /** The job that runs, or ran last. */
  readonly current: Job;
  /** It has said so. */
  readonly isStopping: boolean;
  /** Whether a value still counts; and a rejection, which may come of the end itself. */
  readonly takesValues: boolean;
  readonly takesReasons: boolean;
  /** From here on this job is the current one. */
  begin(jobId: number, attempt: number): Job;
}
