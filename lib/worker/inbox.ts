// The jobs that have come and have not started, and when the next one may: the program's loop, whatever runs the jobs. It knows neither
// what a job does nor why the worker leaves.
//
// - No job starts before the results of the message before have left.
// - Between two jobs it looks for messages, not too often. A look is two turns of the event loop.
// - Once it is closed no job starts any more; those that wait stay there, until they are counted and dropped.

import type { WorkerHost } from '../host.ts';
import { Segments } from '../wire/batch.ts';
import type { Channel } from '../wire/channel.ts';
import type { JobsMessage, ToParent, ToWorker } from '../wire/protocol.ts';
import type { Outbox } from './outbox.ts';

// A job may overwrite what is global: what this program needs it takes now.
const { Promise } = globalThis;

/** Between two jobs a worker looks for messages at most this often: a look takes two turns of the event loop, once a millisecond that was 4 % of the time. */
const LOOK_EVERY_MS = 2.5;
/** The last look was so long ago that the next thing is another one. */
const LONG_AGO = -Infinity;

/** A job that was taken out. `read` is to be called once. */
export interface TakenJob {
  jobId: number;
  attempt: number;
  read: () => unknown;
}

export class Inbox {
  readonly #host: WorkerHost;
  /** Asked for each job. */
  readonly #now: () => number;
  readonly #channel: Channel<ToWorker, ToParent>;
  readonly #outbox: Outbox;
  /** Messages of jobs, the oldest first; `position` is that of the next job in the first of them. */
  readonly #received: { message: JobsMessage; values: Segments }[] = [];
  #position = 0;
  /** The sentinel has come. */
  hasEnd = false;
  #isClosed = false;
  /** What waits for a message, and how it is woken: one promise for all that wait. */
  #arrival: Promise<void> | undefined;
  #wake = (): void => {};
  #lookedMs: number;

  constructor(host: WorkerHost, channel: Channel<ToWorker, ToParent>, outbox: Outbox) {
    this.#host = host;
    this.#now = host.now;
    this.#channel = channel;
    this.#outbox = outbox;
    this.#lookedMs = host.now();
  }

  receive(message: JobsMessage): void {
    this.#received.push({ message, values: new Segments(message.segments) });
  }

  /** Something has come: whoever waits looks again. */
  wake(): void {
    this.#wake();
  }

  /** From here on no job starts. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  get hasJob(): boolean {
    return this.#received.length > 0;
  }

  /** Whether the job that was taken last is the last of its message. */
  get isAtMessageEnd(): boolean {
    return this.#position === 0;
  }

  /** Whether the next job is this one, which is isolated. */
  isNext(id: number): boolean {
    return this.#received[0]?.message.firstId === id;
  }

  /** Forgets the jobs that have not started: how many they were. */
  drop(): number {
    let count = -this.#position;
    for (const { message: { jobs } } of this.#received) {
      count += jobs.length;
      for (const wire of jobs.slice(this.#position)) this.#channel.discard(wire);
      this.#position = 0;
    }
    this.#received.length = 0;
    return count;
  }

  /**
   * Waits until there is a job to start: false at the sentinel, and once it is closed. The results of the message before have left.
   * A loop lets go of the job that it has before it waits: one that asked for two at once may only now have it, and the next may wait for its end.
   */
  async next(letGo = (): void => {}): Promise<boolean> {
    if (this.isAtMessageEnd) await this.#outbox.flush();
    if (this.#now() - this.#lookedMs > LOOK_EVERY_MS) await this.look();
    if (this.#host.isTamperedWith()) this.close();
    while (!this.#isClosed) {
      if (this.hasJob) return true;
      if (this.hasEnd) return false;
      letGo();
      if (!this.#outbox.isEmpty) await this.#outbox.flush();
      else await (this.#arrival ??= new Promise(resolve => {
        this.#wake = () => {
          this.#arrival = undefined;
          resolve();
        };
      }));
      this.#lookedMs = this.#now();
    }
    return false;
  }

  /** Whether the next job may start at once: it came in the same message as the last one, nothing waits to be sent for long, and it is too early for a look. */
  mayGoOn(): boolean {
    return this.#position > 0 && this.#outbox.clockMs - this.#lookedMs < LOOK_EVERY_MS && !this.#outbox.isDue && !this.#isClosed;
  }

  /** Sends what was done some time ago, and lets messages in: the first immediate still runs in the turn of the loop that calls it. */
  async look(): Promise<void> {
    if (this.#outbox.isDue) await this.#outbox.flush();
    for (let turn = 0; turn < 2; turn++) await new Promise<void>(resolve => { this.#host.setImmediate(resolve); });
    if (this.mustLook) this.#outbox.sayAlive();
    this.#lookedMs = this.#now();
  }

  /** The process ends: what comes next is behind a look, which never comes back where it has ended. */
  lookFirst(): void {
    this.#lookedMs = LONG_AGO;
  }

  get mustLook(): boolean {
    return this.#lookedMs === LONG_AGO;
  }

  /** Takes the next job out; to be called only when there is one. */
  take(): TakenJob {
    const { message, values } = this.#received[0]!;
    const jobId = message.firstId + this.#position;
    const wire = message.jobs[this.#position++];
    if (this.#position === message.jobs.length) {
      this.#received.shift();
      this.#position = 0;
    }
    this.#outbox.begin();
    return { jobId, attempt: message.attempt, read: () => this.#channel.read(wire, values) };
  }
}
