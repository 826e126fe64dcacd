// Sees to it that no worker outlives this process, however it ends: a small shell, beside the workers, that reads their
// pids from a pipe whose other end only this process holds. At the end of file it kills what is still on the list. It
// knows no pool. Where there is no /bin/sh (on Windows) workers leave by themselves when their channel closes, which one
// that is busy notices after its job.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

/** Each line is the whole list. One that was cut short by our end is no line: `read` fails, and the list before it counts. */
const SCRIPT = "trap '' HUP INT QUIT TERM USR1 USR2; while read -r line; do pids=$line; done; [ -z \"$pids\" ] || kill -s KILL -- $pids";

export class Guard {
  readonly #path: string;
  readonly #pids = new Set<number>();
  readonly #ended = new Set<() => void>();
  #shell: ChildProcess | undefined;
  #isMissing = false;

  constructor(path = '/bin/sh') {
    this.#path = path;
  }

  /** From here on the process, or with a negative number its group, dies with this one. */
  watch(pid: number): void {
    this.#pids.add(pid);
    if (this.#shell === undefined && !this.#isMissing) this.#start();
    else this.#tell();
  }

  /** It is gone by itself. */
  forget(pid: number): void {
    this.#pids.delete(pid);
    this.#tell();
  }

  /** Calls back when the guard is gone as well: at once if there was none. */
  end(callback: () => void): void {
    if (this.#shell?.pid === undefined) return callback(); // nor may one that could not be started be sent a signal: it goes anywhere
    this.#ended.add(callback);
    this.#shell.kill('SIGKILL');
  }

  /** In a session of its own: neither the terminal's Ctrl-C nor its end reaches it. */
  #start(): void {
    const shell = spawn(this.#path, ['-c', SCRIPT, 'drainpool-guard'], { cwd: '/', env: {}, detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    this.#shell = shell;
    shell.on('error', () => {
      this.#isMissing = shell.pid === undefined;
      if (this.#isMissing) this.#gone();
    });
    shell.on('exit', (_, signal) => {
      this.#gone();
      // Somebody shot it. One that leaves by itself would do so again.
      if (signal !== null && this.#ended.size === 0 && this.#pids.size > 0) this.#start();
    });
    shell.stdin?.on('error', () => {}); // it is gone: its exit says so
    shell.unref();
    if (shell.stdin !== null && 'unref' in shell.stdin && typeof shell.stdin.unref === 'function') shell.stdin.unref();
    this.#tell();
  }

  #gone(): void {
    this.#shell = undefined;
    for (const callback of this.#ended) callback();
  }

  #tell(): void {
    this.#shell?.stdin?.write(`${[...this.#pids].join(' ')}\n`);
  }
}
