// What an access log says, on all cores: many tiny pieces of work. A line takes less time to parse than to send: so
// a job is a range of bytes, which the worker reads by itself, and a result is the sum of its lines. Only small
// things cross the border between the processes. With --single the same functions run in this process, to compare.

import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { ProcessPool } from 'drainpool';
import parseRange, { merge, nothing, setup, TOP, type Aggregate, type Range } from './parse-lines.ts';

const HELP = `Requests of an access log by status and path, and the slowest, on all cores

  node dist/samples/parse-logs.js FILE [--workers N] [--range BYTES] [--single] [--verbose]

FILE is in combined log format, with the milliseconds of each request as its last field. A job is a range of it, of
4 MB if nothing else is said. --single parses in this one process; --verbose says on stderr when a range is done.
Exit code: 0 if all went well, 1 if a range failed, 130 after Ctrl-C, when the numbers are those of what was done.
`;
const WORKER = new URL(import.meta.url.endsWith('.js') ? './parse-lines.js' : './parse-lines.ts', import.meta.url);
/** Some ten thousand lines: work enough to be worth a message, and all that a Ctrl-C can cost each worker. */
const RANGE_BYTES = 4 * 1024 * 1024;

type Options = { rangeBytes: number; workers: number; isSingle: boolean; isVerbose: boolean };
const say = (line: string): boolean => process.stderr.write(`${line}\n`);

async function parseLog(file: string, { rangeBytes, workers, isSingle, isVerbose }: Options): Promise<void> {
  const stat = statSync(file);
  if (!stat.isFile()) throw new Error(`${file} is not a regular file`);
  if (!Number.isInteger(rangeBytes) || rangeBytes < 1) throw new RangeError(`--range must be an integer >= 1: received ${rangeBytes}`);
  const ranges = Array.from({ length: Math.ceil(stat.size / rangeBytes) }, (_, i) => ({ start: i * rangeBytes, end: Math.min((i + 1) * rangeBytes, stat.size) }));
  say(`parsing ${file} in ${ranges.length} ranges`);
  const sum = nothing();
  const take = ({ start, end }: Range, part: Aggregate): void => {
    merge(sum, part);
    if (isVerbose) say(`bytes ${start} to ${end} done: ${part.lines} lines`);
  };
  if (isSingle) {
    setup(file);
    for (const range of ranges) take(range, parseRange(range));
  } else {
    const pool = new ProcessPool<typeof import('./parse-lines.ts')>(WORKER, { workers, workerData: file });
    const putting = pool.jobs.putAll(ranges).finally(() => pool.jobs.close());
    for await (const result of pool.results) {
      if (result.status === 'fulfilled') take(result.job, result.value);
      else say(`Cannot parse bytes ${result.job.start} to ${result.job.end}: ${result.reason}`);
    }
    await putting;
    const { outcome, fulfilled, rejected, lost, ...report } = await pool.join();
    const pending = ranges.length - fulfilled - rejected - lost.length; // report.pending, and those that were never put
    say(`${outcome}: ${fulfilled} of ${ranges.length} ranges done, ${rejected} failed, ${lost.length} lost, ${pending} pending`);
    process.exitCode = report.exitCode || Math.sign(rejected);
  }
  process.stdout.write(tableOf(sum), 'latin1'); // the bytes of the log again
  say(`${Math.round(sum.lines / performance.now() * 1000)} lines/s`); // the time since the process was started
}

/** Only what is the same in every run. */
function tableOf({ lines, unparsed, bytes, statuses, paths, slowest }: Aggregate): string {
  type Count = [key: string, count: number];
  const byKey = ([a]: Count, [b]: Count): number => (a < b ? -1 : 1);
  const rowOf = ([key, count]: Count): string => `${String(count).padStart(10)}  ${key}`;
  return [
    '  requests  status', ...[...statuses].sort(byKey).map(rowOf), '',
    '  requests  path', ...[...paths].sort((a, b) => b[1] - a[1] || byKey(a, b)).slice(0, TOP).map(rowOf), '',
    '        ms  status  path', ...slowest.map(({ ms, status, path }) => rowOf([`${status}     ${path}`, ms])), '',
    `${lines} lines, ${unparsed} of them not parsed, ${bytes} bytes sent`,
  ].map(row => `${row.replace(/[\x00-\x1f\x7f]/g, '?')}\n`).join(''); // a log may hold what a terminal would obey
}

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { workers: { type: 'string' }, range: { type: 'string' }, single: { type: 'boolean' }, verbose: { type: 'boolean' }, help: { type: 'boolean' } },
  });
  const [file, ...others] = positionals;
  const { single: isSingle = false, verbose: isVerbose = false, range: rangeBytes = RANGE_BYTES, workers = availableParallelism() } = values;
  if (values.help === true) process.stdout.write(HELP);
  else if (file === undefined || others.length > 0) throw new Error(`it takes one file: received ${positionals.length}`);
  else await parseLog(file, { rangeBytes: Number(rangeBytes), workers: Number(workers), isSingle, isVerbose });
} catch (error) {
  say(`Cannot parse the log: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
