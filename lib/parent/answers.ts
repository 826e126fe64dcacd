// What a worker answers: reads each outcome of a message, and says which job it is of. It knows the worker's jobs, and not its state.

import { Segments } from '../wire/batch.ts';
import type { Channel } from '../wire/channel.ts';
import type { JobOutcome, Segment, ToParent, ToWorker, Wire } from '../wire/protocol.ts';
import type { InFlight } from './in-flight.ts';
import type { JobRecord, Outcome } from './job-record.ts';

/** The worker whose answers these are. */
export interface Answering {
  readonly isLoop: boolean;
  /** An isolated job is over in it. */
  jobOver(): void;
  /** A value that belongs to no job cannot be read. */
  thrown(error: unknown): void;
  /** It broke the protocol. */
  broken(what: string): void;
}

/** Who hears of them. Neither asks for its `this`. */
export interface AnswersOwner<Job> {
  settled: (record: JobRecord<Job>, outcome: Outcome, value: unknown) => void;
  /** A manual loop put a value while this job was current. */
  valuePut: (record: JobRecord<Job>, value: unknown) => void;
}

export class Answers<Job> {
  readonly #channel: Channel<ToParent, ToWorker>;
  readonly #inFlight: InFlight<Job>;
  readonly #worker: Answering;
  readonly #owner: AnswersOwner<Job>;
  /** The job of a loop that put a value which cannot be read: it is rejected when it is done. */
  #unread: { record: JobRecord<Job>; error: unknown } | undefined;

  constructor(channel: Channel<ToParent, ToWorker>, inFlight: InFlight<Job>, { worker, owner }: { worker: Answering; owner: AnswersOwner<Job> }) {
    this.#channel = channel;
    this.#inFlight = inFlight;
    this.#worker = worker;
    this.#owner = owner;
  }

  /** Reads what one message holds: how many jobs are over by that. */
  read(outcomes: JobOutcome[], segments: Segment[]): number {
    const before = this.#inFlight.answeredTotal;
    const values = new Segments(segments);
    for (const outcome of outcomes) {
      if (!isTagged(outcome)) this.#settle('fulfilled', outcome, values);
      else if ('value' in outcome) this.#put(outcome);
      else if ('rejected' in outcome) this.#settle('rejected', outcome.rejected);
      else this.#settle('done');
    }
    return this.#inFlight.answeredTotal - before;
  }

  #put({ id, value }: { id: number; value: Wire }): void {
    const record = this.#inFlight.put(id);
    if (record === undefined) return this.#worker.broken(`a value for job ${id}, which it does not have`);
    const read = this.#channel.attempt(value);
    const isCurrent = record === this.#inFlight.current;
    if ('error' in read) {
      if (isCurrent) this.#unread = { record, error: read.error };
      else this.#worker.thrown(read.error); // put after the sentinel: its job has its result
      return;
    }
    // The value of a job that has timed out is dropped: it has its outcome, or another attempt will give it. What a loop puts behind
    // its jobs, a sum say, goes to the last one that it has done.
    const ofCurrent = record.state === 'in flight' ? record : undefined;
    const takes = isCurrent ? ofCurrent : this.#inFlight.lastDone;
    if (takes !== undefined) this.#owner.valuePut(takes, read.value);
  }

  #settle(outcome: Outcome, wire?: Wire, values?: Segments): void {
    const record = this.#inFlight.answer(this.#worker.isLoop);
    if (record === undefined) return this.#worker.broken('a result without a job');
    if (record.isolated !== null) this.#worker.jobOver();
    if (outcome === 'done' && this.#unread?.record === record) return this.#owner.settled(record, 'rejected', this.#unread.error);
    let value: unknown;
    try {
      value = this.#channel.read(wire, values);
    } catch (reason) {
      return this.#owner.settled(record, 'rejected', reason); // too large for this process, say
    }
    this.#owner.settled(record, outcome, value);
  }
}

const isTagged = (outcome: JobOutcome): outcome is Exclude<JobOutcome, Wire> =>
  typeof outcome === 'object' && outcome !== null && !(outcome instanceof Uint8Array) && !('next' in outcome);
