// The one seam: all that the pool's side and the worker's program need of the machine. The shipped code runs on Node's, which is
// node.ts and worker.ts; in spec/simulation/ the same code runs on a machine of virtual time, in every order that a seed can draw.
// Nothing else in lib/ touches `process`, `child_process`, timers, `performance` or `crypto`.

import type { Settings } from './options.ts';

export interface Timer {
  /** From here on it does not hold the event loop. */
  unref(): this;
}

/** None of its functions asks for its `this`: each may be taken out of it. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  setTimeout(callback: () => void, ms: number): Timer;
  clearTimeout(timer: Timer | undefined): void;
  setInterval(callback: () => void, ms: number): Timer;
  clearInterval(timer: Timer | undefined): void;
  /** In the next phase of its kind: what has arrived by then is read before. */
  setImmediate(callback: () => void): void;
  queueMicrotask(callback: () => void): void;
}

/** One end of a channel: what a child process and the `process` of a worker have. Messages arrive in the order in which they were sent. */
export interface Endpoint {
  /** Absent where there is no channel. The callback comes when the message has left this process, or never will: then with an error. */
  send?(message: unknown, handle: undefined, options: undefined, callback: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

/** How a value crosses depends on its bytes. A simulated channel has small ones. */
export interface Sizes {
  /** One of more than this crosses ahead of its message. */
  readonly ahead: number;
  /** One of more than this is announced: its way takes as long as a worker may be silent. */
  readonly announced: number;
  /** One of more than this crosses in pieces: between two of them other messages get through. */
  readonly whole: number;
  /** So large is a piece. */
  readonly piece: number;
}

/** A process that was started. Nothing of it holds the event loop. */
export interface Child extends Endpoint {
  /** 0 if it could not even be started: 'error' says why, and nothing follows. */
  readonly pid: number;
  /** What a signal to it goes to: its pid, or minus that where it leads a group of its own. */
  readonly target: number;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (exitCode: number | null, signal: NodeJS.Signals | null) => void): unknown;
  /** Its channel was read to the end. It comes before or after 'exit'. */
  on(event: 'disconnect', listener: () => void): unknown;
  /** To it, or to its group where it leads one. Never throws: nobody may be left, or the system may know no such signal. */
  kill(signal: NodeJS.Signals): void;
  /** It has exited, and somebody else holds the other end of its channel: nobody waits for more. 'disconnect' follows. */
  closeChannel(): void;
}

/** The guard's shell. */
export interface Shell {
  /** 0 if it could not even be started. */
  readonly pid: number;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (exitCode: number | null, signal: NodeJS.Signals | null) => void): unknown;
  write(line: string): void;
  kill(signal: NodeJS.Signals): void;
}

/** The machine as the pool sees it. */
export interface Host extends Clock {
  /** The href of the module whose worker this process is, if it is one. */
  readonly workerModule: unknown;
  readonly sizes: Sizes;
  /**
   * Starts the worker's program with these arguments.
   *
   * @throws what `child_process.fork` throws; EMFILE or ENFILE where there are no descriptors for it.
   */
  startWorker(args: readonly string[], options: Pick<Settings, 'stdio' | 'env' | 'cwd' | 'execArgv' | 'ownGroup'>): Child;
  /** Starts a shell that runs a script, in a session of its own. @throws as `startWorker` does. */
  startShell(path: string, script: string): Shell;
  /** What must be so if the library is right: the simulator fails where it is not, Node does not look. */
  assert(isSo: boolean, what: string): void;
  /** What nobody can guess: marks the messages of one direction. */
  token(): string;
  /** Calls back at each signal, until the function that it returns is called. All who ask share one listener of the process. */
  onSignal(signal: NodeJS.Signals, callback: () => void): () => void;
}

/** The machine as the program in a worker sees it. */
export interface WorkerHost extends Pick<Clock, 'now' | 'setTimeout' | 'setImmediate'>, Pick<Host, 'assert'> {
  readonly endpoint: Endpoint;
  readonly sizes: Sizes;
  readonly tokens: { incoming: string; outgoing: string };
  /** Imports the worker module. */
  load(href: string): Promise<Record<string, unknown>>;
  /** `exit` is said synchronously, as the last thing; `failure` of an uncaught error, before anybody has dealt with it; `disconnect` when the parent is gone. */
  on(event: 'exit' | 'disconnect', listener: () => void): void;
  on(event: 'failure', listener: (error: unknown) => void): void;
  /** Somebody took away what this program listens to: it may not hear of that at once, but `isTamperedWith` knows. */
  on(event: 'tampered', listener: () => void): void;
  isTamperedWith(): boolean;
  /** From here on SIGTERM does nothing; or it ends the process again. */
  shield(isUp: boolean): void;
  /** Puts back what a job may have overwritten and the channel needs. */
  restore(): void;
  /** Resident, in bytes. */
  memoryBytes(): number;
  /** Resolves when readers have taken what was written to stdout and stderr. */
  outputWritten(): Promise<void>;
  /** Ends the process. Where it returns, as in a simulated one, nothing is done or called back any more: no timer, no `send`. */
  exit(exitCode: number): void;
}
