// G7: values arrive as they were, in both directions; errors keep what makes them useful; what cannot be cloned
// rejects that one job, with a word on what and where.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ProcessPool } from 'drainpool';
import { fixture, finish, poolOf, workPool } from '../support/pool.ts';
import { rejection } from '../support/rejection.ts';

const cyclic: Record<string, unknown> = { name: 'cyclic' };
cyclic['self'] = cyclic;

const values: Record<string, unknown> = {
  'undefined': undefined,
  'null': null,
  'NaN': NaN,
  'minus zero': -0,
  'a bigint': 2n ** 70n,
  'a boolean': false,
  'an empty string': '',
  'a string of lone surrogates': '\ud800',
  'a string of three megabytes': 'é'.repeat(3_000_000),
  'a sparse array': [, 1, , 2],
  'a Map and a Set': new Map<unknown, unknown>([['a', new Set([1, { b: 2 }])], [{ key: true }, null]]),
  'a Date and a RegExp': [new Date(0), /a+/giu],
  'typed arrays': [new Float64Array([1.5, NaN]), new Uint8Array([1, 2]), new BigInt64Array([-1n]), new DataView(new ArrayBuffer(4))],
  'an ArrayBuffer': new Uint8Array([1, 2, 3]).buffer,
  'a Buffer of none': Buffer.alloc(0),
  'a Buffer of five megabytes': Buffer.alloc(5_000_000, 'drain'),
  'a cyclic object': cyclic,
  'an object that looks like the sentinel': { type: 'end-of-jobs' },
  'an object that looks like a large value': { next: 'packed' },
  'an object that looks like a rejection': { rejected: 1, reason: 2, done: true, value: 3 },
  'an array that looks like a message': ['brand', { type: 'stop' }],
  'an object with the key __proto__': JSON.parse('{"__proto__": {"polluted": true}}'),
  'an error': new SyntaxError('as a value', { cause: 1 }),
};

describe('a value', () => {
  it('arrives as it was, there and back, whatever it is', async t => {
    const pool = workPool(t);
    for (const value of Object.values(values)) void pool.jobs.put({ do: 'echo', value });
    const { results } = await finish(pool);
    assert.equal(results.length, Object.keys(values).length);
    for (const [i, name] of Object.keys(values).entries()) {
      const result = results[i];
      assert.equal(result?.status, 'fulfilled', name);
      assert.deepStrictEqual('value' in result ? result.value : result, values[name], name);
    }
  });

  it('is itself a job: null, undefined, NaN and what looks like the sentinel', async t => {
    const echo = new ProcessPool<(job: unknown) => unknown>(fixture('echo'), { workers: 1 });
    t.after(() => echo.terminate());
    const jobs = [null, undefined, NaN, { type: 'end-of-jobs' }, { type: 'stop' }, 0, ''];
    for (const job of jobs) void echo.jobs.put(job);
    const { results, report } = await finish(echo);
    assert.deepStrictEqual(results.map(result => 'value' in result && result.value), jobs);
    assert.equal(report.fulfilled, jobs.length);
  });

  it('may be a buffer of 20 MB or a string of as many', async t => {
    const pool = workPool(t);
    void pool.jobs.put({ do: 'return', what: 'buffer', bytes: 20_000_000 });
    void pool.jobs.put({ do: 'return', what: 'string', bytes: 10_000_000 });
    void pool.jobs.put({ do: 'echo', value: Buffer.alloc(20_000_000, 9) });
    const { results } = await finish(pool);
    const [buffer, string, echoed] = results.map(result => 'value' in result ? result.value : undefined);
    assert.ok(Buffer.isBuffer(buffer) && buffer.equals(Buffer.alloc(20_000_000, 5)));
    assert.equal(string, 'é'.repeat(10_000_000));
    assert.ok(Buffer.isBuffer(echoed) && echoed.equals(Buffer.alloc(20_000_000, 9)));
  });

  it('is a snapshot: the array that a work function returns again and again, and a job that is changed after it was given', async t => {
    const pool = new ProcessPool<typeof import('../fixtures/same-array.ts')>(fixture('same-array'), { workers: 1 });
    t.after(() => pool.terminate());
    const shared = { n: 0 };
    const given: Promise<number[]>[] = [];
    for (shared.n = 1; shared.n <= 3; shared.n++) {
      given.push(pool.run(shared));
      await given.at(-1);
    }
    assert.deepEqual(await Promise.all(given), [[1], [1, 2], [1, 2, 3]]);
  });

  it('that is a typed array has a `buffer` of its own', async t => {
    const value = await workPool(t).run({ do: 'echo', value: new Float64Array([1, 2, 3]) });
    assert.ok(value instanceof Float64Array);
    assert.deepEqual([value.buffer.byteLength, value.byteOffset, [...value]], [24, 0, [1, 2, 3]]);
  });

  it('that is returned as a thenable is what it resolves to', async t => {
    assert.equal(await workPool(t).run({ do: 'return', what: 'thenable' }), 'thenable');
  });
});

