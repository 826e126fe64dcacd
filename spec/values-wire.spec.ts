// G7 where it is hard: values that v8 writes and cannot read, that share objects, that are views on memory, that have
// getters, and errors that are large, deep, or of another realm. Whatever arrives is what was sent, or it is an error of its own job.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { serialize } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ProcessPool, WorkerStartError } from 'drainpool';
import type { PoolOptions } from 'drainpool';
import { Segments } from '../lib/ipc.ts';
import { deep, depthOf, views } from './fixtures/wire.ts';
import { finish, poolOf } from './support/pool.ts';
import { Program } from './support/program.ts';

type Wire = typeof import('./fixtures/wire.ts');
type Loop = typeof import('./fixtures/wire-loop.ts');

const limited = { timeout: 180_000 };
const create = (t: TestContext, options: PoolOptions = {}): ProcessPool<Wire> => poolOf<Wire>(t, 'wire', { workers: 1, ...options });

const own = (value: unknown, ...keys: string[]): unknown => keys.reduce((of: unknown, key) => Reflect.get(Object(of), key), value);

/** That many objects, each in the one before: what v8 writes of it, whatever it could write itself. */
function deepBytes(levels: number): Uint8Array {
  return Buffer.concat([serialize(undefined).subarray(0, 2), ...Array.from({ length: levels }, () => Buffer.from('o"\x01a')), Buffer.from('_')]);
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (reason) {
    return reason;
  }
  throw new assert.AssertionError({ message: 'Missing expected rejection' });
}

describe('a value that is too deep', { concurrency: 2 }, () => {
  for (const [size, execArgv] of [['of this size', []], ['much smaller', ['--stack-size=250']]] as const) {
    it(`costs its own job and none of its message, in both directions, with a stack ${size}`, limited, async t => {
      const pool = create(t, { chunkSize: 60, execArgv });
      const levels = [40, 400, 1000, 1500, 2000, 2600, 2800, 3000, 50_000];
      const isDeep = (n: number): boolean => n % 9 === 4;
      for (let n = 0; n < 288; n++) {
        const depth = levels[Math.floor(n / 18) % levels.length] ?? 0;
        void pool.jobs.put(!isDeep(n) ? { make: 'tiny', n } : n % 2 === 0 ? { make: 'deep', levels: depth } : { echo: deep(depth) });
      }
      const { results, report } = await finish(pool);
      assert.equal(report.workers.length, 1);
      for (const result of results) {
        if (!isDeep(result.id)) assert.deepEqual('value' in result ? result.value : result.reason, { n: result.id });
        else if (result.status === 'fulfilled') assert.equal(depthOf(result.value), levels[Math.floor(result.id / 18) % levels.length]);
        else assert.match(String(result.reason), /RangeError|DataCloneError/);
      }
      assert.equal(results[4]?.status, 'fulfilled', 'forty levels are not too deep');
      assert.ok(report.rejected >= 2, 'fifty thousand are');
    });
  }

  it('costs its own job where the stack of the parent is small', limited, async () => {
    const { stdout, stderr } = await new Program(new URL('./fixtures/small-stack.js', import.meta.url), [], { execArgv: ['--stack-size=250'] }).ended;
    const lines = stdout.trim().split('\n');
    assert.equal(stderr, '');
    assert.equal(lines.length, 100);
    for (const line of lines) assert.match(line, /^\d+ (true|rejected RangeError.*)$/);
    assert.ok(lines.filter(line => line.endsWith('true')).length >= 91);
    assert.ok(lines.some(line => line.includes('rejected')));
  });

  it('costs its own job in a manual loop, which goes on: as a job, as a value that is put, and as one put after the sentinel', limited, async t => {
    for (const [execArgv, levels] of [[[], [undefined, 30, undefined, 2800, undefined, 2900, 60_000]], [['--stack-size=500'], [undefined, 30, undefined, 900]]] as const) {
      const pool = poolOf<Loop>(t, 'wire-loop', { workers: 1, chunkSize: 5, execArgv });
      const count = levels.length;
      for (const [n, depth] of levels.entries()) void pool.jobs.put({ n, ...depth !== undefined && { levels: depth } });
      void pool.jobs.put({ n: count, input: deep(1800) });
      void pool.jobs.put({ n: count + 1, input: deep(60_000) });
      void pool.jobs.put({ n: count + 2 });
      void pool.jobs.put({ n: count + 3, late: true, levels: 2800 });
      const { results, report } = await finish(pool);
      assert.deepEqual([report.workers.length, report.workers[0]?.exitCode, report.outcome], [1, 0, 'completed']);
      const of = (id: number): unknown => results.filter(result => result.id === id).map(result => 'value' in result ? result.value : result.status);
      for (const n of [0, 2, count + 2]) assert.deepEqual(of(n), [n]);
      assert.deepEqual([of(1), of(count + 1)], [[deep(30)], ['rejected']]);
      if (execArgv.length > 0) assert.deepEqual(of(count), ['rejected']);
      for (const [n, depth] of levels.entries()) {
        for (const result of depth === undefined ? [] : results.filter(({ id }) => id === n)) assert.ok(result.status === 'rejected' || result.value === 'refused' || depthOf(result.value) === depth);
      }
      const [last, ...more] = results.filter(({ id }) => id === count + 3);
      assert.ok(last === undefined ? /RangeError/.test(String(report.workers[0]?.error)) : more.length === 0 && last.status === 'fulfilled' && (last.value === 'refused' || depthOf(last.value) === 2800));
    }
  });

  it('says so wherever it is a reason: of a setup, a teardown, an abort, a throw', limited, async t => {
    const failed = poolOf<Loop>(t, 'wire-loop', { workers: 1, workerData: 'setup' });
    void failed.jobs.put({ n: 1 });
    failed.jobs.close();
    const error = await rejection(failed.join());
    assert.ok(error instanceof WorkerStartError && error.cause instanceof Error);
    assert.match(error.cause.message, /thrown by setup/);
    const torn = poolOf<Loop>(t, 'wire-loop', { workers: 1, workerData: 'teardown' });
    void torn.jobs.put({ n: 1 });
    const { report } = await finish(torn);
    assert.match(String(report.workers[0]?.error), /thrown by teardown/);
    const pool = create(t, { execArgv: ['--stack-size=300'] });
    const controller = new AbortController();
    const aborted = pool.run({ make: 'reason of the signal' }, { signal: controller.signal });
    while (pool.stats().jobs.given === 0) await new Promise(resolve => { setImmediate(resolve); });
    controller.abort(deep(1500));
    assert.equal(depthOf(await rejection(aborted)), 1500);
    assert.deepEqual(await pool.run({ make: 'tiny', n: 1 }), { n: 1 });
    for (const what of ['a deep property', 'a deep cause', 'a deep object']) assert.notEqual(await rejection(pool.run({ make: 'throw', what })), undefined);
    assert.deepEqual((await finish(pool)).report.workers.map(({ exitCode }) => exitCode), [0]);
  });

  it('makes what is behind it in its segment an error, and never a part of it; the next segment is read', () => {
    const segments = new Segments([{ count: 4, bytes: Buffer.concat([serialize({ n: 1 }), deepBytes(100_000).subarray(2), serialize({ n: 3 }).subarray(2)]) }, { count: 1, bytes: serialize('next') }]);
    assert.deepEqual(segments.read(), { n: 1 });
    assert.throws(() => segments.read(), /stack/);
    for (let i = 0; i < 2; i++) assert.throws(() => segments.read(), { name: 'RangeError', message: 'Cannot read the value as one before it in its message could not be read' });
    assert.equal(segments.read(), 'next');
    assert.throws(() => segments.read(), { name: 'RangeError', message: 'Cannot read the value as its message does not hold it' });
  });
});

