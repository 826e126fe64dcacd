// G7 where it is hard: values that v8 writes and cannot read, that share objects, that are views on memory, that have
// getters, and errors that are large, deep, or of another realm. Whatever arrives is what was sent, or it is an error of its own job.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { inspect } from 'node:util';
import { serialize } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ProcessPool, WorkerStartError } from 'drainpool';
import type { PoolOptions } from 'drainpool';
import { Batch, Segments } from '../../lib/wire/batch.ts';
import { Channel, SIZES } from '../../lib/wire/channel.ts';
import { packReason } from '../../lib/wire/values.ts';
import { counting, deep, depthOf, open, shells, tagged, views } from '../fixtures/wire.ts';
import { finish, poolOf } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { limited } from '../support/limits.ts';
import { rejection } from '../support/rejection.ts';
import { turns } from '../support/turns.ts';

type Wire = typeof import('../fixtures/wire.ts');
type Loop = typeof import('../fixtures/wire-loop.ts');

const create = (t: TestContext, options: PoolOptions = {}): ProcessPool<Wire> => poolOf<Wire>(t, 'wire', { workers: 1, ...options });

const own = (value: unknown, ...keys: string[]): unknown => keys.reduce((of: unknown, key) => Reflect.get(Object(of), key), value);

/** That many objects, each in the one before: what v8 writes of it, whatever it could write itself. */
function deepBytes(levels: number): Uint8Array {
  return Buffer.concat([serialize(undefined).subarray(0, 2), ...Array.from({ length: levels }, () => Buffer.from('o"\x01a')), Buffer.from('_')]);
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
    const { stdout, stderr } = await new Program(new URL('../fixtures/small-stack.js', import.meta.url), [], { execArgv: ['--stack-size=250'] }).ended;
    const lines = stdout.trim().split('\n');
    assert.equal(stderr, '');
    assert.equal(lines.length, 100, stdout);
    for (const line of lines) assert.match(line, /^\d+ (true|rejected RangeError.*)$/);
    assert.ok(lines.filter(line => line.endsWith('true')).length >= 91, stdout);
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

  it('arrives as long as v8 can read it, whatever it is made of, also in a process that has done nothing yet', limited, async t => {
    const nests: Record<string, (value: unknown) => unknown> = {
      objects: value => ({ value }), lists: value => [value], maps: value => new Map([[1, value]]), sets: value => new Set([value]), 'lists with a key': value => Object.assign([value], { key: 1 }),
    };
    for (const [name, nest] of Object.entries(nests)) {
      let value: unknown = { at: 'the bottom' };
      for (let i = 0; i < 1000; i++) value = nest(value);
      assert.deepEqual(depthOf(await create(t).run({ echo: value })), depthOf(value), name);
    }
    let bad: unknown = () => {};
    for (let i = 0; i < 1500; i++) bad = i % 2 === 0 ? { bad } : [bad];
    await assert.rejects(create(t).run({ echo: bad }), { message: /it is a function, more than 128 levels deep in it/ });
    const endless = (): unknown => ({ get next(): unknown { return endless(); } });
    await assert.rejects(create(t).run({ echo: endless() }), { name: 'DataCloneError', message: /nested too deep/ });
    const { cyclic } = { cyclic: { deep: deep(700), again: Array.of<unknown>() } };
    cyclic.again.push(cyclic, cyclic.deep);
    const seen = await create(t).run({ echo: cyclic });
    assert.equal(own(seen, 'again', '0'), seen);
    assert.equal(own(seen, 'again', '1'), own(seen, 'deep'));
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
    while (pool.stats().jobs.given === 0) await turns();
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

describe('values of one message', { concurrency: 2 }, () => {
  it('share no object, also where it is under a key of an array that is no index', limited, async t => {
    const pool = create(t, { chunkSize: 50 });
    const shared = { hits: 0 };
    for (let n = 0; n < 100; n++) void pool.jobs.put(n % 2 === 0 ? { make: 'tagged', n } : { echo: Object.assign([n], { meta: shared, at: new Date(n) }) });
    const { results } = await finish(pool);
    const values = results.map(result => 'value' in result ? result.value : result.reason);
    for (const [n, value] of values.entries()) assert.deepStrictEqual(value, n % 2 === 0 ? tagged(n) : Object.assign([n], { meta: { hits: 0 }, at: new Date(n) }));
    assert.equal(new Set(values.map(value => own(value, 'meta'))).size, 100);
  });

  it('are each a snapshot of its own moment, wherever what changes is in them', limited, async t => {
    const pool = create(t, { chunkSize: 50 });
    const job = { get echo(): unknown { count++; return [Object.assign([count], { meta: { count } }), new Map([[count, { count }]]), new Date(count), new Set([[count]])]; } };
    let count = 0;
    for (let n = 0; n < 50; n++) void pool.jobs.put(job);
    const { results } = await finish(pool);
    for (const [i, result] of results.entries()) {
      const n = i + 1;
      assert.deepStrictEqual('value' in result && result.value, [Object.assign([n], { meta: { count: n } }), new Map([[n, { count: n }]]), new Date(n), new Set([[n]])]);
    }
  });

  it('have what v8 would write of an array: holes, keys besides the indices, no symbols, and no class of one\'s own', limited, async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo', { workers: 1 });
    const match = /(?<year>\d+)/.exec('in 2010');
    class Stack extends Array<number> {}
    const holes = Object.assign([1, , 3], { extra: { deep: [1] }, 7: 'far' });
    const arrays: [unknown, unknown][] = [
      [match, Object.assign(['2010', '2010'], { index: 3, input: 'in 2010', groups: { year: '2010' } })],
      [holes, holes],
      [Stack.from([1, 2]), [1, 2]],
      [Object.assign([1], { [Symbol('s')]: () => {} }), [1]],
      [Object.defineProperty([1], 'hidden', { value: () => {} }), [1]],
      [Object.assign([, 2], { '01': 1 }), Object.assign([, 2], { '01': 1 })],
      [[[[]]], [[[]]]],
    ];
    for (const [array, expected] of arrays) assert.deepStrictEqual(await pool.run(array), expected);
    await assert.rejects(pool.run(Object.assign([1], { url: new URL('http://localhost/') })), { name: 'DataCloneError', message: /`job\[url\]` cannot be cloned: it is of the class URL/ });
    await assert.rejects(pool.run(Object.assign([1], { list: [() => {}] })), { name: 'DataCloneError', message: /`job\[list\]\[0\]` cannot be cloned: it is a function/ });
  });

  it('that share or are cyclic inside stay so', limited, async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo', { workers: 1, chunkSize: 10 });
    const items = Array.from({ length: 100 }, (_, n) => ({ n }));
    const value: Record<string, unknown> = { get first() { return items[0]; }, items, again: items, set: new Set(items), date: new Date(1) };
    value['map'] = new Map([[items[5], value]]);
    value['dates'] = [value['date'], value['date']];
    value['error'] = new Error('inside', { cause: items[7] });
    for (const seen of await Promise.all([pool.run(value), pool.run([value])])) {
      const top = Array.isArray(seen) ? seen[0] : seen;
      assert.equal(top.first, top.items[0]);
      assert.equal(top.items, top.again);
      assert.deepEqual([...top.set], top.items);
      assert.ok([...top.set].every((item: unknown, n) => item === top.items[n]));
      assert.equal(top.map.get(top.items[5]), top);
      assert.equal(top.dates[0], top.dates[1]);
      assert.deepEqual([top.error.message, top.error.stack], ['inside', own(value, 'error', 'stack')]);
    }
  });
});

describe('a getter', { concurrency: 2 }, () => {
  it('runs once, and what it gives is what arrives: of a job, a value, one that a loop puts, `workerData`, an error', limited, async t => {
    const pool = create(t);
    const expected = (first: number): unknown => ({ id: first, list: [{ id: first + 1 }], map: new Map([['key', { id: first + 2 }]]) });
    assert.deepStrictEqual(await pool.run({ make: 'counting' }), expected(1));
    assert.deepStrictEqual(await pool.run({ make: 'counting' }), expected(4));
    assert.deepStrictEqual(await pool.run({ echo: counting() }), expected(1));
    let count = 0;
    const each = { enumerable: true, get: () => ++count };
    const array = Object.defineProperties([0, 0], { 1: each, extra: each });
    assert.deepStrictEqual(await pool.run({ echo: array }), Object.assign([0, 1], { extra: 2 }));
    assert.deepStrictEqual(await pool.run({ echo: Object.defineProperty([0, 0], 0, each) }), [3, 0]);
    assert.deepStrictEqual(await pool.run({ echo: new Set([Object.defineProperties({}, { a: each, b: each })]) }), new Set([{ a: 4, b: 5 }]));
    const withCause = Object.defineProperty(new Error('cause'), 'cause', { get: () => ++count });
    assert.deepEqual(own(await pool.run({ echo: [withCause] }), '0', 'cause'), 6);
    assert.deepEqual(own(await poolOf<(job: unknown) => unknown>(t, 'echo').run(Object.defineProperties(new Error('own'), { id: each })), 'id'), 7);
    const data = new ProcessPool<Wire>(new URL('../fixtures/wire.js', import.meta.url), { workerData: { get id() { return ++count; } } });
    t.after(() => data.terminate());
    assert.equal(count, 8);
    const error = await rejection(pool.run({ make: 'throw', what: 'getters' }));
    assert.deepEqual([own(error, 'name'), own(error, 'id')], ['Name7', 8]);
  });

  it('that is inherited, or under a symbol, is nothing to anybody', limited, async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo', { workers: 1 });
    const trap = (): never => { throw new Error('sprung'); };
    const proto = Object.defineProperties({}, { trap: { enumerable: true, get: trap }, url: { enumerable: true, value: new URL('http://localhost/') }, [Symbol.toStringTag]: { get: trap } });
    assert.deepStrictEqual(await pool.run({ in: Object.assign(Object.create(proto), { x: 1 }) }), { in: { x: 1 } });
    assert.deepStrictEqual(await pool.run(Object.assign(Object.create(null), { x: 1 })), { x: 1 });
    assert.deepStrictEqual(await pool.run([Object.assign(Object.create(new Proxy({}, { getOwnPropertyDescriptor: trap, getPrototypeOf: trap })), { x: 1 })]), [{ x: 1 }]);
    assert.deepStrictEqual(await pool.run([Object.defineProperty({ x: 1 }, Symbol('s'), { enumerable: true, get: trap })]), [{ x: 1 }]);
    const map = Object.assign(new Map([[1, 2]]), { callback() {} });
    assert.deepStrictEqual(await pool.run([map]), [new Map([[1, 2]])]);
    Object.defineProperty(Object.prototype, 'everywhere', { configurable: true, enumerable: true, value: () => {} });
    t.after(() => { Reflect.deleteProperty(Object.prototype, 'everywhere'); });
    assert.deepEqual(Object.keys(Object(await pool.run({ x: 1 }))), ['x']);
  });

  it('that throws is named, in objects and arrays', limited, async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo', { workers: 1 });
    const trap = { enumerable: true, get() { throw new Error('sprung'); } };
    await assert.rejects(pool.run({ list: [{}, Object.defineProperties({}, { good: { enumerable: true, get: () => 1 }, trap })] }), { message: /`job\.list\[1\]\.trap` cannot be cloned: it is a getter that throws sprung/ });
    await assert.rejects(pool.run({ list: Object.defineProperty([1, 2], 1, trap) }), { message: /`job\.list\[1\]` cannot be cloned: it is a getter that throws sprung/ });
    assert.deepEqual(await pool.run({}), {});
  });

  it('may not put a map, an error or a date in disguise: they stay what they are', limited, async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo', { workers: 1 });
    for (const proto of [Object.prototype, null]) {
      const seen = await pool.run([new Map([[1, 2]]), new Date(3), new Error('bare')].map(value => Object.setPrototypeOf(value, proto)));
      assert.deepStrictEqual([own(seen, '0'), own(seen, '1'), own(seen, '2', 'message')], [new Map([[1, 2]]), new Date(3), 'bare']);
    }
  });
});