describe('an error', () => {
  it('keeps class, name, message, the worker\'s stack, cause and own properties, also where it is cyclic', async t => {
    const error = await rejection(workPool(t).run({ do: 'throw', what: 'custom' }));
    assert.ok(error instanceof RangeError);
    assert.equal(error.name, 'BrokenPart');
    assert.equal(error.message, 'part 7 is broken');
    assert.match(error.stack ?? '', /part 7 is broken\n.*thrown.*work\./s);
    assert.ok(error.cause instanceof TypeError);
    assert.equal(error.cause.message, 'a cause');
    assert.equal(Reflect.get(error, 'code'), 'E_PART');
    assert.deepEqual(Reflect.get(error, 'part'), { id: 7, tags: new Set(['a']) });
    assert.equal(Reflect.get(error, 'again'), error);
    assert.equal('describe' in error, false);
  });

  it('keeps the errors of an AggregateError, each with its class and cause', async t => {
    const error = await rejection(workPool(t).run({ do: 'throw', what: 'aggregate' }));
    assert.ok(error instanceof AggregateError);
    assert.ok(error.errors[0] instanceof TypeError);
    assert.deepEqual(error.errors.slice(0, 2).map(each => each.message), ['first', 'second']);
    assert.equal(error.errors[1].cause, 'text');
    assert.deepEqual(error.errors.slice(2), [undefined], 'a function has no place on the other side');
  });

  it('of the class DOMException stays one', async t => {
    const error = await rejection(workPool(t).run({ do: 'throw', what: 'dom' }));
    assert.ok(error instanceof DOMException);
    assert.deepEqual([error.name, error.message, error.code], ['AbortError', 'gave up', 20]);
  });

  it('of the system keeps code, errno and syscall, and they show', async t => {
    const error = await rejection(workPool(t).run({ do: 'throw', what: 'system' }));
    assert.ok(error instanceof Error);
    assert.deepEqual({ ...error }, { code: 'ENOENT', errno: -2, syscall: 'open' });
  });

  it('that is none arrives as itself: undefined, or an object', async t => {
    const pool = workPool(t);
    assert.equal(await rejection(pool.run({ do: 'throw', what: 'undefined' })), undefined);
    assert.deepEqual(await rejection(pool.run({ do: 'throw', what: 'object' })), { status: 404 });
  });

  it('with a getter that throws, or without a class, arrives with what is left of it', async t => {
    const pool = workPool(t);
    const trapped = await rejection(pool.run({ do: 'throw', what: 'getter' }));
    assert.ok(trapped instanceof Error);
    assert.equal(trapped.message, 'has a getter');
    const nameless = await rejection(pool.run({ do: 'throw', what: 'nameless' }));
    assert.ok(nameless instanceof Error);
  });

  it('that was returned is a value', async t => {
    const value = await workPool(t).run({ do: 'return', what: 'error' });
    assert.ok(value instanceof RangeError);
    assert.equal(value.message, 'returned, not thrown');
  });
});

