// The sample parse-logs, run as its users do: the pool finds what one process finds, and what a reader of lines finds,
// wherever the borders of the ranges fall; and Ctrl-C leaves the numbers of exactly the ranges that were done.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import parseRange, { merge, nothing, setup } from '../../samples/parse-lines.ts';
import type { Aggregate } from '../../samples/parse-lines.ts';
import { Program } from '../support/program.ts';
import type { Ended } from '../support/program.ts';
import { longer as limited } from '../support/limits.ts';
import { turns } from '../support/turns.ts';

const SAMPLE = new URL('../../samples/parse-logs.js', import.meta.url);
const MAKER = new URL('../../samples/make-log.js', import.meta.url);
/** Parsing it takes many minutes, and it takes no space: what follows the log in it is a hole. */
const ENDLESS_BYTES = 2 ** 36;
/** Longer than any line that is parsed, as parse-lines.ts has it. */
const LONGEST_LINE_BYTES = 64 * 1024;

/** Each test takes a few seconds: after this long something hangs. */
const RATE = String.raw`\d+ lines/s\n$`;
const SINGLE = new RegExp(String.raw`^parsing \S+ in (\d+) ranges\n${RATE}`);
const POOL = new RegExp(String.raw`^parsing \S+ in (\d+) ranges\ncompleted: (\d+) of \1 ranges done, 0 failed, 0 lost, 0 pending\n${RATE}`);
const DONE = /^bytes \d+ to \d+ done: (\d+) lines\n/gm;

