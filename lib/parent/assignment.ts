// What one worker has to do: its jobs in flight, how they get there, what is asked of it about them, and what it answers. It knows neither
// the worker's state nor when it ends.

import type { Host } from '../host.ts';
import type { Settings } from '../options.ts';
import type { Channel } from '../wire/channel.ts';
import type { ResultsMessage, ToParent, ToWorker } from '../wire/protocol.ts';
import { packReason } from '../wire/values.ts';
import { Answers } from './answers.ts';
import type { Answering, AnswersOwner } from './answers.ts';
import { InFlight } from './in-flight.ts';
import type { Leftovers } from './in-flight.ts';
import type { Isolated, JobRecord } from './job-record.ts';
import { FULL_MESSAGE_BYTES, JobSender, sizeOf } from './job-sender.ts';
import { TimeLimit } from './time-limit.ts';

/** What the owner of a worker hears of its jobs. */
export interface AssignmentOwner<Job> extends AnswersOwner<Job> {
  /** So many jobs took so long. */
  measured(jobs: number, elapsedMs: number): void;
  /** The job that it has took longer than it may. */
  timedOut(record: JobRecord<Job>, isolated: Isolated): void;
  /** It has not started these, and never will. */
  handedBack(records: JobRecord<Job>[]): void;
  /** A message was worked off: there may be room for more jobs. */
  received(): void;
}

