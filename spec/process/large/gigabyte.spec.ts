// The limits of a single value: a gigabyte arrives, in both directions; what no process can hold rejects that one job. Not
// part of `npm test`, as it takes some 6 GB of memory: `npm run test:large`.

import assert from 'node:assert/strict';
import { constants } from 'node:buffer';
import { describe, it } from 'node:test';
import type { Job } from '../../fixtures/values.ts';
import { finish, poolOf } from '../../support/pool.ts';

type Values = typeof import('../../fixtures/values.ts');

const GIGABYTE = 2 ** 30;

describe('a value', () => {
  it('of 1 GB arrives whole, as a job and as a value', async t => {
    const pool = poolOf<Values>(t, 'values', { workers: 1 });
    const back = await pool.run({ bytes: GIGABYTE, of: 'Buffer' });
    assert.ok(Buffer.isBuffer(back) && back.length === GIGABYTE && back.equals(Buffer.alloc(GIGABYTE, 7)));
    const there = await pool.run({ echo: Buffer.alloc(GIGABYTE, 9) });
    assert.ok(Buffer.isBuffer(there) && there.length === GIGABYTE && there[0] === 9 && there.at(-1) === 9);
    await finish(pool);
  });

  it('that is the longest string there is arrives whole', async t => {
    const pool = poolOf<Values>(t, 'values', { workers: 1 });
    const back = await pool.run({ bytes: constants.MAX_STRING_LENGTH, of: 'string' });
    assert.ok(typeof back === 'string' && back.length === constants.MAX_STRING_LENGTH && back.endsWith('€'));
    await finish(pool);
  });

  const beyond: [what: string, job: () => Job][] = [
    ['a string longer than there is', () => ({ bytes: constants.MAX_STRING_LENGTH + 1, of: 'string' })],
    ['a buffer that its worker cannot make', () => ({ bytes: constants.MAX_LENGTH + 1, of: 'Buffer' })],
    ['a buffer of more than v8 writes', () => ({ bytes: 2 ** 32, of: 'Buffer' })],
  ];
  for (const [what, job] of beyond) {
    it(`that is too large rejects that one job: ${what}`, async t => {
      const pool = poolOf<Values>(t, 'values', { workers: 1 });
      const results = await Promise.allSettled([pool.run({ echo: 1 }), pool.run(job()), pool.run({ echo: 2 })]);
      assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
      const [, large] = results;
      assert.match(String(large?.status === 'rejected' && large.reason), /RangeError|ERR_OUT_OF_RANGE|DataCloneError|ERR_BUFFER_TOO_LARGE/);
      const { report } = await finish(pool);
      assert.deepEqual(report.workers.map(({ exitCode }) => exitCode), [0]);
    });
  }
});
