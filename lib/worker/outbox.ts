// What became of jobs, until it has left the process. It knows neither which job runs nor why.
//
// - Results wait for company: a message costs what many tiny jobs do. `flush` sends them; they leave in the order in which they came.
// - From a result that somebody could lose patience with (a large one) until it has left, SIGTERM does nothing: the shield.
// - `started` counts the jobs that have begun and whose outcome is not in a message yet: what the parent is told when this worker leaves.

import { isArrayBufferView as isView } from 'node:util/types';
import type { Timer, WorkerHost } from '../host.ts';
import { Batch } from '../wire/batch.ts';
import type { Channel } from '../wire/channel.ts';
import type { JobOutcome, ResultsMessage, ToParent, ToWorker } from '../wire/protocol.ts';
import { packReason } from '../wire/values.ts';

// A job may overwrite what is global: what this program needs it takes now.
const { Promise } = globalThis;

/** What has taken so long is sent, before its message is all done. */
const FLUSH_AFTER_MS = 4.5;
/** Results wait for company behind a job that awaits something no longer than this. */
const FLUSH_WITHIN_MS = 4;
/** Results of so many bytes are sent, whatever else is in their message. */
const FLUSH_BYTES = 256 * 1024;

export class Outbox {
  readonly #host: WorkerHost;
  readonly #channel: Channel<ToWorker, ToParent>;
  /** What is not sent yet; `settled` of them end a job. */
  #outcomes: JobOutcome[] = [];
  #settled = 0;
  readonly #batch = new Batch();
  #unsentBytes = 0;
  #workedMs = 0;
  #flushed = Promise.resolve();
  /** How many flushes are under way. */
  #flushes = 0;
  #flushTimer: Timer | undefined;
  #shield: 'down' | 'up' | 'up for good' = 'down';
  /** When the job that runs began, or the last one ended. */
  clockMs = 0;
  /** How many jobs have begun whose outcome has not been written to the channel. */
  started = 0;
  /** Whether results are to say how much memory this process holds. */
  tellsMemory = false;

  constructor(host: WorkerHost, channel: Channel<ToWorker, ToParent>) {
    this.#host = host;
    this.#channel = channel;
  }

  get isEmpty(): boolean {
    return this.#outcomes.length === 0;
  }

  /** Whether something that is done has not left the process. */
  get hasUnsent(): boolean {
    return !this.isEmpty || this.#flushes > 0;
  }

  /** Whether it has waited long enough for company. */
  get isDue(): boolean {
    return this.#workedMs >= FLUSH_AFTER_MS || this.#unsentBytes >= FLUSH_BYTES || this.#channel.hasLarge;
  }

