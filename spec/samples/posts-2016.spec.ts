// The samples that replay the posts of 2010 and 2016, and the runner: what they print, to the last word, when they run
// to their end and when Ctrl-C comes at the moment that the post was about. Where Node strips types, their sources too.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Program } from '../support/program.ts';
import type { Ended } from '../support/program.ts';
import { longer as limited } from '../support/limits.ts';

const compiled = (name: string): URL => new URL(`../../samples/${name}.js`, import.meta.url);
const source = (name: string): URL => new URL(`../../../samples/${name}.ts`, import.meta.url);
/** How each sample can be run. */
const FORMS = process.features.typescript === 'strip' ? [compiled, source] : [compiled];

/** Each test takes a few seconds: after this long something hangs. */
const FOR_EVER_MS = '1000000000';
/** Signals closer together than this are one press. */
const SAME_PRESS_MS = 100;

function start(t: TestContext, file: URL | string, args: readonly string[] = []): Program {
  const program = new Program(file, args, { execArgv: ['--no-warnings'] }); // that types are stripped is news to some versions
  t.after(() => program.kill('SIGKILL'));
  return program;
}

async function pressAgain(program: Program): Promise<void> {
  await setTimeout(SAME_PRESS_MS + 1);
  await program.press();
}

/** Its streams have ended: nobody is left. Pids are numbers like any other; neighbours that begin alike come in any order. */
function assertEnded(ended: Ended, code: number, expected: string): void {
  const said = ended.stdout.replace(/(?<=parent |worker |from )\d+/g, 'PID');
  assert.deepEqual([sorted(said), ended.stderr, ended.code], [sorted(expected), '', code]);
}

function sorted(text: string): string[] {
  const lines = text.trim().split(/\n */);
  const firstWord = (line = ''): string => line.split(' ')[0] ?? '';
  const blocks: string[][] = [];
  for (const line of lines) {
    if (firstWord(blocks.at(-1)?.[0]) === firstWord(line)) blocks.at(-1)?.push(line);
    else blocks.push([line]);
  }
  return blocks.flatMap(block => block.sort());
}

const times = (count: number, lineOf: (n: number) => string): string => Array.from({ length: count }, (_, i) => lineOf(i + 1)).join('\n');

describe('hello-hundred', () => {
  it('says hello and bye for every job, in its sources as well', limited, async t => {
    for (const form of FORMS) {
      assertEnded(await start(t, form('hello-hundred'), ['--workers', '10', '--job-ms', '100']).ended, 0, `
        parent PID: 10 jobs, press Ctrl-C
        ${times(10, n => `worker PID: hello, job ${n}`)}
        ${times(10, n => `job ${n}: bye from PID`)}
        completed: 10 done, 0 lost, 0 pending`);
    }
  });

  it('has not one line on stderr at Ctrl-C', limited, async t => {
    const hello = start(t, compiled('hello-hundred'), ['--workers', '10', '--job-ms', FOR_EVER_MS]);
    await hello.says(/hello/, 10);
    await hello.press();
    assertEnded(await hello.ended, 130, `
      parent PID: 10 jobs, press Ctrl-C
      ${times(10, n => `worker PID: hello, job ${n}`)}
      interrupted: 0 done, 10 lost, 0 pending`);
  });

  it('has none either while the hundred are being started', limited, async t => {
    const hello = start(t, compiled('hello-hundred'));
    await hello.says(/hello/);
    await hello.press();
    const { code, stdout, stderr } = await hello.ended;
    assert.deepEqual([stderr, code], ['', 130]);
    const [done, lost, pending] = /^interrupted: (\d+) done, (\d+) lost, (\d+) pending\n$/m.exec(stdout)?.slice(1).map(Number) ?? assert.fail(stdout);
    assert.equal(done! + lost! + pending!, 100);
  });
});

describe('cleanup', () => {
  it('cleans up in every worker after the last job, in its sources as well', limited, async t => {
    for (const form of FORMS) {
      assertEnded(await start(t, form('cleanup'), ['--workers', '2', '--job-ms', '100', '--cleanup-ms', '100']).ended, 0, `
        parent PID: press Ctrl-C, and again during the cleanup
        ${times(2, () => 'worker PID: works\nworker PID: cleans up\nworker PID: is clean\nworker PID: exit code 0')}
        completed: 2 done, 0 lost, 0 pending`);
    }
  });

  it('cleans up to the end at one Ctrl-C', limited, async t => {
    const cleanup = await inCleanup(t, '--cleanup-ms', '500');
    assertEnded(await cleanup.ended, 130, `
      parent PID: press Ctrl-C, and again during the cleanup
      ${times(2, () => 'worker PID: works\nworker PID: cleans up\nworker PID: is clean\nworker PID: exit code 0')}
      interrupted: 0 done, 2 lost, 0 pending`);
  });

  it('ends at once at the second one', limited, async t => {
    const cleanup = await inCleanup(t, '--cleanup-ms', FOR_EVER_MS, '--grace-ms', FOR_EVER_MS);
    await pressAgain(cleanup);
    assertEnded(await cleanup.ended, 130, `
      parent PID: press Ctrl-C, and again during the cleanup
      ${times(2, () => 'worker PID: works\nworker PID: cleans up\nworker PID: SIGKILL')}
      interrupted: 0 done, 2 lost, 0 pending`);
  });

  it('ends after graceMs where nobody presses again', limited, async t => {
    const cleanup = await inCleanup(t, '--cleanup-ms', FOR_EVER_MS, '--grace-ms', '2000');
    assertEnded(await cleanup.ended, 130, `
      parent PID: press Ctrl-C, and again during the cleanup
      ${times(2, () => 'worker PID: works\nworker PID: cleans up\nworker PID: SIGKILL')}
      interrupted: 0 done, 2 lost, 0 pending`);
  });

  async function inCleanup(t: TestContext, ...args: string[]): Promise<Program> {
    const cleanup = start(t, compiled('cleanup'), ['--workers', '2', '--job-ms', FOR_EVER_MS, ...args]);
    await cleanup.says(/works/, 2);
    await cleanup.press();
    await cleanup.says(/cleans up/, 2);
    return cleanup;
  }
});

