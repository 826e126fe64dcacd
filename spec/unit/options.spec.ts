// The options of a pool and its module argument: what each is when nothing is said, what is taken, and what
// is refused in which words. A wrong shape is a TypeError, a number out of range a RangeError.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, createReadStream, createWriteStream, openSync, rmSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Stream } from 'node:stream';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProcessPool } from 'drainpool';
import { checkMs, defaults, inheritedFlags, moduleHref, settings } from '../../lib/options.ts';

type Name = keyof ReturnType<typeof defaults>;
type Kind = 'TypeError' | 'RangeError';

/** A caller without types. */
const untyped = (options: unknown): unknown => Reflect.apply(settings, undefined, [options]);
const untypedHref = (module: unknown): unknown => Reflect.apply(moduleHref, undefined, [module]);

function takes(name: Name, values: readonly unknown[]): void {
  for (const value of values) assert.deepEqual(untyped({ [name]: value }), { ...defaults(), [name]: value });
}

/** `found` is a list of values, each with the words in which the message shows it. */
function refuses(name: string, kind: Kind, wanted: string, found: readonly (readonly [value: unknown, shown: string])[]): void {
  for (const [value, shown] of found) {
    assert.throws(() => untyped({ [name]: value }), { name: kind, message: `Cannot create a pool as \`${name}\` must be ${wanted}: received ${shown}` });
  }
}

describe('defaults()', () => {
  it('has every option, and what it is when nothing is said', () => {
    assert.deepEqual(defaults(), {
      workers: availableParallelism(),
      workerData: undefined,
      interruptSignals: ['SIGINT'],
      interruptPolicy: 'terminate',
      signal: undefined,
      graceMs: 5000,
      jobCapacity: 8192,
      resultCapacity: 8192,
      chunkSize: 'auto',
      timeoutMs: undefined,
      retries: 0,
      maxJobsPerWorker: undefined,
      maxWorkerMemory: undefined,
      minWorkers: 0,
      idleTimeoutMs: undefined,
      ownGroup: false,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: undefined,
      execArgv: inheritedFlags(process.execArgv),
      cwd: undefined,
    });
  });

  it('has the flags of this process as they are now', () => {
    process.execArgv.push('--stack-trace-limit=7');
    const { execArgv } = defaults();
    process.execArgv.pop();
    assert.equal(execArgv.at(-1), '--stack-trace-limit=7');
  });
});

describe('inheritedFlags()', () => {
  it('passes Node\'s flags on', () => {
    const flags = ['--no-warnings', '--expose-gc', '-r', './hook.cjs', '--import=./hook.js', '--max-old-space-size=512'];
    assert.deepEqual(inheritedFlags(flags), flags);
    assert.deepEqual(inheritedFlags([]), []);
    assert.deepEqual(inheritedFlags(['--test', '--test-name-pattern', 'some words', '--watch']), ['--test-name-pattern', 'some words']);
  });

  it('keeps an inspector to itself: two processes cannot share its port', () => {
    assert.deepEqual(inheritedFlags(['--inspect', '--no-warnings', '--inspect=9229', '--inspect-brk', '--inspect-port=0', '--inspect-publish-uid=http']), ['--no-warnings']);
  });

  it('keeps a program on the command line to itself', () => {
    assert.deepEqual(inheritedFlags(['--eval=1 + 1', '--print=1', '--input-type', 'module', '--inspect-port', '0', '--require', 'x']), ['--require', 'x']);
    for (const flag of ['-e', '-p', '-pe', '--eval', '--print']) {
      assert.deepEqual(inheritedFlags(['--no-warnings', flag, 'work()', '--expose-gc']), ['--no-warnings', '--expose-gc']);
    }
    assert.deepEqual(inheritedFlags(['--input-type=module', '--eval', 'work()']), []);
  });
});