describe('what cannot be cloned', () => {
  const returned: [what: string, where: RegExp][] = [
    ['function', /Cannot send `value`.*`value\.list\[1\]\.callback` cannot be cloned: it is a function/],
    ['symbol', /`value` cannot be cloned: it is a symbol/],
    ['promise-inside', /`value\.inner` cannot be cloned: it is of the class Promise/],
    ['getter', /`value\.trap` cannot be cloned: it is a getter that throws sprung/],
    ['map', /`value\.get\('key'\)\.values\(\)` cannot be cloned: it is a function/],
    ['hostile getter', /`value\.trap` cannot be cloned: it is a getter that throws \[Object: null prototype\] {}/],
    ['cyclic-graph', /`value\[2\]\.callback` cannot be cloned: it is a function/],
    ['cyclic-map', /`value` cannot be cloned: it is of the class Map/],
    ['deep-function', /`value(\.deeper){31}` cannot be cloned: it is of the class Object/],
    ['cyclic-function', /`value\.deep\.callback` cannot be cloned: it is a function/],
  ];
  for (const [what, where] of returned) {
    it(`rejects the one job that returned it, with what and where: ${what}`, async t => {
      const pool = workPool(t, { workers: 1 });
      const before = pool.run({ do: 'echo', value: 'before' });
      const error = await rejection(pool.run({ do: 'return', what }));
      assert.ok(error instanceof DOMException, String(error));
      assert.equal(error.name, 'DataCloneError');
      assert.match(error.message, where);
      assert.deepEqual([await before, await pool.run({ do: 'echo', value: 'after' })], ['before', 'after']);
    });
  }

  it('is also what some Node versions would make a bare `{}` of: rejected by name on all of them, however deep', async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo');
    const deep: [value: unknown, where: RegExp][] = [
      [new Blob(['text']), /`job` cannot be cloned: it is of the class Blob/],
      [{ list: [1, new URL('http://localhost/')] }, /`job\.list\[1\]` .* class URL/],
      [new Map([['key', new Headers()]]), /`job\.get\('key'\)` .* class Headers/],
      [new Map([[new URLSearchParams(), 1]]), /`job` .* class Map/],
      [new Set([AbortSignal.abort()]), /`job\.values\(\)` .* class AbortSignal/],
      [{ why: new DOMException('gone', 'AbortError') }, /`job\.why` .* class DOMException/],
    ];
    for (const [value, where] of deep) await assert.rejects(pool.run(value), { name: 'DataCloneError', message: where });
  });

  it('is not an object of a class of one\'s own, whatever it calls itself: its fields arrive', async t => {
    class Point {
      x = 1;
      get [Symbol.toStringTag](): string { return 'Point'; }
    }
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo');
    assert.deepEqual(await pool.run(new Point()), { x: 1 });
    assert.deepEqual(await pool.run({ [Symbol.toStringTag]: 'URL' }), {});
    const big = Object(1n);
    assert.deepEqual(await pool.run([big, new Set([1]), new Map([[1, new Set()]])]), [big, new Set([1]), new Map([[1, new Set()]])]);
  });

  it('rejects the one job that it is in, before that reaches a worker', async t => {
    const pool = workPool(t, { workers: 1 });
    void pool.jobs.put({ do: 'echo', value: 1 });
    void pool.jobs.put({ do: 'echo', value: { at: [() => {}] } });
    void pool.jobs.put({ do: 'echo', value: 3 });
    const { results, report } = await finish(pool);
    assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
    assert.match(String(results[1] && 'reason' in results[1] && results[1].reason), /DataCloneError.*`job\.value\.at\[0\]` cannot be cloned: it is a function/);
    assert.equal(report.rejected, 1);
  });

  it('takes the place of the reason if it was thrown', async t => {
    assert.match(String(await rejection(workPool(t).run({ do: 'throw', what: 'function' }))), /DataCloneError.*`reason` cannot be cloned: it is a function/);
  });

  it('makes the constructor throw if it is `workerData`', () => {
    assert.throws(() => new ProcessPool(fixture('echo'), { workerData: { log() {} } }), /`workerData\.log` cannot be cloned/);
  });
});