/** The worker that has them. */
export interface Assignee extends Answering {
  readonly pid: number;
  readonly lastMessageAt: number;
  /** It is ready, and has not said that it is leaving. */
  readonly mayAnswer: boolean;
  /** It would hand back what it is sent now. */
  readonly mayNotStart: boolean;
  readonly isConnected: boolean;
  endOfJobs(): void;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export class Assignment<Job> {
  readonly #settings: Settings;
  readonly #channel: Channel<ToParent, ToWorker>;
  readonly #worker: Assignee;
  readonly #owner: AssignmentOwner<Job>;
  readonly #inFlight = new InFlight<Job>();
  readonly #sender: JobSender<Job>;
  readonly #limit: TimeLimit<Job>;
  readonly #answers: Answers<Job>;
  /** It was asked for jobs, and has not answered. */
  #isReclaiming = false;
  /** The id of the job from behind which jobs came back: nothing goes there again. */
  #slowId: number | undefined;
  /** That of the job that it was told to give up. */
  #cancelledId: number | undefined;
  /** A large value is on its way here. */
  receivesLarge = false;

  constructor(host: Host, settings: Settings, channel: Channel<ToParent, ToWorker>, { worker, owner }: { worker: Assignee; owner: AssignmentOwner<Job> }) {
    this.#settings = settings;
    this.#channel = channel;
    this.#worker = worker;
    this.#owner = owner;
    this.#sender = new JobSender(host, channel, this.#inFlight, {
      refused: (record, reason) => owner.settled(record, 'rejected', reason),
      isGivenUp: () => worker.mayNotStart || !worker.isConnected,
      unread: () => worker.kill('SIGKILL'),
      sent: (records, isLate) => this.#sent(records, isLate),
    });
    this.#limit = new TimeLimit(host, {
      receivesLarge: () => this.receivesLarge,
      lastMessageAt: () => worker.lastMessageAt,
      timedOut: record => { if (record.isolated !== null) owner.timedOut(record, record.isolated); },
      stuck: record => { if (this.#inFlight.current === record && worker.mayAnswer) worker.kill('SIGTERM'); },
    });
    const jobOver = (): void => {
      this.#limit.end();
      this.#cancelledId = undefined; // the next attempt may come to the same worker
      worker.jobOver();
    };
    this.#answers = new Answers(channel, this.#inFlight, { owner, worker: { get isLoop() { return worker.isLoop; }, jobOver, thrown: error => worker.thrown(error), broken: what => worker.broken(what) } });
  }

  get hasJob(): boolean {
    return this.#inFlight.messages > 0 || this.#inFlight.isHeld;
  }

  /** Whether it has one that was sent: one that is held may be under way to it. */
  get hasSent(): boolean {
    return this.#inFlight.messages > 0;
  }

  /** Whether large values of jobs are under way to it. */
  get isHeld(): boolean {
    return this.#inFlight.isHeld;
  }

  get count(): number {
    return this.#inFlight.jobs;
  }

  /** How many jobs it has settled. */
  get settled(): number {
    return this.#inFlight.answeredTotal;
  }

  /** How many more jobs it may ever have. */
  get left(): number {
    return (this.#settings.maxJobsPerWorker ?? Infinity) - this.#inFlight.total;
  }

  /** Whether one more message of jobs may be sent, where `window` of them may be under way. */
  hasRoom(window: number): boolean {
    if (this.#isReclaiming || this.#inFlight.isHeld) return false;
    const { current } = this.#inFlight;
    return current === undefined || (this.#inFlight.messages < window && current.isolated === null && current.id !== this.#slowId);
  }

  /** Whether it may be asked for jobs: none is on its way that would be taken for one of them. */
  get isReclaimable(): boolean {
    return this.#inFlight.jobs > 1 && !this.#inFlight.isHeld && !this.#isReclaiming;
  }

  /** Whether it has not let go of the job that it was told to give up. */
  get isStuck(): boolean {
    return this.#cancelledId !== undefined && this.#inFlight.current?.id === this.#cancelledId;
  }

  /** Sends as many jobs as `take` has and a message can hold, and returns them. */
  send(take: () => JobRecord<Job> | undefined): JobRecord<Job>[] {
    return this.#sender.send(this.#worker.pid, take);
  }

  /** From here on these may be started. */
  #sent(records: JobRecord<Job>[], isLate: boolean): void {
    const [record] = records;
    if (record !== undefined && record.isolated !== null) {
      const { failure, timeoutMs } = record.isolated;
      if (record.state !== 'in flight') this.cancel(record, failure); // cancelled while it was held
      else if (timeoutMs !== Infinity) this.#limit.start(record, timeoutMs);
    }
    if (this.left <= 0) this.#worker.endOfJobs();
    if (isLate) this.#owner.received();
  }

  /** Has it give up a job: its signal aborts, and if the worker neither settles the job nor leaves it is ended. */
  cancel(record: JobRecord<Job>, reason: unknown): void {
    if (this.#inFlight.current !== record) return; // still held: then it is told when it has it
    this.#cancelledId = record.id;
    const packed = packReason(reason); // only read by the job's signal: skip large ones
    void this.#channel.send({ type: 'cancel', id: record.id, reason: sizeOf(packed) > FULL_MESSAGE_BYTES ? undefined : packed });
    this.#limit.awaitLettingGo(record);
    if (this.#worker.isLoop) this.#worker.endOfJobs(); // it has but one signal, which has aborted: it is not asked for another job
  }

  /** Asks for the jobs that have not started. A worker that is busy in a loop hears of it after its job. */
  reclaim(): void {
    this.#isReclaiming = true;
    void this.#channel.send({ type: 'reclaim' });
  }

  /** The worker has not started the newest so many, and never will. */
  handedBack(count: number): void {
    this.#isReclaiming = false;
    const records = this.#inFlight.reclaim(count);
    if (records === undefined) return this.#worker.broken('more jobs back than it had');
    this.#slowId = this.#inFlight.current?.id;
    this.#owner.handedBack(records);
  }

  results({ outcomes, segments, elapsedMs }: ResultsMessage): void {
    this.receivesLarge = false;
    const settled = this.#answers.read(outcomes, segments);
    if (settled > 0) this.#owner.measured(settled, elapsedMs);
  }

  /** The results were worked off: a time limit that had to wait for them is looked at. */
  judge(): void {
    this.#limit.judge();
  }

  /** Its worker is leaving, or dead: what it has not started does not take too long in there. */
  stopClock(): void {
    this.#limit.end();
  }

  /** So many of the oldest have started, as the worker says itself. */
  started(count: number): void {
    this.#inFlight.started = count;
  }

  /** When it is known which messages have left. */
  whenKnown(callback: () => void): void {
    this.#sender.whenKnown(callback);
  }

  /** The worker is gone. */
  end(wasReady: boolean, brokeProtocol: boolean): Leftovers<Job> {
    this.#sender.end();
    this.#limit.end();
    return this.#inFlight.leftovers(wasReady, brokeProtocol);
  }
}
