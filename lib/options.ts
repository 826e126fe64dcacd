// The options of a pool: their defaults, in one object, and the checks that a caller's own must pass.
// Whatever is wrong with them is said at the constructor, with what was wanted and what was found.

import { fstatSync } from 'node:fs';
import { constants, availableParallelism } from 'node:os';
import { Stream } from 'node:stream';
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';

type StdioEntry = 'inherit' | 'ignore' | number | Stream;

/** `Data` is what the module's `setup` takes; `any`, where nobody says, so that options may be handed on by code that knows no module. */
export interface PoolOptions<Data = any> {
  /** Most worker processes at once, an integer >= 1; they are started as jobs need them. Default: `os.availableParallelism()`. */
  workers?: number;
  /** Copied to `setup` in every worker; anything that can be cloned. For a big table, pass a path and read it in `setup`. Default: undefined. */
  workerData?: Data;
  /**
   * Signals to the parent that interrupt the pool, and that workers ignore; `[]` for none. Where SIGTERM is one of them, SIGKILL
   * stands for it in the second step of the end. Default: `['SIGINT']`.
   */
  interruptSignals?: readonly NodeJS.Signals[];
  /**
   * What the first press does: `'terminate'` ends the workers and keeps what was done; `'finish'` lets the
   * jobs that workers have run to their end, sends nothing new, and leaves the ending to a second press; the press after is
   * SIGKILL. Default: `'terminate'`.
   */
  interruptPolicy?: 'terminate' | 'finish';
  /** Interrupts the pool when it aborts. Default: none. */
  signal?: AbortSignal;
  /** How long a worker that is cleaning up, printing its last lines, or surviving SIGTERM has until SIGKILL: milliseconds >= 0. Default: 5000. */
  graceMs?: number;
  /**
   * Above this many waiting jobs `await put()` waits; without `await` there is no limit: an integer >= 1. It counts
   * values, not bytes: lower it for values over 64 kB. Default: 8192.
   */
  jobCapacity?: number;
  /**
   * While somebody reads, and neither a `join()` nor a `put()` is pending, the pool pauses when this many
   * results are unread: an integer >= 1. Jobs of `run()` never wait for it. Default: 8192.
   */
  resultCapacity?: number;
  /**
   * Jobs in one message to a worker: an integer >= 1, or `'auto'`, by how long they take, so that a tiny job costs little. With 1,
   * strictly one at a time, no job of a worker that was killed is ever tried again, and none is lost with another. Default: `'auto'`.
   */
  chunkSize?: number | 'auto';
  /**
   * How long a job may take from its start, not from `put`: milliseconds. Then its `signal` aborts, and it is rejected with
   * `JobTimeoutError`; a worker that has not settled it 50 ms later is replaced. Jobs go one at a time then. Default: none.
   */
  timeoutMs?: number;
  /** How often a job is tried again whose worker died, or which timed out: an integer >= 0. What it throws is a result. Default: 0. */
  retries?: number;
  /** A worker is replaced after so many jobs: an integer >= 1. Default: none. */
  maxJobsPerWorker?: number;
  /** A worker is replaced when it holds more bytes of memory (resident, measured between jobs): an integer >= 1. Default: none. */
  maxWorkerMemory?: number;
  /** So many workers are started at once, and kept: an integer from 0 to `workers`. Default: 0. */
  minWorkers?: number;
  /** A worker above `minWorkers` leaves that has had no job for so many milliseconds. Default: none. */
  idleTimeoutMs?: number;
  /**
   * Workers lead process groups of their own, in sessions of their own: a terminal's Ctrl-C never reaches them or what they
   * start, and ending a worker ends what it started, by SIGKILL where it has not gone with it. Default: false.
   */
  ownGroup?: boolean;
  /**
   * stdin, stdout and stderr of the workers: one word for all three, or an array of words, descriptors or streams. Default:
   * `['ignore', 'inherit', 'inherit']`, as a worker that shares the program's stdin takes keys away from it, and undoes a terminal's raw mode when it leaves.
   */
  stdio?: 'inherit' | 'ignore' | readonly [StdioEntry, StdioEntry, StdioEntry];
  /** The environment of the workers, whole. Default: that of the parent. */
  env?: NodeJS.ProcessEnv;
  /** Node's own flags for the workers. Default: those of the parent, without `--inspect`, `--eval`, `--test`, `--watch` and their like. */
  execArgv?: readonly string[];
  /** The working directory of the workers. Default: that of the parent. */
  cwd?: string | URL;
}

type WithoutDefault = 'signal' | 'timeoutMs' | 'maxJobsPerWorker' | 'maxWorkerMemory' | 'idleTimeoutMs' | 'env' | 'cwd';

export interface RunOptions {
  /** Cancels the job: one that waits never starts, one that runs has its own signal aborted. The promise rejects with its reason. */
  signal?: AbortSignal;
  /** Instead of the pool's: milliseconds from the start of the job. */
  timeoutMs?: number;
}