  /** A job begins. User code that never returns must die of SIGTERM. */
  begin(): void {
    this.started++;
    if (this.#shield !== 'up') return;
    this.#shield = 'down';
    this.#host.shield(false);
  }

  /** A job has its outcome; the next one starts where this one ends. */
  finish(outcome: JobOutcome, nowMs: number): void {
    this.#workedMs += nowMs - this.clockMs;
    this.clockMs = nowMs;
    this.settle(outcome);
  }

  settle(outcome: JobOutcome): void {
    this.#outcomes.push(outcome);
    this.#settled++;
    if (outcome instanceof Uint8Array || typeof outcome === 'string') this.#unsentBytes += outcome.length;
  }

  /** A loop's value: it ends no job. Resolves when it has left. */
  put(value: unknown, id: number): Promise<void> {
    if (!isSmall(value)) this.raiseShield();
    this.#outcomes.push({ value: this.#channel.encode(value, 'value'), id });
    return this.flush();
  }

  /** The outcome that a returned value is. Of the last job of a message it leaves now, and is shielded: the others are tiny, and can be lost until the next flush. */
  fulfilled(value: unknown, isLast: boolean): JobOutcome {
    if (isView(value) || (isLast && !isSmall(value))) this.raiseShield();
    const { bytes } = this.#batch;
    try {
      const wire = this.#channel.encode(value, 'value', this.#batch);
      this.#unsentBytes += this.#batch.bytes - bytes;
      return wire;
    } catch (error) {
      return this.rejected(error);
    }
  }

  rejected(reason: unknown): JobOutcome {
    return { rejected: this.#channel.encodePacked(packReason(reason)) };
  }

  /** Sends what is there, after what is already being sent. Resolves when it has left the process. */
  flush(): Promise<void> {
    this.#host.restore();
    this.#flushes++;
    this.#flushed = this.#flushed.then(async () => {
      if (!this.isEmpty) {
        const send = this.#take();
        if (this.#channel.hasLarge) await this.#channel.sendLarge();
        await send();
      }
      this.#flushes--;
    });
    return this.#flushed;
  }

  /** What is done does not wait for a job that awaits something. */
  flushSoon(): void {
    if (this.isEmpty) return;
    this.#flushTimer ??= this.#host.setTimeout(() => {
      this.#flushTimer = undefined;
      void this.flush();
    }, FLUSH_WITHIN_MS);
  }

  /**
   * The process ends: sends what can still leave in one synchronous write. A large value cannot, nor can what follows it, as results are told from
   * their order. If a job has only emitted 'exit', these leave later.
   */
  sendLast(): void {
    const large = this.#outcomes.findIndex(isLarge);
    const later = large === -1 ? [] : this.#outcomes.splice(large);
    this.#host.assert(!later.some(isPlain), 'nothing that lies in the batch is behind a large value');
    const settledLater = later.filter(outcome => !isPut(outcome)).length;
    this.#settled -= settledLater;
    if (!this.isEmpty) void this.#take()();
    this.#outcomes = later;
    this.#settled = settledLater;
  }

  /** A job has only emitted 'exit': any message takes back the last one. */
  sayAlive(): void {
    void this.#channel.send({ type: 'results', outcomes: [], segments: [], elapsedMs: 0, memoryBytes: 0 });
  }

  /** Takes out what is there, and returns what sends it. */
  #take(): () => Promise<unknown> {
    const message: ResultsMessage = {
      type: 'results',
      outcomes: this.#outcomes,
      segments: this.#batch.finish(),
      elapsedMs: this.#workedMs,
      memoryBytes: this.tellsMemory ? this.#host.memoryBytes() : 0,
    };
    const count = this.#settled;
    this.#outcomes = [];
    this.#settled = this.#unsentBytes = this.#workedMs = 0;
    return () => {
      this.started -= count;
      return this.#channel.send(message);
    };
  }

  /** From here on SIGTERM does nothing: a result is under way; or, for good, this worker is leaving. */
  raiseShield(forGood = false): void {
    if (this.#shield === 'down') this.#host.shield(true);
    if (forGood) this.#shield = 'up for good';
    else if (this.#shield === 'down') this.#shield = 'up';
  }
}

/** Whether a value is so small that it is sent before anybody could have lost patience. */
function isSmall(value: unknown): boolean {
  return typeof value === 'string' ? value.length < 65536 : typeof value !== 'object' || value === null;
}

/** Whether it is one of a loop's values, which does not end a job. */
const isPut = (outcome: JobOutcome): boolean => typeof outcome === 'object' && outcome !== null && 'value' in outcome;

/** Whether it is in the batch, whose bytes go with the next message. */
const isPlain = (outcome: JobOutcome): boolean => typeof outcome === 'object' && outcome !== null && 'next' in outcome && outcome.next === 'plain';

/** Whether its bytes go ahead of its message. */
function isLarge(outcome: JobOutcome): boolean {
  if (typeof outcome !== 'object' || outcome === null || outcome instanceof Uint8Array) return false;
  if ('next' in outcome) return outcome.next !== 'plain';
  return 'rejected' in outcome ? isLarge(outcome.rejected) : 'value' in outcome && isLarge(outcome.value);
}
