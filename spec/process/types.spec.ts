// The types that a program sees: jobs, values and `workerData` come from the worker module, and what does not fit does not
// compile. Most of it is shown by this file being compiled; the words that the compiler has for the likeliest mistakes, by running it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProcessPool } from 'drainpool';
import type { DataOf, JobContext, JobOf, JobReader, PoolOptions, PoolReport, Result, ResultWriter, ValueOf } from 'drainpool';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
/** Compiles only for two types that are the same. */
const same = <A, B>(..._: Equal<A, B> extends true ? [] : ['the types differ']): void => {};

const url = new URL('file:///none.js'); // no pool here ever starts a worker

interface Square { default: (n: number) => number }
interface Later { default: (path: string, context: JobContext) => Promise<{ bytes: number }> }
interface Loop { worker: (jobs: JobReader<string>, results: ResultWriter<Uint8Array>) => Promise<void> }
type Shape = { kind: 'circle'; r: number } | { kind: 'square'; a: number };

describe('the types', () => {
  it('of jobs and values come from the default function, sync or async', () => {
    same<JobOf<Square>, number>();
    same<ValueOf<Square>, number>();
    same<JobOf<Later>, string>();
    same<ValueOf<Later>, { bytes: number }>();
    same<ValueOf<{ default: (n: number) => PromiseLike<Promise<string>> }>, string>();
    same<ValueOf<{ default: (n: number) => number | Promise<string> }>, number | string>();
    same<JobOf<typeof import('../fixtures/calls.ts')>, Parameters<typeof import('../fixtures/calls.ts')['default']>[0]>();
  });

  it('come from a bare function as well, and from a manual loop', () => {
    same<JobOf<(n: bigint) => Promise<Date>>, bigint>();
    same<ValueOf<(n: bigint) => Promise<Date>>, Date>();
    same<JobOf<Loop>, string>();
    same<ValueOf<Loop>, Uint8Array>();
    same<JobOf<typeof import('../fixtures/manual.ts')>, number>();
    same<[JobOf<Loop & Square>, ValueOf<Loop & Square>], [number, number]>(); // the default export comes first, as in the worker
  });

  it('are what one would think where a function is not so plain', () => {
    same<[JobOf<() => string>, ValueOf<() => string>], [unknown, string]>();
    same<JobOf<(n?: number) => void>, number | undefined>();
    same<JobOf<(job: Shape) => void>, Shape>();
    same<[JobOf<(job: any) => any>, ValueOf<(job: any) => any>], [any, any]>();
    same<[JobOf<(job: unknown) => unknown>, ValueOf<(job: unknown) => unknown>], [unknown, unknown]>();
    same<ValueOf<(n: number) => never>, never>();
    same<ValueOf<(n: number) => Promise<void>>, void>();
    same<[JobOf<<T>(job: T) => T[]>, ValueOf<<T>(job: T) => T[]>], [unknown, unknown[]]>();
    same<[JobOf<{ other: 1 }>, ValueOf<{ other: 1 }>], [never, never]>();
  });

  it('reach put, putAll, run, map, results and reports', () => {
    const pool = new ProcessPool<Later>(url);
    same<Parameters<typeof pool.jobs.put>, [job: string]>();
    same<Parameters<typeof pool.jobs.putAll>, [jobs: Iterable<string> | AsyncIterable<string>]>();
    same<Parameters<typeof pool.run>[0], string>();
    same<ReturnType<typeof pool.run>, Promise<{ bytes: number }>>();
    same<Parameters<typeof pool.map>, [jobs: Iterable<string> | AsyncIterable<string>]>();
    same<ReturnType<typeof pool.map>, AsyncIterableIterator<{ bytes: number }>>();
    same<ReturnType<typeof pool.results.drain>, Result<string, { bytes: number }>[]>();
    same<Awaited<ReturnType<typeof pool.join>>, PoolReport<string>>();
  });

  it('are unknown where nothing is said of the module', () => {
    const pool = new ProcessPool(url);
    same<Parameters<typeof pool.run>[0], unknown>();
    same<ReturnType<typeof pool.run>, Promise<unknown>>();
  });

  it('tell values from reasons by the status', () => {
    const tell = (result: Result<string, number>): void => {
      if (result.status === 'fulfilled') same<typeof result.value, number>();
      else same<typeof result.reason, unknown>();
      // @ts-expect-error Not before one has looked.
      void result.value;
    };
    assert.equal(tell.length, 1);
  });

  it('refuse wrong jobs and wrong options', () => {
    const never = (pool: ProcessPool<Square>, shapes: ProcessPool<(job: Shape) => number>): void => {
      // @ts-expect-error A string is no number.
      void pool.jobs.put('1');
      // @ts-expect-error Nor is nothing.
      void pool.run();
      // @ts-expect-error Nor are strings.
      void pool.jobs.putAll(['1']);
      // @ts-expect-error Nor are strings here.
      pool.map(new Set(['1']));
      void shapes.run({ kind: 'circle', r: 1 });
      // @ts-expect-error A circle has no side.
      void shapes.run({ kind: 'circle', a: 1 });
      // @ts-expect-error The option is `timeoutMs`.
      void pool.run(1, { timeout: 5 });
      // @ts-expect-error The option is `workers`.
      new ProcessPool<Square>(url, { worker: 5 });
      // @ts-expect-error No module has this type.
      void new ProcessPool<{ work(): void }>(url).run(1);
    };
    assert.equal(never.length, 2);
  });
});

