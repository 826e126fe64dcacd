// Leaves this process few descriptors: lowers its limit, and opens files until there is no room for more.

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import type { TestContext } from 'node:test';

/** Leaves so many, until the function that it returns is called, or the test is over. */
export function leaveDescriptors(t: TestContext, count: number): () => void {
  const limit = execFileSync('prlimit', ['--pid', String(process.pid), '--nofile', '--output', 'SOFT', '--noheadings', '--raw'], { encoding: 'utf8' }).trim();
  const most = Math.max(...readdirSync('/proc/self/fd').map(Number)) + 50;
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${most}:`]);
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    // none is left
  }
  for (const descriptor of taken.splice(0, count)) closeSync(descriptor);
  const giveBack = (): void => {
    for (const descriptor of taken.splice(0)) closeSync(descriptor);
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${limit}:`]);
  };
  t.after(giveBack);
  return giveBack;
}
