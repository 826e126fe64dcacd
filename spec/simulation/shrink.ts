// Makes a schedule that fails smaller, for as long as it still fails: fewer steps, fewer jobs, calmer weather, sounder workers, plainer
// options. What is left is what a person reads. And how it is written down.

import { SOUND } from './hosts.ts';
import { PLAIN } from './plan.ts';
import type { JobPlan, Plan, SourcePlan, Step } from './plan.ts';
import { play } from './play.ts';

/** So many plays at the most: a second or two. */
const MOST_PLAYS = 3000;

/** What kind of failure it is: without the figures. */
export const kindOf = (failure: string): string => failure.split('\n')[0]!.replace(/\(at [\d.]+ ms\)/, '').replace(/\d+(\.\d+)?/g, 'n').slice(0, 60);

/** The smallest variant that was found. @param onPlay Called before each variant is played. */
export async function shrink(plan: Plan, failure: string, onPlay = (): void => {}): Promise<{ plan: Plan; failure: string }> {
  const kind = kindOf(failure);
  let best = { plan, failure };
  let plays = 0;
  /** Takes a variant if it fails in the same way. */
  const take = async (variant: Plan): Promise<boolean> => {
    if (plays++ > MOST_PLAYS) return false;
    onPlay();
    const played = await play(variant);
    if (played.failure === undefined || kindOf(played.failure) !== kind) return false;
    best = { plan: variant, failure: played.failure };
    return true;
  };
  for (let before = ''; before !== JSON.stringify(best.plan);) {
    before = JSON.stringify(best.plan);
    for (let size = Math.ceil(best.plan.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let at = 0; at < best.plan.steps.length;) {
        const steps = best.plan.steps.toSpliced(at, size);
        if (!await take({ ...best.plan, steps })) at += size;
      }
    }
    for (const [i, step] of best.plan.steps.entries()) {
      for (let again = true, from = step; again;) {
        again = false;
        for (const simpler of simplerSteps(from)) {
          if (!await take({ ...best.plan, steps: best.plan.steps.with(i, simpler) })) continue;
          from = simpler;
          again = true;
          break;
        }
      }
    }
    for (const name of Object.keys(best.plan.options)) {
      if (name === 'workers') continue; // made fewer below
      const { [name as keyof Plan['options']]: _, ...options } = best.plan.options;
      await take({ ...best.plan, options });
    }
    if ((best.plan.options.workers ?? 1) > Math.max(1, best.plan.options.minWorkers ?? 0)) await take({ ...best.plan, options: { ...best.plan.options, workers: best.plan.options.workers! - 1 } });
    if (best.plan.weather !== 'calm') await take({ ...best.plan, weather: 'calm' });
    for (const [i, worker] of best.plan.workers.entries()) if (JSON.stringify(worker) !== JSON.stringify(SOUND)) await take({ ...best.plan, workers: best.plan.workers.with(i, SOUND) });
    if (best.plan.shells.length > 0) await take({ ...best.plan, shells: [] });
    for (const key of keysOf(best.plan)) for (const simpler of simplerJobs(best.plan.jobs[key]!)) await take({ ...best.plan, jobs: best.plan.jobs.with(key, simpler) });
  }
  return best;
}

function keysOf({ steps }: Plan): number[] {
  return steps.flatMap(step => step.do === 'put' ? step.keys : step.do === 'run' ? [step.key] : 'source' in step && step.source !== undefined ? step.source.keys : []);
}

function* simplerSteps(step: Step): Generator<Step> {
  if (step.atMs > 0) yield { ...step, atMs: 0 };
  if (step.atMs !== Math.round(step.atMs)) yield { ...step, atMs: Math.round(step.atMs) };
  if (step.do === 'put') for (const keys of fewer(step.keys)) yield { ...step, keys };
  if ('source' in step && step.source !== undefined) for (const source of simplerSources(step.source)) yield { ...step, source };
  if (step.do === 'run') {
    const { timeoutMs, abortAfterMs, ...rest } = step;
    if (timeoutMs !== undefined) yield { ...rest, ...(abortAfterMs === undefined ? {} : { abortAfterMs }) };
    if (abortAfterMs !== undefined) yield { ...rest, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  }
}

/** Without the first half, without the second, and so on. */
function* fewer(keys: number[]): Generator<number[]> {
  for (let size = Math.ceil(keys.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < keys.length; at += size) yield keys.toSpliced(at, size);
  }
}

function* simplerSources(source: SourcePlan): Generator<SourcePlan> {
  for (const keys of fewer(source.keys)) yield { ...source, keys };
  if (source.end !== 'ends') yield { ...source, end: 'ends' };
  if (source.kind !== 'array') yield { ...source, kind: 'array' };
  if (source.gapMs > 0) yield { ...source, gapMs: 0 };
}

function* simplerJobs(job: JobPlan): Generator<JobPlan> {
  for (const name of Object.keys(PLAIN)) if (Reflect.get(job, name) !== Reflect.get(PLAIN, name)) yield { ...job, [name]: Reflect.get(PLAIN, name) };
}

/** A schedule as a list of steps. */
export function describe({ weather, kind, options, hasSignal, jobs, workers, shells, steps, calmMs }: Plan): string {
  const lines = [`${weather} weather, a ${kind} module, ${show(options)}${hasSignal ? ', a signal' : ''}; no faults from ${calmMs.toFixed(0)} ms on`];
  for (const step of steps) lines.push(`at ${step.atMs.toFixed(2)} ms: ${show(Object.fromEntries(Object.entries(step).filter(([name]) => name !== 'atMs')))}`);
  for (const key of keysOf({ steps } as Plan)) lines.push(`job ${key}: ${show(difference(jobs[key]!, PLAIN))}`);
  for (const [i, worker] of workers.entries()) if (show(worker) !== show(SOUND)) lines.push(`worker ${i}: ${show(difference(worker, SOUND))}`);
  for (const [i, shell] of shells.entries()) lines.push(`guard ${i}: ${show(shell)}`);
  return lines.map(line => `  ${line}`).join('\n');
}

const show = (value: object): string => JSON.stringify(value).replaceAll('"', '').replaceAll(',', ', ').replaceAll(':', ': ');

/** What is not as usual. */
function difference<T extends object>(value: T, usual: T): object {
  return Object.fromEntries(Object.entries(value).filter(([name, field]) => Reflect.get(usual, name) !== field));
}