/** The options with every default filled in; those without one may stay undefined. */
export type Settings = Required<Omit<PoolOptions, WithoutDefault>> & { [Name in WithoutDefault]: PoolOptions[Name] | undefined };

export const defaults = (): Settings => ({
  workers: availableParallelism(),
  workerData: undefined,
  interruptSignals: ['SIGINT'],
  interruptPolicy: 'terminate',
  signal: undefined,
  graceMs: 5000,
  jobCapacity: 8192,
  resultCapacity: 8192,
  chunkSize: 'auto',
  timeoutMs: undefined,
  retries: 0,
  maxJobsPerWorker: undefined,
  maxWorkerMemory: undefined,
  minWorkers: 0,
  idleTimeoutMs: undefined,
  ownGroup: false,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: undefined,
  execArgv: inheritedFlags(process.execArgv),
  cwd: undefined,
});

/** Flags that cannot be for another process: an inspector's port, a program on the command line, a test runner or watcher; and those that take the next word. */
const OWN_FLAG = /^(-e|-p|-pe|--eval|--print|--input-type|--inspect[a-z-]*|--test|--watch)(=|$)/;
const OWN_FLAG_AND_WORD = /^(-e|-p|-pe|--eval|--print|--input-type|--inspect-port)$/;

/** Node's flags of this process, less those of its own. */
export function inheritedFlags(flags: readonly string[]): string[] {
  return flags.filter((flag, i) => !OWN_FLAG.test(flag) && !OWN_FLAG_AND_WORD.test(flags[i - 1] ?? ''));
}

/** Fills in the defaults. @throws TypeError for an unknown option or a wrong shape; RangeError for a number out of range. */
export function settings(options: PoolOptions): Settings {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw wrong(TypeError, 'the options', 'an object', options);
  const known = defaults();
  for (const name of Object.keys(options)) checkName(name, Object.keys(known), 'create a pool');
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const all: Settings = { ...known, ...given };
  for (const name of ['workers', 'jobCapacity', 'resultCapacity', 'maxJobsPerWorker', 'maxWorkerMemory'] as const) {
    if (all[name] !== undefined) checkInteger(name, all[name], { from: 1 });
  }
  if (all.chunkSize !== 'auto') checkInteger('chunkSize', all.chunkSize, { from: 1, or: " or 'auto'" });
  checkInteger('retries', all.retries, { from: 0 });
  checkInteger('minWorkers', all.minWorkers, { from: 0 });
  if (all.minWorkers > all.workers) throw wrong(RangeError, '`minWorkers`', `at most \`workers\`, which is ${all.workers}`, all.minWorkers);
  checkMs('graceMs', all.graceMs, 'create a pool');
  for (const name of ['timeoutMs', 'idleTimeoutMs'] as const) if (all[name] !== undefined) checkMs(name, all[name], 'create a pool');
  checkWord('interruptPolicy', all.interruptPolicy, ['terminate', 'finish']);
  checkSignals(all.interruptSignals);
  if (all.signal !== undefined && !(all.signal instanceof AbortSignal)) throw wrong(TypeError, '`signal`', 'an AbortSignal', all.signal);
  if (typeof all.ownGroup !== 'boolean') throw wrong(TypeError, '`ownGroup`', 'true or false', all.ownGroup);
  checkStdio(all.stdio);
  if (all.env !== undefined && (typeof all.env !== 'object' || all.env === null)) throw wrong(TypeError, '`env`', 'an object', all.env);
  if (!(Array.isArray(all.execArgv) && all.execArgv.every(flag => typeof flag === 'string'))) throw wrong(TypeError, '`execArgv`', 'an array of strings', all.execArgv);
  if (all.cwd !== undefined && typeof all.cwd !== 'string' && !(all.cwd instanceof URL && all.cwd.protocol === 'file:')) throw wrong(TypeError, '`cwd`', 'a path or a file: URL', all.cwd);
  return all;
}

/** Checks the options of `run()`. @throws TypeError for an unknown option or a wrong shape, RangeError for a number out of range. */
export function runSettings(options: RunOptions): { signal: AbortSignal | undefined; timeoutMs: number | undefined } {
  const action = 'run the job';
  if (typeof options !== 'object' || options === null) throw wrong(TypeError, 'the options', 'an object', options, action);
  for (const name of Object.keys(options)) checkName(name, ['signal', 'timeoutMs'], action);
  const { signal, timeoutMs } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrong(TypeError, '`signal`', 'an AbortSignal', signal, action);
  if (timeoutMs !== undefined) checkMs('timeoutMs', timeoutMs, action);
  return { signal, timeoutMs };
}

