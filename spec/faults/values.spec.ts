// G7 and its limits, as tables: whatever a job is, returns or throws, that one job is fulfilled with what it was, or
// rejected with an error that says what was wrong. No value, however hostile, touches another job, a worker or the parent.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { JobLostError } from 'drainpool';
import type { ProcessPool } from 'drainpool';
import { deep, errors, exotic, falsy, nested, sparse, thenables } from '../fixtures/values.ts';
import type { Job } from '../fixtures/values.ts';
import { limited } from '../support/limits.ts';
import { finish, poolOf } from '../support/pool.ts';
import { turns } from '../support/turns.ts';

type Values = typeof import('../fixtures/values.ts');
type Settled = { status: 'fulfilled'; value: unknown } | { status: 'rejected'; reason: unknown };

const create = (t: TestContext): ProcessPool<Values> => poolOf<Values>(t, 'values', { workers: 1 });

/** What becomes of jobs, each between two good ones: those are done, by one and the same worker. */
async function settle(t: TestContext, jobs: Job[]): Promise<Settled[]> {
  const pool = create(t);
  const settled = await Promise.allSettled(jobs.flatMap(job => [pool.run({ echo: 'before' }), pool.run(job), pool.run({ echo: 'after' })]));
  const { report } = await finish(pool);
  assert.deepEqual([report.outcome, report.workers.map(({ exitCode }) => exitCode)], ['completed', [0]]);
  for (const [i, each] of settled.entries()) {
    if (i % 3 !== 1) assert.deepEqual(each, { status: 'fulfilled', value: i % 3 === 0 ? 'before' : 'after' });
  }
  return settled.filter((_, i) => i % 3 === 1);
}

/** A value that is itself returned is asked for its `then`: a Proxy throws what it likes. */
function assertRefused(settled: Settled | undefined, what: string, isAwaited = false): void {
  assert.ok(settled?.status === 'rejected', `${what}: it arrived as ${String('value' in (settled ?? {}))}`);
  const { reason } = settled;
  assert.ok(reason instanceof Error, what);
  if (isAwaited) assert.match(reason.message, /trap|revoked|Proxy/, what);
  else assert.match(String(reason), /DataCloneError: Cannot send `(job|value)` to another process as `(job|value).*` cannot be cloned: it is /, what);
}

describe('what cannot be cloned', { concurrency: 2 }, () => {
  for (const [where, wrap] of Object.entries(nested)) {
    it(`rejects the one job that returns it, ${where}, by name`, limited, async t => {
      const names = Object.keys(exotic).filter(name => where !== 'itself' || name !== 'a promise');
      const settled = await settle(t, names.map(name => ({ exotic: name, nested: where })));
      for (const [i, name] of names.entries()) assertRefused(settled[i], name, where === 'itself' && name.includes('Proxy'));
    });

    it(`rejects the one job that it is, ${where}, by name, before that reaches a worker`, limited, async t => {
      const settled = await settle(t, Object.values(exotic).map(make => ({ echo: wrap(make()) })));
      for (const [i, name] of Object.keys(exotic).entries()) assertRefused(settled[i], name);
    });
  }
});

