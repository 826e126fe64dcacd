// Runs the suite, compiled and without coverage, on every Node that the package supports, and prints a line for each of them.
// The binaries come as npm packages, into a temporary folder. `npm run test:versions`; with `-- 22 26`, on these only; with
// `-- others` on all but the one that runs this, which the gate has just tested.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const VERSIONS = ['20.19.0', '20', '22', '24', '26'];
/** Specs wait more than they work: the whole suite takes two minutes of processor time, and twice that one file after the other. */
const FILES_AT_ONCE = 4;

const [, , ...asked] = process.argv;
const isForOthers = asked[0] === 'others';

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** But the simulator: what it plays does not depend on the version. */
const FOLDERS = ['unit', 'process', 'faults', 'samples'].map(name => `dist/spec/${name}`);
const files = [...FOLDERS, 'dist/samples/testing'].flatMap(folder => readdirSync(join(root, folder)).filter(name => /\.(spec|test)\.js$/.test(name)).map(name => join(folder, name)));

/** The path of that Node, which it puts into the folder. */
function install(version: string, folder: string): string {
  const name = `node-${process.platform}-${process.arch}`;
  execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--silent', '--prefix', folder, `${name}@${version}`], { stdio: 'inherit' });
  return join(folder, 'node_modules', name, 'bin', 'node');
}

/** Whether the suite passes. */
async function test(node: string): Promise<boolean> {
  const name = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
  if (isForOthers && name === process.version) return true;
  const startMs = performance.now();
  const options = ['--test', '--test-reporter=tap', '--test-timeout=300000', `--test-concurrency=${FILES_AT_ONCE}`];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const suite = spawn(node, [...options, ...files], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const tap = await text(suite.stdout);
  const count = (what: string): number => Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(tap)?.[1]);
  const failures = count('fail') + count('cancelled');
  console.log(`${name}: ${count('tests')} tests, ${failures} failures, ${Math.round((performance.now() - startMs) / 1000)} s`);
  const passes = count('tests') > 0 && failures === 0;
  if (!passes) for (const [failure] of tap.matchAll(/^ *not ok .*\n *---\n[^]*?^ *\.\.\.$/gm)) console.log(failure);
  return passes;
}

const folder = mkdtempSync(join(tmpdir(), 'drainpool-versions-'));
try {
  for (const version of asked.length > 0 && !isForOthers ? asked : VERSIONS) {
    if (!await test(install(version, join(folder, version)))) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
