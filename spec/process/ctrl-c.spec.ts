// Ctrl-C, in every phase of a pool's life: one table, a row a test, the fate of the jobs written down before.
// Each program is a process group of its own; a press is SIGINT to the group, as from a terminal.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Program } from '../support/program.ts';

const fixture = new URL('../fixtures/ctrl-c.js', import.meta.url);

/** Each program puts 2 quick jobs for each worker and then 3 long ones (100 if they are large); in the phase `teardown` none. */
interface Phase {
  name: string;
  /** The word that says that it is in the phase, once, or once for each worker. */
  word: RegExp;
  perWorker: boolean;
  /** What became of the jobs, for n workers; undefined where it depends on the moment. */
  fulfilled: (n: number) => number | undefined;
  lost: (n: number) => number | undefined;
}

const phases: Phase[] = [
  { name: 'starting', word: /^put/m, perWorker: false, fulfilled: () => 0, lost: () => 0 },
  { name: 'async', word: /^started async/m, perWorker: true, fulfilled: n => 2 * n, lost: n => n },
  { name: 'busy', word: /^started busy/m, perWorker: true, fulfilled: n => 2 * n, lost: n => n },
  { name: 'large', word: /^started large/m, perWorker: false, fulfilled: () => undefined, lost: () => undefined },
  { name: 'teardown', word: /^teardown began/m, perWorker: true, fulfilled: n => 2 * n, lost: () => 0 },
  { name: 'drain', word: /^printed/m, perWorker: false, fulfilled: n => 2 * n, lost: n => n },
];
const presses = [{ name: 'one press', times: 1, gapMs: 0 }, { name: 'two presses 300 ms apart', times: 2, gapMs: 300 }, { name: 'a hundred presses in 300 ms', times: 100, gapMs: 3 }];
const readings = ['for-await', 'drain'];

// Every order of presses and messages is the simulator's: here are the signals of a terminal, in each phase.
const rows = phases.flatMap(phase => presses.flatMap(press => readings.flatMap(reading => (press.times === 1 ? [1, 3] : [3]).map(workers => ({ phase, press, reading, workers })))))
  .filter(({ press, reading }) => press.times === 1 || reading === 'for-await');
for (const phase of phases.filter(({ name }) => name === 'async')) {
  for (const press of presses.slice(0, 1)) rows.push({ phase, press, reading: 'drain', workers: 100 });
}

describe('Ctrl-C', { concurrency: 2 }, () => {
  for (const { phase, press, reading, workers } of rows) {
    it(`in the phase ${phase.name}, ${press.name}, ${workers} workers, read by ${reading}`, async () => {
      const program = new Program(fixture, [phase.name, String(workers), reading]);
      if (phase.name === 'drain') {
        await program.says(/^started drain/m, workers);
        await program.press();
      }
      await program.says(phase.word, phase.perWorker ? workers : 1);
      await program.press(press);
      const { code, signal, stdout, stderr } = await program.ended;

      assert.equal(stderr, '');
      if (press.times === 1 && phase.name !== 'drain') assert.equal(code, 130, stdout);
      else assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal} ${stdout}`);

      const report = JSON.parse(/^\{.*\}$/m.exec(stdout)?.[0] ?? '{}');
      assert.equal(report.outcome, 'interrupted');
      assert.equal(report.signal, 'SIGINT');
      assert.equal(report.exitCode, 130);
      const submitted = phase.name === 'teardown' ? 2 * workers : phase.name === 'large' ? 102 * workers : 5 * workers;
      assert.equal(report.submitted, submitted);
      assert.equal(report.fulfilled + report.rejected + report.lost + report.pending, submitted);
      assert.equal(report.rejected, 0);
      assert.equal(report.fulfilled, phase.fulfilled(workers) ?? report.fulfilled);
      assert.equal(report.lost, phase.lost(workers) ?? report.lost);
      assert.ok(report.lost <= workers, `${report.lost} jobs are lost`);
      assert.deepEqual([report.results, report.whole, report.ids], [report.fulfilled, report.fulfilled, report.fulfilled]);
      const started = stdout.match(/^started /gm)?.length ?? 0;
      const reported = report.lost + report.long;
      assert.ok(started <= reported, `${started} jobs started, and the report speaks of ${reported}`);
      if (phase.name === 'teardown') {
        const ended = stdout.match(/^teardown ended/gm)?.length ?? 0;
        assert.equal(ended, press.times === 1 ? workers : 0);
      }
    });
  }
});
