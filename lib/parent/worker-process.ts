// The process of one worker, as the machine sees it: when it is gone, and who ends it when. It knows neither jobs nor messages.
//
// - Gone means two things: its exit was seen, and its channel was read to the end. Node 20 tells of the channel first, Node 26 of the
//   exit. A message that a kill cut short is dropped by Node with the channel.
// - SIGKILL is the end of a deadline (`endWithin`), or of somebody's patience (`signal`). Where it has exited, and somebody else holds the
//   other end of its channel, the channel is closed then.

import type { Child, Host } from '../host.ts';
import type { WorkerReport } from '../types.ts';
import { deadline } from './deadline.ts';

type Exit = Pick<WorkerReport, 'exitCode' | 'signal'>;

export interface ProcessOwner {
  /** Its time is over. */
  overdue(): void;
  /** Nobody hears from it any more. Whether it has said all by then: one that has not must not live on. */
  disconnected(): boolean;
  /** Nothing runs in it any more. What it had sent may still come. */
  exited(): void;
  /** It could not even be started: 'gone' follows. */
  neverStarted(error: Error): void;
  gone(exit: Exit): void;
}

export class WorkerProcess {
  readonly #host: Host;
  readonly #child: Child;
  readonly #owner: ProcessOwner;
  exit: Exit | undefined;
  isChannelOpen = true;
  #endsAt = Infinity;
  #cancelEnd = (): void => {};

  constructor(host: Host, child: Child, owner: ProcessOwner) {
    this.#host = host;
    this.#child = child;
    this.#owner = owner;
    // Before anything else: nobody must be able to miss it.
    child.on('error', error => this.#neverStarted(error));
  }

  /** Its channel has its listener: from here on it is told when the process has exited and the channel is at its end. */
  listen(graceMs: () => number): void {
    this.#child.on('exit', (exitCode, signal) => this.#exited({ exitCode, signal }, graceMs()));
    this.#child.on('disconnect', () => this.#disconnected());
  }

  /** 0 if it could not even be started. */
  get pid(): number {
    return this.#child.pid;
  }

  /** What a signal to it goes to: its pid, or minus that where it leads a group of its own. */
  get target(): number {
    return this.#child.target;
  }

  /** Whether its end has a date. */
  get isLimited(): boolean {
    return this.#endsAt !== Infinity;
  }

  /** One that was stopped must go on to die of SIGTERM. */
  signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.#child.kill(signal);
    if (signal === 'SIGTERM') this.#child.kill('SIGCONT');
  }

  /** The shorter time counts. */
  hasten(ms: number): void {
    if (this.#host.now() + ms < this.#endsAt) this.endWithin(ms);
  }

  endWithin(ms: number): void {
    this.#cancelEnd();
    this.#endsAt = this.#host.now() + ms;
    if (ms === Infinity) return;
    this.#cancelEnd = deadline(this.#host, ms, () => {
      if (this.exit === undefined) this.#owner.overdue();
      else this.#child.closeChannel(); // somebody else holds the other end
    });
  }

  /** Lets nothing of it outlive the process. */
  end(): void {
    this.#cancelEnd();
  }

  #neverStarted(error: Error): void {
    this.isChannelOpen = false;
    this.#owner.neverStarted(error);
    this.#exited({ exitCode: null, signal: null }, 0);
  }

  #exited(exit: Exit, graceMs: number): void {
    this.exit = exit;
    this.#owner.exited();
    if (this.target < 0) this.#child.kill('SIGKILL'); // what it started and left behind, for the last time
    // Somebody else may hold the other end of its channel open, a program that it started and left, say.
    this.endWithin(graceMs);
    if (!this.isChannelOpen) this.#owner.gone(exit);
  }

  #disconnected(): void {
    if (!this.isChannelOpen) return;
    this.isChannelOpen = false;
    if (!this.#owner.disconnected() && this.exit === undefined) this.#child.kill('SIGKILL'); // dead already, mostly: no step of ours
    if (this.exit !== undefined) this.#owner.gone(this.exit);
  }
}
