// The samples that replay the posts, run as a visitor does: to their end, and through Ctrl-C in the moment that their
// first lines speak of. Whole outputs are compared, without pids.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { Program } from '../support/program.ts';
import type { Ended } from '../support/program.ts';
import { limited } from '../support/limits.ts';

const QUICK = ['--job-ms', '100'];
/** No machine stands still for so long between a job's first word and the press. */
const LONG = ['--job-ms', '3000'];
const JOBS = [1, 2, 3, 4, 5, 6];

/** Each test takes a few seconds: after this long something hangs. */
function start(t: TestContext, name: string, args: readonly string[]): Program {
  const path = name.endsWith('.ts') ? `../../../samples/${name}` : `../../samples/${name}.js`;
  const program = new Program(new URL(path, import.meta.url), args);
  t.after(() => program.kill('SIGKILL'));
  return program;
}

/** The compiled sample, and its source where Node strips types by itself. */
function each(name: string): string[] {
  return Reflect.get(process.features, 'typescript') === 'strip' ? [name, `${name}.ts`] : [name];
}

/** Its lines without pids, sorted: workers speak in any order, and finish in any order. */
function said({ stdout }: { stdout: string }): string[] {
  assert.ok(stdout.endsWith('\n'));
  return stdout.slice(0, -1).replace(/\bworker \d+/g, 'worker N').split('\n').sort();
}

/** The end of a program whose streams nobody holds any more: nobody is left, and nothing is on stderr. */
async function quietEnd(program: Program): Promise<Ended> {
  const ended = await program.ended;
  assert.equal(ended.stderr, '');
  return ended;
}

const starts = (job: number): string => `worker N starts job ${job}`;
const done = (job: number): string => `job ${job} was done by worker N`;
const lastLine = ({ stdout }: Ended): string => stdout.split('\n').at(-2) ?? '';

describe('six-jobs', { concurrency: true }, () => {
  /** What it must have said: a start and a result for each job, but for those that its last line calls lost or pending. */
  function assertAccounts(ended: Ended, outcome: string): { lost: number[]; pending: number[] } {
    const summary = new RegExp(`^${outcome}: (\\d) done; lost: (none|[\\d ]+); pending: (none|[\\d ]+)$`).exec(lastLine(ended));
    const [fulfilled, lost, pending] = (summary ?? assert.fail(ended.stdout)).slice(1)
      .map(numbers => numbers.split(' ').filter(number => number !== 'none').map(Number));
    const kept = JOBS.filter(job => !lost!.includes(job) && !pending!.includes(job));
    assert.deepEqual(fulfilled, [kept.length]);
    const started = JOBS.filter(job => !pending!.includes(job));
    assert.deepEqual(said(ended), [...started.map(starts), ...kept.map(done), lastLine(ended)].sort());
    return { lost: lost!, pending: pending! };
  }

  it('prints six results', limited, async t => {
    for (const name of each('six-jobs')) {
      const ended = await quietEnd(start(t, name, QUICK));
      assert.deepEqual(assertAccounts(ended, 'completed'), { lost: [], pending: [] });
      assert.equal(ended.code, 0);
    }
  });

  it('prints three results and loses three jobs on Ctrl-C in the second round', limited, async t => {
    const program = start(t, 'six-jobs', LONG);
    await program.says(/starts job/, 6);
    await program.press();
    const ended = await quietEnd(program);
    assert.deepEqual(assertAccounts(ended, 'interrupted'), { lost: [4, 5, 6], pending: [] });
    assert.equal(ended.code, 130);
  });

  it('starts no job after Ctrl-C in the first round: three are lost, three pending', limited, async t => {
    const program = start(t, 'six-jobs', LONG);
    await program.says(/starts job/, 3);
    await program.press({ times: 5 });
    const ended = await quietEnd(program);
    assert.deepEqual(assertAccounts(ended, 'interrupted'), { lost: [1, 2, 3], pending: [4, 5, 6] });
    // Under load the last of the five may come when all has been told, and Ctrl-C is the program's own again.
    assert.ok(ended.code === 130 || ended.signal === 'SIGINT', `${ended.code} ${ended.signal}`);
  });
});

