// A stream in and a stream out: lines of text from stdin, each worked on by all cores, and in their order to stdout.
// `pipeline` joins them: stdin, its lines, `map()`, stdout. A slow reader of stdout holds all of it back, to the reading of stdin:
// no more than `jobCapacity` lines are ever under way. When stdout closes, as under `head`, the input is closed and the pool ends.
// Press Ctrl-C: whole lines, as far as they go without a gap, have been written; the exit code is 130.
//   seq 100000 | node dist/samples/stream.js | tail -1

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { isWorker, PoolInterruptedError, ProcessPool } from 'drainpool';

/** Runs in the workers: a line, and its SHA-256 before it. */
export default function hash(line: string): string {
  return `${createHash('sha256').update(line).digest('hex')}  ${line}`;
}

async function* asLines(values: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const value of values) yield `${value}\n`;
}

async function main(): Promise<void> {
  const pool = new ProcessPool<typeof import('./stream.ts')>(import.meta.url, { jobCapacity: 1024 });
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  try {
    await pipeline(pool.map(lines), asLines, process.stdout);
  } catch (error) {
    const isPipeClosed = error instanceof Error && 'code' in error && error.code === 'EPIPE'; // by `head`: it has had enough
    if (!isPipeClosed && !(error instanceof PoolInterruptedError)) throw error;
  } finally {
    lines.close();
    process.stdin.destroy();
    pool.jobs.close();
  }
  process.exitCode = (await pool.join()).exitCode;
}

if (!isWorker) await main();
