// The rows of the table: what is measured, with how many jobs for whom, and the goal that each is held to.

const PEERS = ['tinypool', 'workerpool', 'jest-worker', 'worker-farm', 'poolifier'];
const PYTHON = ['python map', 'python imap_unordered', 'python imap_unordered(64)'];
const POOLS = ['drainpool', 'bare', ...PEERS, 'piscina', ...PYTHON];
const PYTHON_ONE = PYTHON.slice(0, 1); // where one job goes at a time the three are the same

/** What drainpool reaches in relation to another one, in the same rounds: above 1 is better. */
const against = (pool, factor, key) => ({ name: `${Number(factor.toPrecision(3))} x ${pool}${key ? `, ${key}` : ''}`, pools: [pool], factor, key });
const againstPeers = factor => ({ name: `${factor} x the fastest process peer`, pools: PEERS, factor });
/** What drainpool reaches in relation to itself, or to a number. */
const atMost = limit => ({ name: `at most ${limit}`, limit });

const isFast = pool => pool === 'drainpool' || pool === 'bare' || pool === 'python map' || pool.endsWith('(64)');

export const rows = [
  {
    name: 'tiny', title: 'tiny jobs, number in, number out', key: 'jobsPerS', unit: 'jobs/s', isRate: true, pools: POOLS,
    given: pool => ({ count: isFast(pool) ? 2_000_000 : 50_000 }),
    goals: [againstPeers(40), against('bare', 0.6), against('python imap_unordered(64)', 1)],
  },
  {
    name: 'objects', title: 'objects, a parsed log line of 12 fields, 0.9 kB, there and back', key: 'jobsPerS', unit: 'jobs/s', isRate: true, pools: POOLS,
    given: pool => ({ count: isFast(pool) ? 50_000 : 10_000 }),
    goals: [againstPeers(3)],
  },
  {
    name: 'latency', title: 'run() one after the other, p50', key: 'p50us', unit: 'µs', pools: ['drainpool', 'bare', ...PEERS, 'piscina', ...PYTHON_ONE],
    given: () => ({ count: 4000 }),
    goals: [against('bare', 1 / 1.2), against('bare', 1 / 1.2, 'p99us')],
  },
  {
    name: 'compute', title: 'jobs of 1 ms of computation', key: 'jobsPerS', unit: 'jobs/s', isRate: true, pools: ['drainpool', 'bare', ...PEERS, 'piscina'],
    given: (_, stepsPerMs) => ({ count: 1000, steps: stepsPerMs }),
    goals: [against('bare', 0.97), againstPeers(1)],
  },
  {
    name: 'mixed', title: 'one job of 100 ms among every 400 tiny ones', key: 'timesIdeal', unit: 'times the ideal', pools: ['drainpool', ...PEERS, 'piscina', ...PYTHON],
    given: () => ({ count: 8000 }),
    goals: [atMost(1.15)],
  },
  ...[1, 16, 64, 256].map(mb => ({
    name: `echo ${mb} MB`, measure: 'echo', title: `echo of a Buffer of ${mb} MB`, key: 'ms', unit: 'ms', rounds: mb > 16 ? 3 : undefined,
    pools: ['drainpool', 'bare', ...PEERS, 'piscina', ...PYTHON_ONE],
    given: () => ({ mb, times: mb === 1 ? 20 : mb === 16 ? 3 : 1 }),
    goals: [against('bare', 0.95), againstPeers(1)],
  })),
  {
    name: 'first', title: 'new pool to first result', key: 'ms', unit: 'ms', pools: ['drainpool', 'bare', ...PEERS, 'piscina', ...PYTHON_ONE],
    given: () => ({}), goals: [against('bare', 0.8)],
  },
  {
    name: 'ctrl-c', title: 'Ctrl-C to exit, 8 busy workers', key: 'ms', unit: 'ms', pools: ['drainpool', 'bare'],
    given: () => ({}), goals: [{ name: 'at most 120 ms over a bare kill and wait', pools: ['bare'], over: 120 }],
  },
  ...[10_000, 100_000, 1_000_000, 10_000_000].map(count => ({
    name: `${count.toLocaleString('en')} jobs`, measure: 'flat', title: `cost of a tiny job, ${count.toLocaleString('en')} of them`, key: 'nsPerJob', unit: 'ns a job',
    isLong: count > 1e6, pools: ['drainpool', 'bare'], given: () => ({ count, workers: 2 }), goals: [],
  })),
  ...[1, 2, 8, 64].map(workers => ({
    name: `${workers} workers`, measure: 'flat', title: `cost of a tiny job, ${workers} worker${workers > 1 ? 's' : ''}`, key: 'nsPerJob', unit: 'ns a job',
    rounds: 3, pools: ['drainpool', 'bare'], given: () => ({ count: 500_000, workers }), goals: [],
  })),
  {
    name: 'memory', title: 'memory of a worker', key: 'mb', unit: 'MB resident', pools: ['drainpool', 'bare', ...PEERS, ...PYTHON_ONE],
    given: () => ({}), goals: [{ name: 'at most 10 MB over a bare fork', pools: ['bare'], over: 10 }],
  },
  {
    name: 'slow reader', measure: 'slow', title: 'ten million jobs from an async iterable, a slow reader: growth of the parent', key: 'mb', unit: 'MB', rounds: 1, isLong: true,
    pools: ['drainpool'], given: () => ({ count: 10_000_000 }), goals: [atMost(80)],
  },
];

/** Rows that are to cost the same, by the largest of their medians through the smallest. */
export const alike = [
  { name: 'from 10,000 to the most jobs', rows: row => row.endsWith(' jobs'), limit: 1.3 },
  { name: 'from 1 to 64 workers', rows: row => row.endsWith(' workers'), limit: 1.3 },
];