describe('pool-that-swallows', { concurrency: true }, () => {
  const SURVIVES = 'the parent survives Ctrl-C';
  /** Node's word on promises that stay pending. Node 20 has none, but for the exit code. */
  const UNSETTLED = /^(?:Warning: Detected unsettled top-level await at [^]*)?$/;

  it('prints six results, in the order of the jobs', limited, async t => {
    for (const name of each('pool-that-swallows')) {
      const ended = await quietEnd(start(t, name, QUICK));
      assert.deepEqual(said(ended), [...JOBS.map(starts), ...JOBS.map(done)].sort());
      assert.match(ended.stdout, new RegExp(`\n${JOBS.map(job => `job ${job} was done by worker \\d+\n`).join('')}$`));
      assert.equal(ended.code, 0);
    }
  });

  it('takes the next jobs, in new workers, after Ctrl-C in the first round, and prints no result', limited, async t => {
    const program = start(t, 'pool-that-swallows', LONG);
    await program.says(/starts job/, 3);
    await program.press();
    const { code, stdout, stderr } = await program.ended;
    const [before = '', after = ''] = stdout.split(`${SURVIVES}\n`);
    assert.deepEqual(said({ stdout: before }), [1, 2, 3].map(starts));
    assert.deepEqual(said({ stdout: after }), [4, 5, 6].map(starts));
    assert.equal(new Set(stdout.match(/worker \d+/g)).size, 6);
    assert.match(stderr, UNSETTLED);
    assert.equal(code, 13);
  });

  it('prints no result after Ctrl-C in the second round, though three were there', limited, async t => {
    const program = start(t, 'pool-that-swallows', LONG);
    await program.says(/starts job/, 6);
    await program.press();
    const ended = await program.ended;
    assert.deepEqual(said(ended), [...JOBS.map(starts), SURVIVES].sort());
    assert.match(ended.stderr, UNSETTLED);
    assert.equal(ended.code, 13);
  });

  it('dies with all results where nobody is shielded', limited, async t => {
    const program = start(t, 'pool-that-swallows', [...LONG, '--shield', 'nobody']);
    await program.says(/starts job/, 6);
    await program.press();
    const ended = await quietEnd(program);
    assert.deepEqual(said(ended), JOBS.map(starts));
    assert.equal(ended.signal, 'SIGINT');
  });

  it('does not stop at all where everybody is shielded', limited, async t => {
    const program = start(t, 'pool-that-swallows', ['--job-ms', '1000', '--shield', 'everybody']);
    await program.says(/starts job [123]\n/, 3);
    await program.press();
    const ended = await quietEnd(program);
    assert.deepEqual(said(ended), [...JOBS.map(starts), ...JOBS.map(done), SURVIVES].sort());
    assert.equal(ended.code, 0);
  });
});

describe('map-until-interrupt', { concurrency: true }, () => {
  const NUMBERS = [1, 2, 3, 4, 5, 6, 7, 8, 9];

  /** What it must have said, going by its last line: a start for each square and each job that ran. */
  function assertSquares(ended: Ended, outcome: string, running: number): number {
    const squares = lastLine(ended).replace(`${outcome}: `, '').split(' ');
    const kept = NUMBERS.filter(n => squares[n - 1] === String(n * n));
    assert.deepEqual(squares, NUMBERS.map(n => kept.includes(n) ? String(n * n) : '-'));
    const dones = [...ended.stdout.matchAll(/^(\d) of 9 done: the square of (\d) is (\d+)$/gm)]
      .map(match => match.slice(1).map(Number));
    assert.deepEqual(dones.map(([count]) => count), kept.map((_, i) => i + 1));
    assert.deepEqual(dones.map(([, n, square]) => [n, square]).sort(), kept.map(n => [n, n * n]));
    const begun = NUMBERS.slice(0, kept.length + running);
    assert.deepEqual(said(ended).filter(line => line.startsWith('worker')), begun.map(n => `worker N squares ${n}`));
    assert.equal(ended.stdout.split('\n').length - 1, 2 * kept.length + running + 1);
    return kept.length;
  }

  it('prints nine squares', limited, async t => {
    for (const name of each('map-until-interrupt')) {
      const ended = await quietEnd(start(t, name, QUICK));
      assert.equal(assertSquares(ended, 'completed', 0), 9);
      assert.equal(ended.code, 0);
    }
  });

  it('has the squares that were done in hand on Ctrl-C, and gaps', limited, async t => {
    const program = start(t, 'map-until-interrupt', LONG);
    await program.says(/3 of 9 done/);
    await program.says(/squares \d\n/, 6);
    await program.press();
    const ended = await quietEnd(program);
    assert.equal(assertSquares(ended, 'interrupted', 3), 3);
    assert.equal(lastLine(ended), 'interrupted: 1 4 9 - - - - - -');
    assert.equal(ended.code, 130);
  });
});

