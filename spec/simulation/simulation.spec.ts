// The simulator in the gate: some thousand schedules, that a seed is all that a schedule depends on, and that its mutants are still there.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { broken } from './mutate.ts';
import { MUTANTS } from './mutants.ts';
import { SOUND } from './hosts.ts';
import { draw } from './plan.ts';
import { play } from './play.ts';
import { describe as inWords, shrink } from './shrink.ts';
import { longer as limited } from '../support/limits.ts';

const SCHEDULES = 5000;
const PROGRAM = fileURLToPath(new URL('simulate.js', import.meta.url));
const run = promisify(execFile);

describe('the simulator', () => {
  it(`finds no failure in ${SCHEDULES} schedules`, limited, async () => {
    const { stdout } = await run(process.execPath, [PROGRAM, '--schedules', String(SCHEDULES), '--seed', '20261127']).catch((error: { stdout: string }) => error); // what failed it says there
    assert.match(stdout, /\n5,000 schedules, [\d,]+ events, 0 failures, seed 20261127, [\d,]+ schedules a second\n$/);
  });

  it('gives the same trace for the same seed, event for event', limited, async () => {
    for (const seed of [3, 14, 159, 2653]) {
      const traces: string[] = [];
      for (let i = 0; i < 2; i++) {
        const lines: string[] = [];
        await play(draw(seed), line => lines.push(line));
        traces.push(lines.join('\n'));
      }
      assert.ok(traces[0]!.length > 500, 'something happened');
      assert.equal(traces[0], traces[1]);
    }
  });

  it('makes a schedule that fails smaller, and says it in words', limited, async () => {
    const wrong = { ...draw(7), workers: [], rest: SOUND, steps: [{ atMs: 3, do: 'put' as const, keys: [0, 1] }, { atMs: 5, do: 'put' as const, keys: [1] }, { atMs: 9, do: 'drain' as const }] };
    const { failure } = await play(wrong);
    assert.match(failure ?? '', /the schedule submits job 1 twice/);
    const { plan } = await shrink(wrong, failure ?? '');
    assert.deepEqual(plan.steps, [{ atMs: 0, do: 'put', keys: [1] }, { atMs: 0, do: 'put', keys: [1] }]);
    assert.match(inWords(plan), /at 0\.00 ms: \{do: put, keys: \[1\]\}/);
  });

  it('has at least 30 mutants, and the text of each is in lib/ once', () => {
    assert.ok(MUTANTS.length >= 30);
    for (const mutant of MUTANTS) assert.notEqual(broken(mutant), '');
    assert.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
  });
});
