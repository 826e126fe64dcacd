// G5: no worker outlives its parent, however that ends and whatever the worker does; and what `ownGroup` does for the
// programs that a job starts. Nobody is left when the stdout that they hold has reached its end.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { OrphanGuard } from '../../lib/parent/orphan-guard.ts';
import { node } from '../../lib/node.ts';
import { leaveDescriptors } from '../support/descriptors.ts';
import { limited } from '../support/limits.ts';
import { workPool } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { turns } from '../support/turns.ts';
import { until } from '../support/until.ts';

function start(t: TestContext, name: string, args: string[]): Program {
  const program = new Program(new URL(`../fixtures/${name}.js`, import.meta.url), args);
  t.after(() => program.kill('SIGKILL'));
  return program;
}

describe('a worker that is', { concurrency: 2 }, () => {
  for (const state of ['idle', 'awaiting', 'busy', 'ticking', 'deaf']) {
    for (const how of ['SIGKILL', 'SIGTERM', 'SIGHUP', 'exits', 'throws'] as const) {
      for (const group of state === 'busy' ? ['', 'own-group'] : ['']) {
        it(`${state} is gone when its parent ${how.startsWith('SIG') ? `was ended by ${how}` : how}${group === '' ? '' : ', from a group of its own too'}`, limited, async t => {
          const program = start(t, 'orphans', [state, how, ...(group === '' ? [] : [group])]);
          await program.says(new RegExp(`^${state} \\d+$`, 'm'), state === 'idle' ? 1 : 2);
          process.kill(program.pid, how.startsWith('SIG') ? how : 'SIGURG');
          const { signal } = await program.ended;
          if (how.startsWith('SIG')) assert.equal(signal, how);
        });
      }
    }
  }

  it('stopped is gone when its parent was killed', limited, async t => {
    const program = start(t, 'orphans', ['busy', 'SIGKILL']);
    await program.says(/^busy \d+$/m, 2);
    for (const [, pid] of program.stdout.matchAll(/^busy (\d+)$/gm)) process.kill(Number(pid), 'SIGSTOP');
    process.kill(program.pid, 'SIGKILL');
    await program.ended;
  });
});

describe('the guard', () => {
  it('is one small process a pool, goes with it, and is replaced if it was shot', limited, async t => {
    const pool = workPool(t, { workers: 1 });
    await pool.run({ do: 'pid' });
    const guard = await oneGuard();
    process.kill(guard, 'SIGKILL');
    await oneGuard(guard);
    await pool.terminate();
    assert.deepEqual(guards(), []);
  });
});