describe('parse-logs', () => {
  it('finds the same in workers, in one process, and in ranges of any size, and what awk finds', limited, async t => {
    const log = await makeLog(t, 50_000);
    const inPool = await run(t, [log, '--workers', '2', '--range', '4099']);
    const inOneRange = await run(t, [log, '--workers', '1']);
    const single = await run(t, [log, '--single', '--range', '1009']);

    assert.equal(inPool.stdout, single.stdout);
    assert.equal(inPool.stdout, inOneRange.stdout);
    assert.match(inPool.stdout, /\n50000 lines, 0 of them not parsed, \d+ bytes sent\n$/);
    const ranges = POOL.exec(inPool.stderr) ?? assert.fail(inPool.stderr);
    assert.ok(ranges[1] === ranges[2] && Number(ranges[1]) > 1000, inPool.stderr);
    assert.match(single.stderr, SINGLE);
    assert.deepEqual([inPool.code, inOneRange.code, single.code], [0, 0, 0]);

    const awk = spawnSync('awk', ['-F', '" ', '{ n = split($0, q, /" [0-9][0-9][0-9] /); split(substr($0, length(q[1]) + 3), f, " "); c[f[1]]++; b += f[2] } END { for (s in c) print s, c[s]; print "bytes", b + 0 }', log], { encoding: 'utf8' }).stdout;
    const counted = new Map(awk.trim().split('\n').map((line): [string, number] => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]));
    for (const [status, count] of counted) {
      assert.match(inPool.stdout, status === 'bytes' ? new RegExp(` ${count} bytes sent\n`) : new RegExp(`^ +${count}  ${status}$`, 'm'));
    }
    assert.equal(inPool.stdout.match(/^ +\d+  \d{3}$/gm)?.length, counted.size - 1);
  });

  it('makes the same log every time', limited, async t => {
    const log = readFileSync(await makeLog(t, 2500));
    assert.ok(log.equals(readFileSync(await makeLog(t, 2500))));
    assert.equal(log.toString('latin1').split('\n').length, 2500 + 1);
  });

  it('prints the ten paths with most requests and the ten slowest requests, ties in the same order in every run', limited, async t => {
    const paths = [...'lkjihgfedcbal'].map(letter => `/${letter}`);
    const times = [90, 80, 70, 60, 50, 40, 30, 20, 10, 1, 5, 5, 5]; // the first of 5 ms is the tenth
    const log = write(t, paths.map((path, i) => lineOf(path, times[i])).join(''));
    const expected = [
      '  requests  status', '        13  200', '',
      '  requests  path', '         2  /l', ...[...'abcdefghi'].map(letter => `         1  /${letter}`), '',
      '        ms  status  path', ...[...'lkjihgfed'].map((letter, i) => `        ${times[i]}  200     /${letter}`), '         5  200     /b', '',
      '13 lines, 0 of them not parsed, 130 bytes sent', '',
    ].join('\n');
    for (const args of [['--range', '80', '--workers', '2'], ['--workers', '1'], ['--single']]) {
      assert.equal((await run(t, [log, ...args])).stdout, expected, args.join(' '));
    }
  });

  it('takes no more than the summary of an empty file', limited, async t => {
    const log = write(t, '');
    const inPool = await run(t, [log]);
    assert.match(inPool.stdout, /\n0 lines, 0 of them not parsed, 0 bytes sent\n$/);
    assert.match(inPool.stderr, POOL);
    assert.equal(inPool.stdout, (await run(t, [log, '--single'])).stdout);
    assert.equal(inPool.code, 0);
  });

  it('prints a path in the bytes that the log has, but for what a terminal would obey', limited, async t => {
    const { stdout } = await run(t, [write(t, lineOf('/größe') + lineOf('/\x1b[2J'))]);
    assert.match(stdout, /^ +1  \/größe$/m);
    assert.match(stdout, /^ +1  \/\?\[2J$/m);
  });

  it('ends at once at Ctrl-C, and prints the numbers of exactly the ranges that were done', limited, async t => {
    const program = await endless(t, await makeLog(t, 50_000));
    await program.press();
    const { code, stdout, stderr } = await program.ended; // nobody holds its streams: nobody is left
    assert.equal(code, 130);
    const lines = [...stderr.matchAll(DONE)].map(([, count]) => Number(count));
    const [, total, done, lost, pending] = (/^parsing \S+ in (\d+) ranges\ninterrupted: (\d+) of \1 ranges done, 0 failed, (\d+) lost, (\d+) pending\n\d+ lines\/s\n$/.exec(stderr.replace(DONE, '')) ?? assert.fail(stderr)).map(Number);
    assert.ok(lines.length >= 3, stderr);
    assert.ok(lost! <= 2, stderr);
    assert.deepEqual([done, done! + lost! + pending!], [lines.length, total]);
    const sum = lines.reduce((a, b) => a + b, 0);
    assert.ok(sum > 1000);
    assert.match(stdout, new RegExp(`  requests  path\n +\\d+  /\n[^]*\n${sum} lines, \\d+ of them not parsed, \\d+ bytes sent\n$`));
  });

  it('prints the whole table, pressed again and again until it is gone', limited, async t => {
    const program = await endless(t, await makeLog(t, 50_000));
    let isOver = false;
    const ended = program.ended.finally(() => { isOver = true; });
    while (!isOver) {
      program.kill('SIGINT');
      await turns();
    }
    const { code, signal, stdout, stderr } = await ended;
    assert.match(stdout, /^  requests  status\n[^]*\n\d+ lines, \d+ of them not parsed, \d+ bytes sent\n$/);
    assert.match(stderr, /^interrupted: .*\n\d+ lines\/s\n$/m);
    // The last of the presses may fall into Node's own end, when no handler is left.
    assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`);
  });

  it('names the range that a worker died of, goes on with the others, and exits with 1', limited, async t => {
    const log = await makeLog(t, 50_000);
    const program = await endless(t, log, ['--workers', '1', '--range', '10000000']); // long work in few ranges
    const [worker = assert.fail('it has no worker')] = program.workers;
    process.kill(worker, 'SIGKILL');
    await program.says(/Cannot parse bytes \d+ to \d+: .*SIGKILL[^]*\nbytes \d+ to \d+ done/);
    truncateSync(log); // what is left is done at once
    const { code, stderr } = await program.ended;
    const [, done, total] = /^completed: (\d+) of (\d+) ranges done, 1 failed, 0 lost, 0 pending$/m.exec(stderr) ?? assert.fail(stderr.slice(-1000));
    assert.equal(Number(done) + 1, Number(total));
    assert.equal(code, 1);
  });

  it('answers a wrong command line with one line, and --help with its usage', limited, async t => {
    const log = write(t, lineOf('/'));
    const wrong: [string[], RegExp][] = [
      [[], /^Cannot parse the log: it takes one file: received 0\n$/],
      [[log, log], /^Cannot parse the log: it takes one file: received 2\n$/],
      [[log, '--frobnicate'], /^Cannot parse the log: Unknown option '--frobnicate'.*\n$/],
      [[`${log}.nowhere`], /^Cannot parse the log: ENOENT: .*\n$/],
      [[`${log}.nowhere`, '--single'], /^Cannot parse the log: ENOENT: .*\n$/],
      [[tmpdir()], /^Cannot parse the log: \S+ is not a regular file\n$/],
      [[log, '--range', '0'], /^Cannot parse the log: --range must be an integer >= 1: received 0\n$/],
      [[log, '--range', 'all'], /^Cannot parse the log: --range must be an integer >= 1: received NaN\n$/],
      [[log, '--workers', '0'], /^parsing .*\nCannot parse the log: .*`workers` must be an integer >= 1: received 0\n$/],
    ];
    for (const [args, words] of wrong) {
      const { code, stdout, stderr } = await run(t, args);
      assert.match(stderr, words);
      assert.deepEqual([code, stdout], [1, '']);
    }
    const { code, stdout, stderr } = await run(t, ['--help']);
    assert.match(stdout, /--range BYTES/);
    assert.deepEqual([code, stderr], [0, '']);
  });
});

describe('parseRange', () => {
  it('parses every line once, wherever the borders fall', t => {
    const text = lineOf('/a') + lineOf('/b', 7) + '\n' + lineOf('/c') + 'no request\n\n' + lineOf('/a', 9);
    for (const log of [text, text.replaceAll('\n', '\r\n'), text.slice(0, -1), `\n${text}\n\n`]) {
      setup(write(t, log));
      const whole = parse(log.length, log.length);
      const lines = log.replace(/\n$/, '').split('\n');
      const parsed = lines.filter(line => line.startsWith('::1'));
      assert.deepEqual([whole.lines, whole.lines - whole.unparsed], [lines.length, parsed.length]);
      assert.deepEqual(whole.paths, new Map([['/a', 2], ['/b', 1], ['/c', 1]]));
      assert.deepEqual(whole.slowest.map(({ path, ms }) => [path, ms]), [['/a', 9], ['/b', 7], ['/a', 5], ['/c', 5]]);
      for (const { at, path } of whole.slowest) assert.ok(log.slice(at).startsWith(`::1 - - [01/Jan/2026:00:00:00 +0000] "GET ${path}`));
      for (let size = 1; size <= log.length + 1; size++) assert.deepEqual(parse(log.length, size), whole, `ranges of ${size} bytes`);
    }
  });

  it('takes a line of any bytes, and one with escaped quotes', t => {
    const log = Buffer.from(lineOf('/\xff\xfe\x80') + lineOf(String.raw`/q?\"x\" y`), 'latin1');
    setup(write(t, log));
    const all = parse(log.length, 40);
    assert.deepEqual([all.unparsed, [...all.paths.keys()]], [0, ['/q', '/\xff\xfe\x80']]);
  });

  it('counts a line that is too long as one that does not parse, in ranges of any size, and parses the next', t => {
    const frame = lineOf('/').length;
    const most = lineOf(`/${'x'.repeat(LONGEST_LINE_BYTES - frame + 1)}`);
    const more = lineOf(`/${'x'.repeat(LONGEST_LINE_BYTES - frame + 1)}`, 55); // one byte too long, and would parse without that byte
    const log = lineOf('/before') + most + more + lineOf('/after') + 'x'.repeat(3 * LONGEST_LINE_BYTES);
    setup(write(t, log));
    const first = lineOf('/before').length + 1; // the border after the first byte of the longest line
    const last = first + most.length; // and of the one that is too long
    for (const size of [1000, first, last, LONGEST_LINE_BYTES - 1, LONGEST_LINE_BYTES, LONGEST_LINE_BYTES + 1, log.length]) {
      const all = parse(log.length, size);
      assert.deepEqual([all.lines, all.unparsed, [...all.paths.keys()].map(path => path.length)], [5, 2, ['/after'.length, '/before'.length, most.length - frame + 1]], `ranges of ${size} bytes`);
    }
  });

  it('finds no lines where the file has become shorter', t => {
    setup(write(t, lineOf('/')));
    assert.deepEqual(parseRange({ start: 1000, end: 2000 }), nothing());
  });
});

