// A work function is a plain function: call it. No pool and no process is needed to test what it finds and what it throws.
// Change the import and the jobs. If yours takes the context too, hand it one: `{ jobId: 0, attempt: 1, signal }`.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import wordCount from './word-count.ts';

it('counts what stands between spaces and line ends', t => {
  const folder = mkdtempSync(join(tmpdir(), 'word-count-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'text');
  for (const [text, words] of [['', 0], ['one', 1], ['  two\n\twords \n', 2]] as const) {
    writeFileSync(file, text);
    assert.equal(wordCount(file), words, JSON.stringify(text));
  }
});

it('throws where there is no file', () => {
  assert.throws(() => wordCount(join(tmpdir(), 'there', 'is', 'no', 'such', 'file')), { code: 'ENOENT' });
});
