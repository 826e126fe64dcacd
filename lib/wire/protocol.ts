// All that the two ends say to each other: two unions of messages, by direction, and the parsers that
// check them once, where they arrive. pool.ts and program.ts meet here and nowhere else.

/**
 * A value on the wire. Primitives travel as they are, anything else as bytes; or it is the next one of those that do not lie in
 * their place: `plain` in the segments of the message, `packed` (bytes) and `view` (an array of bytes or numbers) ahead of it.
 */
export type Wire = undefined | null | boolean | number | bigint | string | Uint8Array | { next: 'plain' | 'packed' | 'view' };

/** Values written one after the other into one buffer: each is a snapshot of its own moment, and none shares an object with another. */
export interface Segment {
  count: number;
  bytes: Uint8Array;
}

/** A large value of the next message, or part of it, in either direction: the channel keeps it until that message comes. Without bytes it only says that one is on its way. */
export interface PieceMessage {
  type: 'piece';
  bytes: NodeJS.TypedArray;
  /** How many bytes all parts of the value have. */
  total: number;
}

/** The first message: what to load, and what `setup` gets. */
export interface InitMessage {
  type: 'init';
  module: string;
  workerData: Wire;
  /** Whether results are to say how much memory the worker holds. */
  tellsMemory: boolean;
}

/** Jobs, with consecutive ids from `firstId`, all at the same attempt. */
export interface JobsMessage {
  type: 'jobs';
  firstId: number;
  attempt: number;
  jobs: Wire[];
  segments: Segment[];
}

/**
 * `end-of-jobs` is the sentinel: after the jobs before it there are no more, each worker gets one. `stop`: leave; hand back what has not
 * started, send what is done, clean up. `reclaim`: hand back what has not started, as other workers are idle.
 */
export interface OrderMessage {
  type: 'end-of-jobs' | 'stop' | 'reclaim';
}

/** Give up the job that runs, if it still is the one with this id: its signal aborts for this reason. */
export interface CancelMessage {
  type: 'cancel';
  id: number;
  reason: Wire;
}

export type ToWorker = InitMessage | JobsMessage | OrderMessage | CancelMessage;

/** The worker's first word: its module is set up, and it has ignored the interrupt signals since before it was loaded. */
export interface ReadyMessage {
  type: 'ready';
  kind: 'function' | 'loop';
}

/** Instead of `ready`: the worker cannot be used, and no other one of this pool could. */
export interface FailedMessage {
  type: 'failed';
  during: 'import' | 'exports' | 'setup';
  reason: Wire;
}

/** A bare wire value is the value that the work function returned. `value` is one put by a loop, `done` says that its job is over. */
export type JobOutcome = Wire | { rejected: Wire } | { value: Wire; id: number } | { done: true };

/** What became of the oldest jobs that were sent and not answered yet, in their order. */
export interface ResultsMessage {
  type: 'results';
  outcomes: JobOutcome[];
  segments: Segment[];
  /** How long the worker worked on them. */
  elapsedMs: number;
  /** What the worker holds, resident; 0 if nobody asked. */
  memoryBytes: number;
}

/** A manual loop has read its sentinel. What it does from here on, before it returns, may take as long as it likes. */
export interface SentinelReadMessage {
  type: 'sentinel-read';
}

/**
 * The worker is leaving: it has ignored SIGTERM since just before, and starts no job any more. Of the jobs
 * without a result, the oldest `started` have begun; all others are handed back.
 */
export interface StoppingMessage {
  type: 'stopping';
  started: number;
}

/** The answer to `reclaim`: the newest so many jobs that were sent have not started, and never will here. */
export interface ReclaimedMessage {
  type: 'reclaimed';
  jobs: number;
}

/** Said in the 'exit' event of a worker that ends in any other way: by `process.exit()` or a late error, which counts if it `failed`. */
export interface ExitingMessage {
  type: 'exiting';
  started: number;
  failed: boolean;
  error: Wire;
}

/** The sentinel of the other direction, and the last message: all results were sent and `teardown` is done. `error` counts if it `failed`. */
export interface EndOfResultsMessage {
  type: 'end-of-results';
  failed: boolean;
  error: Wire;
}

