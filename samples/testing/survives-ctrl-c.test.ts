// That a program survives Ctrl-C: what it did is printed, what it did not is named, and it ends with 130. Change the
// program, what makes it busy for ever, and its words. A terminal sends SIGINT to all processes of the program: so it
// gets a process group of its own (`detached`), and the test sends to the group. It waits for words, and for the end
// of stdout, which comes when the last process that holds it is gone: never for a time, which a loaded machine exceeds.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';

const isCompiled = import.meta.url.endsWith('.js');
const PROGRAM = fileURLToPath(new URL(isCompiled ? './count-words.js' : './count-words.ts', import.meta.url));

it('prints at Ctrl-C what was counted, names what was not, and ends with 130', { timeout: 180_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'count-words-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [one, two, endless] = [join(folder, 'one'), join(folder, 'two'), join(folder, 'endless')];
  writeFileSync(one, 'word');
  writeFileSync(two, 'two words');
  execFileSync('mkfifo', [endless]); // who opens it waits for a writer, and none comes

  const child = spawn(process.execPath, [PROGRAM, one, two, endless], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const group = -(child.pid ?? assert.fail('The program was not started'));
  t.after(() => {
    try {
      process.kill(group, 'SIGKILL');
    } catch {
      // it is gone, as it should be
    }
  });
  const ended = once(child, 'exit');
  const stderr = text(child.stderr);

  const lines: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    if (lines.length === 2) process.kill(group, 'SIGINT');
  }
  assert.deepEqual(lines.sort(), [`1 ${one}`, `2 ${two}`]);
  assert.equal(await stderr, `interrupted: ${endless} was not counted\n`);
  assert.deepEqual(await ended, [130, null]);
});