describe('no-polling', () => {
  /** A parent that looked every ten milliseconds would make some hundreds. */
  const MOST_CALLS = 100;
  const MOST_PROCESSOR_MS = 100;

  it('shows a pool that takes no processor time and makes no system calls, in its sources as well', limited, async t => {
    for (const form of FORMS) {
      const { code, stdout, stderr } = await start(t, form('no-polling'), ['--idle-ms', '3000']).ended;
      assert.deepEqual([stderr, code], ['', 0]);
      const [, parentMs, workerMs, calls = ''] = new RegExp(`^parent \\d+ and worker \\d+ idle for 3000 ms
parent: ([\\d.]+) ms of processor time
worker: ([\\d.]+) ms of processor time, a result sent and a job read included
system calls of both: (\\d+ \\w+(?:, \\d+ \\w+)*|not counted, as strace is not installed, or not allowed)
completed
$`).exec(stdout) ?? assert.fail(stdout);
      assert.ok(Number(parentMs) < MOST_PROCESSOR_MS && Number(workerMs) < MOST_PROCESSOR_MS, stdout);
      const count = calls.match(/\d+/g)?.reduce((sum, one) => sum + Number(one), 0) ?? 0;
      assert.ok(count <= MOST_CALLS, stdout);
    }
  });

  it('wakes up at Ctrl-C', limited, async t => {
    const idle = start(t, compiled('no-polling'), ['--idle-ms', FOR_EVER_MS]);
    await idle.says(/idle for/);
    await idle.press();
    assertEnded(await idle.ended, 130, `
      parent PID and worker PID idle for ${FOR_EVER_MS} ms
      interrupted`);
  });
});

