// Runs a program of its own process group, as a terminal would, and waits for what it says: for words, never for
// time. Its streams end when the last process that holds them is gone: that is how a spec knows that nobody is left.
// It runs without coverage, which each process would take long to write at its end, and without colours. What still runs when
// the file's tests are over is killed.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const running = new Set<Program>();
after(() => { for (const program of running) program.kill('SIGKILL'); });

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export class Program {
  readonly pid: number;
  /** Resolves when it has ended and nobody holds its streams. */
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #changed = (): void => {};

  constructor(file: URL | string, args: readonly string[] = [], options: { env?: NodeJS.ProcessEnv; execArgv?: readonly string[] } = {}) {
    const path = file instanceof URL ? fileURLToPath(file) : file;
    this.#child = spawn(process.execPath, [...(options.execArgv ?? []), path, ...args], { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_V8_COVERAGE: undefined, FORCE_COLOR: undefined, NO_COLOR: undefined, ...options.env } });
    this.pid = this.#child.pid ?? 0;
    running.add(this);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => { this.#stdout += text; this.#changed(); });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => { this.#stderr += text; this.#changed(); });
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code, signal) => {
        running.delete(this);
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
        this.#changed();
      });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  /** Resolves when its output, stdout and stderr, matches so often; rejects if it ends before. */
  async says(word: RegExp, times = 1): Promise<void> {
    const all = new RegExp(word.source, `${word.flags.replace('g', '')}g`);
    const isSaid = (): boolean => (`${this.#stdout}\n${this.#stderr}`.match(all)?.length ?? 0) >= times;
    while (!isSaid()) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        await this.ended;
        if (isSaid()) return;
        throw new Error(`Cannot go on as the program ended (${this.#child.exitCode ?? this.#child.signalCode}) before it said ${word} ${times} times: ${this.#stdout}${this.#stderr}`);
      }
      await new Promise<void>(resolve => { this.#changed = resolve; });
    }
  }

  /** Ctrl-C: SIGINT to the whole group, so often, so far apart. Nothing happens once the group is gone. */
  async press({ times = 1, gapMs = 0, signal = 'SIGINT' }: { times?: number; gapMs?: number; signal?: NodeJS.Signals } = {}): Promise<void> {
    for (let i = 0; i < times; i++) {
      if (i > 0) await setTimeout(gapMs);
      this.kill(signal);
    }
  }

  /** Its workers, where it has a pool. */
  get workers(): number[] {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    return children.filter(pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('lib/worker'));
  }

  /** A signal to the whole group. */
  kill(signal: NodeJS.Signals): void {
    if (!running.has(this)) return; // its number may be another's by now
    try {
      if (this.pid > 0) process.kill(-this.pid, signal);
    } catch {
      // the group is gone
    }
  }
}
