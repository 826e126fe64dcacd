// How lib/ is built, read from its text: who may import whom, what a worker loads, how large it all is, and
// which names are public. A new file of lib/ is entered in the table of ranks, or this fails.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { describe, it } from 'node:test';
import * as drainpool from 'drainpool';

/** A file imports only from lower ranks. */
const RANKS: readonly (readonly string[])[] = [
  ['aborts.ts', 'chunks.ts', 'descriptors.ts', 'events.ts', 'options.ts', 'protocol.ts', 'time.ts', 'types.ts'],
  ['deadline.ts', 'errors.ts', 'guard.ts', 'host.ts', 'interrupt.ts', 'source.ts', 'starts.ts'],
  ['ipc.ts', 'job.ts', 'queue.ts'],
  ['calls.ts', 'given.ts', 'ledger.ts', 'map.ts', 'program.ts'],
  ['worker-process.ts', 'worker.ts'],
  ['pool.ts'],
  ['index.ts'],
];
/** Lines of code: neither empty nor comment alone. */
const MOST_LINES = 3720;
/** They are its start-up time. */
const MOST_FILES_IN_A_WORKER = 4;

const root = new URL('../../', import.meta.url);
const lib = new Map(readdirSync(new URL('lib/', root)).sort().map(name => [name, readFileSync(new URL(`lib/${name}`, root), 'utf8')]));

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

/** The file itself and all that it imports, directly or not. */
function reach(name: string, wanted: (found: Import) => boolean, seen = new Set<string>()): string[] {
  seen.add(name);
  for (const found of importsOf(name)) {
    const next = found.from.replace(/^\.\//, '');
    if (found.from.startsWith('./') && wanted(found) && !seen.has(next)) reach(next, wanted, seen);
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
        for (const { from } of importsOf(name)) if (from.startsWith('.') && !lower.includes(from.replace('./', ''))) upward.push(`${name} imports ${from}`);
      }
    }
    assert.deepEqual(upward, []);
  });

  it('has no rank too many: in each some file needs one of the rank below', () => {
    for (const [rank, names] of RANKS.entries()) {
      const below = RANKS[rank - 1] ?? [];
      assert.ok(rank === 0 || names.some(name => importsOf(name).some(({ from }) => below.includes(from.replace('./', '')))), `rank ${rank}`);
    }
  });

  it('imports nothing but itself and Node', () => {
    const foreign = [...lib.keys()].flatMap(importsOf).map(({ from }) => from).filter(from => !from.startsWith('./') && !(from.startsWith('node:') && builtinModules.includes(from.slice(5))));
    assert.deepEqual(foreign, []);
  });

  it('opens every file with a comment', () => {
    for (const [name, text] of lib) assert.match(text, /^\/\/ [A-Z]/, name);
  });

  it(`has at most ${MOST_LINES} lines of code`, () => {
    const lines = [...lib.values()].flatMap(codeOf).length;
    assert.ok(lines > 500 && lines <= MOST_LINES, `${lines} lines`);
  });
});

describe('pool.ts and program.ts', () => {
  it('never meet but in what both import: neither reaches the other, types included', () => {
    assert.ok(!reach('pool.ts', () => true).includes('program.ts'));
    assert.ok(!reach('worker.ts', () => true).includes('pool.ts'));
  });
});

describe('interrupt.ts', () => {
  it('imports nothing of ours but the clock', () => {
    assert.deepEqual(reach('interrupt.ts', () => true), ['interrupt.ts', 'time.ts']);
  });
});

describe('worker.ts', () => {
  it(`loads at most ${MOST_FILES_IN_A_WORKER} files of lib/ when it runs`, () => {
    const loaded = reach('worker.ts', ({ isType }) => !isType);
    assert.ok(loaded.includes('protocol.ts') && loaded.length <= MOST_FILES_IN_A_WORKER, loaded.join(', '));
  });
});

describe('index.ts', () => {
  it('only re-exports', () => {
    const statements = codeOf(lib.get('index.ts') ?? '');
    assert.ok(statements.length > 0);
    for (const statement of statements) assert.match(statement, /^export (type )?\{[^}]+\} from '\.\/[a-z-]+\.ts';$/);
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