export type ToParent = ReadyMessage | FailedMessage | ResultsMessage | ReclaimedMessage | SentinelReadMessage | StoppingMessage | ExitingMessage | EndOfResultsMessage;

/** Under this symbol a worker's global holds the href of its module. Not an environment variable: a job's own child programs would inherit it. */
const WORKER_MARK = Symbol.for('drainpool.worker');
/** The first argument of a worker's program is this and the href. */
export const WORKER_ARGUMENT = 'drainpool-worker:';

/**
 * The href of the module whose worker the process with these arguments is, if it is one. What is loaded ahead of the worker's program,
 * by `--import` say, finds it in the arguments.
 */
export function workerModule([, , argument = '']: readonly string[]): unknown {
  return Reflect.get(globalThis, WORKER_MARK) ?? (argument.startsWith(WORKER_ARGUMENT) ? argument.slice(WORKER_ARGUMENT.length) : undefined);
}

/** To be called by the worker's program, before it takes its arguments away from what it runs. */
export function markWorker(args: readonly string[]): void {
  Reflect.set(globalThis, WORKER_MARK, workerModule(args));
}

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 0;
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;

/** What is neither an object nor bytes is a primitive: functions and symbols do not cross. */
function isWire(value: unknown): value is Wire {
  return !isObject(value) || isBytes(value) || value['next'] === 'plain' || value['next'] === 'packed' || value['next'] === 'view';
}

const isSegment = (value: unknown): value is Segment => isObject(value) && isCount(value['count']) && isBytes(value['bytes']);
const areSegments = (value: unknown): boolean => Array.isArray(value) && value.every(isSegment);

function isJobOutcome(value: unknown): value is JobOutcome {
  if (!isObject(value) || isWire(value)) return true;
  if ('rejected' in value) return isWire(value['rejected']);
  return 'value' in value ? isWire(value['value']) && isCount(value['id']) : value['done'] === true;
}

const toWorker: Record<ToWorker['type'], (message: Fields) => boolean> = {
  init: message => typeof message['module'] === 'string' && isWire(message['workerData']) && typeof message['tellsMemory'] === 'boolean',
  jobs: message => isCount(message['firstId']) && isCount(message['attempt']) && Array.isArray(message['jobs']) && message['jobs'].every(isWire) && areSegments(message['segments']),
  'end-of-jobs': () => true,
  stop: () => true,
  'reclaim': () => true,
  cancel: message => isCount(message['id']) && isWire(message['reason']),
};

const toParent: Record<ToParent['type'], (message: Fields) => boolean> = {
  ready: message => message['kind'] === 'function' || message['kind'] === 'loop',
  failed: message => (message['during'] === 'import' || message['during'] === 'exports' || message['during'] === 'setup') && isWire(message['reason']),
  results: message => Array.isArray(message['outcomes']) && message['outcomes'].every(isJobOutcome) && areSegments(message['segments']) && typeof message['elapsedMs'] === 'number' && typeof message['memoryBytes'] === 'number',
  'reclaimed': message => isCount(message['jobs']),
  'sentinel-read': () => true,
  stopping: message => isCount(message['started']),
  exiting: message => isCount(message['started']) && typeof message['failed'] === 'boolean' && isWire(message['error']),
  'end-of-results': message => typeof message['failed'] === 'boolean' && isWire(message['error']),
};

const parser = <Message extends { type: string }>(shapes: Record<Message['type'], (message: Fields) => boolean>) =>
  (message: unknown): Message | PieceMessage | undefined => {
    if (!isObject(message) || typeof message['type'] !== 'string') return undefined;
    if (message['type'] === 'piece') return ArrayBuffer.isView(message['bytes']) && isCount(message['total']) ? message as unknown as PieceMessage : undefined;
    if (!Object.hasOwn(shapes, message['type'])) return undefined;
    return shapes[message['type'] as Message['type']](message) ? message as Message : undefined;
  };

/** Checks what a worker received: undefined if it is not of the protocol. */
export const parseToWorker = parser<ToWorker>(toWorker);

/** Checks what the parent received: undefined if it is not of the protocol. */
export const parseToParent = parser<ToParent>(toParent);

/** The value as the types of the worker module promise it: nothing can check that here. */
export const promised = <Value>(value: unknown): Value => value as Value;