function lineOf(path: string, ms = 5): string {
  return `::1 - - [01/Jan/2026:00:00:00 +0000] "GET ${path} HTTP/1.1" 200 10 "-" "curl/8.5.0" ${ms}\n`;
}

/** What the ranges of this size find together in the log that was set up; from the last to the first, as a pool might. */
function parse(length: number, size: number): Aggregate {
  const sum = nothing();
  for (let start = Math.floor((length - 1) / size) * size; start >= 0; start -= size) merge(sum, parseRange({ start, end: Math.min(start + size, length) }));
  return { ...sum, paths: new Map([...sum.paths].sort()) };
}

function write(t: TestContext, log: string | Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'parse-logs-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'access.log');
  writeFileSync(file, log);
  return file;
}

async function makeLog(t: TestContext, lines: number): Promise<string> {
  const log = write(t, '');
  assert.deepEqual(await new Program(MAKER, [log, String(lines)]).ended, { code: 0, signal: null, stdout: '', stderr: '' });
  return log;
}

/** Starts parse-logs, which ends by itself only if the test has a good end. */
function start(t: TestContext, args: string[]): Program {
  const program = new Program(SAMPLE, args);
  t.after(() => program.kill('SIGKILL'));
  return program;
}

function run(t: TestContext, args: string[]): Promise<Ended> {
  return start(t, args).ended;
}

/** Starts parse-logs on a log, made endless, and resolves when three ranges are done. */
async function endless(t: TestContext, log: string, args: string[] = []): Promise<Program> {
  truncateSync(log, ENDLESS_BYTES);
  const program = start(t, [log, '--verbose', '--workers', '2', '--range', '100000', ...args]);
  await program.says(/ done: \d+ lines\n/, 3);
  return program;
}