describe('a view on memory', { concurrency: 2 }, () => {
  const everyView = (value: unknown): ArrayBufferView[] => ArrayBuffer.isView(value) ? [value] : Object.values(Object(value)).flatMap(everyView);

  it('owns exactly its own buffer, in both directions, wherever it is in a value', limited, async t => {
    const pool = create(t);
    for (const value of [await pool.run({ make: 'views' }), await pool.run({ echo: views() }), await pool.run({ echo: new Map([[1, views()]]) })]) {
      const seen = value instanceof Map ? value.get(1) : value;
      assert.deepStrictEqual(seen, views());
      const all = [...new Set(everyView(seen))];
      assert.equal(all.length, 7, 'the same view twice is the same');
      for (const view of all) assert.deepEqual([view.byteOffset, view.buffer.byteLength], [0, view.byteLength], view.constructor.name);
      assert.equal(new Set(all.map(({ buffer }) => buffer)).size, all.length, 'no two of them share one');
    }
    for (const value of [new DataView(new ArrayBuffer(32), 8, 4), Buffer.from('small'), new Uint8Array(40).subarray(3, 9), new DataView(new ArrayBuffer(600_000), 100_000), new Float64Array(100_000).fill(3)]) {
      const seen = await pool.run({ echo: value });
      const bare = await poolOf<(job: unknown) => unknown>(t, 'echo').run(value);
      assert.deepStrictEqual([seen, bare], [value, value]);
      for (const view of everyView([seen, bare])) assert.deepEqual([view.byteOffset, view.buffer.byteLength], [0, view.byteLength], view.constructor.name);
    }
  });

  it('of every kind arrives as that kind, those of another realm and of a class of one\'s own too', limited, async t => {
    const kinds = ['Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array', 'Float16Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array', 'DataView'];
    class Samples extends Float32Array {}
    const pool = create(t);
    for (const name of kinds.filter(name => name in globalThis)) {
      const Kind = Reflect.get(globalThis, name);
      for (const view of [new Kind(new ArrayBuffer(16)), runInNewContext(`new ${name}(new ArrayBuffer(16))`)]) {
        const seen = await pool.run({ echo: { view } });
        assert.equal(Object.prototype.toString.call(own(seen, 'view')), `[object ${name}]`);
        assert.ok(own(seen, 'view') instanceof Kind && own(seen, 'view', 'byteLength') === 16);
      }
    }
    assert.deepStrictEqual(await pool.run({ echo: [new Samples([1, 2])] }), [new Float32Array([1, 2])]);
  });

  it('that is a large Buffer is spared a copy, also where it comes in pieces', limited, async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo', { workers: 1 });
    const values = await Promise.all([300_000, 70_000_000].map(bytes => pool.run(Buffer.alloc(bytes, 7))));
    for (const [i, bytes] of [300_000, 70_000_000].entries()) assert.ok(Buffer.isBuffer(values[i]) && values[i].equals(Buffer.alloc(bytes, 7)));
    const nested = await pool.run({ large: Buffer.alloc(300_000, 7) });
    assert.deepEqual([own(nested, 'large', 'byteOffset'), own(nested, 'large', 'buffer', 'byteLength')], [0, 300_000]);
  });
});
