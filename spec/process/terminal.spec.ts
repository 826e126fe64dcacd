// Pools on a real terminal, which `script` makes: it belongs to the program, and what its workers do leaves it alone.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fixture } from '../support/pool.ts';
import { limited } from '../support/limits.ts';

/** What the program says on a terminal. When it says `cue` the key is pressed. */
async function onTerminal(t: TestContext, name: string, args: readonly string[], { cue, key }: { cue: RegExp; key: string }): Promise<string> {
  const child = spawn('script', ['-qec', [process.execPath, fileURLToPath(fixture(name)), ...args].map(word => `'${word}'`).join(' '), '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_V8_COVERAGE: undefined } });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  let isPressed = false;
  for await (const more of child.stdout.setEncoding('utf8')) {
    text += String(more);
    if (isPressed || !cue.test(text)) continue;
    isPressed = true;
    child.stdin.write(key);
  }
  return text;
}

describe('the raw mode of the terminal', { concurrency: 2 }, () => {
  for (const [how, ending] of [['leaves', 'leaves at its sentinel'], ['exits', 'is ended by `process.exit()` in a job'], ['busy', 'is ended by SIGTERM']] as const) {
    for (const stdio of ['', 'of its own']) {
      it(`stays as the program has set it when a worker ${ending}${stdio === '' ? '' : ', with a `stdio` of its own'}`, limited, async t => {
        const text = await onTerminal(t, 'raw-mode', [how, ...(stdio === '' ? [] : [stdio])], { cue: /^busy\r?$/m, key: 'x' });
        assert.match(text, /^modes: raw raw cooked\r?$/m);
        if (how === 'exits') assert.match(text, /ended with exit code 3/);
        if (how === 'leaves') assert.match(text, /^left\r?$/m, 'what a worker says at its very end is heard');
      });
    }
  }
});

describe('the stdin of a worker', () => {
  it('is nothing, if nobody says otherwise, and that of the program with `inherit`', limited, async t => {
    for (const [stdio, found] of [[undefined, 'no terminal'], ['inherit', 'a terminal']] as const) {
      const text = await onTerminal(t, 'stdin', stdio === undefined ? [] : [stdio], { cue: /never/, key: '' });
      assert.match(text, new RegExp(`^stdin: ${found}\\r?$`, 'm'));
    }
  });
});