describe('the type of workerData', () => {
  interface Keyed { default: (n: number) => number; setup: (data: { key: string }) => void }

  it('comes from `setup`, and is unknown without one', () => {
    same<DataOf<Keyed>, { key: string }>();
    same<DataOf<{ setup: (data?: string) => void }>, string | undefined>();
    same<[DataOf<{ setup: () => void }>, DataOf<Square>, DataOf<(n: number) => number>], [unknown, unknown, unknown]>();
    same<DataOf<typeof import('../fixtures/first-only.ts')>, unknown>();
  });

  it('is checked where it is given', () => {
    new ProcessPool<Keyed>(url, { workerData: { key: 'x' } });
    new ProcessPool<Square>(url, { workerData: 5 });
    new ProcessPool(url, { workerData: 5 });
    // @ts-expect-error A number is no string.
    new ProcessPool<Keyed>(url, { workerData: { key: 5 } });
    // @ts-expect-error There is no such option, though the data is right.
    assert.throws(() => new ProcessPool<Keyed>(url, { workerDatum: 1, workerData: { key: 'x' } }), TypeError);
  });

  it('lets a wrapper pass its options on', () => {
    const wrap = <Module>(options: PoolOptions<DataOf<Module>>): ProcessPool<Module> => new ProcessPool<Module>(url, { workers: 2, ...options });
    wrap<Keyed>({ workerData: { key: 'x' } });
    // @ts-expect-error A number is no string here either.
    wrap<Keyed>({ workerData: 5 });
  });
});

describe('the words of the compiler', () => {
  const root = fileURLToPath(new URL('../../../', import.meta.url));

  it('are one line each for a wrong job, an option that does not exist, and wrong workerData', t => {
    const folder = mkdtempSync(join(tmpdir(), 'drainpool-types-'));
    t.after(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
    symlinkSync(root, join(folder, 'node_modules', 'drainpool'));
    symlinkSync(join(root, 'node_modules', '@types', 'node'), join(folder, 'node_modules', '@types', 'node'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'work.ts'), 'export default (n: number): number => n;\nexport function setup(data: { key: string }): void { void data; }\n');
    writeFileSync(join(folder, 'main.ts'), `import { ProcessPool } from 'drainpool';
      const pool = new ProcessPool<typeof import('./work.js')>(new URL('./work.js', import.meta.url), { workerData: { key: 'x' } });
      void pool.jobs.put('1');
      void pool.run(1, { timeout: 5 });
      new ProcessPool<typeof import('./work.js')>(import.meta.url, { workerData: { key: 5 } });`);
    let said = '';
    try {
      execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node', 'main.ts'], { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      said = error instanceof Error && 'stdout' in error ? String(error.stdout) : '';
    }
    assert.deepEqual(said.trim().split('\n').map(line => line.replace(/^main\.ts\((\d+),\d+\): error TS\d+: /, '$1 ')), [
      "3 Argument of type 'string' is not assignable to parameter of type 'number'.",
      "4 Object literal may only specify known properties, but 'timeout' does not exist in type 'RunOptions'. Did you mean to write 'timeoutMs'?",
      "5 Type 'number' is not assignable to type 'string'.",
    ]);
  });
});
