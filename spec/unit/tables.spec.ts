// The tables of states in the comments are what the code does: read from its text, and compared with the code's own.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { NEXT as asKnown } from '../../lib/parent/worker-states.ts';
import { NEXT as asLived } from '../../lib/worker/program.ts';

type Table = Record<string, Partial<Record<string, string>>>;

/** Reads a table in the comment at the top of a file: the states, and from the column `first` on what each event leads to. */
function tableOf(path: string, first: string): Table {
  const lines = readFileSync(new URL(`../../../lib/${path}`, import.meta.url), 'utf8').split('\n');
  const at = lines.findIndex(line => line.startsWith('//  state ') && line.includes(first));
  const columns = (line: string): string[] => line.slice(4).split(/\s{2,}/).map(cell => cell.replace(/ \(\d\)$/, '').trim());
  const head = columns(lines[at] ?? '');
  const from = head.indexOf(first);
  const table: Table = {};
  for (const line of lines.slice(at + 1)) {
    if (!line.startsWith('//  ') || line === '//') break;
    const cells = columns(line);
    const steps = head.slice(from).map((event, i) => [event, cells[from + i] ?? '–']).filter(([, next]) => next !== '–');
    table[cells[0] ?? ''] = Object.fromEntries(steps);
  }
  return table;
}

describe('the table of states', () => {
  it('of a worker, as its handle knows it, is that of the code', () => {
    const { gone, ...states } = asKnown;
    assert.deepEqual(tableOf('parent/worker-states.ts', 'SENTINEL'), states);
    assert.deepEqual(gone, {});
  });

  it('of a worker, as its program knows it, is that of the code', () => {
    assert.deepEqual(tableOf('worker/program.ts', 'READY'), asLived);
  });

  it('stands in lib/README.md as it stands in the file, for the pool as well', () => {
    const read = (path: string): string => readFileSync(new URL(`../../../lib/${path}`, import.meta.url), 'utf8');
    for (const path of ['parent/shutdown.ts', 'parent/worker-states.ts', 'worker/program.ts']) {
      const lines = read(path).split('\n');
      const at = lines.findIndex(line => line.startsWith('//  state '));
      const end = lines.findIndex((line, i) => i > at && !line.startsWith('//  '));
      const table = lines.slice(at, end).map(line => line.slice(4)).join('\n');
      assert.ok(at !== -1 && end > at + 4 && read('README.md').includes(`\`\`\`\n${table}\n\`\`\``), path);
    }
  });

  it('leads nowhere that is no state', () => {
    for (const table of [asKnown, asLived] as Table[]) {
      for (const steps of Object.values(table)) for (const next of Object.values(steps)) assert.ok(String(next) in table, String(next));
    }
  });
});
