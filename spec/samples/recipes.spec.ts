// The recipes among the samples: what they print, to the last word, when they run to their end and when Ctrl-C comes in the
// middle. Where Node strips types, their sources too.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Program } from '../support/program.ts';
import { longer as limited } from '../support/limits.ts';

const compiled = (name: string): URL => new URL(`../../samples/${name}.js`, import.meta.url);
const source = (name: string): URL => new URL(`../../../samples/${name}.ts`, import.meta.url);
/** How each sample can be run. */
const FORMS = process.features.typescript === 'strip' ? [compiled, source] : [compiled];
const MOST_LINES = 80;
const FOR_EVER_MS = '1000000000';

/** Each test takes a few seconds: after this long something hangs. */
function start(t: TestContext, file: URL, args: readonly string[] = []): Program {
  const program = new Program(file, args, { execArgv: ['--no-warnings'] });
  t.after(() => program.kill('SIGKILL'));
  return program;
}

describe('each recipe', () => {
  it(`has at most ${MOST_LINES} lines`, () => {
    for (const name of ['crawl', 'retry-backoff', 'progress', 'stream']) {
      const lines = readFileSync(source(name), 'utf8').trimEnd().split('\n').length;
      assert.ok(lines <= MOST_LINES, `${name} has ${lines}`);
    }
  });
});

describe('crawl', () => {
  it('reads every page once and ends when none is open', limited, async t => {
    for (const form of FORMS) {
      const { code, stdout, stderr } = await start(t, form('crawl'), ['--pages', '20', '--page-ms', '1']).ended;
      assert.deepEqual([stdout, stderr, code], ['1 page open\n/21: Error: 404 Not Found\ncompleted: 20 read, 1 failed, 0 not read\n', '', 1]);
    }
  });

  it('counts at Ctrl-C what was not read', limited, async t => {
    const crawl = start(t, compiled('crawl'), ['--pages', '1000', '--page-ms', '2']);
    await crawl.says(/1 page open/);
    await crawl.press();
    const { code, stdout, stderr } = await crawl.ended;
    assert.deepEqual([stderr, code], ['', 130]);
    assert.match(stdout, /^1 page open\ninterrupted: \d+ read, 0 failed, [1-9]\d* not read\n$/);
  });
});

describe('retry-backoff', () => {
  it('tries again what may pass, gives up what does not, and that at once which cannot', limited, async t => {
    for (const form of FORMS) {
      const { code, stdout, stderr } = await start(t, form('retry-backoff'), ['--base-ms', '1', '--tries', '4']).ended;
      assert.deepEqual([stdout.trim().split('\n').sort(), stderr, code], [[
        'a done',
        'b done',
        'b is busy, try 1',
        'b is busy, try 2',
        'c given up: Error: c is busy',
        'c is busy, try 1',
        'c is busy, try 2',
        'c is busy, try 3',
        'completed: 2 tries succeeded, 7 failed',
        'd given up: Error: d is broken',
      ], '', 0]);
    }
  });

  it('ends its pauses at Ctrl-C', limited, async t => {
    const retry = start(t, compiled('retry-backoff'), ['--base-ms', FOR_EVER_MS]);
    await retry.says(/[bc] is busy, try 1/, 2);
    await retry.says(/a done/);
    await retry.says(/d given up/);
    await retry.press();
    const { code, stdout, stderr } = await retry.ended;
    assert.deepEqual([stderr, code], ['', 130]);
    assert.deepEqual(stdout.match(/[bc] given up: .*/g)?.sort(), ['b given up: AbortError: The operation was aborted', 'c given up: AbortError: The operation was aborted']);
    assert.match(stdout, /interrupted: 1 tries succeeded, 3 failed\n$/);
  });
});

describe('progress', () => {
  it('prints a line every ten per cent where nobody watches', limited, async t => {
    for (const form of FORMS) {
      const { code, stdout, stderr } = await start(t, form('progress'), ['--jobs', '40', '--job-ms', '50', '--workers', '2']).ended;
      assert.deepEqual([stdout, code], ['completed: 40 done, 0 lost, 0 pending\n', 0]);
      const lines = stderr.trimEnd().split('\n');
      for (const line of lines.slice(0, -1)) assert.match(line, /^\d+\/40  \d+\/s  \d+ s left  \d of \d workers busy$/);
      assert.match(lines.at(-1) ?? '', /^40\/40  \d+\/s  done  \d of \d workers busy$/);
      assert.ok(lines.length <= 10);
    }
  });

  it('draws a bar on a terminal, and leaves it there at Ctrl-C', limited, async t => {
    const bar = spawn('script', ['-qec', `${process.execPath} ${fileURLToPath(compiled('progress'))} --job-ms ${FOR_EVER_MS} --workers 2`, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => bar.kill('SIGKILL'));
    let screen = '';
    for await (const text of bar.stdout.setEncoding('utf8')) {
      if (!/2 of 2 workers busy/.test(screen) && /2 of 2 workers busy/.test(screen + text)) bar.stdin.write('\x03'); // Ctrl-C, as a key
      screen += text;
    }
    assert.match(screen, /\r\x1b\[K░{30} 0\/400  0\/s  …  2 of 2 workers busy/);
    assert.match(screen, /\r\ninterrupted: 0 done, (?:2 lost, 398|1 lost, 399) pending\r\n$/); // the second had its job, but may not have started it
  });
});

describe('stream', () => {
  const lineOf = (text: string): string => `${createHash('sha256').update(text).digest('hex')}  ${text}\n`;
  const run = (t: TestContext, file: URL): ReturnType<typeof spawn> => {
    const child = spawn(process.execPath, ['--no-warnings', fileURLToPath(file)], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    return child;
  };
  const ended = (child: ReturnType<typeof spawn>): Promise<number | null> => new Promise(resolve => { child.on('close', resolve); });

  it('gives each line in its place', limited, async t => {
    const texts = Array.from({ length: 5000 }, (_, n) => n % 7 === 0 ? '' : `line ${n} é`);
    for (const form of FORMS) {
      const child = run(t, form('stream'));
      const code = ended(child);
      child.stdin?.end(texts.join('\n'));
      let out = '';
      for await (const text of child.stdout?.setEncoding('utf8') ?? []) out += text;
      assert.equal(out, texts.map(lineOf).join(''));
      assert.equal(await code, 0);
    }
  });

  it('ends without a word when its reader has had enough', limited, async t => {
    const child = run(t, compiled('stream'));
    const code = ended(child);
    child.stdin?.on('error', () => {}); // it is closed at the other end
    const feed = (): void => { while (child.stdin?.write('line\n'.repeat(1000)) === true); };
    child.stdin?.on('drain', feed);
    feed();
    for await (const text of child.stdout?.setEncoding('utf8') ?? []) if (String(text).startsWith(lineOf('line'))) break;
    assert.equal(await code, 0);
  });

  it('has written whole lines without a gap when Ctrl-C comes', limited, async t => {
    const child = run(t, compiled('stream'));
    const code = ended(child);
    child.stdin?.write('1\n2\n3\n');
    let out = '';
    for await (const text of child.stdout?.setEncoding('utf8') ?? []) {
      out += text;
      if (out === ['1', '2', '3'].map(lineOf).join('')) child.kill('SIGINT');
    }
    assert.deepEqual([out, await code], [['1', '2', '3'].map(lineOf).join(''), 130]);
  });
});
