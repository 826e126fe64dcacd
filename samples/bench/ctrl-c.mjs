// Ctrl-C to exit with eight busy workers: the time from SIGINT to the group until nobody of it holds the terminal.
// `node ctrl-c.mjs '{"pool": "drainpool"}'` measures; with `--under-test` it is the program that is interrupted.

import { fork, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const WORKERS = 8;
const { pool: name, isUnderTest } = JSON.parse(process.argv[2]);
const self = fileURLToPath(import.meta.url);

const interrupted = {
  async drainpool() {
    const { ProcessPool } = await import('../../dist/lib/index.js');
    const pool = new ProcessPool(new URL('busy-worker.mjs', import.meta.url), { workers: WORKERS });
    for (let i = 0; i < 100; i++) pool.jobs.put(i);
    pool.jobs.close();
    await pool.join();
  },
  /** Kill and wait, and nothing else. */
  async bare() {
    const children = Array.from({ length: WORKERS }, () => fork(fileURLToPath(new URL('busy-worker.mjs', import.meta.url)), ['alone']));
    process.on('SIGINT', () => { for (const child of children) child.kill('SIGKILL'); });
    await Promise.all(children.map(child => new Promise(resolve => { child.on('exit', resolve); })));
  },
};

async function measure() {
  const program = spawn(process.execPath, [self, JSON.stringify({ pool: name, isUnderTest: true })], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  let startMs;
  program.stdout.setEncoding('utf8').on('data', text => {
    said += text;
    if (startMs !== undefined || said.split('busy').length <= WORKERS) return;
    startMs = performance.now();
    process.kill(-program.pid, 'SIGINT');
  });
  await new Promise(resolve => { program.on('close', resolve); });
  return { ms: performance.now() - startMs };
}

if (isUnderTest) await interrupted[name]();
else console.log(JSON.stringify(await measure()));
