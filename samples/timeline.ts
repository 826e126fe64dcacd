// A timeline, drawn from the pool's events: which worker ran which job, when, and what was lost at Ctrl-C.
// Three workers and fourteen jobs, one of which brings its worker down. Press Ctrl-C in the middle; the SVG is printed at the end:
//   npm run --silent sample timeline > timeline.svg
// Options: --job-ms 300

import { subscribe } from 'node:diagnostics_channel';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

interface Bar { id: number; fromMs: number; toMs: number; fate: 'fulfilled' | 'rejected' | 'lost' }
interface Lane { startedMs: number; readyMs: number; leftMs: number; bars: Bar[] }

const [WIDTH, LEFT, RIGHT, TOP, LANE, BAR, BELOW] = [860, 100, 30, 44, 40, 26, 52]; // pixels
const STEPS_MS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000];
const STYLE = `
    text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; }
    .note { fill: #59636e; } .grid { stroke: #d1d9e0; } .life { stroke: #59636e; stroke-width: 2; } .starting { stroke-dasharray: 2 3; }
    .fulfilled { fill: #0969da; } .rejected { fill: #9a6700; } .lost { fill: #ffebe9; stroke: #cf222e; stroke-width: 2; stroke-dasharray: 5 3; }
    .on-fulfilled, .on-rejected { fill: #ffffff; } .on-lost { fill: #cf222e; } .press { stroke: #cf222e; stroke-width: 2; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; } .note { fill: #9198a1; } .grid { stroke: #3d444d; } .life { stroke: #9198a1; }
      .fulfilled { fill: #4493f8; } .rejected { fill: #d29922; } .lost { fill: #2d1117; stroke: #f85149; }
      .on-fulfilled, .on-rejected { fill: #0d1117; } .on-lost { fill: #f85149; } .press { stroke: #f85149; }
    }`;

/** Listens from now on, to the one pool of the program. The function that it returns draws what there was until now. */
function record(): () => string {
  const startMs = performance.now();
  const nowMs = (): number => performance.now() - startMs;
  const lanes = new Map<number, Lane>();
  const bars = new Map<number, Bar>();
  let pressMs: number | undefined;
  /** What is in no payload is 0 here. */
  const on = (name: string, hear: (event: { id: number; pid: number; status: Bar['fate'] }) => void): void => {
    subscribe(`drainpool:${name}`, message => hear(Object.assign({ id: 0, pid: 0, status: 'lost' as const }, message)));
  };
  const change = (pid: number, changes: Partial<Lane>): void => void Object.assign(lanes.get(pid) ?? {}, changes);
  on('worker:started', ({ pid }) => lanes.set(pid, { startedMs: nowMs(), readyMs: Infinity, leftMs: Infinity, bars: [] }));
  on('worker:ready', ({ pid }) => change(pid, { readyMs: nowMs() }));
  on('worker:left', ({ pid }) => change(pid, { leftMs: nowMs() }));
  on('job:given', ({ id, pid }) => {
    const bar: Bar = { id, fromMs: nowMs(), toMs: Infinity, fate: 'lost' }; // until it is settled
    bars.set(id, bar);
    lanes.get(pid)?.bars.push(bar);
  });
  on('job:settled', ({ id, status }) => Object.assign(bars.get(id) ?? {}, { toMs: nowMs(), fate: status }));
  on('pool:interrupted', () => { pressMs = nowMs(); });
  return () => draw([...lanes.values()], nowMs(), pressMs);
}

function draw(lanes: Lane[], endMs: number, pressMs: number | undefined): string {
  const x = (ms: number): string => (LEFT + Math.min(ms, endMs) / endMs * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const bottom = TOP + lanes.length * LANE;
  const line = (kind: string, [x1, y1, x2, y2]: (number | string)[]): string => `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
  const word = (kind: string, at: number | string, y: number, text: string): string => `<text class="${kind}" x="${at}" y="${y}" text-anchor="middle">${text}</text>`;
  const stepMs = STEPS_MS.find(ms => endMs / ms <= 10) ?? endMs;
  const ticks = Array.from({ length: Math.floor(endMs / stepMs) + 1 }, (_, i) => i * stepMs)
    .flatMap(ms => [line('grid', [x(ms), TOP, x(ms), bottom]), word('note', x(ms), bottom + 18, `${ms} ms`)]);
  const rows = lanes.flatMap(({ startedMs, readyMs, leftMs, bars }, i) => {
    const y = TOP + i * LANE + LANE / 2;
    const life = [[startedMs, Math.min(readyMs, leftMs), 'life starting'] as const, [Math.min(readyMs, leftMs), leftMs, 'life'] as const];
    return [word('', LEFT / 2, y + 4, `worker ${i + 1}`), ...life.map(([from, to, kind]) => line(kind, [x(from), y, x(to), y])), ...bars.flatMap(({ id, fromMs, toMs, fate }) => {
      const [from, to] = [Number(x(fromMs)), Number(x(Math.min(toMs, leftMs)))];
      return [`<rect class="${fate}" x="${from}" y="${y - BAR / 2}" width="${(to - from).toFixed(1)}" height="${BAR}" rx="3"/>`,
        word(`on-${fate}`, ((from + to) / 2).toFixed(1), y + 4, `${id}`)];
    })];
  });
  const press = pressMs === undefined ? [] : [line('press', [x(pressMs), TOP - 12, x(pressMs), bottom]), word('on-lost', x(pressMs), TOP - 18, 'Ctrl-C')];
  const legend = (['fulfilled', 'rejected', 'lost'] as const).flatMap((fate, i) =>
    [`<rect class="${fate}" x="${LEFT + i * 100}" y="${bottom + 26}" width="84" height="20" rx="3"/>`, word(`on-${fate}`, LEFT + i * 100 + 42, bottom + 40, fate)]);
  const size = [WIDTH, bottom + BELOW].join(' ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}" role="img" aria-label="Which worker ran which job, when">
  <style>${STYLE}
  </style>
  ${[...ticks, ...rows, ...press, ...legend].join('\n  ')}
</svg>`;
}

/** Runs in the workers. */
export default async function work({ ms, dies }: { ms: number; dies: boolean }): Promise<void> {
  await setTimeout(ms);
  if (dies) process.exit(1);
}

if (!isWorker) {
  const { values: { 'job-ms': jobMs } } = parseArgs({ options: { 'job-ms': { type: 'string', default: '300' } } });
  const svg = record();
  const pool = new ProcessPool<typeof work>(import.meta.url, { workers: 3, chunkSize: 1 });
  for (let n = 0; n < 14; n++) pool.jobs.put({ ms: Number(jobMs) * (1 + n * 5 % 7 / 3), dies: n === 4 });
  pool.jobs.close();
  for await (const { id, status } of pool.results) console.error(`job ${id} ${status}`);
  const { exitCode } = await pool.join();
  console.log(svg());
  process.exitCode = exitCode;
}
