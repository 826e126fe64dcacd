// npm run simulate -- --mutants: breaks the shipped code in one place at a time, and has the simulator find it. A mutant that is not found
// is a hole in the oracle.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { MUTANTS } from './mutants.ts';
import type { Mutant } from './mutants.ts';

/** Within so many schedules it is found, or it is not. */
const MOST_SCHEDULES = 20_000;

const dist = fileURLToPath(new URL('../../', import.meta.url));

/** The compiled text of a file of lib/ with the break in it. @throws Error if the text is not there exactly once. */
export function broken({ file, text, replacement }: Mutant): string {
  const code = readFileSync(join(dist, 'lib', `${file}.js`), 'utf8');
  const parts = code.split(text);
  if (parts.length !== 2) throw new Error(`Cannot make the mutant as lib/${file} must hold its text once: found it ${parts.length - 1} times: ${text}`);
  return parts.join(replacement);
}

interface Found {
  mutant: Mutant;
  /** What the simulator said; undefined if it said nothing. */
  failure: string | undefined;
  schedules: number;
}

async function find(mutant: Mutant, seed: number, root: string): Promise<Found> {
  const folder = mkdtempSync(join(root, 'mutant-'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  mkdirSync(join(folder, 'spec'));
  for (const part of ['lib', 'spec/simulation']) cpSync(join(dist, part), join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'lib', `${mutant.file}.js`), broken(mutant));
  const run = spawn(process.execPath, [join(folder, 'spec/simulation/simulate.js'), '--schedules', String(MOST_SCHEDULES), '--seed', String(seed), '--threads', '1', '--raw'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = (await text(run.stdout)).trim().split('\n');
  const failure = lines.find(line => /^seed \d+: /.test(line))?.replace(/^seed \d+: /, '');
  return { mutant, failure, schedules: Number(lines.at(-1)?.replaceAll(',', '').match(/^\d+/)?.[0]) };
}

/** Prints a line for each, and returns the exit code. */
export async function findAll(seed: number, only = ''): Promise<number> {
  const root = mkdtempSync(join(tmpdir(), 'drainpool-mutants-'));
  try {
    const mutants = MUTANTS.filter(({ name }) => name.includes(only));
    if (mutants.length === 0) throw new RangeError(`Cannot find a mutant as none has '${only}' in its name: see mutants.ts`);
    const waiting = [...mutants];
    let found = 0;
    await Promise.all(Array.from({ length: availableParallelism() }, async () => {
      for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
        const { failure, schedules } = await find(mutant, seed, root);
        if (failure !== undefined) found++;
        console.log(`${failure === undefined ? 'NOT FOUND' : 'found'} after ${schedules.toLocaleString('en')}: ${mutant.name}${failure === undefined ? '' : `\n      ${failure}`}`);
      }
    }));
    console.log(`${found} of ${mutants.length} mutants found`);
    return found === mutants.length ? 0 : 1;
  } finally {
    rmSync(root, { recursive: true });
  }
}
