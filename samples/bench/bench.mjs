// Measures drainpool, the bare channel of Node, and its peers, in rounds: every round measures each pool once, each in a
// process of its own, forwards and backwards in turn, so that what else the machine does meets all of them alike.
//
//   node bench.mjs [--long] [--rounds 5] [--only tiny,objects] [--pools drainpool,bare]

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { chart } from './chart.mjs';
import { alike, rows } from './rows.mjs';

const { values: options } = parseArgs({
  options: { long: { type: 'boolean', default: false }, rounds: { type: 'string', default: '5' }, only: { type: 'string' }, pools: { type: 'string' } },
});
const python = spawnSync('python3', ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? '';
/** What `npm start` may take. */
const MOST_MS = 300_000;

const isWanted = (list, name) => list === undefined || list.split(',').some(wanted => name.startsWith(wanted));

const median = list => [...list].sort((a, b) => a - b)[list.length >> 1];
const short = number => number === undefined ? '' : number >= 1000 ? Math.round(number).toLocaleString('en') : number.toPrecision(3);

/** One measurement: undefined if it failed, which is said. */
function measure(row, pool, stepsPerMs) {
  const given = JSON.stringify({ row: row.measure ?? row.name, pool, ...row.given(pool, stepsPerMs) });
  const [program, script] = pool.startsWith('python') ? ['python3', 'pool.py'] : [process.execPath, row.name === 'ctrl-c' ? 'ctrl-c.mjs' : 'measure.mjs'];
  const { stdout, stderr, status, signal } = spawnSync(program, [script, given], { cwd: import.meta.dirname, encoding: 'utf8', timeout: row.isLong ? 600_000 : 60_000 });
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1));
  console.error(`${pool} failed at ${row.name} (${signal ?? status}): ${stderr.slice(0, 500)}`);
}

/** Calibrated once, so that all pools compute the same. */
function stepsOfOneMs() {
  const work = steps => {
    let hash = 1;
    for (let i = 0; i < steps; i++) hash = Math.imul(hash ^ i, 0x01000193);
    return hash;
  };
  let bestMs = Infinity;
  for (let i = 0; i < 50; i++) {
    const startMs = performance.now();
    work(500_000);
    bestMs = Math.min(bestMs, performance.now() - startMs);
  }
  return Math.round(500_000 / bestMs);
}

/** From the ratios of each round, as a slow moment of the machine meets all pools of a round alike. */
function judge(row, rounds, goal) {
  const key = goal.key ?? row.key;
  const mine = rounds.drainpool?.map(round => round?.[key]);
  if (mine === undefined || mine.length === 0 || mine.includes(undefined) || goal.pools?.every(pool => !rounds[pool]?.length)) return undefined;
  const ratios = pool => rounds[pool]?.map((round, i) => row.isRate ? mine[i] / round?.[key] : round?.[key] / mine[i]);
  if (goal.limit !== undefined) return { goal: goal.name, found: median(mine), isMet: median(mine) <= goal.limit };
  if (goal.over !== undefined) {
    const over = median(mine.map((ms, i) => ms - rounds[goal.pools[0]]?.[i]?.[key]));
    return { goal: goal.name, found: over, isMet: over <= goal.over };
  }
  const found = Math.min(...goal.pools.filter(pool => rounds[pool] !== undefined).map(pool => median(ratios(pool))).filter(Number.isFinite));
  return { goal: goal.name, found, isMet: found >= goal.factor };
}

/** All rows in turn, then all again: until the rounds are done, or the next one would take longer than there is time. */
function measureAll() {
  const stepsPerMs = stepsOfOneMs();
  const chosen = rows.filter(row => isWanted(options.only, row.name) && (options.long || !row.isLong)).map(row => {
    const pools = row.pools.filter(pool => isWanted(options.pools, pool) && (python !== '' || !pool.startsWith('python')));
    return { row, rounds: Object.fromEntries(pools.map(pool => [pool, []])) };
  });
  const startMs = performance.now();
  for (let round = 0; round < Number(options.rounds); round++) {
    const spentMs = performance.now() - startMs;
    if (round > 0 && !options.long && spentMs + spentMs / round > MOST_MS) break;
    for (const { row, rounds } of chosen) {
      if (round >= (row.rounds ?? Infinity)) continue;
      console.error(`round ${round + 1}, ${row.title}`);
      const pools = Object.keys(rounds);
      for (const pool of round % 2 === 0 ? pools : pools.toReversed()) rounds[pool].push(measure(row, pool, stepsPerMs));
    }
  }
  return chosen;
}

/** Prints a row, and what became of its goals. */
function tell({ row, rounds }) {
  const medians = {};
  console.log(`\n${row.title} (${row.unit}: median, spread${rounds.bare ? ', times bare' : ''})`);
  for (const [pool, measured] of Object.entries(rounds)) {
    const list = measured.map(round => round?.[row.key]).filter(value => value !== undefined);
    if (list.length === 0) continue;
    medians[pool] = median(list);
    const ratio = rounds.bare && median(measured.map((round, i) => round?.[row.key] / rounds.bare[i]?.[row.key]));
    console.log(`  ${pool.padEnd(26)}${short(medians[pool]).padStart(11)}   ${`${short(Math.min(...list))} .. ${short(Math.max(...list))}`.padEnd(24)}${ratio ? ratio.toFixed(3) : ''}`);
  }
  const goals = row.goals.map(goal => judge(row, rounds, goal)).filter(Boolean);
  for (const { goal, found, isMet } of goals) console.log(`  goal ${goal}: ${short(found)}, ${isMet ? 'met' : 'MISSED'}`);
  const { name, title, key, unit, isRate } = row;
  return { name, title, key, unit, isRate, medians, goals, rounds };
}

console.log(`Node ${process.version}, ${python || 'no Python'}, ${cpus().length} x ${cpus()[0].model}`);
const results = {
  node: process.version, python, processor: cpus()[0].model, cores: cpus().length, date: new Date().toISOString(),
  rows: measureAll().map(tell),
};
console.log();
for (const { name, rows: belongs, limit } of alike) {
  const costs = results.rows.filter(row => belongs(row.name)).map(row => row.medians.drainpool);
  if (costs.length > 1) console.log(`cost of a job ${name}: within ${(Math.max(...costs) / Math.min(...costs)).toFixed(2)} times, goal ${limit}`);
}
const [small, large] = ['echo 16 MB', 'echo 256 MB'].map(name => results.rows.find(row => row.name === name)?.medians.drainpool);
if (small && large) console.log(`echo of 256 MB: ${(large / small / 16).toFixed(2)} times 16 x that of 16 MB, goal 1.3`);
writeFileSync(new URL('results.json', import.meta.url), `${JSON.stringify(results, null, 1)}\n`);
for (const theme of ['light', 'dark']) {
  const svg = chart(results, theme);
  if (svg !== '') writeFileSync(new URL(`bench-${theme}.svg`, import.meta.url), svg);
}
