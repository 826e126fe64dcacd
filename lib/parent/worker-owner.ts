// What the handle of a worker tells its owner. Types only: nothing of this file is left when it runs.

import type { WorkerReport } from '../types.ts';
import type { FailedMessage } from '../wire/protocol.ts';
import type { AssignmentOwner } from './assignment.ts';
import type { Leftovers } from './in-flight.ts';

/** A worker is gone: why, and with which jobs. */
export interface Departure<Job> extends Leftovers<Job> {
  /** Why it went, if it or its channel said so. */
  cause: unknown;
  /** What the report says of it; its pid is 0 if it could not even be started. */
  report: WorkerReport;
}

export interface WorkerOwner<Job> extends AssignmentOwner<Job> {
  ready(): void;
  /** The module cannot be used, by this worker or any other. */
  failed(during: FailedMessage['during'], cause: unknown): void;
  /** It has had no job for `idleTimeoutMs`. */
  idled(): void;
  /** It is told to end, by one of the three steps. */
  ended(step: 'stop' | 'SIGTERM' | 'SIGKILL', pid: number): void;
  gone(departure: Departure<Job>): void;
}
