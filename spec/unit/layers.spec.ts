// How lib/ is built, read from its text: who may import whom, what a worker loads, how large it all is, and
// which names are public. A new file of lib/ is entered in the table of ranks, or this fails.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import * as drainpool from 'drainpool';

/** A file imports only from lower ranks. */
const RANKS: readonly (readonly string[])[] = [
  ['descriptors.ts', 'options.ts', 'parent/batch-size.ts', 'parent/events.ts', 'parent/fifo.ts', 'parent/worker-states.ts', 'shared-listener.ts', 'types.ts', 'wire/protocol.ts', 'wire/uncloneable.ts'],
  ['errors.ts', 'host.ts', 'parent/aborts.ts', 'parent/result-queue.ts', 'wire/snapshot.ts', 'worker/running.ts'],
  ['parent/deadline.ts', 'parent/job-record.ts', 'parent/orphan-guard.ts', 'parent/signals.ts', 'parent/source.ts', 'parent/starts.ts', 'wire/batch.ts'],
  ['parent/calls.ts', 'parent/in-flight.ts', 'parent/job-queue.ts', 'parent/ledger.ts', 'parent/map.ts', 'parent/time-limit.ts', 'parent/worker-process.ts', 'wire/values.ts'],
  ['parent/barrier.ts', 'parent/jobs.ts', 'parent/shutdown.ts', 'wire/channel.ts'],
  ['node.ts', 'parent/answers.ts', 'parent/job-sender.ts', 'worker/outbox.ts'],
  ['parent/assignment.ts', 'worker/inbox.ts'],
  ['parent/worker-owner.ts', 'worker/functions.ts', 'worker/loop.ts'],
  ['parent/worker-handle.ts', 'worker/program.ts'],
  ['parent/dispatcher.ts', 'parent/workforce.ts', 'worker.ts'],
  ['parent/coordinator.ts'],
  ['parent/pool.ts'],
  ['index.ts'],
];
/** Lines of code: neither empty nor comment alone. */
const MOST_LINES = 4540;
/** They are its start-up time. */
const MOST_FILES_IN_A_WORKER = 12;
/** Of one file, with its comments: more is two things. */
const MOST_LINES_OF_A_FILE = 320;

