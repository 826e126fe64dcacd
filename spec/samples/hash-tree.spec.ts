// The sample hash-tree, run as its users do: its digests against those of sha256sum, what it says about things that
// cannot be hashed, what Ctrl-C leaves, and how --resume goes on. The file that it writes lies beside the tree, as
// `TREE.ndjson`.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findFiles } from '../../samples/find-files.ts';
import hashFiles from '../../samples/hash-file.ts';
import { Program } from '../support/program.ts';
import { limited } from '../support/limits.ts';
import { turns } from '../support/turns.ts';

const SAMPLE = new URL('../../samples/hash-tree.js', import.meta.url);
const MAKER = new URL('../../samples/make-tree.js', import.meta.url);
/** As many files as the sample puts into three batches. */
const BATCHED = 192;
/** Hashing it takes many minutes, and it takes no space: a file with nothing in it but a size. */
const ENDLESS_BYTES = 2 ** 40;

/** Each test takes a second or two: after this long something hangs. */
const SUM = String.raw`(\d+) done, (\d+) failed, [\d.]+ MB in [\d.]+ s, [\d.]+ MB/s`;
/** All that may be on stderr: progress now and then, and the summary. */
const COMPLETED = new RegExp(`^(?:${SUM}\n)*completed: ${SUM}\n$`);
const RESUMED = new RegExp(`^(?:${SUM}\n)*completed: ${SUM}, (\\d+) kept\n$`);
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
    assert.deepEqual(sum, { failed: 1, bytes: 8 });
    assert.match(lines, /^\{"path":"[^"]*here","bytes":4,.*\}\n\{"path":"[^"]*gone","error":"ENOENT: .*\}\n\{"path":"[^"]*here",.*\}\n$/);
  });

  it('has errors for a folder that is gone when its turn comes, and for what is gone after it was listed', limited, async t => {
    const tree = makeTree(t);
    mkdirSync(join(tree, 'folder'));
    for (let i = 0; i < 100; i++) writeFileSync(join(tree, `small ${i}`), `${i}`);
    const found = findFiles(tree, new Set(), () => false);
    const { value: first } = await found.next(); // it is in the middle of listing the tree
    rmSync(tree, { recursive: true });
    const rest: string[] = [];
    for await (const batch of found) rest.push(...batch);
    assert.equal(first.length + rest.length, 101);
    assert.ok(rest.includes(join(tree, 'folder')));
    const { failed, lines } = hashFiles(rest);
    assert.deepEqual([failed, lines.match(/"error":"ENOENT: /g)?.length], [rest.length, rest.length]);
  });

  it('stops listing soon after nobody wants more, though it has found nothing new', limited, async t => {
    const tree = makeTree(t);
    const known = new Set(Array.from({ length: 100 }, (_, i) => join(tree, `${i}`)));
    for (const path of known) writeFileSync(path, '');
    let asked = 0;
    for await (const batch of findFiles(tree, known, () => ++asked > 10)) assert.fail(batch.join());
    assert.equal(asked, 11);
  });

  it('has the error of its worker for a file in the middle of which that died, and for no other', limited, async t => {
    const tree = makeTree(t);
    for (let i = 0; i < 200; i++) writeFileSync(join(tree, `small ${i}`), `${i}`);
    endless(tree, 'endless');
    const program = await running(t, tree, BATCHED, ['--workers', '1']);
    const [worker = assert.fail('it has no worker')] = program.workers;
    process.kill(worker, 'SIGKILL');
    const { code, stderr } = await program.ended;
    assert.match(linesOf(tree).map(line => line['error'] ?? '').join(''), /SIGKILL/);
    assert.equal(COMPLETED.exec(stderr)?.slice(-2).join(), '200,1', stderr);
    assert.equal(code, 1);
  });

  it('ends at once at Ctrl-C, with what was done in whole lines, and says what is lost and what pending', limited, async t => {
    const tree = makeTree(t);
    for (let i = 0; i < BATCHED; i++) writeFileSync(join(tree, `small ${i}`), `${i}`);
    for (const name of ['endless 1', 'endless 2', 'endless 3']) endless(tree, name);
    const program = await running(t, tree, BATCHED, ['--workers', '2']);
    await program.press();
    const { code, stderr } = await program.ended; // nobody holds its streams: nobody is left
    assert.equal(code, 130);
    assert.equal(linesOf(tree).length, BATCHED);
    const [done, failed, lost, pending] = INTERRUPTED.exec(stderr)?.slice(-4).map(Number) ?? assert.fail(stderr);
    assert.deepEqual([done, failed, lost! + pending!], [BATCHED, 0, 3]);
    assert.ok(lost! <= 2, stderr); // one a worker, or none where the large files had not begun yet
  });

  it('survives Ctrl-C in the middle of a flood of results, pressed again and again until it is gone, and --resume makes it whole', limited, async t => {
    const tree = makeTree(t);
    writeFileSync(join(tree, 'one'), 'one');
    for (let i = 0; i < 20_000; i++) linkSync(join(tree, 'one'), join(tree, `link ${i}`));
    endless(tree, 'endless');
    const program = await running(t, tree, 1);
    let isOver = false;
    const ended = program.ended.finally(() => { isOver = true; });
    while (!isOver) {
      program.kill('SIGINT');
      await turns();
    }
    const { code, signal, stderr } = await ended;
    // The last of the presses may fall into Node's own end, when no handler is left.
    assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`);
    const [done, failed] = INTERRUPTED.exec(stderr)?.slice(-4).map(Number) ?? assert.fail(stderr);
    assert.deepEqual([done, failed], [linesOf(tree).length, 0]);
    unlinkSync(join(tree, 'large', 'endless'));
    const resumed = await start(t, [tree, '--out', `${tree}.ndjson`, '--resume']).ended;
    assert.equal(RESUMED.exec(resumed.stderr)?.slice(-3).join(), `${20_001 - done!},0,${done}`, resumed.stderr);
    assert.equal(new Set(linesOf(tree).map(bytesOf)).size, 20_001);
  });

  it('ends with the lines of one uninterrupted run when it is interrupted at ten random moments and resumed', { timeout: 240_000 }, async t => {
    const tree = makeTree(t);
    const count = 10_000;
    for (let i = 0; i < 50; i++) writeFileSync(join(tree, `${i}`), Buffer.alloc(1000 * (i + 1), `${i} `));
    for (let i = 50; i < count - 2; i++) linkSync(join(tree, `${i % 50}`), join(tree, `${i}`));
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/not UTF-8: `), Buffer.of(0xff)]), 'y');
    writeFileSync(join(tree, 'two\u2028lines\n'), 'z');
    endless(tree, 'endless'); // so that it is never over before Ctrl-C comes
    let seed = 1 + Math.floor(Math.random() * (2 ** 31 - 3));
    t.diagnostic(`seed ${seed}`);
    const random = (): number => (seed = (seed * 48271) % (2 ** 31 - 1)) / 2 ** 31;

    let texts = new Set<string>();
    for (let i = 0; i < 10; i++) {
      // As many as there are already is a moment before it works: in its start, or while it reads and replaces FILE.
      const wanted = texts.size + Math.floor((random() * (count - texts.size)) / 3);
      const program = await running(t, tree, wanted, ['--workers', '2', '--resume']);
      await program.press();
      const { code, signal, stderr } = await program.ended;
      assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal} ${stderr}`);
      const lines = linesOf(tree);
      assert.equal(new Set(lines.map(bytesOf)).size, lines.length);
      const before = texts;
      texts = new Set(lines.map(line => JSON.stringify(line)));
      for (const text of before) assert.ok(texts.has(text), text);
    }
    unlinkSync(join(tree, 'large', 'endless'));
    const { code, stderr } = await start(t, [tree, '--out', `${tree}.ndjson`, '--resume']).ended;
    assert.equal(RESUMED.exec(stderr)?.slice(-3).join(), `${count - texts.size},0,${texts.size}`, stderr);
    assert.equal(code, 0);

    const resumed = linesOf(tree).map(line => JSON.stringify(line)).sort();
    assert.deepEqual(new Map(linesOf(tree).map(line => [bytesOf(line), line['sha256']])), sha256sum(tree));
    await start(t, [tree, '--out', `${tree}.ndjson`]).ended;
    assert.deepEqual(resumed, linesOf(tree).map(line => JSON.stringify(line)).sort());
    assert.deepEqual(readdirSync(dirname(tree)).sort(), ['tree', 'tree.ndjson']);
  });

  it('with --resume keeps the lines that hold, and only those: no errors, no changed files, no lost ones, no half line', limited, async t => {
    const tree = makeTree(t);
    const file = `${tree}.ndjson`;
    const old = new Date(2010, 0, 1);
    for (const name of ['kept', 'touched', 'longer', 'gone', 'a link now', 'broken off']) {
      writeFileSync(join(tree, name), name);
      utimesSync(join(tree, name), old, old);
    }
    symlinkSync('nowhere', join(tree, 'error'));
    assert.equal((await start(t, [tree, '--out', file]).ended).code, 1);

    const lines = new Map(linesOf(tree).map(line => [bytesOf(line).slice(tree.length + 1), JSON.stringify(line)]));
    const kept = lines.get('kept')?.replace(/"sha256":"[^"]*"/, '"sha256":"of the first run"') ?? '';
    const cut = lines.get('broken off') ?? '';
    lines.delete('kept');
    lines.delete('broken off');
    writeFileSync(file, [kept, kept, ...lines.values(), cut.slice(0, -10)].join('\n'));
    writeFileSync(join(tree, 'touched'), 'TOUCHED');
    appendFileSync(join(tree, 'longer'), ', but of the same time');
    utimesSync(join(tree, 'longer'), old, old);
    for (const name of ['gone', 'a link now', 'error']) unlinkSync(join(tree, name));
    linkSync(join(tree, 'broken off'), join(dirname(tree), 'a twin of the same time'));
    symlinkSync('../a twin of the same time', join(tree, 'a link now'));
    writeFileSync(join(tree, 'error'), 'all is well now');
    writeFileSync(join(tree, 'new'), 'new');

    const { code, stderr } = await start(t, [tree, '--out', file, '--resume']).ended;
    assert.equal(RESUMED.exec(stderr)?.slice(-3).join(), '5,0,1', stderr);
    assert.equal(code, 0);
    const expected = sha256sum(tree).set(join(tree, 'kept'), 'of the first run'); // which shows that it was not read again
    assert.deepEqual(new Map(linesOf(tree).map(line => [bytesOf(line), line['sha256']])), expected);
    assert.equal(linesOf(tree).length, expected.size);
  });

  it('begins with --resume where there is no FILE yet', limited, async t => {
    const tree = makeTree(t);
    writeFileSync(join(tree, 'one'), 'one');
    const { code, stderr } = await start(t, [tree, '--out', `${tree}.ndjson`, '--resume']).ended;
    assert.equal(RESUMED.exec(stderr)?.slice(-3).join(), '1,0,0', stderr);
    assert.deepEqual([code, linesOf(tree).length], [0, 1]);
  });

  it('hashes node_modules when no folder is named, and prints no more than the summary', limited, async t => {
    const { code, stdout, stderr } = await start(t, ['--workers', '1']).ended;
    assert.equal(stdout, '');
    const [done, failed] = COMPLETED.exec(stderr)?.slice(-2).map(Number) ?? assert.fail(stderr);
    assert.deepEqual([done! > 100, failed, code], [true, 0, 0]);
  });

  it('answers a wrong command line with one line, and --help with its usage', limited, async t => {
    const tree = makeTree(t);
    const link = join(dirname(tree), 'link'); // and no device: were it replaced, as root can, the machine would miss it
    writeFileSync(join(dirname(tree), 'old'), '');
    symlinkSync('old', link);
    const wrong: [string[], RegExp][] = [
      [['--frobnicate'], /^Cannot hash the tree: Unknown option '--frobnicate'.*\n$/],
      [[tree, tree], /^Cannot hash the tree: it takes one folder: received 2\n$/],
      [[join(tree, 'nowhere')], /^Cannot hash the tree: ENOENT: .*\n$/],
      [[tree, '--workers', 'none'], /^Cannot hash the tree: .*`workers` must be an integer >= 1: received NaN\n$/],
      [[tree, '--out', join(tree, 'no', 'folder')], /^Cannot hash the tree: ENOENT: .*\n$/],
      [[tree, '--resume'], /^Cannot hash the tree: --resume goes with --out FILE.*\n$/],
      [[tree, '--resume', '--out', link], /^Cannot hash the tree: --resume needs a regular file.*: received .*link\n$/],
    ];
    for (const [args, words] of wrong) {
      const { code, stdout, stderr } = await start(t, args).ended;
      assert.match(stderr, words);
      assert.deepEqual([code, stdout], [1, '']);
    }
    const { code, stdout, stderr } = await start(t, ['--help']).ended;
    assert.match(stdout, /^--out FILE .*^--resume .*^--workers N /ms);
    assert.deepEqual([code, stderr], [0, '']);
  });

  it('stops with one line when it cannot write, with whole lines in FILE, and --resume goes on from there', limited, async t => {
    const tree = makeTree(t);
    for (let i = 0; i < 2000; i++) writeFileSync(join(tree, `small ${i}`), `${i}`);
    const full = await start(t, [tree, '--out', '/dev/full']).ended;
    assert.match(full.stderr, /^Cannot hash the tree: ENOSPC: .*\n$/);
    assert.equal(full.code, 1);

    // A disk that becomes full in the middle of a line; the limit is 100 or 200 kB, as shells count.
    const limit = shell('ulimit -f 200; exec "$0" "$@"', [tree, '--out', `${tree}.ndjson`]);
    assert.match(limit.stderr, /^Cannot hash the tree: EFBIG: .*\n$/);
    assert.equal(limit.status, 1);
    const kept = linesOf(tree).length;
    assert.ok(kept >= 64 && kept < 2000, `${kept}`);

    const text = readFileSync(`${tree}.ndjson`, 'utf8');
    assert.match(shell('ulimit -f 1; exec "$0" "$@"', [tree, '--out', `${tree}.ndjson`, '--resume']).stderr, /^Cannot hash the tree: EFBIG: .*\n$/);
    assert.equal(readFileSync(`${tree}.ndjson`, 'utf8'), text);

    const { stderr } = await start(t, [tree, '--out', `${tree}.ndjson`, '--resume']).ended;
    assert.equal(RESUMED.exec(stderr)?.slice(-3).join(), `${2000 - kept},0,${kept}`, stderr);
    assert.deepEqual(new Map(linesOf(tree).map(line => [bytesOf(line), line['sha256']])), sha256sum(tree));
  });

  it('stops with one line when nobody reads on', limited, async t => {
    const tree = makeTree(t);
    for (let i = 0; i < 2000; i++) writeFileSync(join(tree, `small ${i}`), `${i}`);
    const { stdout, stderr } = shell('"$0" "$@" | head -n 1', [tree, '--out', '/dev/stdout']);
    assert.match(stdout, /^\{.*\}\n$/);
    assert.match(stderr, /^Cannot hash the tree: EPIPE: .*\n$/);
  });
});

describe('make-tree', () => {
  it('makes the same files every time, as many and as large as was asked', limited, async t => {
    const trees = [makeTree(t), makeTree(t)];
    for (const tree of trees) assert.deepEqual(await run(t, MAKER, [tree, '--files', '250', '--bytes', '12345678']), [0, '']);
    const [digests, again] = trees.map(tree => new Map([...sha256sum(tree)].map(([path, digest]) => [path.slice(tree.length), digest])));
    assert.deepEqual(digests, again);
    assert.deepEqual([digests?.size, new Set(digests?.values()).size], [250, 250]);
    const sizes = [...sha256sum(trees[0]!).keys()].map(path => statSync(path).size).sort((a, b) => a - b);
    assert.equal(sizes.reduce((sum, size) => sum + size, 0), 12_345_678);
    assert.ok(sizes[0]! < 1000 && sizes.at(-1)! > 100_000, sizes.join());
  });

  it('answers a wrong command line with one line', limited, async t => {
    for (const args of [[], ['a', 'b'], ['a', '--files', 'many'], ['a', '--frobnicate']]) {
      const [code, stderr] = await run(t, MAKER, args);
      assert.match(stderr, /^Cannot make the tree: .*\n$/);
      assert.equal(code, 1);
    }
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

/** A file in a folder of its own, which is listed after the tree itself: so whole batches of that are hashed before. */
function endless(tree: string, name: string): void {
  mkdirSync(join(tree, 'large'), { recursive: true });
  writeFileSync(join(tree, 'large', name), '');
  truncateSync(join(tree, 'large', name), ENDLESS_BYTES);
}

/** Starts hash-tree, which ends by itself only if the test has a good end. */
function start(t: TestContext, args: string[], sample = SAMPLE): Program {
  const program = new Program(sample, args);
  t.after(() => program.kill('SIGKILL'));
  return program;
}

/** Its exit code and what it said. */
async function run(t: TestContext, sample: URL, args: string[]): Promise<[number | null, string]> {
  const { code, stdout, stderr } = await start(t, args, sample).ended;
  return [code, stdout + stderr];
}

/** Has a line of shell run hash-tree, as "$0" "$@". */
function shell(line: string, args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, NODE_V8_COVERAGE: undefined };
  return spawnSync('sh', ['-c', line, process.execPath, fileURLToPath(SAMPLE), ...args], { encoding: 'utf8', env, timeout: limited.timeout });
}

/** Starts hash-tree, and resolves when there are so many lines in FILE. */
async function running(t: TestContext, tree: string, count: number, args: string[] = []): Promise<Program> {
  const file = `${tree}.ndjson`;
  appendFileSync(file, ''); // to have something to read before it starts
  const over = new AbortController();
  const changes = watch(dirname(file), { signal: over.signal })[Symbol.asyncIterator](); // FILE itself may be replaced
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
  assert.ok(/^(\{[^\n]*\}\n)*$/.test(text), `Not whole lines: ${text.slice(-500)}`);
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