describe('settings()', () => {
  it('is the defaults for no options', () => {
    assert.deepEqual(settings({}), defaults());
  });

  it('takes undefined for an option as its default', () => {
    const names = Object.keys(defaults());
    assert.deepEqual(untyped(Object.fromEntries(names.map(name => [name, undefined]))), defaults());
  });

  it('keeps what was given, beside the defaults of the rest', () => {
    assert.deepEqual(settings({ workers: 2, interruptPolicy: 'finish' }), { ...defaults(), workers: 2, interruptPolicy: 'finish' });
  });

  it('refuses options that are no object', () => {
    const found = [[null, 'null'], [undefined, 'undefined'], [3, '3'], ['workers', "'workers'"], [true, 'true'], [['workers', 2], 'an array']] as const;
    for (const [options, shown] of found) {
      assert.throws(() => untyped(options), { name: 'TypeError', message: `Cannot create a pool as the options must be an object: received ${shown}` });
    }
  });

  it('refuses an unknown option, and names the nearest that there is', () => {
    const found = [['worker', 'workers'], ['CWD', 'cwd'], ['workersData', 'workerData'], ['interuptSignals', 'interruptSignals'], ['interruptPolice', 'interruptPolicy'], ['graceMillis', 'graceMs'], ['signals', 'signal'], ['jobsCapacity', 'jobCapacity'], ['resultsCapacity', 'resultCapacity'], ['stdin', 'stdio'], ['envs', 'env'], ['execArgs', 'execArgv'], ['pwd', 'cwd'], ['toString', 'retries']] as const;
    for (const [name, nearest] of found) {
      assert.throws(() => untyped({ [name]: 1 }), { name: 'TypeError', message: `Cannot create a pool as there is no option \`${name}\`: the nearest is \`${nearest}\`` });
    }
  });

  it('refuses an unknown option even if it is undefined', () => {
    assert.throws(() => untyped({ worker: undefined }), { name: 'TypeError', message: 'Cannot create a pool as there is no option `worker`: the nearest is `workers`' });
  });

  for (const name of ['workers', 'jobCapacity', 'resultCapacity', 'maxJobsPerWorker', 'maxWorkerMemory'] as const) {
    it(`takes an integer >= 1 for \`${name}\``, () => {
      takes(name, [1, 2, 1_000_000]);
      refuses(name, 'TypeError', 'an integer >= 1', [['3', "'3'"], [null, 'null'], [true, 'true'], [[3], 'an array'], [{ count: 3 }, 'an object'], [Symbol('three'), 'Symbol(three)']]);
      refuses(name, 'RangeError', 'an integer >= 1', [[0, '0'], [-1, '-1'], [1.5, '1.5'], [NaN, 'NaN'], [Infinity, 'Infinity']]);
    });
  }

  it('takes an integer >= 1 or the word auto for `chunkSize`', () => {
    takes('chunkSize', [1, 7, 100_000, 'auto']);
    refuses('chunkSize', 'TypeError', "an integer >= 1 or 'auto'", [['7', "'7'"], [null, 'null'], ['Auto', "'Auto'"]]);
    refuses('chunkSize', 'RangeError', "an integer >= 1 or 'auto'", [[0, '0'], [1.5, '1.5'], [Infinity, 'Infinity']]);
  });

  it('takes an integer >= 0 for `retries`', () => {
    takes('retries', [0, 1, 100]);
    refuses('retries', 'TypeError', 'an integer >= 0', [['1', "'1'"], [null, 'null']]);
    refuses('retries', 'RangeError', 'an integer >= 0', [[-1, '-1'], [0.5, '0.5'], [NaN, 'NaN']]);
  });

  it('takes an integer from 0 to `workers` for `minWorkers`', () => {
    assert.deepEqual(untyped({ workers: 3, minWorkers: 3 }), { ...defaults(), workers: 3, minWorkers: 3 });
    refuses('minWorkers', 'TypeError', 'an integer >= 0', [['1', "'1'"]]);
    refuses('minWorkers', 'RangeError', 'an integer >= 0', [[-1, '-1']]);
    assert.throws(() => untyped({ workers: 2, minWorkers: 3 }), { name: 'RangeError', message: 'Cannot create a pool as `minWorkers` must be at most `workers`, which is 2: received 3' });
  });

  for (const name of ['timeoutMs', 'idleTimeoutMs'] as const) {
    it(`takes milliseconds for \`${name}\``, () => {
      takes(name, [0, 0.5, 1000, 2 ** 31 - 1]);
      refuses(name, 'TypeError', 'a number of milliseconds from 0 to 2147483647', [['1', "'1'"], [null, 'null']]);
      refuses(name, 'RangeError', 'a number of milliseconds from 0 to 2147483647', [[-1, '-1'], [2 ** 31, '2147483648'], [NaN, 'NaN'], [Infinity, 'Infinity']]);
    });
  }

  it('takes true or false for `ownGroup`', () => {
    takes('ownGroup', [true, false]);
    refuses('ownGroup', 'TypeError', 'true or false', [[1, '1'], ['true', "'true'"], [null, 'null']]);
  });

  it('takes anything that can be cloned for `workerData`', () => {
    takes('workerData', [null, 0, 'text', { table: new Map([['key', 1]]) }]);
    assert.throws(() => new ProcessPool(new URL('file:///work.js'), { workerData: { log: () => {} } }), {
      name: 'DataCloneError',
      message: 'Cannot send `workerData` to another process as `workerData.log` cannot be cloned: it is a function',
    });
  });

  it('takes names of signals for `interruptSignals`, or none', () => {
    takes('interruptSignals', [[], ['SIGINT'], ['SIGINT', 'SIGTERM', 'SIGHUP']]);
    refuses('interruptSignals', 'TypeError', 'an array of signal names', [['SIGINT', "'SIGINT'"], [null, 'null'], [{ 0: 'SIGINT' }, 'an object'], [['SIGINT', 'SIGFOO'], "'SIGFOO'"], [['sigint'], "'sigint'"], [[2], '2'], [[undefined], 'undefined'], [[['SIGINT']], 'an array'], [[Object.create(null)], 'an object']]);
  });

  it('refuses the signals that no process can handle for `interruptSignals`', () => {
    refuses('interruptSignals', 'TypeError', 'signals that a process can handle', [[['SIGKILL'], "'SIGKILL'"], [['SIGINT', 'SIGSTOP'], "'SIGSTOP'"]]);
  });

  it("takes 'terminate' or 'finish' for `interruptPolicy`", () => {
    takes('interruptPolicy', ['terminate', 'finish']);
    refuses('interruptPolicy', 'TypeError', "'terminate' or 'finish'", [['stop', "'stop'"], ['', "''"], [null, 'null'], [1, '1'], [['finish'], 'an array']]);
  });

  it('takes an AbortSignal for `signal`', () => {
    takes('signal', [new AbortController().signal, AbortSignal.abort()]);
    refuses('signal', 'TypeError', 'an AbortSignal', [[new AbortController(), 'an object'], [{ aborted: false }, 'an object'], [null, 'null'], ['SIGINT', "'SIGINT'"], [true, 'true']]);
  });

  it('takes a number of milliseconds that a timer can wait for `graceMs`', () => {
    takes('graceMs', [0, 0.5, 2 ** 31 - 1]);
    const wanted = 'a number of milliseconds from 0 to 2147483647';
    refuses('graceMs', 'TypeError', wanted, [['5000', "'5000'"], [null, 'null'], [[5], 'an array']]);
    refuses('graceMs', 'RangeError', wanted, [[-1, '-1'], [NaN, 'NaN'], [Infinity, 'Infinity'], [2 ** 31, '2147483648']]);
  });

  it("takes 'inherit' or 'ignore' for `stdio`, or three of these, descriptors or streams", () => {
    takes('stdio', ['inherit', 'ignore', ['ignore', 'inherit', 'ignore'], ['ignore', 1, 2], [0, process.stdout, process.stderr]]);
  });

  it('refuses anything else for `stdio`', () => {
    const wanted = "'inherit', 'ignore', or an array of three of these, descriptors or streams";
    refuses('stdio', 'TypeError', wanted, [['all', "'all'"], [null, 'null'], [1, '1'], [process.stderr, 'an object']]);
    for (const [entry, shown] of [['ipc', "'ipc'"], [-1, '-1'], [1.5, '1.5'], [NaN, 'NaN'], [null, 'null'], [undefined, 'undefined'], [true, 'true'], [{}, 'an object'], [['inherit'], 'an array']] as const) {
      refuses('stdio', 'TypeError', wanted, [[[entry, 'inherit', 'inherit'], shown], [['inherit', 'inherit', entry], shown]]);
    }
  });

  it('takes for `stdio` what has a descriptor: an open file, a pipe, a socket', async t => {
    const file = createWriteStream(join(tmpdir(), `drainpool-${randomUUID()}`));
    await once(file, 'open');
    const cat = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = connect(Object(server.address()).port, '127.0.0.1');
    await once(socket, 'connect');
    t.after(() => {
      rmSync(file.path);
      server.close();
      for (const each of [file, cat.stdin, socket]) each.destroy();
    });
    for (const stream of [file, cat.stdin, cat.stdout, socket]) assert.doesNotThrow(() => untyped({ stdio: ['ignore', stream, 'inherit'] }));
  });

  it('refuses a stream without a descriptor for `stdio`, and says what to do', async () => {
    const message = 'Cannot create a pool as `stdio` must hold streams that have a descriptor, an open file or socket: received one that has none. Give a file after its \'open\' event, not a stream that exists only in this process, as a PassThrough does';
    const closed = createReadStream(fileURLToPath(import.meta.url));
    await once(closed, 'open');
    closed.destroy();
    await once(closed, 'close');
    const cat = spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] });
    cat.stdin.destroy();
    const unopened = createReadStream(fileURLToPath(import.meta.url));
    for (const stream of [new PassThrough(), new Stream(), unopened, closed, cat.stdin, new Socket()]) {
      for (const stdio of [[stream, 'inherit', 'inherit'], ['ignore', 'inherit', stream]]) assert.throws(() => untyped({ stdio }), { name: 'TypeError', message });
    }
    unopened.destroy();
  });

  it('refuses a descriptor for `stdio` that is not open', () => {
    const descriptor = openSync('/dev/null', 'r');
    closeSync(descriptor);
    assert.throws(() => untyped({ stdio: ['ignore', descriptor, 2] }), { name: 'TypeError', message: `Cannot create a pool as \`stdio\` must hold descriptors that are open: received ${descriptor}, which is not` });
    assert.throws(() => untyped({ stdio: ['ignore', Object.assign(new Stream(), { fd: descriptor }), 2] }), TypeError);
  });

  it('refuses an array of any other length than three for `stdio`', () => {
    const wanted = "'inherit', 'ignore', or an array of three of these, descriptors or streams";
    refuses('stdio', 'TypeError', wanted, [[[], 'an array'], [['inherit', 'inherit'], 'an array'], [['inherit', 'inherit', 'inherit', 'inherit'], 'an array']]);
  });

  it("refuses 'pipe' for `stdio`, alone or in an array of any length, and says why", () => {
    const message = "Cannot create a pool as `stdio` must not be 'pipe', which nobody would read: give a stream or a descriptor";
    for (const stdio of ['pipe', 'overlapped', ['pipe', 'inherit', 'inherit'], ['inherit', 'pipe', 'inherit'], ['inherit', 'inherit', 'overlapped'], ['pipe'], ['pipe', 'pipe', 'pipe', 'pipe']]) {
      assert.throws(() => untyped({ stdio }), { name: 'TypeError', message });
    }
  });

  it('takes an object of variables for `env`', () => {
    takes('env', [{}, { PATH: '/bin' }, process.env]);
    refuses('env', 'TypeError', 'an object', [[null, 'null'], ['PATH=/bin', "'PATH=/bin'"], [1, '1']]);
  });

  it('takes an array of strings for `execArgv`', () => {
    takes('execArgv', [[], ['--no-warnings', '--expose-gc']]);
    refuses('execArgv', 'TypeError', 'an array of strings', [['--no-warnings', "'--no-warnings'"], [null, 'null'], [{ 0: '--no-warnings' }, 'an object'], [['--no-warnings', 1], 'an array']]);
  });

  it('takes a path or a URL for `cwd`', () => {
    takes('cwd', ['/', '.', new URL('file:///')]);
    refuses('cwd', 'TypeError', 'a path or a file: URL', [[null, 'null'], [1, '1'], [['/'], 'an array'], [{ href: 'file:///' }, 'an object'], [new URL('http://localhost/'), 'an object']]);
  });
});