/** The href of a worker module. @throws TypeError if it is neither a file: URL nor an absolute path. */
export function moduleHref(module: URL | string): string {
  const href = module instanceof URL ? module.href : typeof module === 'string' && isAbsolute(module) ? pathToFileURL(module).href : module;
  if (typeof href === 'string' && /^file:/i.test(href)) return href;
  throw new TypeError(`Cannot create a pool as \`module\` must be a file: URL or an absolute path: received ${show(module)}. Write new URL('./x.js', import.meta.url)`);
}

/** @throws TypeError or RangeError if it is no number of milliseconds that a timer can wait. */
export function checkMs(name: string, value: unknown, action: string): void {
  const wanted = 'a number of milliseconds from 0 to 2147483647';
  if (typeof value !== 'number') throw wrong(TypeError, `\`${name}\``, wanted, value, action);
  if (!(value >= 0 && value <= 2 ** 31 - 1)) throw wrong(RangeError, `\`${name}\``, wanted, value, action);
}

/** @throws TypeError for an option that does not exist, with the nearest one that does. */
export function checkName(name: string, known: readonly string[], action: string): void {
  if (!known.includes(name)) throw new TypeError(`Cannot ${action} as there is no option \`${name}\`: the nearest is \`${nearest(name, known)}\``);
}

function checkInteger(name: string, value: unknown, { from, or = '' }: { from: number; or?: string }): void {
  const wanted = `an integer >= ${from}${or}`;
  if (typeof value !== 'number') throw wrong(TypeError, `\`${name}\``, wanted, value);
  if (!Number.isInteger(value) || value < from) throw wrong(RangeError, `\`${name}\``, wanted, value);
}

function checkWord(name: string, value: unknown, words: readonly string[]): void {
  if (typeof value !== 'string' || !words.includes(value)) throw wrong(TypeError, `\`${name}\``, words.map(word => `'${word}'`).join(' or '), value);
}

function checkSignals(signals: unknown): void {
  if (!Array.isArray(signals)) throw wrong(TypeError, '`interruptSignals`', 'an array of signal names', signals);
  for (const signal of signals) {
    if (typeof signal !== 'string' || !Object.hasOwn(constants.signals, signal)) throw wrong(TypeError, '`interruptSignals`', 'an array of signal names', signal);
    if (signal === 'SIGKILL' || signal === 'SIGSTOP') throw wrong(TypeError, '`interruptSignals`', 'signals that a process can handle', signal);
  }
}

function checkStdio(stdio: unknown): void {
  const entries = Array.isArray(stdio) ? stdio : [stdio];
  if (entries.includes('pipe') || entries.includes('overlapped')) throw new TypeError("Cannot create a pool as `stdio` must not be 'pipe', which nobody would read: give a stream or a descriptor");
  const wanted = "'inherit', 'ignore', or an array of three of these, descriptors or streams";
  if (Array.isArray(stdio) ? stdio.length !== 3 : stdio !== 'inherit' && stdio !== 'ignore') throw wrong(TypeError, '`stdio`', wanted, stdio);
  for (const entry of entries) {
    const isOther = entry instanceof Stream || (Number.isInteger(entry) && entry >= 0);
    if (entry !== 'inherit' && entry !== 'ignore' && !isOther) throw wrong(TypeError, '`stdio`', wanted, entry);
    if (typeof entry === 'number' && !isOpen(entry)) throw new TypeError(`Cannot create a pool as \`stdio\` must hold descriptors that are open: received ${entry}, which is not`);
    if (entry instanceof Stream && !hasDescriptor(entry)) throw new TypeError("Cannot create a pool as `stdio` must hold streams that have a descriptor, an open file or socket: received one that has none. Give a file after its 'open' event, not a stream that exists only in this process, as a PassThrough does");
  }
}

/** Whether Node can hand it to another process: by its descriptor, or by the handle of a pipe or socket. */
function hasDescriptor(stream: Stream): boolean {
  const [descriptor, ...handles]: unknown[] = ['fd', 'handle', '_handle'].map(name => Reflect.get(stream, name));
  return typeof descriptor === 'number' ? isOpen(descriptor) : handles.some(handle => handle instanceof Object);
}

function isOpen(descriptor: number): boolean {
  try {
    fstatSync(descriptor);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'EBADF'); // Node's permission model may forbid to look
  }
}

export function wrong(Kind: ErrorConstructor, name: string, wanted: string, found: unknown, action = 'create a pool'): Error {
  return new Kind(`Cannot ${action} as ${name} must be ${wanted}: received ${show(found)}`);
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/** The word with the fewest edits to another (Levenshtein). */
function nearest(word: string, words: readonly string[]): string {
  const edits = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      row = next;
    }
    return row[b.length]!;
  };
  const distance = new Map(words.map(other => [other, edits(word.toLowerCase(), other.toLowerCase())]));
  return [...words].sort((a, b) => distance.get(a)! - distance.get(b)!)[0]!;
}
