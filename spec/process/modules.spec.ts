// Worker modules of every kind, wherever they lie, and what Node is told on the command line and in the environment: what
// workers take over, and what they do not.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ProcessPool } from 'drainpool';
import type { PoolOptions } from 'drainpool';
import type { Inside } from '../fixtures/modules.ts';
import { fixture, poolOf } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import type { Ended } from '../support/program.ts';
import { limited } from '../support/limits.ts';

/** Each test takes a second or two: after this long something hangs. */
const root = fileURLToPath(new URL('../../../', import.meta.url));
const source = (name: string): URL => pathToFileURL(join(root, 'spec', 'fixtures', name));
const stripsTypes = process.features.typescript === 'strip';

type Square = (n: number) => number;

function poolAt(t: TestContext, module: URL | string, options: PoolOptions = {}): ProcessPool<Square> {
  const pool = new ProcessPool<Square>(module, { workers: 1, ...options });
  t.after(() => pool[Symbol.asyncDispose]());
  return pool;
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'drainpool-modules-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Runs fixtures/modules.ts, and returns what its worker told. */
async function tell(flags: { execArgv?: readonly string[]; env?: NodeJS.ProcessEnv; options?: PoolOptions } = {}): Promise<{ inside: Inside & { error?: string; cause?: string }; ended: Ended }> {
  const { options = {}, ...how } = flags;
  const ended = await new Program(fixture('modules'), [JSON.stringify(options)], how).ended;
  assert.equal(ended.code, 0, ended.stderr);
  return { inside: JSON.parse(ended.stdout), ended };
}

describe('a worker module', () => {
  it('may lie in a folder of any name, given as a URL, as the string of one, and as an absolute path', limited, async t => {
    const folder = join(folderOf(t), 'a b#c%20d?e=é%漢');
    mkdirSync(folder);
    const path = join(folder, 'square #1%.mjs');
    writeFileSync(path, 'export default n => n * n;');
    for (const module of [path, pathToFileURL(path), pathToFileURL(path).href]) {
      assert.equal(await poolAt(t, module).run(3), 9, String(module));
    }
  });

  it('may be one of two with the same file and another query', limited, async t => {
    for (const query of ['?a', '?b#c']) assert.equal(await poolAt(t, new URL(query, fixture('echo'))).run(3), 3);
  });

  it('may be CommonJS: an object, or a function', limited, async t => {
    assert.equal(await poolOf<Square>(t, 'common.cjs').run(20), 41);
    const path = join(folderOf(t), 'function.cjs');
    writeFileSync(path, 'module.exports = n => n * n;');
    assert.equal(await poolAt(t, path).run(3), 9);
  });

  it('may be TypeScript where Node strips types; elsewhere the pool fails with what Node says', limited, async t => {
    const pool = poolAt(t, source('echo.ts'), { execArgv: ['--no-warnings'] });
    if (stripsTypes) assert.equal(await pool.run(5), 5);
    else await assert.rejects(pool.run(5), { name: 'WorkerStartError', message: /Unknown file extension "\.ts"/ });
  });

  it('may be what a loader makes of it that is given in `execArgv`', limited, async t => {
    const path = join(folderOf(t), 'empty.square');
    writeFileSync(path, '');
    const execArgv = ['--no-warnings', '--import', fixture('loader').href];
    assert.equal(await poolAt(t, path, { execArgv }).run(3), 9);
    await assert.rejects(poolAt(t, path).run(3), { name: 'WorkerStartError', message: /Unknown file extension "\.square"/ });
  });
});

describe('a program of one file', () => {
  it('is its own worker module, compiled or not', limited, async () => {
    for (const file of stripsTypes ? [fixture('scenes'), source('scenes.ts')] : [fixture('scenes')]) {
      const { code, stdout, stderr } = await new Program(file, ['idle'], { execArgv: ['--no-warnings'] }).ended;
      assert.deepEqual([code, stdout, stderr], [0, 'value 1\n', '']);
    }
  });
});

describe('what Node is told', () => {
  it('to inspect, it is told for the parent: workers have no inspector and do not ask for its port', limited, async () => {
    const { inside, ended } = await tell({ execArgv: ['--inspect=127.0.0.1:0'] });
    assert.deepEqual([inside.inspector, inside.execArgv], [undefined, []]);
    assert.equal(ended.stderr.match(/Debugger listening/g)?.length, 1);
  });

  it('to inspect, in the `execArgv` of a pool, it is told for its workers', limited, async t => {
    const pool = poolOf<typeof import('../fixtures/modules.ts')>(t, 'modules', { workers: 1, execArgv: ['--inspect=127.0.0.1:0'], stdio: 'ignore' });
    assert.match((await pool.run(undefined)).inspector ?? '', /^ws:\/\/127\.0\.0\.1:\d+\//);
  });

  it('in NODE_OPTIONS reaches the workers', limited, async () => {
    const { inside } = await tell({ env: { NODE_OPTIONS: '--stack-trace-limit=7' } });
    assert.equal(inside.stackTraceLimit, 7);
  });

  it('on the command line reaches the workers', limited, async () => {
    const { inside } = await tell({ execArgv: ['--stack-trace-limit=8'] });
    assert.deepEqual([inside.stackTraceLimit, inside.execArgv], [8, ['--stack-trace-limit=8']]);
  });

  it('of permissions holds for the workers too, and a pool needs the one to start processes', limited, async () => {
    const flag = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
    const execArgv = ['--no-warnings', flag, `--allow-fs-read=${root}`];
    const { inside } = await tell({ execArgv: [...execArgv, '--allow-child-process'] });
    assert.equal(inside.mayReadAll, false);
    const { inside: refused } = await tell({ execArgv });
    assert.match(refused.error ?? '', /^Cannot start a worker: Error: Access to this API has been restricted/);
  });
});

describe('a library that is loaded ahead of the program', { concurrency: 2 }, () => {
  const preload = fixture('preload').href;
  for (const [how, options] of [
    ['by `execArgv`', { execArgv: ['--import', preload] }],
    ['by NODE_OPTIONS', { env: { ...process.env, NODE_OPTIONS: `--import=${preload}` } }],
  ] as const) {
    it(`knows in a worker that it is in one, and of which module: ${how}`, limited, async t => {
      const pool = poolOf<typeof import('../fixtures/preloaded.ts')>(t, 'preloaded', { workers: 1, ...options });
      const refusal = 'Error: Cannot create a pool in a worker of the same module, as it would start workers without end: create it under `if (!isWorker)`';
      assert.deepEqual(await pool.run('self'), { preload: { isWorker: true, refusal }, isWorker: true });
      for (const job of ['grandchild', 'grandchild of the same arguments'] as const) {
        assert.deepEqual(await pool.run(job), { isWorker: false, refusal: 'none' }, job);
      }
    });
  }
});
