// A temporary folder of one test, that is gone after it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'drainpool-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
