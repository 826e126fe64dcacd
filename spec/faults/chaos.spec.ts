// A few rounds of chaos, always the same ones. More of them, and other ones: npm run chaos -- --minutes 10

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Program } from '../support/program.ts';

it('after rounds of random jobs, calls, faults, kills and endings every job has one fate, by name, and nobody and nothing is left', { timeout: 180_000 }, async () => {
  const { code, stdout, stderr } = await new Program(new URL('../fixtures/chaos.js', import.meta.url), ['--rounds', '10', '--seed', '2010']).ended;
  assert.deepEqual([code, stderr], [0, ''], stdout + stderr);
  assert.match(stdout, /^10 rounds, \d+ jobs, .* seed 2010$/m);
});
