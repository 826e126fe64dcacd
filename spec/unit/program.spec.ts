// The program of a worker on hosts that are no processes: several of them here, side by side, and each may end, and goes on for a moment,
// as `exit` returns. What the program does between processes is tested there.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WorkerHost } from '../../lib/host.ts';
import { SIZES } from '../../lib/wire/channel.ts';
import { runProgram } from '../../lib/worker/program.ts';
import type { ToWorker } from '../../lib/wire/protocol.ts';
import { turns } from '../support/turns.ts';


/** A host whose module has these exports. */
class Hosted {
  exitCode: number | undefined;
  /** The types of the messages that it has sent, and what became of jobs. */
  readonly said: string[] = [];
  readonly outcomes: unknown[] = [];
  /** How many jobs had started, each time that it said so. */
  readonly started: number[] = [];
  #hasEnded = false;
  readonly #listeners: Record<string, (value?: unknown) => void> = {};

  constructor(exports: Record<string, unknown>, sizes = SIZES) {
    const on = (event: string, listener: (...args: unknown[]) => void): void => { this.#listeners[event] = listener; };
    const host: WorkerHost = {
      assert: (isSo, what) => assert.ok(isSo || this.#hasEnded, what),
      now: performance.now.bind(performance),
      setTimeout,
      setImmediate: callback => { setImmediate(() => { if (!this.#hasEnded) callback(); }); },
      endpoint: {
        on,
        send: (message, _handle, _options, callback) => {
          const [, { type, outcomes = [], started }] = Object(message);
          if (this.#hasEnded) return false;
          this.said.push(type);
          this.outcomes.push(...outcomes);
          if (started !== undefined) this.started.push(started);
          setImmediate(() => { if (!this.#hasEnded) callback(null); });
          return true;
        },
      },
      sizes,
      tokens: { incoming: 'in', outgoing: 'out' },
      load: () => Promise.resolve(exports),
      on,
      isTamperedWith: () => false,
      shield: () => {},
      restore: () => {},
      memoryBytes: () => 0,
      outputWritten: () => Promise.resolve(),
      exit: exitCode => this.exit(exitCode),
    };
    runProgram(host);
  }

  exit(exitCode: number): void {
    if (this.exitCode !== undefined) return;
    this.exitCode = exitCode;
    this.#listeners['exit']?.();
    this.#hasEnded = true;
  }

  hear(...messages: ToWorker[]): Promise<void> {
    for (const message of messages) this.#listeners['message']?.(['in', message]);
    return turns(20);
  }

  /** Starts it, and gives it jobs in one message. */
  work(...jobs: number[]): Promise<void> {
    return this.hear({ type: 'init', module: 'file:///module.js', workerData: undefined, tellsMemory: true }, { type: 'jobs', firstId: 0, attempt: 1, jobs, segments: [] });
  }
}

describe('runProgram()', () => {
  it('has no state but that of its host: many may run in one process', async () => {
    const hosts = [1, 2, 3].map(factor => new Hosted({ default: (n: number) => n * factor }));
    await Promise.all(hosts.map(host => host.work(1, 2)));
    await Promise.all(hosts.map(host => host.hear({ type: 'end-of-jobs' })));
    assert.deepEqual(hosts.map(({ outcomes }) => outcomes), [[1, 2], [2, 4], [3, 6]]);
    for (const { said, exitCode } of hosts) {
      assert.deepEqual(said.filter((word, i) => word !== said[i - 1]), ['ready', 'results', 'stopping', 'end-of-results']); // a loaded machine sends results twice
      assert.equal(exitCode, 0);
    }
  });

  it('starts no other job where one has ended the process, and says no more', async () => {
    const begun: number[] = [];
    const host: Hosted = new Hosted({ default: (n: number) => { begun.push(n); if (n === 2) host.exit(7); return n; } });
    await host.work(1, 2, 3);
    assert.deepEqual(begun, [1, 2]);
    assert.deepEqual(host.outcomes, [1]);
    assert.deepEqual(host.said, ['ready', 'results', 'exiting']);
    assert.equal(host.exitCode, 7);
  });

  it('still sends the results up to the first large one when a job ends the process, and says how many jobs had started', async () => {
    const host: Hosted = new Hosted({ default: (n: number) => {
      if (n === 2) queueMicrotask(() => host.exit(7));
      return n === 2 ? { text: Buffer.alloc(3000), isPacked: true } : n;
    } }, { ...SIZES, ahead: 1000, whole: 2000 });
    await host.work(1, 2, 3);
    assert.deepEqual(host.outcomes, [1]);
    assert.deepEqual(host.said, ['ready', 'results', 'exiting']);
    assert.deepEqual(host.started, [1]);
  });

  it('still sends the values of a loop up to the first large one', async () => {
    const host: Hosted = new Hosted({ worker: async (jobs: AsyncIterable<number>, results: { put(value: unknown): Promise<void> }) => {
      for await (const _ of jobs) {
        void results.put('small');
        void results.put({ text: Buffer.alloc(3000) });
        void results.put('behind it');
        host.exit(7);
      }
    } }, { ...SIZES, ahead: 1000, whole: 2000 });
    await host.work(1, 2);
    assert.deepEqual(host.outcomes.slice(0, 1), [{ value: 'small', id: 0 }]);
    assert.deepEqual(host.started, [1]);
  });

  it('gives no job, and no end of jobs, to a loop that has ended the process', async () => {
    let steps = 0;
    const worker = async (jobs: AsyncIterable<unknown>): Promise<void> => {
      host.exit(7);
      for await (const _ of jobs) steps++;
      steps++;
    };
    const host = new Hosted({ worker });
    await host.work(1);
    assert.equal(steps, 0);
    assert.deepEqual(host.said, ['ready', 'exiting']);
  });

  it('does not clean up behind a loop that has ended the process, and returns', async () => {
    let isCleanedUp = false;
    const host: Hosted = new Hosted({ worker: () => host.exit(7), teardown: () => { isCleanedUp = true; } });
    await host.work(1);
    assert.equal(isCleanedUp, false);
    assert.deepEqual(host.said, ['ready', 'exiting']);
  });

  it('begins no work where `setup` has ended the process', async () => {
    let hasBegun = false;
    const host: Hosted = new Hosted({ worker: () => { hasBegun = true; }, setup: () => host.exit(7) });
    await host.work(1);
    assert.equal(hasBegun, false);
    assert.deepEqual(host.said, ['exiting']);
  });
});
