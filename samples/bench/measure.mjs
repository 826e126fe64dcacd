// One measurement, in a process of its own: `node measure.mjs '{"row": "tiny", "pool": "drainpool", …}'` prints what
// it measured as JSON. What the workers gave is checked before anything is printed.

import { pools } from './pools.mjs';

const { row, pool: name, ...given } = JSON.parse(process.argv[2]);
const WORK = {
  tiny: 'next', objects: 'annotate', latency: 'next', compute: 'compute', mixed: 'spin', echo: 'echo', first: 'next',
  flat: 'next', memory: 'memory', slow: 'next',
};
process.env.BENCH_WORK = WORK[row];
process.env.BENCH_POOL = name;

const open = options => pools[name]({ workers: 2, prefetch: 64, ...given, ...options });

function check(found, wanted) {
  if (found !== wanted) throw new Error(`Cannot count this measurement as the result is wrong: found ${String(found).slice(0, 40)}, wanted ${wanted}`);
}

function* numbers(count) {
  for (let n = 0; n < count; n++) yield n;
}

async function stream(pool, count, jobs = numbers(count), each = undefined) {
  let sum = 0;
  const startMs = performance.now();
  await pool.stream(count, jobs, each ?? (value => { sum += value; }));
  const elapsedMs = performance.now() - startMs;
  if (each === undefined) check(sum, count * (count + 1) / 2);
  return elapsedMs;
}

async function tiny({ count }) {
  const pool = await open({ batch: 1024 });
  await stream(pool, Math.min(count, 20_000));
  const elapsedMs = await stream(pool, count);
  await pool.close();
  return { jobsPerS: count / elapsedMs * 1000 };
}

function logLine(n) {
  return {
    host: `10.0.${n >> 8 & 255}.${n & 255}`, user: n % 7 === 0 ? null : `user-${n % 1000}`, time: 1.7e12 + n * 250, method: 'GET',
    path: `/articles/${n}/${'a-rather-long-title-'.repeat(8)}`, protocol: 'HTTP/1.1', status: n % 50 === 0 ? 404 : 200, bytes: n,
    referrer: `https://www.example.org/search?q=${'words+and+'.repeat(20)}&page=${n % 10}`,
    agent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36', durationMs: n / 16,
    cookies: { session: 'f'.repeat(64), theme: 'dark', consent: 'yes'.repeat(40) },
  };
}

async function objects({ count }) {
  const pool = await open({ batch: 256 });
  const lines = Array.from({ length: 1000 }, (_, n) => logLine(n));
  function* jobs(length) { for (let n = 0; n < length; n++) yield lines[n % 1000]; }
  const run = async length => {
    let sum = 0;
    const elapsedMs = await stream(pool, length, jobs(length), line => {
      sum += line.bytes;
    });
    check(sum, length / 1000 * (1000 * 1001 / 2));
    return elapsedMs;
  };
  await run(2000);
  const elapsedMs = await run(count);
  await pool.close();
  return { jobsPerS: count / elapsedMs * 1000 };
}

async function latency({ count }) {
  const pool = await open({ workers: 1 });
  for (let n = 0; n < 1000; n++) check(await pool.run(n), n + 1);
  const times = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    const startMs = performance.now();
    const value = await pool.run(n);
    times[n] = performance.now() - startMs;
    check(value, n + 1);
  }
  times.sort();
  await pool.close();
  return { p50us: times[count * 0.5 | 0] * 1000, p99us: times[count * 0.99 | 0] * 1000 };
}

async function compute({ count, steps }) {
  const pool = await open({ batch: 4, prefetch: 4 });
  const { default: work } = await import('./work.cjs');
  const wanted = work(steps);
  function* jobs(length) { for (let n = 0; n < length; n++) yield steps; }
  await stream(pool, 100, jobs(100), value => check(value, wanted));
  const elapsedMs = await stream(pool, count, jobs(count), value => check(value, wanted));
  await pool.close();
  return { jobsPerS: count / elapsedMs * 1000 };
}

/** The ideal: the long jobs shared by all workers, and the tiny ones for nothing. */
async function mixed({ count }) {
  const pool = await open({ batch: 1, prefetch: 2 });
  function* jobs(length, ms) { for (let n = 1; n <= length; n++) yield n % 400 === 0 ? ms : 0; }
  const ms = 100;
  await stream(pool, 2000, jobs(2000, 0), () => {});
  let sum = 0;
  const elapsedMs = await stream(pool, count, jobs(count, ms), value => { sum += value; });
  check(sum, count / 400 * ms);
  await pool.close();
  return { timesIdeal: elapsedMs / (count / 400 * ms / 2) };
}

async function echo({ mb, times }) {
  const pool = await open({ workers: 1, advanced: true });
  const sent = Buffer.alloc(mb * 2 ** 20, 'drain');
  await pool.run(Buffer.from('warm'));
  const elapsed = [];
  for (let i = 0; i < times; i++) {
    sent.writeUInt32LE(i, sent.length / 2);
    const startMs = performance.now();
    const value = await pool.run(sent);
    elapsed.push(performance.now() - startMs);
    check(sent.compare(value), 0);
  }
  await pool.close();
  return { ms: elapsed.sort((a, b) => a - b)[times >> 1] };
}

async function first() {
  await (await open()).close(); // what a module costs at its first import does not count
  const startMs = performance.now();
  const pool = await open({ workers: 1 });
  check(await pool.run(1), 2);
  const ms = performance.now() - startMs;
  await pool.close();
  return { ms };
}

/** Cost per job, in a pool whose workers are all there. */
async function flat({ count, workers }) {
  const pool = await open({ workers, batch: 1024, options: { minWorkers: workers } });
  while (pool.pool && pool.pool.stats().workers.idle < workers) await new Promise(resolve => setTimeout(resolve, 10));
  await stream(pool, 300_000);
  const elapsedMs = await stream(pool, count);
  await pool.close();
  return { nsPerJob: elapsedMs / count * 1e6 };
}

async function memory() {
  const pool = await open({ workers: 1 });
  for (let i = 0; i < 20; i++) await pool.run(i);
  const bytes = await pool.run(0);
  await pool.close();
  return { mb: bytes / 2 ** 20 };
}

/** Many jobs from an async iterable, and a reader that pauses all the while. */
async function slow({ count }) {
  const pool = await open({});
  async function* jobs() { for (let n = 0; n < count; n++) yield n; }
  const putting = pool.pool.jobs.putAll(jobs());
  let [read, sum, baseBytes, mostBytes] = [0, 0, 0, 0];
  for await (const { value } of pool.pool.results) {
    sum += value;
    if (++read % 1000 === 0) await new Promise(resolve => setTimeout(resolve, 1));
    if (read === 100_000) baseBytes = process.memoryUsage.rss();
    if (read % 10_000 === 0) mostBytes = Math.max(mostBytes, process.memoryUsage.rss());
    if (read === count) break;
  }
  check(await putting, count);
  check(sum, count * (count + 1) / 2);
  await pool.close();
  return { mb: (mostBytes - baseBytes) / 2 ** 20 };
}

const rows = { tiny, objects, latency, compute, mixed, echo, first, flat, memory, slow };
console.log(JSON.stringify(await rows[row](given)));
