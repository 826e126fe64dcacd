// The package as it would be published: what is in it, how large it is, and that it works once it is unpacked.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Program } from '../support/program.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const MOST_BYTES = 225_000;

describe('the package', () => {
  let folder = '';
  let tarball = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'drainpool-package-'));
    execFileSync('npm', ['pack', '--ignore-scripts', '--cache', join(folder, 'cache'), '--pack-destination', folder], { cwd: root, stdio: 'pipe' });
    tarball = join(folder, readdirSync(folder).find(name => name.endsWith('.tgz')) ?? '');
    mkdirSync(join(folder, 'node_modules'));
    execFileSync('tar', ['xzf', tarball, '-C', join(folder, 'node_modules')]);
    execFileSync('mv', ['package', 'drainpool'], { cwd: join(folder, 'node_modules') });
  });
  after(() => rmSync(folder, { recursive: true }));

  it('holds the library, compiled and as source, its texts, and nothing else', () => {
    const files = execFileSync('tar', ['tzf', tarball], { encoding: 'utf8' }).trim().split('\n').map(name => name.replace('package/', '')).sort();
    const names = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).map(name => name.replace('.ts', ''));
    const library = names.flatMap(name => [`lib/${name}.ts`, ...['.d.ts', '.d.ts.map', '.js', '.js.map'].map(ending => `dist/lib/${name}${ending}`)]);
    assert.deepEqual(files, [...library, 'lib/README.md', 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'].sort());
  });

  it('is small', () => {
    assert.ok(statSync(tarball).size < MOST_BYTES, `${statSync(tarball).size} bytes`);
  });

  it('leads an editor from its declarations to its sources', () => {
    const installed = join(folder, 'node_modules', 'drainpool');
    const map = JSON.parse(readFileSync(join(installed, 'dist/lib/parent/pool.d.ts.map'), 'utf8'));
    assert.ok(readFileSync(join(installed, 'dist/lib/parent', map.sources[0]), 'utf8').includes('export class ProcessPool'));
  });

  it('can be imported and, where Node has require(esm), required', async () => {
    writeFileSync(join(folder, 'import.mjs'), "import { ProcessPool } from 'drainpool'; console.log(typeof ProcessPool);");
    writeFileSync(join(folder, 'require.cjs'), "console.log(typeof require('drainpool').ProcessPool);");
    for (const file of ['import.mjs', 'require.cjs']) {
      const { code, stdout } = await new Program(join(folder, file), [], { execArgv: ['--no-warnings'] }).ended;
      assert.deepEqual([code, stdout], [0, 'function\n'], file);
    }
  });
});