describe('init-worker', { concurrency: true }, () => {
  const PRIMES = [9592, 8392, 8013, 7863, 7678, 7560];
  const TABLE = /^(worker \d+) has a table of 49098 primes$/gm;

  /** What it must have said: one table for each worker, before its first job; and, of these jobs, starts and counts. */
  function assertCounts(ended: Ended, last: string, begun: number, counted: number): void {
    const jobs = [...ended.stdout.matchAll(/^(worker \d+) counts from (\d)(?:00000)?$/gm)];
    const tables = [...ended.stdout.matchAll(TABLE)];
    assert.equal(new Set(tables.map(([, worker]) => worker)).size, tables.length);
    for (const [, worker, , index = 0] of jobs.map(job => [...job, job.index])) {
      assert.ok(tables.some(table => table[1] === worker && table.index < Number(index)), ended.stdout);
    }
    assert.deepEqual(jobs.map(([, , from]) => Number(from)).sort(), JOBS.slice(0, begun).map(job => job - 1));
    const counts = PRIMES.slice(0, counted).map((primes, i) => `${primes} primes from ${i * 100_000} on\n`);
    assert.ok(ended.stdout.endsWith(`\n${counts.join('')}${last}\n`), ended.stdout);
    assert.equal(ended.stdout.split('\n').length - 1, tables.length + jobs.length + counted + 1);
  }

  it('sets each worker up once, and prints six counts', limited, async t => {
    for (const name of each('init-worker')) {
      const ended = await quietEnd(start(t, name, QUICK));
      assertCounts(ended, 'completed: 6 of 6 counted', 6, 6);
      assert.equal(ended.code, 0);
    }
  });

  it('ends its join on Ctrl-C, and prints the counts that were done', limited, async t => {
    const program = start(t, 'init-worker', LONG);
    await program.says(/counts from/, 6);
    await program.press();
    const ended = await quietEnd(program);
    assertCounts(ended, 'interrupted: 3 of 6 counted', 6, 3);
    assert.equal(ended.code, 130);
  });
});

describe('large-objects', () => {
  const HEAD = '   items of   trusting "empty"   with sentinels\n';

  it('shows that sentinels lose nothing up to 64 MB, and trust does', limited, async t => {
    const { code, stdout } = await quietEnd(start(t, 'large-objects', ['--cell-ms', '1']));
    const rows = [1, 64, 256, 1024, 16384].map(kB => ` +${kB} kB +\\d+ % +100 %\n`);
    assert.match(stdout, new RegExp(`^${HEAD}${rows.join('')} +65536 kB +0 % +100 %\n$`));
    assert.equal(code, 0);
  });

  it('says so where it cannot show it', limited, async t => {
    for (const name of each('large-objects')) {
      const { code, stdout } = await quietEnd(start(t, name, ['--cell-ms', '1', '--kb', '1']));
      // Even one kilobyte may come too late where the machine is busy: then the table shows that.
      assert.match(stdout, new RegExp(`^${HEAD} +1 kB +(0 % +100 %\n|100 % +100 %\nNothing was lost here: larger items, .*\n)$`));
      assert.equal(code, 0);
    }
  });

  it('keeps the rows that are whole on Ctrl-C', limited, async t => {
    const program = start(t, 'large-objects', ['--cell-ms', '1', '--kb', '64,65536']);
    await program.says(/ 64 kB .*\n/);
    await program.press();
    const { code, stdout } = await quietEnd(program);
    assert.match(stdout, new RegExp(`^${HEAD} +64 kB +\\d+ % +100 %\n$`));
    assert.equal(code, 130);
  });
});
