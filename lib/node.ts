// The host that a pool runs on: Node. What the parent asks of its machine it asks here: the clock and the timers, processes and signals.

import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { extname } from 'node:path';
import { checkDescriptors, TAKEN_BY_A_START } from './descriptors.ts';
import type { Child, Endpoint, Host, Shell } from './host.ts';
import { sharedListener } from './shared-listener.ts';
import { SIZES } from './wire/channel.ts';
import { workerModule } from './wire/protocol.ts';

// Taken when the library is loaded: a test that fakes them later must not stop a pool.
const { clearInterval, clearTimeout, queueMicrotask, setImmediate, setInterval, setTimeout } = globalThis;
const now = performance.now.bind(performance);

type Listener = (...args: any[]) => void;

/** What `fork` runs, beside this file, compiled or not. */
const PROGRAM = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);

const onSignal = sharedListener((signal: NodeJS.Signals, listener) => {
  process.on(signal, listener);
  return () => process.off(signal, listener);
}, new Map());

export const node: Host = {
  now,
  setTimeout,
  clearTimeout: (timer: NodeJS.Timeout | undefined) => clearTimeout(timer),
  setInterval,
  clearInterval: (timer: NodeJS.Timeout | undefined) => clearInterval(timer),
  setImmediate,
  queueMicrotask,
  get workerModule() { return workerModule(process.argv); },
  sizes: SIZES,
  startWorker,
  startShell,
  assert: () => {},
  token: randomUUID,
  onSignal,
};

// ---- Processes

function startWorker(args: readonly string[], { stdio, env, cwd, execArgv, ownGroup }: Parameters<Host['startWorker']>[1]): Child {
  checkDescriptors(TAKEN_BY_A_START + 1); // the guard, which is started after the first worker, finds room
  const child = fork(PROGRAM, args, {
    serialization: 'advanced',
    stdio: [...(typeof stdio === 'string' ? [stdio, stdio, stdio] : stdio), 'ipc'],
    execArgv: [...execArgv],
    detached: ownGroup,
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd }),
  });
  child.on('error', () => {}); // also for a signal that was not sent
  child.unref?.(); // Bun has no such method on a channel
  child.channel?.unref?.();
  const pid = child.pid ?? 0;
  const target = ownGroup && process.platform !== 'win32' ? -pid : pid;
  return {
    pid,
    target,
    send: child.send === undefined ? sendToNobody : child.send.bind(child),
    on: (event: string, listener: Listener) => {
      if (event !== 'error' || pid === 0) child.on(event, listener);
    },
    kill: signal => {
      try {
        if (target >= 0) child.kill(signal);
        else process.kill(target, signal);
      } catch {
        // nobody of the group is left, or the system knows no such signal: Windows has no SIGCONT
      }
    },
    closeChannel: () => {
      child.disconnect();
      child.emit('message', undefined); // in the middle of a message Node waits for the rest of it: any message ends that wait
    },
  };
}

/** In the place of a channel that is not there: Node returns such a child where it is out of descriptors after all, and says so a moment later. */
const sendToNobody: NonNullable<Endpoint['send']> = (_message, _handle, _options, callback) => {
  queueMicrotask(() => callback(new Error('Cannot send a message as there is no process')));
  return false;
};

/** In a session of its own: neither the terminal's Ctrl-C nor its end reaches it. */
function startShell(path: string, script: string): Shell {
  checkDescriptors(TAKEN_BY_A_START);
  const shell: ChildProcess = spawn(path, ['-c', script, 'drainpool-guard'], { cwd: '/', env: {}, detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  shell.stdin?.on('error', () => {}); // it is gone: its exit says so
  shell.unref?.();
  const stdin: unknown = shell.stdin; // undefined where there was no descriptor for it
  if (typeof stdin === 'object' && stdin !== null && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  return {
    pid: shell.pid ?? 0,
    on: (event: string, listener: Listener) => shell.on(event, listener),
    write: line => { shell.stdin?.write(line); },
    kill: signal => { shell.kill(signal); },
  };
}
