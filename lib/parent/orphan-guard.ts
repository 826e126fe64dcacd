// Sees to it that no worker outlives this process, however it ends: a small shell, beside the workers, that reads their
// pids from a pipe whose other end only this process holds. At the end of file it kills what is still on the list. It
// knows no pool. Where there is no /bin/sh (on Windows) workers leave by themselves when their channel closes, which one
// that is busy notices after its job.

import type { Host, Shell, Timer } from '../host.ts';

/** Each line is the whole list. One that was cut short by our end is no line: `read` fails, and the list before it counts. */
const SCRIPT = "trap '' HUP INT QUIT TERM USR1 USR2; while read -r line; do pids=$line; done; [ -z \"$pids\" ] || kill -s KILL -- $pids";

/** One that was killed so often, with no worker started or gone in between, is not started again: it is the machine that ends it. */
const MOST_KILLS = 10;
/** Where the machine refused it, it is tried again after so long, and whenever a worker comes or goes. */
const TRY_AGAIN_MS = 1000;

export class OrphanGuard {
  readonly #host: Host;
  readonly #path: string;
  readonly #pids = new Set<number>();
  readonly #ended = new Set<() => void>();
  #shell: Shell | undefined;
  #isMissing = false;
  #kills = 0;
  #nextTry: Timer | undefined;

  constructor(host: Host, path = '/bin/sh') {
    this.#host = host;
    this.#path = path;
  }

  /** From here on the process, or with a negative number its group, dies with this one. */
  watch(pid: number): void {
    this.#pids.add(pid);
    this.#kills = 0;
    this.#tell();
  }

  /** It is gone by itself. */
  forget(pid: number): void {
    this.#pids.delete(pid);
    this.#kills = 0;
    this.#tell();
  }

  /** Calls back when the guard is gone as well: at once if there was none. */
  end(callback: () => void): void {
    this.#host.clearTimeout(this.#nextTry);
    if (this.#shell === undefined || this.#shell.pid === 0) return callback(); // nor may one that could not be started be sent a signal: it goes anywhere
    this.#ended.add(callback);
    this.#shell.kill('SIGKILL');
  }

  #start(): void {
    let shell: Shell;
    try {
      shell = this.#host.startShell(this.#path, SCRIPT);
    } catch {
      return this.#refused();
    }
    this.#shell = shell;
    shell.on('error', error => {
      this.#isMissing = 'code' in error && error.code === 'ENOENT';
      if (shell.pid === 0) this.#refused();
    });
    shell.on('exit', (_, signal) => {
      this.#gone();
      // Somebody killed it. One that leaves by itself would do so again.
      if (signal !== null && this.#ended.size === 0 && ++this.#kills < MOST_KILLS) this.#tell();
    });
  }

  #refused(): void {
    this.#gone();
    this.#host.clearTimeout(this.#nextTry);
    this.#nextTry = this.#host.setTimeout(() => this.#tell(), TRY_AGAIN_MS).unref();
  }

  #gone(): void {
    this.#shell = undefined;
    for (const callback of this.#ended) callback();
  }

  #tell(): void {
    if (this.#shell === undefined && this.#pids.size > 0 && !this.#isMissing) this.#start();
    this.#shell?.write(`${[...this.#pids].join(' ')}\n`);
  }
}
