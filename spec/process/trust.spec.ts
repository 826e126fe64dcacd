// What the README says under Trust, and what no other spec shows: the way into a worker, and what it is told.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { limited } from '../support/limits.ts';
import { poolOf } from '../support/pool.ts';

describe('a worker', () => {
  it('is reached by descriptors that nobody else can open: no socket with an address, no file', limited, async t => {
    const { TMPDIR } = process.env;
    const folder = mkdtempSync(join(tmpdir(), 'drainpool-trust-'));
    process.env['TMPDIR'] = folder;
    t.after(() => {
      if (TMPDIR === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = TMPDIR;
      rmSync(folder, { recursive: true });
    });
    const pool = poolOf<typeof import('../fixtures/sockets.ts')>(t, 'sockets', { stdio: 'ignore', workers: 1 });
    const { held, addressed } = await pool.run(undefined);
    assert.ok(held > 0);
    assert.deepEqual(addressed, []);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('has the environment that the option says, and not a variable more', limited, async t => {
    for (const env of [{}, { A: '1' }]) {
      const pool = poolOf<(job: null) => { env: NodeJS.ProcessEnv }>(t, 'surroundings', { env });
      assert.deepEqual((await pool.run(null)).env, env);
    }
  });
});
