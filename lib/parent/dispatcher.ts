// Which worker gets which jobs: batches, a second batch behind the first (prefetch), waiting for a slow reader, and taking jobs back from
// behind one that takes long. It knows neither how workers start nor what becomes of a job.
//
//  workers  one message to each idle worker first, then a second one to those that want it
//  jobs     first come, first served among all; those that were put wait while a reader is slow
//  a batch  consecutive ids, all put or all called, all at their first attempt; an isolated job travels alone, and nothing behind it

import type { Host, Timer } from '../host.ts';
import type { Settings } from '../options.ts';
import type { BatchSize } from './batch-size.ts';
import { events } from './events.ts';
import type { JobRecord } from './job-record.ts';
import type { Jobs } from './jobs.ts';
import type { WorkerHandle } from './worker-handle.ts';

/** Jobs behind one that takes longer than this are reclaimed, if another worker is idle. */
const SLOW_MS = 20;

export class Dispatcher<Job, Value> {
  readonly #host: Host;
  readonly #settings: Settings;
  readonly #jobs: Jobs<Job, Value>;
  readonly #workers: ReadonlySet<WorkerHandle<Job>>;
  readonly #batchSize: BatchSize;
  readonly #pool: object;
  #rebalanceTimer: Timer | undefined;
  /** Somebody waits for the end: from here on jobs are sent also where nobody reads results. */
  isJoining = false;
  /** Jobs that were put waited for a reader of the results, when this was last looked at. */
  isHeldBack = false;

  /** @param pool What the events call the pool. */
  constructor(host: Host, settings: Settings, { jobs, workers, batchSize, pool }: { jobs: Jobs<Job, Value>; workers: ReadonlySet<WorkerHandle<Job>>; batchSize: BatchSize; pool: object }) {
    this.#host = host;
    this.#settings = settings;
    this.#jobs = jobs;
    this.#workers = workers;
    this.#batchSize = batchSize;
    this.#pool = pool;
  }

  /** Sends what can be sent now. */
  dispatch(): void {
    const { hasMore } = this.#jobs.queue;
    for (const behindAnother of [false, true]) {
      for (const worker of this.#workers) {
        while (worker.assignment.hasJob === behindAnother && worker.hasRoom(this.#batchSize.window)) {
          const first = this.#peek();
          if (first === undefined || (first.isolated !== null && behindAnother)) return;
          // Nothing goes behind another job that a worker which is still starting, or may yet be started, could have at once.
          if (behindAnother && this.#sendable() <= this.#notReadyCount) return;
          this.#send(worker, first, hasMore);
        }
      }
    }
  }

  /** How many more workers the waiting jobs could have. */
  wantedWorkers(): number {
    let wanted = this.#sendable();
    for (const worker of this.#workers) if (worker.activity !== 'busy' && !worker.isLeaving) wanted--;
    return wanted;
  }

  /** Whether a worker has jobs behind the one that runs: it may be asked for them, and others must be there to do them. */
  get mayReclaim(): boolean {
    for (const worker of this.#workers) if (worker.assignment.count > 1) return true;
    return false;
  }

  /** Where a worker is idle, or may be started, and nothing waits, others may have jobs behind one that takes long: reclaims them, 20 ms after their last message. */
  rebalance(): void {
    if (this.#rebalanceTimer !== undefined || this.#sendable() > 0) return;
    const workers = [...this.#workers];
    const isRoom = workers.length < this.#settings.workers || workers.some(({ activity }) => activity === 'idle');
    if (!isRoom || !workers.some(({ hasReclaimable }) => hasReclaimable)) return;
    this.#rebalanceTimer = this.#host.setTimeout(() => {
      this.#rebalanceTimer = undefined;
      const nowMs = this.#host.now();
      for (const worker of this.#workers) if (worker.hasReclaimable && nowMs - worker.lastMessageAt > SLOW_MS) worker.assignment.reclaim();
      this.rebalance();
    }, SLOW_MS).unref();
  }

  end(): void {
    this.#host.clearTimeout(this.#rebalanceTimer);
  }

  /** How many workers are starting, or may yet be started. */
  get #notReadyCount(): number {
    let count = this.#settings.workers - this.#workers.size;
    for (const worker of this.#workers) if (worker.activity === 'starting' && !worker.isLeaving) count++;
    return count;
  }

  #send(worker: WorkerHandle<Job>, first: JobRecord<Job>, hasMore: boolean): void {
    const queue = first.caller === null ? this.#jobs.queue : this.#jobs.calls;
    const most = first.isolated !== null ? 1 : Math.min(this.#batchSize.size(this.#sendable(), this.#settings.workers, hasMore), worker.assignment.left);
    let count = 0;
    const take = (): JobRecord<Job> | undefined => {
      const record = queue.peek(); // not before: a getter of the job before it may have changed what waits
      if (count === most || record?.id !== first.id + count || (count > 0 && record.isolated !== null)) return undefined;
      queue.shift();
      record.state = 'in flight';
      count++;
      return record;
    };
    if (first.caller !== null && worker.isLoop) {
      take();
      this.#jobs.settle(first, 'rejected', new TypeError('Cannot run a job on a module with a manual loop, whose values belong to no call: use `jobs` and `results`'));
      return;
    }
    const sent = worker.send(take);
    if (events.jobDispatched.hasSubscribers) for (const { id, isolated } of sent) events.jobDispatched.publish({ pool: this.#pool, id, attempt: isolated?.attempt ?? 1, pid: worker.pid });
  }

  /**
   * Whether jobs that were put are held back, as nobody fetches results in time: not before the first read, not from a join, and not
   * while a reader may be waiting for room in the job queue: awaited inside the loop over the results, that would be a deadlock.
   */
  #holdsBack(): boolean {
    const { queue, results } = this.#jobs;
    const isReadSlowly = results.size >= this.#settings.resultCapacity && results.beingRead;
    this.isHeldBack = isReadSlowly && !this.isJoining && !queue.holdsReader && queue.size > 0;
    return this.isHeldBack;
  }

  /** How many of those that wait may be sent now: not those that wait for a reader. */
  #sendable(): number {
    return this.#jobs.waiting - (this.#holdsBack() ? this.#jobs.queue.size : 0);
  }

  /** First come, first served. */
  #peek(): JobRecord<Job> | undefined {
    const job = this.#holdsBack() ? undefined : this.#jobs.queue.peek();
    const call = this.#jobs.calls.peek();
    return call !== undefined && (job === undefined || call.id < job.id) ? call : job;
  }
}