describe('a value', { concurrency: 2 }, () => {
  it('that is falsy arrives as it was: as a job, as a value, and as a reason', limited, async t => {
    const settled = await settle(t, [...falsy.map(value => ({ echo: value })), ...falsy.map((_, i) => ({ falsy: i }))]);
    assert.deepStrictEqual(settled.map(each => 'value' in each ? each.value : each.reason), [...falsy, ...falsy]);
    assert.deepEqual(settled.map(({ status }) => status === 'fulfilled'), [...falsy.map(() => true), ...falsy.map(() => false)]);
    const bare = poolOf<(job: unknown) => unknown>(t, 'echo');
    assert.deepStrictEqual(await Promise.all(falsy.map(value => bare.run(value))), falsy);
  });

  it('of no bytes arrives as it was', limited, async t => {
    const empty = ['', Buffer.alloc(0), [], {}, new Map(), new Set(), new Uint8Array(), new ArrayBuffer(0)];
    const settled = await settle(t, [...empty.map(value => ({ echo: value })), { bytes: 0, of: 'Buffer' }, { bytes: 0, of: 'string' }, { bytes: 0, of: 'array' }]);
    assert.deepStrictEqual(settled.map(each => 'value' in each && each.value), [...empty, Buffer.alloc(0), '', []]);
  });

  it('with the keys `__proto__` and `constructor` has them as its own, and changes nobody else', limited, async t => {
    const hostile: unknown = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1,"then":1,"hasOwnProperty":null}');
    const [there, back] = await settle(t, [{ echo: hostile }, { throw: hostile }]);
    assert.ok(there?.status === 'fulfilled' && back?.status === 'rejected');
    assert.deepStrictEqual([there.value, back.reason], [hostile, hostile]);
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  it('may be an array of four thousand million holes, in both directions, and holds nobody up', limited, async t => {
    const [there, inside, thrown] = await settle(t, [{ echo: sparse() }, { echo: new Map([[1, { holes: sparse() }]]) }, { throw: sparse() }]);
    assert.ok(there?.status === 'fulfilled' && inside?.status === 'fulfilled' && thrown?.status === 'rejected');
    for (const array of [there.value, thrown.reason]) {
      assert.ok(Array.isArray(array));
      assert.deepEqual([array.length, array[2 ** 31], Object.keys(array).length], [2 ** 32 - 1, 'far', 1]);
    }
  });

  it('that is nested 100,000 deep rejects its job, in both directions; nested 500 deep it arrives', limited, async t => {
    const settled = await settle(t, [{ echo: deep(500) }, { deep: 500 }, { echo: deep(100_000) }, { deep: 100_000 }, { throw: deep(100_000) }]);
    assert.deepEqual(settled.map(({ status }) => status), ['fulfilled', 'fulfilled', 'rejected', 'rejected', 'rejected']);
    for (const each of settled.slice(2)) assert.ok('reason' in each && each.reason instanceof Error && /DataCloneError|RangeError/.test(String(each.reason)), String('reason' in each && each.reason));
  });

  it('that is nested so deep that v8 writes it and cannot read it rejects its job, on either side', limited, async t => {
    const depths = Array.from({ length: 12 }, (_, i) => 1000 + 250 * i);
    const settled = await settle(t, depths.flatMap(depth => [{ echo: deep(depth) }, { deep: depth }]));
    for (const each of settled) assert.ok(each.status === 'fulfilled' || /RangeError|DataCloneError/.test(String(each.reason)), String('reason' in each && each.reason));
  });

  it('of 200 MB under way, the other worker does ten thousand jobs of one byte', limited, async t => {
    const pool = poolOf<Values>(t, 'values', { workers: 2 });
    await Promise.all([pool.run({ echo: 1 }), pool.run({ echo: 2 })]);
    const order: string[] = [];
    const large = pool.run({ bytes: 200_000_000, of: 'Buffer' }).then(value => { order.push('large'); return value; });
    const tiny = Promise.all(Array.from({ length: 10_000 }, (_, i) => pool.run({ echo: i % 256 }))).then(values => { order.push('tiny'); return values; });
    const value = await large;
    assert.ok(Buffer.isBuffer(value) && value.length === 200_000_000 && value.at(-1) === 7);
    assert.deepEqual(await tiny, Array.from({ length: 10_000 }, (_, i) => i % 256));
    assert.equal((await finish(pool)).report.fulfilled, 10_003);
  });
});

describe('a thenable', { concurrency: 2 }, () => {
  const expected: Record<string, unknown> = {
    'fulfils': 'value',
    'rejects': 'RangeError: refused',
    'throws': 'RangeError: thrown by then',
    'has a getter that throws': 'RangeError: thrown by its getter',
    'fulfils twice': 'value',
    'fulfils and throws': 'value',
    'has a then that is no function': { then: 7 },
  };

  it('that a work function returns is awaited, whatever its `then` does', limited, async t => {
    const names = Object.keys(thenables);
    const settled = await settle(t, names.map(thenable => ({ thenable })));
    assert.deepEqual(Object.fromEntries(settled.map((each, i) => [names[i] ?? '', 'value' in each ? each.value : String(each.reason)])), expected);
  });

  it('that never settles holds its job, and terminate loses it', limited, async t => {
    const pool = create(t);
    const [before, never, behind] = [pool.run({ echo: 1 }), pool.run({ never: true }), pool.run({ echo: 2 })];
    assert.equal(await before, 1);
    while (pool.stats().jobs.given === 0) await turns();
    await pool.terminate();
    for (const each of [never, behind]) await assert.rejects(each, JobLostError);
  });
});

describe('an error', { concurrency: 2 }, () => {
  it('with what cannot be cloned in it arrives with the rest', limited, async t => {
    const names = Object.keys(errors);
    const settled = await settle(t, names.map(error => ({ error })));
    const seen = settled.map(each => 'reason' in each ? each.reason : undefined);
    const own = (error: unknown, key: string): unknown => Reflect.get(Object(error), key);
    for (const [i, error] of seen.entries()) assert.ok(error instanceof Error, String(names[i]));
    const [cyclic, withFunctions, big, sparseOne, trapped, bare, dom] = seen;
    assert.equal(own(own(cyclic, 'cause'), 'cause'), cyclic);
    assert.deepEqual(Object.keys(Object(withFunctions)), ['code']);
    assert.equal(own(big, 'size'), 2n ** 70n);
    assert.deepEqual([own(own(sparseOne, 'holes'), 'length'), String(sparseOne)], [2 ** 32 - 1, 'Error: sparse']);
    assert.match(String(trapped), /DataCloneError.*`reason` cannot be cloned/);
    assert.deepEqual([own(bare, 'message'), own(bare, 'cause')], ['outer', undefined]);
    assert.deepEqual([dom instanceof DOMException, String(dom)], [true, 'TimeoutError: gone']);
  });
});
