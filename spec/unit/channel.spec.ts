// The channel by itself: what it refuses to be made of, and what it refuses to hear. The rest of it is tested where it
// works, between processes.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { Channel, SIZES } from '../../lib/wire/channel.ts';
import { parseToParent, parseToWorker } from '../../lib/wire/protocol.ts';
import { Program } from '../support/program.ts';

describe('Channel', () => {
  it('cannot be opened in a process that has none', () => {
    assert.throws(() => new Channel(new EventEmitter(), { incoming: 'a', outgoing: 'b' }, SIZES), /Cannot open a channel as this process has none/);
  });

  it('says so when the program of a worker is started by hand', async () => {
    const { code, stderr } = await new Program(new URL('../../lib/worker.js', import.meta.url)).ended;
    assert.equal(code, 1);
    assert.match(stderr, /workers are started by a ProcessPool/);
  });
});

describe('the parsers', () => {
  it('know every message of their direction, and refuse each with a field that is wrong', () => {
    const bytes = Uint8Array.of(1);
    const good = {
      worker: [{ type: 'piece', bytes, total: 9 }, { type: 'init', module: 'file:///a.js', workerData: undefined, tellsMemory: false }, { type: 'jobs', firstId: 0, attempt: 1, jobs: [1, bytes, { next: 'packed' }], segments: [{ count: 1, bytes }] }, { type: 'end-of-jobs' }, { type: 'stop' }, { type: 'cancel', id: 1, reason: 'why' }, { type: 'reclaim' }],
      parent: [{ type: 'ready', kind: 'loop' }, { type: 'failed', during: 'setup', reason: 'why' }, { type: 'results', outcomes: [1, null, { rejected: 1 }, { value: bytes, id: 3 }, { done: true }], segments: [], elapsedMs: 1, memoryBytes: 0 }, { type: 'reclaimed', jobs: 3 }, { type: 'stopping', started: 1 }, { type: 'exiting', started: 0, failed: false, error: undefined }, { type: 'end-of-results', failed: false, error: undefined }],
    };
    for (const message of good.worker) assert.equal(parseToWorker(message), message);
    for (const message of good.parent) assert.equal(parseToParent(message), message);
    const bad = {
      worker: [{ type: 'ready', kind: 'loop' }, { type: 'init', module: 1 }, { type: 'init', module: 'a', workerData: {} }, { type: 'init', module: 'a', workerData: 1 }, { type: 'cancel', id: -1, reason: 1 }, { type: 'cancel', id: 1, reason: {} }, { type: 'jobs', firstId: -1, attempt: 1, jobs: [] }, { type: 'jobs', firstId: 0, attempt: 'x', jobs: [] }, { type: 'jobs', firstId: 0, attempt: 1, jobs: 1 }, { type: 'jobs', firstId: 0, attempt: 1, jobs: [{}], segments: [] }, { type: 'jobs', firstId: 0, attempt: 1, jobs: [] }],
      parent: [undefined, null, 'results', { type: 1 }, { type: 'toString' }, { type: 'stop' }, { type: 'piece' }, { type: 'ready', kind: 'x' }, { type: 'failed', during: 'lunch' }, { type: 'failed', during: 'import', reason: {} }, { type: 'results', outcomes: 1, segments: [], elapsedMs: 1, memoryBytes: 0 }, { type: 'results', outcomes: [{ done: 1 }], segments: [], elapsedMs: 1, memoryBytes: 0 }, { type: 'results', outcomes: [{ value: 1 }], segments: [], elapsedMs: 1, memoryBytes: 0 }, { type: 'results', outcomes: [{ value: {}, id: 1 }], segments: [], elapsedMs: 1, memoryBytes: 0 }, { type: 'results', outcomes: [], segments: [], elapsedMs: '1', memoryBytes: 0 }, { type: 'results', outcomes: [], segments: [], elapsedMs: 1 }, { type: 'results', outcomes: [], segments: [{ count: 1 }], elapsedMs: 1, memoryBytes: 0 }, { type: 'results', outcomes: [], segments: 1, elapsedMs: 1, memoryBytes: 0 }, { type: 'reclaimed' }, { type: 'stopping', started: 0.5 }, { type: 'exiting', started: 0, failed: true, error: {} }, { type: 'exiting', started: 0, error: undefined }, { type: 'exiting' }, { type: 'end-of-results', failed: 1 }, { type: 'end-of-results', failed: true, error: {} }],
    };
    for (const message of bad.worker) assert.equal(parseToWorker(message), undefined, JSON.stringify(message));
    for (const message of bad.parent) assert.equal(parseToParent(message), undefined, JSON.stringify(message));
  });
});