describe('a guard that the machine refuses', () => {
  /** Whose guards this one's child is: it does nothing, and is killed when the test is over. */
  const someone = (t: TestContext): number => {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    t.after(() => child.kill('SIGKILL'));
    return child.pid ?? 0;
  };
  const turn = (): Promise<unknown> => new Promise(resolve => { setImmediate(() => setImmediate(resolve)); });

  const isRefused = async (t: TestContext, guard: OrphanGuard, refuse: () => () => void): Promise<void> => {
    const [first, second] = [someone(t), someone(t)];
    const admit = refuse();
    guard.watch(first);
    await turn();
    assert.deepEqual(guards(), []);
    admit();
    guard.watch(second);
    await oneGuard();
    await new Promise<void>(resolve => { guard.end(resolve); });
    assert.deepEqual(guards(), []);
  };

  it('is tried again at the next worker: there was no descriptor', limited, async t => {
    await isRefused(t, new OrphanGuard(node), () => leaveDescriptors(t, 3));
  });

  it('is tried again at the next worker: its shell must not be executed', limited, async t => {
    const shell = join(mkdtempSync(join(tmpdir(), 'drainpool-')), 'sh');
    writeFileSync(shell, '#!/bin/sh\nexec /bin/sh "$@"\n', { mode: 0o600 });
    await isRefused(t, new OrphanGuard(node, shell), () => () => chmodSync(shell, 0o700));
  });

  it('is tried again at the next worker: its shell cannot be reached', limited, async t => {
    const folder = join(mkdtempSync(join(tmpdir(), 'drainpool-')), 'bin');
    writeFileSync(folder, '');
    await isRefused(t, new OrphanGuard(node, join(folder, 'sh')), () => () => {
      rmSync(folder);
      symlinkSync('/bin', folder);
    });
  });

  it('is tried again after a while, though no worker comes or goes', limited, async t => {
    const guard = new OrphanGuard(node);
    const giveBack = leaveDescriptors(t, 3);
    guard.watch(someone(t));
    giveBack();
    assert.deepEqual(guards(), []);
    await oneGuard();
    await new Promise<void>(resolve => { guard.end(resolve); });
  });

  it('is tried again when a worker is gone, for those that are left', limited, async t => {
    const guard = new OrphanGuard(node);
    const [first, second] = [someone(t), someone(t)];
    const giveBack = leaveDescriptors(t, 3);
    guard.watch(first);
    guard.watch(second);
    giveBack();
    guard.forget(first);
    await oneGuard();
    await new Promise<void>(resolve => { guard.end(resolve); });
  });

  it('is tried again at the next worker: there was no descriptor for another one when it was shot', limited, async t => {
    const guard = new OrphanGuard(node);
    guard.watch(someone(t));
    const pid = await oneGuard();
    const second = someone(t);
    const giveBack = leaveDescriptors(t, 0);
    process.kill(pid, 'SIGKILL');
    while (existsSync(`/proc/${pid}`)) await turn();
    await turn();
    giveBack();
    assert.deepEqual(guards(), []);
    guard.watch(second);
    await oneGuard(pid);
    await new Promise<void>(resolve => { guard.end(resolve); });
  });

  it('is not started again without end, where the machine shoots each one', limited, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'drainpool-'));
    const shell = join(folder, 'sh');
    const log = join(folder, 'log');
    writeFileSync(shell, `#!/bin/sh\necho >> ${log}\nkill -9 $$\n`, { mode: 0o700 });
    const lines = (): number => existsSync(log) ? readFileSync(log, 'utf8').length : 0;
    const guard = new OrphanGuard(node, shell);
    const [first, second] = [someone(t), someone(t)];
    guard.watch(first);
    await until(() => lines() === 10);
    guard.watch(second);
    await until(() => lines() > 10);
    await new Promise<void>(resolve => { guard.end(resolve); });
    assert.ok(lines() <= 20);
  });
});

describe('a guard without a shell', () => {
  it('guards nobody, harms nobody, and is not tried again', async () => {
    const guard = new OrphanGuard(node, '/nowhere/sh');
    guard.watch(process.pid);
    await new Promise<void>(resolve => { guard.end(resolve); });
    guard.watch(process.pid);
    guard.forget(process.pid);
    await new Promise<void>(resolve => { guard.end(resolve); });
  });
});

describe('`ownGroup`', { concurrency: 2 }, () => {
  for (const [how, said] of [['returns', 'completed fulfilled'], ['exits', 'completed rejected'], ['waits', 'interrupted lost']] as const) {
    it(`ends what a job has started together with its worker, where the job ${how}`, limited, async t => {
      const program = start(t, 'family', [how, 'own-group']);
      if (how === 'waits') {
        await program.says(/^waits$/m);
        await program.press();
      }
      const { stdout } = await program.ended; // the grandchild held it open
      assert.match(stdout, new RegExp(`^${said}$`, 'm'));
    });
  }

  it('makes each worker lead a group', limited, async t => {
    const pool = workPool(t, { workers: 1, ownGroup: true });
    const pid = Number(await pool.run({ do: 'pid' }));
    assert.equal(Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[2]), pid);
    const { workers } = await pool.terminate();
    assert.deepEqual(workers.map(({ exitCode }) => exitCode), [0]);
  });

  it('ends what a job has started when the parent is killed', limited, async t => {
    const program = start(t, 'family', ['waits', 'own-group']);
    await program.says(/^waits$/m);
    process.kill(program.pid, 'SIGKILL');
    await program.ended;
  });

  it('is not the default: what a job has started lives on, and join does not wait for it', limited, async t => {
    const program = start(t, 'family', ['returns', 'no']);
    await program.says(/^completed fulfilled$/m);
    program.kill('SIGKILL');
    await program.ended;
  });
});

/** Waits until this process has one guard, other than the one named. */
async function oneGuard(other = 0): Promise<number> {
  for (;;) {
    const [guard = other, ...others] = guards();
    assert.deepEqual(others, []);
    if (guard !== other) return guard;
    await turns();
  }
}

/** The guards of this process that live. */
function guards(): number[] {
  return readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number).filter(pid => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) === process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('drainpool-guard');
    } catch {
      return false;
    }
  });
}
