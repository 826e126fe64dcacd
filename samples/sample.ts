// Runs a sample: npm run sample NAME [-- options]. Without a name it lists them.

import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';

const ending = extname(import.meta.url);
/** A file that is part of a sample says in its first line of which: "of NAME.ts", or "for NAME.ts". */
const PART = /\b(of|for) [\w-]+\.ts\b/;

const samples = new Map<string, string>();
for (const file of readdirSync(new URL('./', import.meta.url)).sort()) {
  const name = file.slice(0, -ending.length);
  if (name === 'sample' || file !== `${name}${ending}`) continue;
  const [header = ''] = readFileSync(new URL(file, import.meta.url), 'utf8').split('\n');
  if (!PART.test(header)) samples.set(name, header.replace('// ', ''));
}

const [name] = process.argv.splice(2, 1); // the sample is to find its own options where it would without this file
if (name !== undefined && samples.has(name)) await import(`./${name}${ending}`);
else {
  const width = Math.max(...[...samples.keys()].map(({ length }) => length));
  const list = [...samples].map(([name, header]) => `  ${name.padEnd(width)}  ${header}\n`).join('');
  if (name !== undefined) process.stderr.write(`Cannot run \`${name}\` as there is no such sample\n`);
  process.stdout.write(`npm run sample NAME [-- options]\n\n${list}`);
  process.exitCode = name === undefined ? 0 : 1;
}
