// G3, G9, G10 and G11 as programs see them: what holds the event loop and what does not, whose Ctrl-C it is, and
// what is left behind. Each is a program of its own, watched from outside.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Program } from '../support/program.ts';

const program = (scene: string): Program => new Program(new URL('../fixtures/scenes.js', import.meta.url), [scene]);

describe('the event loop', { concurrency: 2 }, () => {
  it('is held by work that is pending, though nobody waits for it', async () => {
    const { code, stdout } = await program('pending').ended;
    assert.deepEqual([code, stdout], [0, 'done\n']);
  });

  it('is not held by an idle pool: the program ends, and its workers with it', async () => {
    const { code, stdout } = await program('idle').ended;
    assert.deepEqual([code, stdout], [0, 'value 1\n']);
  });

  it('is not held by a pool that was constructed and dropped', async () => {
    const { code } = await program('dropped').ended;
    assert.equal(code, 0);
  });

  it('is not held by a join that waits for somebody else\'s close: Node ends with code 13', async () => {
    const { code } = await program('join-without-close').ended;
    assert.equal(code, 13);
  });

  it('has nothing of the pool left in it after join: no listener, timer or handle', async () => {
    const { code, stdout } = await program('left-behind').ended;
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { resources: [], listeners: { before: {}, during: { SIGINT: 1 }, after: {} } });
  });
});

describe('an idle pool', () => {
  it('makes no system calls and takes no processor time, in the parent, the workers and the guard', async () => {
    const idle = program('idle-for-long');
    await idle.says(/^idle/m);
    const pids = processesOf(idle.pid);
    assert.equal(pids.length, 4);
    const before = pids.map(activity);
    await idle.says(/^three seconds/m);
    const after = pids.map(activity);
    // The parent's own timer of three seconds and its word are the only things that happen.
    for (const [i, then] of before.entries()) {
      const now = after[i];
      assert.ok(now !== undefined && now.ticks - then.ticks <= 20, `pid ${pids[i]} took ${now?.ticks} - ${then.ticks} ticks`);
      assert.ok(now.switches - then.switches <= (pids[i] === idle.pid ? 40 : 4), `pid ${pids[i]} woke up ${now.switches - then.switches} times`);
    }
    idle.kill('SIGKILL');
    await idle.ended;
  });
});

describe('a signal', { concurrency: 2 }, () => {
  it('interrupts every pool of the program, with one listener', async () => {
    const two = program('two-pools');
    await two.says(/^started/m, 4);
    await two.press();
    const { code, stdout, stderr } = await two.ended;
    assert.equal(stderr, '');
    assert.equal(code, 130);
    assert.match(stdout, /^listeners 1$/m);
    assert.match(stdout, /^interrupted interrupted$/m);
  });

  it('is the program\'s own again after the results were read: the next Ctrl-C ends it', async () => {
    const own = program('own-again');
    await own.says(/^read/m);
    await own.press();
    const { signal } = await own.ended;
    assert.equal(signal, 'SIGINT');
  });

  it('is the program\'s own again after the second press, where nobody reads the results, and at once after disposal', async () => {
    for (const [scene, times] of [['unread', 10], ['disposed', 1]] as const) {
      const unread = program(scene);
      await unread.says(/^over/m);
      await unread.press({ times, gapMs: 150 }); // the third ends it, unless two came as one
      const { signal } = await unread.ended;
      assert.equal(signal, 'SIGINT', scene);
    }
  });

  it('does nothing to a pool without interrupt signals, whose workers it reaches', async () => {
    const none = program('no-signals');
    await none.says(/^started/m);
    await none.press();
    const { code, stdout } = await none.ended;
    assert.equal(code, 0);
    assert.match(stdout, /^rejected WorkerExitError SIGINT$/m);
  });

  it('with policy `finish` lets the running jobs end; a second one terminates, a third one kills', async () => {
    for (const presses of [1, 2, 3]) {
      const finish = program('finish');
      await finish.says(/^started/m, 2);
      await finish.press();
      for (let press = 1; press < presses; press++) {
        await finish.says(/^pressed/m, press);
        await setTimeout(150); // a press apart
        await finish.press();
      }
      if (presses === 1) {
        await finish.says(/^pressed/m);
        finish.kill('SIGUSR2');
      }
      const { code, signal, stdout, stderr } = await finish.ended;
      assert.equal(stderr, '');
      assert.ok(code === 130 || (presses === 3 && signal === 'SIGINT'), 'the third may fall into Node\'s own end');
      assert.match(stdout, presses === 1 ? /^fulfilled 2 lost 0 pending 2$/m : /^fulfilled 0 lost 2 pending 2$/m);
    }
  });

  it('may be another one: SIGTERM gives exit code 143', async () => {
    const term = program('sigterm');
    await term.says(/^started/m);
    await term.press({ signal: 'SIGTERM' });
    const { code, stdout } = await term.ended;
    assert.equal(code, 143);
    assert.match(stdout, /^interrupted SIGTERM$/m);
  });
});

/** The program, its workers and its guard. */
function processesOf(pid: number): number[] {
  const parents = readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number).filter(other => {
    try {
      return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${other}/status`, 'utf8'))?.[1]) === pid;
    } catch {
      return false;
    }
  });
  return [pid, ...parents];
}

/** Processor time in ticks of 10 ms, and how often its main thread went to sleep, so far. */
function activity(pid: number): { ticks: number; switches: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  const switches = Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return { ticks: Number(fields[11]) + Number(fields[12]), switches };
}
