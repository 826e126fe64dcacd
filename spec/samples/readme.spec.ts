// The README's programs, taken from its text and run as a reader would: in a folder of their own, with the package
// installed, in JavaScript and in TypeScript; what the README says that they print is what they print.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Program } from '../support/program.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = new Map([...readme.matchAll(/^```[jt]s\n\/\/ (\S+)\n(.*?)^```/gms)].map(([, name = '', code = '']) => [name, code]));
const outputs = [...readme.matchAll(/^```text\n(.*?)^```/gms)].map(([, text = '']) => text);

describe('the README', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'drainpool-readme-'));
    mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
    symlinkSync(root, join(folder, 'node_modules', 'drainpool'));
    symlinkSync(join(root, 'node_modules', '@types', 'node'), join(folder, 'node_modules', '@types', 'node'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    for (const [name, code] of blocks) writeFileSync(join(folder, name), code);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('begins with what it is and the two blocks that a newcomer types', () => {
    assert.match(readme, /^# drainpool\n\n.*?```\nnpm ci && npm start\n```.*?```\nnpm ci && npm test\n```/s);
  });

  it('has a program and its worker in JavaScript that print what it says', async () => {
    const { code, stdout, stderr } = await new Program(join(folder, 'main.mjs')).ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(stdout.split('\n').sort(), outputs[0]?.split('\n').sort());
  });

  it('has a program that reads while it puts, and prints what it says', async () => {
    const { code, stdout, stderr } = await new Program(join(folder, 'stream.mjs')).ended;
    assert.deepEqual([code, stdout, stderr], [0, outputs[1], '']);
  });

  it('has the same program in TypeScript, which compiles, and prints the same; also with the manual loop', async () => {
    const tsc = (...args: string[]): void => { execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node', ...args], { cwd: folder, stdio: 'pipe' }); };
    tsc('main.ts', 'square.ts', 'worker.ts');
    const program = await new Program(join(folder, 'main.js')).ended;
    assert.deepEqual([program.code, program.stderr], [0, '']);
    assert.deepEqual(program.stdout.split('\n').sort(), outputs[0]?.split('\n').sort());

    writeFileSync(join(folder, 'twin.ts'), blocks.get('main.ts')?.replaceAll('square.js', 'worker.js') ?? '');
    tsc('twin.ts', 'worker.ts');
    const twin = await new Program(join(folder, 'twin.js')).ended;
    assert.deepEqual(twin.stdout.split('\n').sort(), program.stdout.split('\n').sort());
  });

  it('has a table of options that is that of the code, and a table of errors that is that of the exports', async () => {
    const { defaults } = await import('../../lib/options.ts');
    const exports = await import('drainpool');
    const rows = new Map([...readme.matchAll(/^\| `(\w+)` \| `([^`]*)` \|/gm)].map(([, name = '', value = '']) => [name, value]));
    const known: Record<string, unknown> = { ...defaults() };
    assert.deepEqual([...rows.keys()].filter(name => !name.endsWith('Error')).sort(), Object.keys(known).sort());
    for (const [name, value] of Object.entries(known)) {
      const shown = name === 'workers' ? 'os.availableParallelism()' : name === 'execArgv' ? 'process.execArgv' : JSON.stringify(value)?.replaceAll('"', "'").replaceAll(',', ', ') ?? 'undefined';
      assert.equal(rows.get(name), shown, name);
    }
    assert.deepEqual([...rows.keys()].filter(name => name.endsWith('Error')).sort(), Object.keys(exports).filter(name => name.endsWith('Error')).sort());
  });

  it('names specs and files that exist', () => {
    for (const [, path = ''] of readme.matchAll(/\]\(((?:lib|spec|samples)\/[^)]+)\)/g)) readFileSync(join(root, path));
  });
});
