// The sample hash-tree, run as its users do: its digests against those of sha256sum, what it says about things that
// cannot be hashed, and what Ctrl-C leaves. The file that it writes lies beside the tree, as `TREE.ndjson`.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import hashFiles from '../samples/hash-file.ts';
import { Program } from './support/program.ts';

const SAMPLE = new URL('../samples/hash-tree.js', import.meta.url);
/** Hashing it takes many minutes, and it takes no space: a file with nothing in it but a size. */
const ENDLESS_BYTES = 2 ** 40;

/** Each test takes a second or two: after this long something hangs. */
const limited = { timeout: 60_000 };

const SUM = String.raw`(\d+) done, (\d+) failed, [\d.]+ MB in [\d.]+ s, [\d.]+ MB/s`;
/** All that may be on stderr: progress now and then, and the summary. */
const COMPLETED = new RegExp(`^(?:${SUM}\n)*completed: ${SUM}\n$`);
const INTERRUPTED = new RegExp(`^(?:${SUM}\n)*interrupted: ${SUM}, (\\d+) lost, (\\d+) pending\n$`);

describe('hash-tree', () => {
  it('finds the digests that sha256sum finds, in small and large files and under any name', limited, async t => {
    const tree = makeTree(t);
    writeFileSync(join(tree, 'empty'), '');
    writeFileSync(join(tree, 'a name\nin two lines'), 'x');
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/not UTF-8: `), Buffer.of(0xff)]), 'y');
    writeFileSync(join(tree, 'exactly a piece'), Buffer.alloc(1024 * 1024, 'z'));
    writeFileSync(join(tree, '20 MB'), Buffer.alloc(20_000_000, 'all work and no play '));
    const deep = join(tree, ...Array.from({ length: 100 }, () => 'deep'));
    mkdirSync(deep, { recursive: true });
    for (let i = 0; i < 300; i++) writeFileSync(join(i % 2 === 0 ? tree : deep, `small ${i}`), `${i}`);
    symlinkSync('empty', join(tree, 'a link to a file'));
    symlinkSync('..', join(deep, 'a link upwards'));

    const { code, stderr } = await start(t, [tree, '--out', `${tree}.ndjson`]).ended;

    const lines = linesOf(tree);
    assert.deepEqual(new Map(lines.map(line => [bytesOf(line), line['sha256']])), sha256sum(tree));
    assert.equal(lines.length, 305);
    for (const line of lines) {
      const { size, mtimeMs } = statSync(Buffer.from(bytesOf(line), 'latin1'));
      assert.deepEqual([line['bytes'], line['mtimeMs']], [size, mtimeMs]);
    }
    assert.match(stderr, COMPLETED);
    assert.equal(code, 0);
  });

  it('says what is wrong with whatever cannot be hashed, hashes the rest, and exits with 1', limited, async t => {
    const tree = makeTree(t);
    writeFileSync(join(tree, 'fine'), 'fine');
    symlinkSync('nowhere', join(tree, 'broken'));
    symlinkSync('pong', join(tree, 'ping'));
    symlinkSync('ping', join(tree, 'pong'));
    assert.equal(spawnSync('mkfifo', [join(tree, 'fifo')]).status, 0);
    const server = createServer().listen(join(tree, 'socket'));
    t.after(() => server.close());
    mkdirSync(join(tree, 'locked'));
    writeFileSync(join(tree, 'locked', 'inside'), 'inside');
    chmodSync(join(tree, 'locked'), 0o000);
    // Folders in folders until a path to the last one is longer than the system takes: not even root can list it.
    assert.equal(spawnSync('sh', ['-c', 'cd "$0" && for i in $(seq 14); do mkdir "$1" && cd "$1" || exit; done; mkdir -p "$1/$1/$1"', tree, 'd'.repeat(250)]).status, 0);

    const { code, stderr } = await start(t, [tree, '--out', `${tree}.ndjson`]).ended;

    const seen = new Map(linesOf(tree).map(line => [bytesOf(line).slice(tree.length + 1).replace(/^d{250}.*/, 'deep'), line['error'] ?? 'hashed']));
    const isRoot = process.getuid?.() === 0;
    const expected: [string, RegExp][] = [
      ['fine', /^hashed$/],
      ['broken', /^ENOENT: /],
      ['ping', /^ELOOP: /],
      ['pong', /^ELOOP: /],
      ['fifo', /^Cannot hash it as it is not a regular file$/],
      ['socket', /^Cannot hash it as it is not a regular file$/],
      ['deep', /^ENAMETOOLONG: /],
      isRoot ? ['locked/inside', /^hashed$/] : ['locked', /^EACCES: /], // root may enter any folder
    ];
    assert.deepEqual([...seen.keys()].sort(), expected.map(([name]) => name).sort());
    for (const [name, word] of expected) assert.match(String(seen.get(name)), word);
    assert.equal(COMPLETED.exec(stderr)?.slice(-2).join(), isRoot ? '2,6' : '1,7', stderr);
    assert.equal(code, 1);
  });

  it('has an error for a file that is gone when its turn comes, and hashes the others of its batch', limited, t => {
    const tree = makeTree(t);
    writeFileSync(join(tree, 'here'), 'here');
    const { lines, ...sum } = hashFiles([join(tree, 'here'), join(tree, 'gone'), join(tree, 'here')]);
    assert.deepEqual(sum, { done: 2, failed: 1, bytes: 8, large: [] });
    assert.match(lines, /^\{"path":"[^"]*here","bytes":4,.*\}\n\{"path":"[^"]*gone","error":"ENOENT: .*\}\n\{"path":"[^"]*here",.*\}\n$/);
  });

  it('has the error of its worker for a file in the middle of which that died', limited, async t => {
    const tree = makeTree(t);
    for (let i = 0; i < 200; i++) writeFileSync(join(tree, `small ${i}`), `${i}`);
    endless(tree, 'endless');
    const program = await running(t, tree, 200, ['--workers', '1']);
    const worker = Number(spawnSync('pgrep', ['-f', '-P', String(program.pid), 'lib/worker'], { encoding: 'utf8' }).stdout);
    assert.ok(worker > 0, 'it has no worker');
    process.kill(worker, 'SIGKILL');
    const { code, stderr } = await program.ended;
    assert.match(linesOf(tree).map(line => line['error'] ?? '').join(''), /SIGKILL/);
    assert.equal(COMPLETED.exec(stderr)?.slice(-2).join(), '200,1', stderr);
    assert.equal(code, 1);
  });

  it('ends at once at Ctrl-C, with what was done in whole lines, and says what is lost and what pending', limited, async t => {
    const tree = makeTree(t);
    for (let i = 0; i < 200; i++) writeFileSync(join(tree, `small ${i}`), `${i}`);
    for (const name of ['endless 1', 'endless 2', 'endless 3']) endless(tree, name);
    const program = await running(t, tree, 200, ['--workers', '2']);
    await program.press();
    const { code, stderr } = await program.ended; // nobody holds its streams: nobody is left
    assert.equal(code, 130);
    assert.equal(linesOf(tree).length, 200);
    const [done, failed, lost, pending] = INTERRUPTED.exec(stderr)?.slice(-4).map(Number) ?? assert.fail(stderr);
    assert.deepEqual([done, failed, lost! + pending!], [200, 0, 3]);
    assert.ok(lost! <= 2, stderr); // one a worker, or none where the large files had not begun yet
  });

  it('survives Ctrl-C in the middle of a flood of results, pressed again and again until it is gone', limited, async t => {
    const tree = makeTree(t);
    writeFileSync(join(tree, 'one'), 'one');
    for (let i = 0; i < 20_000; i++) linkSync(join(tree, 'one'), join(tree, `link ${i}`));
    endless(tree, 'endless');
    const program = await running(t, tree, 1);
    let isOver = false;
    const ended = program.ended.finally(() => { isOver = true; });
    while (!isOver) {
      program.kill('SIGINT');
      await new Promise(resolve => { setImmediate(resolve); });
    }
    const { code, signal, stderr } = await ended;
    // The last of the presses may fall into Node's own end, when no handler is left.
    assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`);
    const [done, failed] = INTERRUPTED.exec(stderr)?.slice(-4).map(Number) ?? assert.fail(stderr);
    assert.deepEqual([done, failed], [linesOf(tree).length, 0]);
  });

  it('hashes the node_modules beside it when no folder is named, and prints no more than the summary', limited, async t => {
    const { code, stdout, stderr } = await start(t, ['--workers', '1']).ended;
    assert.equal(stdout, '');
    const [done, failed] = COMPLETED.exec(stderr)?.slice(-2).map(Number) ?? assert.fail(stderr);
    assert.deepEqual([done! > 100, failed, code], [true, 0, 0]);
  });

  it('answers a wrong command line with one line, and --help with its usage', limited, async t => {
    const tree = makeTree(t);
    const wrong: [string[], RegExp][] = [
      [['--frobnicate'], /^Cannot hash the tree: Unknown option '--frobnicate'.*\n$/],
      [[tree, tree], /^Cannot hash the tree: it takes one folder: received 2\n$/],
      [[join(tree, 'nowhere')], /^Cannot hash the tree: ENOENT: .*\n$/],
      [[tree, '--workers', 'none'], /^Cannot hash the tree: .*`workers` must be an integer >= 1: received NaN\n$/],
      [[tree, '--out', join(tree, 'no', 'folder')], /^Cannot hash the tree: ENOENT: .*\n$/],
    ];
    for (const [args, words] of wrong) {
      const { code, stdout, stderr } = await start(t, args).ended;
      assert.match(stderr, words);
      assert.deepEqual([code, stdout], [1, '']);
    }
    const { code, stdout, stderr } = await start(t, ['--help']).ended;
    assert.match(stdout, /--out FILE/);
    assert.deepEqual([code, stderr], [0, '']);
  });

  it('stops with one line when it cannot write', limited, async t => {
    const tree = makeTree(t);
    writeFileSync(join(tree, 'small'), 'small');
    const { code, stderr } = await start(t, [tree, '--out', '/dev/full']).ended;
    assert.match(stderr, /^Cannot hash the tree: ENOSPC: .*\n$/);
    assert.equal(code, 1);
  });
});