describe('an object whose state is not in its keys', { concurrency: 2 }, () => {
  it('is rejected by name, in both directions, wherever it is in a value', limited, async t => {
    const pool = create(t, { stdio: ['ignore', 'inherit', 'inherit'] });
    for (const [name, make] of Object.entries(shells)) {
      const pattern = new RegExp(`cannot be cloned: it is of the class ${name === 'KeyObject' ? '\\w*KeyObject' : name}$`);
      await assert.rejects(pool.run({ make: 'shell', what: name }), { name: 'DataCloneError', message: pattern });
      await assert.rejects(pool.run({ echo: { list: [make()] } }), { name: 'DataCloneError', message: pattern });
    }
  });

  it('is none of a class of one\'s own, nor one of Node\'s that has no secrets', limited, async t => {
    const pool = create(t);
    for (const [name, make] of Object.entries(open)) {
      const expected = { ...Object(make()) };
      const seen = Object(await pool.run({ make: 'open', what: name }));
      assert.deepEqual(Object.keys(seen), Object.keys(expected), name);
      assert.deepEqual(Object.keys(Object(await pool.run({ echo: make() }))), Object.keys(expected), name);
    }
  });
});

describe('what is thrown', { concurrency: 2 }, () => {
  const thrownBy = async (t: TestContext, what: string): Promise<unknown> => rejection(create(t).run({ make: 'throw', what }));

  it('is not lost for a part of it: a list with a `map` of its own, a message that throws, a view on memory that is gone', limited, async t => {
    const listed = await thrownBy(t, 'a list of errors with ways of its own');
    assert.ok(listed instanceof Error && listed.message === 'important');
    const errors = own(listed, 'errors');
    assert.ok(Array.isArray(errors) && errors[0] instanceof TypeError && errors[1][0] instanceof Error && errors[1][1] === undefined);
    assert.deepEqual(own(listed, 'notCloned'), ['reason.errors[1][1]: a getter that throws sprung']);
    const caused = await thrownBy(t, 'a cause whose message throws');
    assert.ok(caused instanceof Error && caused.message === 'important' && caused.cause instanceof RangeError && caused.cause.message === '');
    const viewed = await thrownBy(t, 'a view on memory that is gone');
    assert.ok(viewed instanceof Error && viewed.message === 'important' && own(viewed, 'kept') === 1);
    assert.match(String(own(viewed, 'notCloned')), /reason\.view: of the class Uint8Array, on memory that is not there any more/);
  });

  it('by code of another realm is an error of this one, of the same class', limited, async t => {
    const pool = create(t);
    const of = (what: string): Promise<unknown> => rejection(pool.run({ make: 'throw', what }));
    const error = await of('an error of another realm');
    assert.ok(error instanceof TypeError && error.cause instanceof RangeError);
    assert.deepEqual([error.message, error.cause.message, own(error, 'code')], ['of another realm', 'inner', 'E_REALM']);
    const aggregate = await of('an aggregate of another realm');
    assert.ok(aggregate instanceof AggregateError && aggregate.errors[0] instanceof TypeError);
    const broken = await of('a class of another realm');
    assert.ok(broken instanceof RangeError && broken.name === 'Broken');
    const bare = await of('a bare error of another realm');
    assert.ok(bare instanceof EvalError && bare.message === 'bare');
    const dom = await of('a DOMException of no realm');
    assert.ok(dom instanceof DOMException && dom.name === 'AbortError' && dom.message === 'gave up');
    const returned = await pool.run({ echo: runInNewContext('new SyntaxError("job")') });
    assert.ok(returned instanceof SyntaxError);
  });

  it('arrives however hostile it is, and if all fails as a plain string', limited, async t => {
    assert.match(String(await thrownBy(t, 'evil')), /DataCloneError.*`reason` cannot be cloned: it is a Proxy/);
    assert.equal(own(await thrownBy(t, 'an evil error'), 'message'), 'evil');
    const named = await thrownBy(t, 'a name that has no string');
    assert.ok(named instanceof TypeError && named.message === 'kept');
    const pool = create(t);
    assert.equal(await rejection(pool.run({ make: 'sabotage' })), 'Something was thrown that cannot be sent, nor can it be said why');
    assert.equal(packReason('text'), 'text');
  });

  it('loses what cannot be cloned and keeps the rest, at any depth, and says what it lost', limited, async t => {
    const pool = create(t);
    const of = (what: string): Promise<unknown> => rejection(pool.run({ make: 'throw', what }));
    const reason = await of('a function inside');
    assert.deepEqual(reason, {
      code: 'X', inner: { kept: [1, undefined, 3] }, map: new Map([['kept', 1]]), set: new Set([1]),
      notCloned: ['reason.fn: a function', 'reason.inner.kept[1]: a function', 'reason.inner.mark: a symbol', "reason.map.get('lost'): a function", 'reason.map: of the class Map, with a key that cannot be cloned', 'reason.set.values(): a function'],
    });
    assert.match(inspect(reason), /reason\.fn: a function/);
    assert.deepEqual(await of('a trap inside'), { code: 'X', notCloned: ['reason.trap: a getter that throws sprung'] });
    assert.deepEqual(await of('a list with a function'), Object.assign([1, undefined, {}], { notCloned: ['reason[1]: a function', 'reason[2].url: of the class URL'] }));
    assert.deepEqual(await of('a note of its own'), { notCloned: 'mine' });
    const map = await of('a Map');
    assert.deepEqual([map instanceof Map && [...map], own(map, 'notCloned')], [[['kept', 1]], ["reason.get('fn'): a function"]]);
    const notes = own(await of('a hundred functions'), 'notCloned');
    assert.ok(Array.isArray(notes) && notes.length === 31 && notes[30] === 'and more');
    await assert.rejects(pool.run({ make: 'shell', what: 'Hash' }), { name: 'DataCloneError' }, 'a value does not');
  });

  it('keeps its message and the first of its causes, however long their chain is', limited, async t => {
    const pool = create(t, { execArgv: ['--stack-size=300'] });
    for (const what of ['a chain of causes', 'a long chain of causes', 'endless causes']) {
      let error = await rejection(pool.run({ make: 'throw', what }));
      assert.equal(own(error, 'message'), what === 'endless causes' ? 'endless' : 'cause 0');
      assert.match(String(own(error, 'notCloned')), /^reason(\.cause)+: one error too many$/);
      for (let i = 0; i <= 250; i++, error = own(error, 'cause')) {
        assert.ok(what === 'endless causes' ? error instanceof Error : error instanceof RangeError);
        if (what !== 'endless causes') assert.equal(own(error, 'message'), `cause ${i}`);
      }
      assert.equal(error, undefined);
    }
    const aggregate = await rejection(pool.run({ make: 'throw', what: 'aggregates' }));
    assert.ok(aggregate instanceof AggregateError && aggregate.errors[0] instanceof AggregateError && aggregate.errors[1] instanceof TypeError);
    assert.equal(aggregate.message, 'aggregate 1999');
    const many = await rejection(pool.run({ make: 'throw', what: 'many errors' }));
    assert.ok(many instanceof AggregateError && many.errors[9998] instanceof Error && many.errors[9999] === undefined);
    const lists = await rejection(pool.run({ make: 'throw', what: 'lists of errors' }));
    assert.equal(own(lists, 'list', '0', 'message'), '4999');
  });

  it('keeps its message where a property or a cause is too deep, and that down to where it is', limited, async t => {
    const pool = create(t, { execArgv: ['--stack-size=300'] });
    const of = (what: string): Promise<unknown> => rejection(pool.run({ make: 'throw', what }));
    const error = await of('a deep property');
    assert.deepEqual([own(error, 'message'), own(error, 'code'), depthOf(own(error, 'tree'))], ['deep', 'E_DEEP', 51]);
    assert.match(String(own(error, 'notCloned')), /^reason\.tree.*: nested too deep$/);
    assert.deepEqual([own(await of('a deep cause'), 'message'), depthOf(own(await of('a deep cause'), 'cause'))], ['deep', 51]);
    const object = await of('a deep object');
    assert.equal(own(object, 'code'), 'X');
    assert.match(String(own(object, 'notCloned')), /nested too deep/);
  });

  it('has no bare shells in it, at any depth', limited, async t => {
    const error = await thrownBy(t, 'a URL in its cause');
    assert.deepEqual([own(error, 'message'), own(error, 'cause'), own(error, 'notCloned')], ['kept', { status: 404 }, ['reason.cause.url: of the class URL']]);
    const other = await thrownBy(t, 'a Hash in it');
    assert.deepEqual([own(other, 'context'), Object.keys(Object(other))], [{ list: [undefined, 1] }, ['context']]);
    assert.deepEqual(own(other, 'notCloned'), ['reason.context.list[0]: of the class Hash', 'reason.callback: a function']);
  });
});

