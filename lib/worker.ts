// What `fork` runs in a worker: it makes a host of this process, and has the program of program.ts run on it. All that has to do with the
// process itself is here: its signals, its listeners, its end.
//
// - It ignores the interrupt signals from its first line on, before the module is loaded.

import { setImmediate, setTimeout } from 'node:timers';
import type { WorkerHost } from './host.ts';
import { SIZES } from './wire/channel.ts';
import { runProgram } from './worker/program.ts';
import { markWorker } from './wire/protocol.ts';

// A job may overwrite what is global, with the fake timers of a test say: what this program needs it takes now.
const { process, Promise } = globalThis; // an import of node:process would open stdin, stdout and stderr, and make pipes non-blocking
const { getBuiltinModule, nextTick } = process;
const on = process.on.bind(process);
const off = process.off.bind(process);
const exit = process.exit.bind(process);
const now = performance.now.bind(performance);
markWorker(process.argv);
const [, incoming = '', outgoing = '', ...ignoredSignals] = process.argv.splice(2);

const ours = new Set<unknown>();
let saysTampered = (): void => {};
/** Somebody removed a listener of ours, by `process.removeAllListeners()` say: this worker leaves between two jobs. */
let isTamperedWith = false;
on('removeListener', (_, listener) => {
  if (!ours.has(listener)) return;
  isTamperedWith = true;
  saysTampered();
});

function listen(event: string, listener: (...args: unknown[]) => void): void {
  ours.add(listener);
  on(event, listener);
}

for (const signal of ignoredSignals) listen(signal, () => {});

const swallow = (): void => {};

// Node gives a terminal back, at its end, the mode that it had when this process started: it would undo the raw mode that the parent has set
// since. It leaves alone what is closed; and a signal that had a listener once ends a process without any of this.
for (const signal of ['SIGINT', 'SIGTERM']) {
  on(signal, swallow);
  off(signal, swallow);
}
const reallyExit: unknown = Reflect.get(process, 'reallyExit');
if (typeof reallyExit === 'function') {
  Reflect.set(process, 'reallyExit', (code: unknown) => {
    const { closeSync, fstatSync } = getBuiltinModule('node:fs');
    for (const descriptor of [1, 2]) {
      try {
        if (fstatSync(descriptor).isCharacterDevice()) closeSync(descriptor);
      } catch {
        // a job has closed it
      }
    }
    Reflect.apply(reallyExit, process, [code]);
  });
}

const host: WorkerHost = {
  now,
  setTimeout,
  setImmediate,
  endpoint: { ...(process.send && { send: process.send.bind(process) }), on: listen },
  sizes: SIZES,
  tokens: { incoming, outgoing },
  load: href => import(href),
  on: (event: string, listener: (...args: unknown[]) => void) => {
    if (event === 'tampered') saysTampered = listener;
    else listen(event === 'failure' ? 'uncaughtExceptionMonitor' : event, listener);
  },
  isTamperedWith: () => isTamperedWith || process.listenerCount('removeListener') === 0,
  shield: isUp => { (isUp ? on : off)('SIGTERM', swallow); },
  restore: () => { process.nextTick = nextTick; }, // Node's channel calls back through it, in both directions
  memoryBytes: () => process.memoryUsage.rss(),
  outputWritten,
  exit,
  assert: () => {},
};

/** Node's exit forgets what jobs wrote to pipes. Only where something is under way, as a look opens stdout and stderr. */
async function outputWritten(): Promise<void> {
  if (!process.getActiveResourcesInfo().some(name => name.endsWith('WriteWrap'))) return;
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writable) await new Promise<unknown>(resolve => stream.on('error', resolve).write('', resolve));
  }
}

runProgram(host);
