// Listens to what workers say on their stdout, for pools that live in the spec's own process.

import { spawn } from 'node:child_process';
import { finished } from 'node:stream/promises';
import type { TestContext } from 'node:test';
import type { PoolOptions } from 'drainpool';

export interface Words {
  /** The `stdio` of a pool whose workers are to be heard. */
  stdio: Extract<PoolOptions['stdio'], readonly unknown[]>;
  /** Resolves, to all that was said, when the word was said so often. */
  said(word: string, times?: number): Promise<string>;
  /** Resolves, to all that was said, when the last process that holds this stdout is gone, this one aside. */
  nobodyIsLeft(): Promise<string>;
}

export function words(t: TestContext): Words {
  const cat = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  let changed = (): void => {};
  cat.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    changed();
  });
  t.after(() => cat.stdin.destroy());
  return {
    stdio: ['ignore', cat.stdin, 'inherit'],
    said: async (word, times = 1) => {
      while (text.split(word).length <= times) await new Promise<void>(resolve => { changed = resolve; });
      return text;
    },
    nobodyIsLeft: async () => {
      cat.stdin.destroy();
      await finished(cat.stdout);
      return text;
    },
  };
}