describe('a channel', () => {
  const create = (): Channel<{ type: string }, { type: string }> => new Channel({ send: () => true, on() {} }, { incoming: 'a', outgoing: 'b' }, SIZES);

  it('gives the error of a reason that is too deep as the reason; what is no value at all is an error of its own', () => {
    assert.ok(create().readReason(deepBytes(100_000)) instanceof RangeError);
    assert.equal(create().readReason('why'), 'why');
    assert.throws(() => create().readReason(Uint8Array.of(255, 15, 99)), { name: 'Error' });
    assert.throws(() => create().readReason({ next: 'packed' }), { name: 'RangeError', message: /did not come before its message/ });
  });

  it('keeps the values of a message apart, also where the stack ends in the middle of writing one', () => {
    const channel = create();
    const batch = new Batch();
    const written: number[] = [];
    const dive = (depth: number): void => {
      try {
        channel.encode({ depth, list: deep(28) }, 'value', batch);
        written.push(depth);
        dive(depth + 1);
      } catch {
        // there is no more room on the stack
      }
    };
    dive(0);
    assert.ok(written.length > 10);
    for (let n = 0; n < 3; n++) if ('next' in Object(channel.encode({ depth: -1, list: [] }, 'value', batch))) written.push(-1);
    const segments = new Segments(batch.finish());
    for (const depth of written) assert.equal(own(segments.read(), 'depth'), depth);
    assert.throws(() => segments.read(), RangeError);
  });
});