describe('manual-pool', () => {
  /** The file alone in an empty folder, compiled or not, and maybe edited, as one would who copies it. */
  function copies(t: TestContext, edit: (text: string) => string = text => text): string[] {
    const folder = mkdtempSync(join(tmpdir(), 'manual-pool-'));
    t.after(() => rmSync(folder, { recursive: true }));
    return FORMS.map(form => {
      const copy = join(folder, form === compiled ? 'manual-pool.mjs' : 'manual-pool.ts');
      writeFileSync(copy, edit(readFileSync(form('manual-pool'), 'utf8')));
      return copy;
    });
  }

  function replace(from: string, to: string): (text: string) => string {
    return text => {
      assert.equal(text.split(from).length, 2, `${from} is not there once`);
      return text.replace(from, to);
    };
  }

  const OUTPUT = `
    parent PID: 6 jobs, press Ctrl-C
    ${times(6, n => `worker PID: job ${n}`)}
    ${times(6, n => (n === 3 ? 'job 3: Error: three is too many' : `job ${n}: 10 bytes`))}
    0 lost, 0 pending`;

  it('needs nothing but Node, and works off its jobs', limited, async t => {
    for (const copy of copies(t)) assertEnded(await start(t, copy, ['--job-ms', '100']).ended, 0, OUTPUT);
  });

  it('keeps at Ctrl-C what was done', limited, async t => {
    for (const copy of copies(t, replace('setTimeout(ms)', `setTimeout(n > 3 ? ${FOR_EVER_MS} : 0)`))) {
      const pool = start(t, copy);
      await pool.says(/job [456]$/m, 3);
      await pool.press();
      assertEnded(await pool.ended, 130, OUTPUT.replace(/^job [456]: .*\n/gm, '').replace('0 lost', '3 lost'));
    }
  });

  it('kills at the second Ctrl-C whoever does not end at the first', limited, async t => {
    for (const copy of copies(t, replace('console.log(`worker', "process.on('SIGTERM', () => console.log('worker stays')); console.log(`worker"))) {
      const pool = start(t, copy, ['--job-ms', FOR_EVER_MS]);
      await pool.says(/job \d$/m, 3);
      await pool.press();
      await pool.says(/worker stays/, 3);
      await pressAgain(pool);
      assertEnded(await pool.ended, 130, `
        parent PID: 6 jobs, press Ctrl-C
        ${times(3, n => `worker PID: job ${n}`)}
        ${times(3, () => 'worker stays')}
        3 lost, 3 pending`);
    }
  });

  it('has one fate for every job when Ctrl-C cuts into results of 30 MB, and keeps those that are being sent', limited, async t => {
    for (const copy of copies(t, replace('await send(process, answer)', "console.log('worker sends'); await send(process, answer)"))) {
      for (const presses of [1, 1, 1, 2, 2]) {
        const pool = start(t, copy, ['--job-ms', '0', '--value-bytes', '30000000']);
        await pool.says(/sends$/m);
        await pool.press({ times: presses, gapMs: SAME_PRESS_MS + 1 });
        const { stdout, stderr } = await pool.ended;
        const [lost, pending] = /^(\d+) lost, (\d+) pending\n$/m.exec(stdout)?.slice(1).map(Number) ?? assert.fail(stdout + stderr);
        const answers = stdout.match(/^job (?:3: Error: three is too many|[12456]: 30000000 bytes)$/gm)?.length ?? 0;
        assert.deepEqual([answers + lost! + pending!, stderr], [6, ''], stdout);
        if (presses === 1) assert.equal(answers, stdout.match(/sends$/gm)?.length, stdout);
      }
    }
  });

  it('has an answer for the job of a worker that was shot, and goes on', limited, async t => {
    for (const copy of copies(t, replace('setTimeout(ms)', `setTimeout(n === 2 ? ${FOR_EVER_MS} : 0)`))) {
      const pool = start(t, copy);
      await pool.says(/job [26]$/m, 2);
      process.kill(Number(/worker (\d+): job 2$/m.exec(pool.stdout)?.[1] ?? assert.fail(pool.stdout)), 'SIGKILL');
      assertEnded(await pool.ended, 0, OUTPUT.replace('job 2: 10 bytes', 'job 2: its worker died: SIGKILL'));
    }
  });

  it('ends idle workers at Ctrl-C', limited, async t => {
    for (const copy of copies(t, replace('  close();', "  setInterval(() => { if (results.length === 6) console.log('idle'); }, 10).unref();"))) {
      const pool = start(t, copy, ['--job-ms', '0']);
      await pool.says(/idle/);
      await pool.press();
      const ended = await pool.ended;
      assertEnded({ ...ended, stdout: ended.stdout.replaceAll('idle\n', '') }, 130, OUTPUT);
    }
  });

  it('does not start a worker again and again that cannot start', limited, async t => {
    for (const copy of copies(t, replace("void send(process, { type: 'ready' });\n", 'process.exit(7);\n'))) {
      assertEnded(await start(t, copy).ended, 0, `
        parent PID: 6 jobs, press Ctrl-C
        0 lost, 6 pending`);
    }
  });
});

describe('the samples', () => {
  it('are short, and the manual pool imports nothing but Node', () => {
    const linesOf = (name: string): string[] => readFileSync(source(name), 'utf8').trimEnd().split('\n');
    for (const name of ['hello-hundred', 'cleanup', 'no-polling']) assert.ok(linesOf(name).length <= 80, name);
    const manual = linesOf('manual-pool');
    assert.ok(manual.length <= 150);
    for (const line of manual.filter(text => /\bfrom '/.test(text))) assert.match(line, / from 'node:/);
  });

  it('are run by name, with their options', limited, async t => {
    for (const form of FORMS) {
      assertEnded(await start(t, form('sample'), ['cleanup', '--workers', '1', '--job-ms', '0', '--cleanup-ms', '0']).ended, 0, `
        parent PID: press Ctrl-C, and again during the cleanup
        worker PID: works\nworker PID: cleans up\nworker PID: is clean\nworker PID: exit code 0
        completed: 1 done, 0 lost, 0 pending`);
    }
  });

  it('are listed where none is named, or one that is not there', limited, async t => {
    for (const form of FORMS) {
      const none = await start(t, form('sample')).ended;
      assert.deepEqual([none.code, none.stderr], [0, '']);
      const [usage, empty, ...rows] = none.stdout.trimEnd().split('\n');
      assert.deepEqual([usage, empty], ['npm run sample NAME [-- options]', '']);
      const listed = new Map(rows.map(row => [row.trim().split(' ')[0] ?? '', row.replace(/^ +[\w-]+ +/, '')]));
      for (const [name, header] of listed) assert.equal(readFileSync(source(name), 'utf8').split('\n')[0], `// ${header}`);
      for (const name of ['hello-hundred', 'cleanup', 'no-polling', 'manual-pool', 'hash-tree', 'parse-logs']) assert.ok(listed.has(name), name);
      for (const name of ['sample', 'hash-file', 'parse-lines', 'find-files']) assert.ok(!listed.has(name), name);

      const unknown = await start(t, form('sample'), ['nowhere']).ended;
      assert.deepEqual(unknown, { ...none, code: 1, stderr: 'Cannot run `nowhere` as there is no such sample\n' });
    }
  });
});
