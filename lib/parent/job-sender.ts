// Sends jobs to one worker: as many as fit in a message, their large values ahead of it. It knows the worker's jobs, and neither its
// state nor its results.

import type { Host } from '../host.ts';
import { Batch } from '../wire/batch.ts';
import type { Channel } from '../wire/channel.ts';
import type { JobsMessage, ToParent, ToWorker, Wire } from '../wire/protocol.ts';
import { deadline } from './deadline.ts';
import type { InFlight } from './in-flight.ts';
import type { JobRecord } from './job-record.ts';

/** A worker without a job has so long to read the next 64 MB that it is sent. That takes a quarter of a second. */
const READING_MS = 10_000;
/** A message with so many bytes of jobs is full. */
export const FULL_MESSAGE_BYTES = 256 * 1024;

export interface SenderOwner<Job> {
  /** This job cannot be cloned: it has no worker. */
  refused(record: JobRecord<Job>, reason: unknown): void;
  /** Whether large values need not go on, as nobody will read them. */
  isGivenUp(): boolean;
  /** The worker has not read for so long that it never will. */
  unread(): void;
  /** From here on they may be started. `late`: some time after `send`, as large values went ahead. */
  sent(records: JobRecord<Job>[], late: boolean): void;
}

export class JobSender<Job> {
  readonly #host: Host;
  readonly #channel: Channel<ToParent, ToWorker>;
  readonly #inFlight: InFlight<Job>;
  readonly #owner: SenderOwner<Job>;
  #cancelReading = (): void => {};
  /** How many messages of jobs have not left yet, for all that is known. */
  #leaving = 0;

  constructor(host: Host, channel: Channel<ToParent, ToWorker>, inFlight: InFlight<Job>, owner: SenderOwner<Job>) {
    this.#host = host;
    this.#channel = channel;
    this.#inFlight = inFlight;
    this.#owner = owner;
  }

  /**
   * Sends as many jobs as `take` has and a message can hold, and returns them: they have consecutive ids, and are all at the same
   * attempt. The values are those of this moment. A job that cannot be cloned is refused, and is the last: ids have no gaps.
   */
  send(pid: number, take: () => JobRecord<Job> | undefined): JobRecord<Job>[] {
    const batch = new Batch();
    const records: JobRecord<Job>[] = [];
    const jobs: Wire[] = [];
    for (let bytes = 0; bytes <= FULL_MESSAGE_BYTES;) {
      const record = take();
      if (record === undefined) break;
      try {
        const before = batch.bytes;
        const wire = this.#channel.encode(record.job, 'job', batch);
        bytes += batch.bytes - before + sizeOf(wire);
        jobs.push(wire);
        record.pid = pid; // one that cannot be sent has had no worker
        records.push(record);
      } catch (reason) {
        this.#owner.refused(record, reason);
        break;
      }
    }
    const [first] = records;
    if (first !== undefined) {
      this.#inFlight.total += records.length;
      void this.#sendAll({ type: 'jobs', firstId: first.id, attempt: first.isolated?.attempt ?? 1, jobs, segments: batch.finish() }, records);
    }
    return records;
  }

  /** When it is known which messages have left. Of one that was sent to a dead worker Node says so two turns later at the most. */
  whenKnown(callback: () => void): void {
    if (this.#leaving === 0) callback();
    else this.#host.setImmediate(() => this.#host.setImmediate(callback));
  }

  end(): void {
    this.#cancelReading();
  }

  async #sendAll(message: JobsMessage, records: JobRecord<Job>[]): Promise<void> {
    const isLate = this.#channel.hasLarge;
    if (isLate) {
      this.#inFlight.hold(records);
      this.#awaitReading();
      const hasLeft = await this.#channel.sendLarge(() => {
        this.#awaitReading();
        return this.#owner.isGivenUp();
      });
      this.#cancelReading();
      if (!hasLeft) return;
    }
    this.#sendMessage(message, records);
    this.#owner.sent(records, isLate);
  }

  #sendMessage(message: JobsMessage, records: JobRecord<Job>[]): void {
    this.#inFlight.sent(records);
    this.#leaving++;
    void this.#channel.send(message).then(hasLeft => {
      this.#leaving--;
      if (!hasLeft) this.#inFlight.notSent(records); // it is dead: its exit follows
    });
  }

  /** A worker without a job reads what it is sent, piece by piece. One that does not read within that time is stuck. */
  #awaitReading(): void {
    this.#cancelReading();
    if (this.#inFlight.messages === 0) this.#cancelReading = deadline(this.#host, READING_MS, () => this.#owner.unread());
  }
}

/** How much of a message it is, roughly: what goes ahead of it is to be the last of it. */
export function sizeOf(wire: Wire): number {
  if (typeof wire === 'string' || wire instanceof Uint8Array) return wire.length;
  if (typeof wire !== 'object' || wire === null) return 8;
  return wire.next === 'plain' ? 0 : Infinity; // the batch knows
}
