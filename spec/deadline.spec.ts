// The timer that judges nobody unheard. Where the event loop must be blocked, a busy loop blocks it: that is
// the situation that the deadline is for, and no wait for something to happen.

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { deadline } from '../lib/deadline.ts';

/** A block of this length past a deadline is one that it must notice. */
const NOTICED_MS = 150;
/** A block of this length past a deadline is one that it need not notice. */
const UNNOTICED_MS = 20;

/** Blocks the event loop. */
function block(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

const turn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve); });

describe('deadline()', () => {
  it('calls back once', async () => {
    let calls = 0;
    await new Promise<void>(resolve => {
      deadline(1, () => {
        calls++;
        resolve();
      });
    });
    await new Promise<void>(resolve => { deadline(1, resolve); });
    assert.equal(calls, 1);
  });

  it('never calls back before its caller\'s turn is over', async () => {
    const heard: string[] = [];
    const judged = new Promise<void>(resolve => {
      deadline(0, () => {
        heard.push('verdict');
        resolve();
      });
    });
    block(NOTICED_MS);
    heard.push('turn over');
    await judged;
    assert.deepEqual(heard, ['turn over', 'verdict']);
  });

  it('does not call back when it was called off before its time', async () => {
    let calls = 0;
    const callOff = deadline(1, () => { calls++; });
    callOff();
    await new Promise<void>(resolve => { deadline(1, resolve); });
    assert.equal(calls, 0);
  });

  it('leaves no timer when it is called off', () => {
    const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length;
    const before = timers();
    const callOff = deadline(1, () => {});
    assert.equal(timers(), before + 1);
    callOff();
    assert.equal(timers(), before);
  });

  it('does not call back when it was called off between its time and the verdict', async () => {
    let calls = 0;
    const callOff = deadline(1, () => { calls++; });
    await new Promise<void>(resolve => { setTimeout(resolve, 1); }); // started with it, due with it, and behind it in line
    callOff();
    await turn();
    await turn();
    assert.equal(calls, 0);
  });

  it('does not call back when it was called off after the event loop stood still', async () => {
    let calls = 0;
    const callOff = deadline(1, () => { calls++; });
    block(NOTICED_MS);
    await new Promise<void>(resolve => { setTimeout(resolve, 1); });
    callOff();
    await new Promise<void>(resolve => { deadline(1, resolve); });
    assert.equal(calls, 0);
  });

  it('may be called off after the verdict, and twice', async () => {
    let calls = 0;
    const callOff = await new Promise<() => void>(resolve => {
      const off = deadline(1, () => {
        calls++;
        resolve(off);
      });
    });
    callOff();
    callOff();
    assert.equal(calls, 1);
  });

  it('hears first what had come by then', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'drainpool-'));
    const said = join(folder, 'said');
    const program = 'process.once("message", () => process.send("word", () => { require("node:fs").writeFileSync(process.argv[1], ""); process.disconnect(); }))';
    const child = fork('-e', [program, said], { execArgv: [] });
    const heard: string[] = [];
    child.on('message', word => heard.push(String(word)));
    await once(child, 'spawn');
    child.send('speak');
    // The child has written its word to the channel, and nobody has read it, when the deadline comes.
    const judged = new Promise<void>(resolve => {
      deadline(0, () => {
        heard.push('verdict');
        resolve();
      });
    });
    while (!existsSync(said));
    await judged;
    rmSync(folder, { recursive: true });
    assert.deepEqual(heard, ['word', 'verdict']);
  });
});
