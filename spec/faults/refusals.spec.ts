// G12: what the machine refuses is an error, not a crash. Without descriptors, processes or memory a pool goes on with the workers that it
// has, or fails with what the machine said as the cause.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ProcessPool, WorkerExitError, WorkerStartError } from 'drainpool';
import { leaveDescriptors } from '../support/descriptors.ts';
import { fixture, workPool } from '../support/pool.ts';
import type { Work } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { limited } from '../support/limits.ts';
import { turns } from '../support/turns.ts';
import { until } from '../support/until.ts';

/** What a program says that may open so many descriptors. */
async function withDescriptors(count: number, ...args: string[]): Promise<{ lines: string[]; stderr: string }> {
  const env = { ...process.env, NODE_V8_COVERAGE: undefined };
  const { stdout, stderr } = await promisify(execFile)('prlimit', [`--nofile=${count}:${count}`, process.execPath, fileURLToPath(fixture('few-descriptors')), ...args], { env });
  return { lines: stdout.trimEnd().split('\n'), stderr };
}

const workersOf = (pool: ProcessPool<Work>): number => {
  const { starting, idle, busy } = pool.stats().workers;
  return starting + idle + busy;
};

const errorOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => undefined, (reason: unknown) => reason);

/** Jobs for more workers than one, until it has two. */
async function untilTwoWork(pool: ProcessPool<Work>): Promise<void> {
  while (workersOf(pool) < 2) await Promise.all([1, 2, 3].map(() => pool.run({ do: 'spin', ms: 1 })));
}

describe('a program with too few descriptors for its workers', () => {
  for (const count of [40, 43, 48, 56, 60]) {
    it(`has all its jobs done by the workers that it can have: ${count}`, limited, async () => {
      assert.deepEqual(await withDescriptors(count, '1'), { lines: ['all fulfilled'], stderr: '' });
    });
  }

  it('goes on also where its workers leave and are replaced all the time', limited, async () => {
    assert.deepEqual(await withDescriptors(45, '1', '3'), { lines: ['all fulfilled'], stderr: '' });
  });

  it('has an answer from each of its pools: all jobs done, or EMFILE', limited, async () => {
    const { lines, stderr } = await withDescriptors(50, '4');
    assert.equal(stderr, '');
    assert.equal(lines.length, 4);
    for (const line of lines) assert.match(line, /^(all fulfilled|failed: EMFILE)$/);
    assert.ok(lines.includes('all fulfilled'));
  });
});

describe('a pool whose program has no descriptor left', () => {
  it('fails with EMFILE as the cause, where it has no worker at all', limited, async t => {
    const pool = workPool(t);
    leaveDescriptors(t, 0);
    const error = await errorOf(pool.run({ do: 'pid' }));
    assert.ok(error instanceof WorkerStartError);
    assert.match(error.message, /^Cannot start a worker as the machine refused it 6 times in a row \(file:.*work\.js\): Error: EMFILE: too many open files/);
    assert.equal(Object(error.cause).code, 'EMFILE');
    assert.equal(await errorOf(pool.join()), error);
    assert.deepEqual([error.report?.outcome, error.report?.pending, error.report?.workers], ['failed', [{ do: 'pid' }], []]);
  });

  it('starts a worker as soon as there is room, where it had none', limited, async t => {
    const pool = workPool(t);
    const giveBack = leaveDescriptors(t, 0);
    const running = pool.run({ do: 'echo', value: 1 });
    await turns(2); // it was refused once
    giveBack();
    assert.equal(await running, 1);
  });

  it('goes on with the worker that it has, and has more when there is room again', limited, async t => {
    const pool = workPool(t, { chunkSize: 1 });
    await pool.run({ do: 'pid' });
    const giveBack = leaveDescriptors(t, 0);
    const values = await Promise.all(Array.from({ length: 20 }, (_, value) => pool.run({ do: 'echo', value })));
    assert.deepEqual(values, Array.from({ length: 20 }, (_, value) => value));
    assert.equal(workersOf(pool), 1);
    giveBack();
    await untilTwoWork(pool);
    assert.equal(pool.stats().workers.replaced, 0, 'a process that was refused has not died');
  });

  it('does not replace a worker that died, and does so when there is room again', limited, async t => {
    const pool = workPool(t, { chunkSize: 1 });
    await untilTwoWork(pool);
    const dying = errorOf(pool.run({ do: 'exit', code: 3 }));
    const giveBack = leaveDescriptors(t, 0);
    assert.ok(await dying instanceof WorkerExitError);
    const values = await Promise.all(Array.from({ length: 20 }, (_, value) => pool.run({ do: 'echo', value })));
    assert.equal(values.length, 20);
    giveBack();
    await untilTwoWork(pool);
  });

  it('goes on also where the last one goes in the middle of a start', limited, async t => {
    let isEating = false;
    const env = {
      ...process.env,
      get EATEN() {
        if (isEating) leaveDescriptors(t, 0);
        isEating = false;
        return 'yes';
      },
    };
    const pool = workPool(t, { chunkSize: 1, env });
    await pool.run({ do: 'pid' });
    isEating = true;
    const values = await Promise.all([1, 2, 3].map(value => pool.run({ do: 'echo', value })));
    assert.deepEqual([values, isEating, workersOf(pool)], [[1, 2, 3], false, 1]);
  });

  for (const [count, says] of [[3, 'failed'], [20, 'completed']] as const) {
    it(`has as many open when its pool is gone as before: ${count} left, ${says}`, limited, async t => {
      const before = readdirSync('/proc/self/fd').length;
      const pool = workPool(t, { workers: 30, chunkSize: 1, maxJobsPerWorker: 3 });
      const giveBack = leaveDescriptors(t, count);
      await Promise.allSettled(Array.from({ length: 150 }, () => pool.run({ do: 'spin', ms: 1 })));
      pool.jobs.close();
      const { outcome } = await pool.join().catch(({ report }: WorkerStartError) => report ?? assert.fail());
      giveBack();
      assert.deepEqual([outcome, readdirSync('/proc/self/fd').length], [says, before]);
    });
  }

  it('does not keep a program alive that is done, though it wants more workers', limited, async () => {
    const { lines, stderr } = await withDescriptors(40, 'idle');
    assert.deepEqual({ lines, stderr }, { lines: ['ready'], stderr: '' });
  });
});