/** What of the machine may only be named where a host is made. */
const MACHINE = [
  /(?<![-\w])process\.\w+|\(process\b(?!\.)/g,
  /child_process|node:(?:crypto|timers|process|perf_hooks)\b|\b(?:performance|crypto)\b|\bDate\.now\b|\bMath\.random\b/g,
  /(?<![.\w#])(?:(?:set|clear)(?:Timeout|Interval|Immediate)|queueMicrotask)\(|globalThis\.(?:set|clear|queue|process)\w*/g,
  /\b(?:process|(?:set|clear)(?:Timeout|Interval|Immediate)|queueMicrotask)\b(?=[^{}]*\} = globalThis)/g,
];
const HOSTS = ['node.ts', 'worker.ts'];
/** What is named elsewhere all the same, and why it may be. */
const EXCEPTIONS: Record<string, string> = {
  'host.ts: clearInterval(': 'declared, and not called',
  'host.ts: clearTimeout(': 'declared, and not called',
  'host.ts: queueMicrotask(': 'declared, and not called',
  'host.ts: setImmediate(': 'declared, and not called',
  'host.ts: setInterval(': 'declared, and not called',
  'host.ts: setTimeout(': 'declared, and not called',
  'options.ts: process.execArgv': 'a default: whoever wants other flags gives them',
  'wire/uncloneable.ts: (process': 'which modules of Node are loaded, for their classes: a fact, and no event',
  'wire/uncloneable.ts: process.getBuiltinModule': 'the same',
};

const root = new URL('../../../', import.meta.url);
const lib = new Map(readdirSync(new URL('lib/', root), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).sort().map(name => [name, readFileSync(new URL(`lib/${name}`, root), 'utf8')]));

const codeOf = (text: string): string[] => text.split('\n').filter(line => !/^\s*(\/\/|\/\*|\*|$)/.test(line));

interface Import {
  from: string;
  /** Whether nothing is left of it at run time. */
  isType: boolean;
}

const STATEMENT = /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)';$/gm;

function importsOf(name: string): Import[] {
  return [...codeOf(lib.get(name) ?? '').join('\n').matchAll(STATEMENT)].map(([, type, from = '']) => ({ from, isType: type !== undefined }));
}

/** What a file imports of ours, by its place in lib/. */
const oursOf = (name: string): string[] => importsOf(name).map(({ from }) => from).filter(from => from.startsWith('.')).map(from => join(dirname(name), from));

/** The file itself and all that it imports, directly or not. */
function reach(name: string, wanted: (found: Import) => boolean, seen = new Set<string>()): string[] {
  seen.add(name);
  for (const found of importsOf(name)) {
    const next = join(dirname(name), found.from);
    if (found.from.startsWith('.') && wanted(found) && !seen.has(next)) reach(next, wanted, seen);
  }
  return [...seen].sort();
}

describe('lib/', () => {
  it('has the files of the table, and no others', () => {
    assert.deepEqual([...lib.keys()], RANKS.flat().sort());
  });

  it('has its imports where this spec looks for them', () => {
    for (const [name, text] of lib) {
      const seen = importsOf(name).length;
      assert.equal(codeOf(text).filter(line => /^import\b|\bfrom\s+['"]|\brequire\(|\bimport\(\s*['"]/.test(line)).length, seen, name);
      assert.ok(seen > 0 || RANKS.slice(0, 2).flat().includes(name), name);
    }
  });

  it('imports only from lower ranks, types included', () => {
    const upward: string[] = [];
    for (const [rank, names] of RANKS.entries()) {
      const lower = RANKS.slice(0, rank).flat();
      for (const name of names) {
        for (const from of oursOf(name)) if (!lower.includes(from)) upward.push(`${name} imports ${from}`);
      }
    }
    assert.deepEqual(upward, []);
  });

  it('has no rank too many: in each some file needs one of the rank below', () => {
    for (const [rank, names] of RANKS.entries()) {
      const below = RANKS[rank - 1] ?? [];
      assert.ok(rank === 0 || names.some(name => oursOf(name).some(from => below.includes(from))), `rank ${rank}`);
    }
  });

  it('imports nothing but itself and Node', () => {
    const foreign = [...lib.keys()].flatMap(importsOf).map(({ from }) => from).filter(from => !from.startsWith('.') && !(from.startsWith('node:') && builtinModules.includes(from.slice(5))));
    assert.deepEqual(foreign, []);
  });

  it('opens every file with a comment', () => {
    for (const [name, text] of lib) assert.match(text, /^\/\/ [A-Z]/, name);
  });

  it(`has no file of more than ${MOST_LINES_OF_A_FILE} lines`, () => {
    for (const [name, text] of lib) assert.ok(text.trimEnd().split('\n').length <= MOST_LINES_OF_A_FILE, name);
  });

  it('names nothing of the machine but where a host is made, with a few exceptions', () => {
    const named = new Set<string>();
    for (const [name, text] of lib) {
      if (HOSTS.includes(name)) continue;
      for (const pattern of MACHINE) for (const [what] of codeOf(text).join('\n').matchAll(pattern)) named.add(`${name}: ${what}`);
    }
    assert.deepEqual([...named].sort(), Object.keys(EXCEPTIONS));
  });

  it('names it there: else the patterns of this spec have missed it', () => {
    for (const pattern of MACHINE) assert.ok(HOSTS.some(name => codeOf(lib.get(name) ?? '').join('\n').search(pattern) !== -1), String(pattern));
  });

  it(`has at most ${MOST_LINES} lines of code`, () => {
    const lines = [...lib.values()].flatMap(codeOf).length;
    assert.ok(lines > 500 && lines <= MOST_LINES, `${lines} lines`);
  });
});

describe('parent/ and worker/', () => {
  it('never meet but in what both import: no file of the one reaches a file of the other, types included', () => {
    for (const [name, folder] of [['parent/pool.ts', 'worker/'], ['worker/program.ts', 'parent/'], ['worker.ts', 'parent/']] as const) {
      assert.deepEqual(reach(name, () => true).filter(other => other.startsWith(folder)), [], name);
    }
  });

  it('are reached by no file of wire/', () => {
    for (const name of lib.keys()) if (name.startsWith('wire/')) assert.deepEqual(reach(name, () => true).filter(other => /^(parent|worker)/.test(other)), [], name);
  });
});

describe('parent/signals.ts', () => {
  it('imports nothing of ours but the seam, and nothing of that is left when it runs', () => {
    assert.deepEqual(reach('parent/signals.ts', () => true), ['host.ts', 'options.ts', 'parent/signals.ts']);
    assert.deepEqual(reach('parent/signals.ts', ({ isType }) => !isType), ['parent/signals.ts']);
  });
});

describe('worker.ts', () => {
  it(`loads at most ${MOST_FILES_IN_A_WORKER} files of lib/ when it runs`, () => {
    const loaded = reach('worker.ts', ({ isType }) => !isType);
    assert.ok(loaded.includes('wire/protocol.ts') && loaded.length <= MOST_FILES_IN_A_WORKER, loaded.join(', '));
  });
});

describe('index.ts', () => {
  it('only re-exports', () => {
    const statements = codeOf(lib.get('index.ts') ?? '');
    assert.ok(statements.length > 0);
    for (const statement of statements) assert.match(statement, /^export (type )?\{[^}]+\} from '\.\/[a-z/-]+\.ts';$/);
  });
});

describe('drainpool', () => {
  it('has these public names', () => {
    assert.deepEqual(Object.keys(drainpool).sort(), [
      'JobLostError',
      'JobTimeoutError',
      'PoolClosedError',
      'PoolInterruptedError',
      'ProcessPool',
      'ProtocolError',
      'WorkerExitError',
      'WorkerStartError',
      'isWorker',
    ]);
  });

  it('needs no package to run, and three to be developed', () => {
    const manifest: Record<string, unknown> = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
    assert.deepEqual(Object.keys(manifest).filter(name => /dependencies$/i.test(name)), ['devDependencies']);
    assert.deepEqual(Object.keys(Object(manifest['devDependencies'])).sort(), ['@types/node', 'c8', 'typescript']);
  });
});
