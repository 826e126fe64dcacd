// The program that the tests beside it are about: node dist/samples/testing/count-words.js FILE... counts the words of
// each file and prints them as they come. After Ctrl-C it says on stderr which files it did not count.

import { ProcessPool } from 'drainpool';

const WORKER = new URL(import.meta.url.endsWith('.js') ? './word-count.js' : './word-count.ts', import.meta.url);

const pool = new ProcessPool<typeof import('./word-count.ts')>(WORKER, { workers: 2 });
for (const file of process.argv.slice(2)) pool.jobs.put(file);
pool.jobs.close();
for await (const result of pool.results) {
  if (result.status === 'fulfilled') process.stdout.write(`${result.value} ${result.job}\n`);
  else process.stderr.write(`Cannot count the words of ${result.job}: ${result.reason}\n`);
}
const { outcome, exitCode, rejected, lost, pending } = await pool.join();
for (const file of [...lost, ...pending]) process.stderr.write(`${outcome}: ${file} was not counted\n`);
process.exitCode = exitCode || Math.sign(rejected);
