// The timeout that forgives a blocked event loop. Where the event loop must be blocked, a busy loop blocks it: that is
// the situation that the deadline is for, and no wait for something to happen.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { deadline } from '../../lib/parent/deadline.ts';
import type { Clock, Timer } from '../../lib/host.ts';
import { node } from '../../lib/node.ts';
import { turns } from '../support/turns.ts';

const DEADLINE_MS = 50;
/** A block of so much longer than the deadline is one that it must notice. */
const NOTICED_MS = 150;
/** One of so much longer is not. */
const UNNOTICED_MS = 5;
/** Nobody waits longer than this for a child: a guard against hangs. */
const CHILD_MS = 30_000;

/** Blocks the event loop for so long, or until something is so. */
function block(ms: number, isSo = (): boolean => false): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs && !isSo());
}

const verdict = (ms: number): Promise<void> => new Promise(resolve => { deadline(node, ms, resolve); });
/** The clock, and how many of its timers are set. They do not hold the event loop, and so Node does not tell of them. */
function counting(): { clock: Clock; timers: () => number } {
  const set = new Set<Timer | undefined>();
  const clock: Clock = {
    ...node,
    setTimeout: (callback, ms) => {
      const timer = node.setTimeout(() => {
        set.delete(timer);
        callback();
      }, ms);
      set.add(timer);
      return timer;
    },
    clearTimeout: timer => {
      set.delete(timer);
      node.clearTimeout(timer);
    },
  };
  return { clock, timers: () => set.size };
}

describe('deadline()', () => {
  // It does not hold the event loop itself.
  let holding: NodeJS.Timeout;
  before(() => { holding = globalThis.setInterval(() => {}, 1000); });
  after(() => clearInterval(holding));

  it('does not hold the event loop', () => {
    let isRef = true;
    const timer = { unref() { isRef = false; return this; } };
    deadline({ ...node, setTimeout: () => timer }, 10, () => {});
    assert.equal(isRef, false);
  });

  it('calls back, once', async () => {
    let calls = 0;
    await new Promise<void>(resolve => {
      deadline(node, 1, () => {
        calls++;
        resolve();
      });
    });
    await verdict(1);
    assert.equal(calls, 1);
  });

  it('does not call back, and leaves no timer, when it was called off before its time', async () => {
    let calls = 0;
    const { clock, timers } = counting();
    const callOff = deadline(clock, 1, () => { calls++; });
    assert.equal(timers(), 1);
    callOff();
    assert.equal(timers(), 0);
    await verdict(1);
    assert.equal(calls, 0);
  });

  it('does not call back when it was called off between its time and the verdict', async () => {
    let calls = 0;
    const callOff = deadline(node, 1, () => { calls++; });
    const next = new Promise<void>(resolve => { setTimeout(resolve, 1); });
    block(UNNOTICED_MS); // both are due now, one behind the other
    await next;
    callOff();
    await turns();
    await turns();
    assert.equal(calls, 0);
  });

  it('may be called off after the verdict, and twice', async () => {
    let calls = 0;
    const callOff = await new Promise<() => void>(resolve => {
      const off = deadline(node, 1, () => {
        calls++;
        resolve(off);
      });
    });
    callOff();
    callOff();
    assert.equal(calls, 1);
  });

  it('hears first what had come by its time', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'drainpool-'));
    const sent = join(folder, 'sent');
    const program = `process.on('message', () => process.send('word', () => {
      require('node:fs').writeFileSync(process.argv[1], '');
      process.disconnect();
    }));
    process.send('ready');`;
    const child = spawn(process.execPath, ['-e', program, sent], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(child, 'message');
    const heard: unknown[] = [];
    child.on('message', word => heard.push(word));
    child.send('speak');
    const judged = verdict(1).then(() => heard.push('verdict'));
    block(CHILD_MS, () => existsSync(sent)); // the word is in the channel, and nobody has read it
    const gone = once(child, 'exit');
    await judged;
    await gone;
    rmSync(folder, { recursive: true });
    assert.deepEqual(heard, ['word', 'verdict']);
  });

  it('grants more time when the event loop stood still: what takes several turns is heard first', async () => {
    const heard: string[] = [];
    const judged = verdict(DEADLINE_MS).then(() => heard.push('verdict'));
    setImmediate(() => {
      heard.push('first turn');
      setImmediate(() => heard.push('second turn'));
    });
    block(DEADLINE_MS + NOTICED_MS);
    await judged;
    assert.deepEqual(heard, ['first turn', 'second turn', 'verdict']);
  });

  it('grants it once: an event loop that never gets free does not put off the verdict for ever', async () => {
    let judged = false;
    deadline(node, DEADLINE_MS, () => { judged = true; });
    let blocks = 0;
    while (!judged && blocks < 10) {
      block(DEADLINE_MS + NOTICED_MS);
      blocks++;
      await turns();
      await turns();
    }
    assert.ok(blocks <= 3, `${blocks} blocks`);
  });

  it('can be called off in the time that it granted', async () => {
    let calls = 0;
    const { clock, timers } = counting();
    const callOff = deadline(clock, 1, () => { calls++; });
    const next = new Promise<void>(resolve => { setTimeout(resolve, 1); });
    block(NOTICED_MS); // both are due now, one behind the other
    await next;
    assert.equal(timers(), 1);
    callOff();
    assert.equal(timers(), 0);
    await verdict(1);
    assert.equal(calls, 0);
  });
});
