// 2016: a pool idles for five seconds without a system call, where the parent asked wait4() over and over.
// The post of 2016 ends tracing its parent, which asks each child again and again whether it has ended: wait4(WNOHANG).
// Here nobody asks: the system wakes whoever has something to hear. This program prints the processor time that its
// idle pool takes, in the parent and in the worker; with strace, the system calls of both: about ten, of this program
// itself, which hears from strace, wakes up, asks for its processor time and ends strace. Ctrl-C cuts the wait short.
// Options: --idle-ms 5000

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, JobLostError, ProcessPool } from 'drainpool';

interface Usage { pid: number; processorMs: number }

/** The work function, which the parent calls as well: what this process has taken since it was started. */
export default function usage(): Usage {
  const { user, system } = process.cpuUsage(); // microseconds
  return { pid: process.pid, processorMs: (user + system) / 1000 };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'idle-ms': { type: 'string', default: '5000' } } });
  const pool = new ProcessPool<typeof usage>(import.meta.url, { workers: 1 });
  try {
    await show(pool, Number(values['idle-ms']));
  } catch (error) {
    if (!(error instanceof JobLostError)) throw error; // Ctrl-C came before the answer
  }
  pool.jobs.close();
  const report = await pool.join();
  console.log(report.outcome);
  process.exitCode = report.exitCode;
}

async function show(pool: ProcessPool<typeof usage>, idleMs: number): Promise<void> {
  const ended = new AbortController();
  void pool.join().then(() => ended.abort());

  const worker = await pool.run(undefined);
  const stopCounting = await countSystemCalls([worker.pid, process.pid]);
  console.log(`parent ${process.pid} and worker ${worker.pid} idle for ${idleMs} ms`);
  const parent = usage();
  await setTimeout(idleMs, undefined, { signal: ended.signal }).catch(() => {}); // rejects when the pool has ended
  const parentMs = usage().processorMs - parent.processorMs;
  const calls = await stopCounting();
  const workerMs = (await pool.run(undefined)).processorMs - worker.processorMs;

  console.log(`parent: ${parentMs.toFixed(1)} ms of processor time`);
  console.log(`worker: ${workerMs.toFixed(1)} ms of processor time, a result sent and a job read included`);
  console.log(`system calls of both: ${calls}`);
}

/** Has strace count until the function that it resolves to is called. */
async function countSystemCalls(pids: number[]): Promise<() => Promise<string>> {
  const stdio: ['ignore', 'ignore', 'pipe'] = ['ignore', 'ignore', 'pipe'];
  const strace = spawn('strace', ['-f', '-c', '-p', pids.join()], { detached: true, stdio }); // no Ctrl-C for it
  strace.on('error', () => {}); // it is not installed
  await once(strace.stderr, 'readable'); // it is at work: a signal before would leave a stopped child of it behind
  const table = text(strace.stderr);
  return async () => {
    strace.kill('SIGINT');
    const rows = (await table).matchAll(/^ *[\d.]+ +[\d.]+ +\d+ +(\d+) .*?(\w+)$/gm);
    const calls = [...rows].map(([, count, name]) => `${count} ${name}`).filter(call => !call.endsWith('total'));
    return calls.join(', ') || 'not counted, as strace is not installed, or not allowed';
  };
}

if (!isWorker) await main();