describe('checkMs()', () => {
  it('names the action that it stands before', () => {
    const wanted = 'must be a number of milliseconds from 0 to 2147483647';
    assert.throws(() => checkMs('graceMs', '1', 'terminate the pool'), { name: 'TypeError', message: `Cannot terminate the pool as \`graceMs\` ${wanted}: received '1'` });
    assert.throws(() => checkMs('graceMs', -1, 'terminate the pool'), { name: 'RangeError', message: `Cannot terminate the pool as \`graceMs\` ${wanted}: received -1` });
    assert.doesNotThrow(() => checkMs('graceMs', 0, 'terminate the pool'));
  });
});

describe('moduleHref()', () => {
  const message = (shown: string): string => `Cannot create a pool as \`module\` must be a file: URL or an absolute path: received ${shown}. Write new URL('./x.js', import.meta.url)`;

  it('takes a file: URL as an object', () => {
    assert.equal(moduleHref(new URL('./work.js', 'file:///app/main.js')), 'file:///app/work.js');
  });

  it('takes a file: URL as a string', () => {
    assert.equal(moduleHref('file:///app/work.js?version=2'), 'file:///app/work.js?version=2');
    assert.equal(moduleHref(import.meta.url), import.meta.url);
  });

  it('takes an absolute path, whatever characters are in it', () => {
    assert.equal(moduleHref(fileURLToPath(import.meta.url)), import.meta.url);
    const path = join(tmpdir(), 'a b', '#1 100%?.js');
    assert.match(moduleHref(path), /^file:\/\/\/.*a%20b/);
    assert.equal(fileURLToPath(moduleHref(path)), path);
  });

  it('refuses a relative path, and shows what to write', () => {
    for (const path of ['./work.js', '../work.js', 'work.js', '']) assert.throws(() => moduleHref(path), { name: 'TypeError', message: message(`'${path}'`) });
  });

  it('refuses a URL that is no file: URL', () => {
    for (const url of ['http://localhost/work.js', 'data:text/javascript,', 'node:fs']) assert.throws(() => moduleHref(url), { name: 'TypeError', message: message(`'${url}'`) });
    assert.throws(() => moduleHref(new URL('http://localhost/work.js')), { name: 'TypeError', message: /must be a file: URL or an absolute path.*new URL\('\.\/x\.js', import\.meta\.url\)$/ });
  });

  it('refuses what is neither a URL nor a string', () => {
    const found = [[undefined, 'undefined'], [null, 'null'], [1, '1'], [['file:///work.js'], 'an array'], [{ href: 'file:///work.js' }, 'an object']] as const;
    for (const [module, shown] of found) assert.throws(() => untypedHref(module), { name: 'TypeError', message: message(shown) });
  });
});

describe('new ProcessPool()', () => {
  it('says what is wrong, and leaves nothing behind', () => {
    const listeners = process.listenerCount('SIGINT');
    assert.throws(() => new ProcessPool('./work.js'), { name: 'TypeError', message: /received '\.\/work\.js'\. Write new URL\('\.\/x\.js', import\.meta\.url\)$/ });
    assert.throws(() => new ProcessPool(import.meta.url, { workers: 0 }), { name: 'RangeError', message: 'Cannot create a pool as `workers` must be an integer >= 1: received 0' });
    assert.throws((): unknown => Reflect.construct(ProcessPool, [import.meta.url, { worker: 1 }]), { name: 'TypeError', message: 'Cannot create a pool as there is no option `worker`: the nearest is `workers`' });
    assert.equal(process.listenerCount('SIGINT'), listeners);
  });
});