describe('a pool that is refused processes while some of its workers live', () => {
  for (const [what, prepare, code] of [
    ['as its working directory is gone', () => {
      const cwd = mkdtempSync(join(tmpdir(), 'drainpool-'));
      return { options: { cwd }, refuse: () => rmdirSync(cwd) };
    }, 'ENOENT'],
    ['as its environment has grown too large', () => {
      const env: NodeJS.ProcessEnv = { ...process.env };
      return { options: { env }, refuse: () => { env['LARGE'] = 'x'.repeat(10_000_000); } };
    }, 'E2BIG'],
  ] as const) {
    it(`goes on with those, and fails with the last of them: ${what}`, limited, async t => {
      const { options, refuse } = prepare();
      const pool = workPool(t, { chunkSize: 1, ...options });
      await untilTwoWork(pool);
      refuse();
      assert.ok(await errorOf(pool.run({ do: 'exit', code: 3 })) instanceof WorkerExitError);
      for (let n = 0; n < 20; n++) assert.deepEqual(await Promise.all([n, -n].map(value => pool.run({ do: 'echo', value }))), [n, -n]);
      assert.equal(workersOf(pool), 1);
      assert.ok(await errorOf(pool.run({ do: 'exit', code: 3 })) instanceof WorkerExitError);
      const error = await errorOf(pool.run({ do: 'pid' }));
      assert.ok(error instanceof WorkerStartError);
      assert.equal(Object(error.cause).code, code);
      await until(() => error.report !== null);
    });
  }
});

describe('a system that does not know a signal', () => {
  for (const [lacking, ends] of [['SIGCONT', 'SIGTERM'], ['SIGTERM,SIGCONT', 'SIGKILL']] as const) {
    for (const group of ['', 'own-group']) {
      it(`ends a busy worker by ${ends}, and throws nothing in the parent: ${lacking}${group === '' ? '' : ', where workers lead groups'}`, limited, async t => {
        const program = new Program(fixture('lacks-signal'), [lacking, group]);
        t.after(() => program.kill('SIGKILL'));
        await program.says(/^busy$/m);
        process.kill(program.pid, 'SIGURG');
        const { code, stdout, stderr } = await program.ended;
        assert.deepEqual([code, stderr], [0, '']);
        assert.match(stdout, new RegExp(`^terminated 1 ${ends}$`, 'm'));
      });
    }
  }
});

describe('a runtime whose children cannot be unreferenced', () => {
  it('has its jobs done all the same', limited, async t => {
    const program = new Program(fixture('lacks-unref'));
    t.after(() => program.kill('SIGKILL'));
    const { code, stdout, stderr } = await program.ended;
    assert.deepEqual([stdout, stderr, code], ['42\nterminated\n', '', 0]);
  });
});