/** A folder for a test, removed after it by rm, which also gets at folders that are locked or too deep for Node. */
function makeTree(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hash-tree-'));
  const tree = join(folder, 'tree');
  mkdirSync(tree);
  t.after(() => spawnSync('sh', ['-c', 'chmod -f 700 "$0"/tree/*; rm -rf "$0"', folder]));
  return tree;
}

function endless(tree: string, name: string): void {
  writeFileSync(join(tree, name), '');
  truncateSync(join(tree, name), ENDLESS_BYTES);
}

/** Starts hash-tree, which ends by itself only if the test has a good end. */
function start(t: TestContext, args: string[]): Program {
  const program = new Program(SAMPLE, args);
  t.after(() => program.kill('SIGKILL'));
  return program;
}

/** Starts hash-tree, and resolves when it has written so many lines. */
async function running(t: TestContext, tree: string, count: number, args: string[] = []): Promise<Program> {
  const file = `${tree}.ndjson`;
  writeFileSync(file, ''); // to have something to watch before it starts
  const over = new AbortController();
  const changes = watch(file, { signal: over.signal })[Symbol.asyncIterator]();
  let change = changes.next();
  const program = start(t, [tree, '--out', file, ...args]);
  void program.ended.then(() => over.abort(new Error(`Cannot wait for ${count} lines as the program ended before`)));
  while (readFileSync(file, 'utf8').split('\n').length <= count) {
    await change;
    change = changes.next();
  }
  change.catch(() => {}); // aborted at the end
  return program;
}

/** What was written about the files of a tree. Fails unless it is whole lines. */
function linesOf(tree: string): Record<string, unknown>[] {
  const text = readFileSync(`${tree}.ndjson`, 'utf8');
  assert.match(text, /^(\{.*\}\n)*$/);
  return text.split('\n').slice(0, -1).map(line => JSON.parse(line));
}

/** The path of a record, one character for each byte. */
function bytesOf({ path, pathBase64 }: Record<string, unknown>): string {
  return Buffer.from(String(path ?? pathBase64), path === undefined ? 'base64' : 'utf8').toString('latin1');
}

/** What sha256sum says about the regular files of a tree, under their paths, one character for each byte. */
function sha256sum(tree: string): Map<string, string> {
  const { stdout } = spawnSync('sh', ['-c', 'find "$0" -type f -print0 | xargs -0 sha256sum --zero', tree], { encoding: 'latin1' });
  return new Map(stdout.split('\0').slice(0, -1).map(line => [line.slice(66), line.slice(0, 64)]));
}
