// The timeline as it is printed: a bar for each job that ran, on the line of its worker; and as the README shows it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { fixture } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { limited } from '../support/limits.ts';

/** Each test takes a few seconds: after this long something hangs. */
const root = new URL('../../../', import.meta.url);

function start(t: TestContext, jobMs: number): Program {
  const program = new Program(new URL('../../samples/timeline.js', import.meta.url), ['--job-ms', String(jobMs)], { execArgv: ['--import', fixture('tell-events').href] });
  t.after(() => program.kill('SIGKILL'));
  return program;
}

/** What is in the picture: jobs by their fate, in order; workers; and Ctrl-C. */
function drawn(svg: string): { fulfilled: number[]; rejected: number[]; lost: number[]; workers: number; press: boolean } {
  const text = (kind: string): string[] => Array.from(svg.matchAll(new RegExp(`<text class="${kind}".*>(.*)</text>`, 'g')), ([, word = '']) => word);
  const jobs = (fate: string): number[] => text(`on-${fate}`).filter(word => /^\d+$/.test(word)).map(Number).sort((a, b) => a - b);
  for (const [, width] of svg.matchAll(/<rect .* width="(.*?)"/g)) assert.ok(Number(width) >= 0, `a bar is ${width} wide`);
  return {
    fulfilled: jobs('fulfilled'),
    rejected: jobs('rejected'),
    lost: jobs('lost'),
    workers: text('').filter(word => word.startsWith('worker')).length,
    press: text('on-lost').includes('Ctrl-C'),
  };
}

const svgOf = (stdout: string): string => /<svg[^]*<\/svg>\n$/.exec(stdout)?.[0] ?? assert.fail(stdout);
const styleOf = (svg: string): string => /<style>[^]*<\/style>/.exec(svg)?.[0] ?? '';

describe('timeline', { concurrency: true }, () => {
  it('draws every job, one that took its worker with it, and the worker in its place', limited, async t => {
    const { code, stdout } = await start(t, 20).ended;
    assert.deepEqual(drawn(svgOf(stdout)), { fulfilled: [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13], rejected: [4], lost: [], workers: 4, press: false });
    assert.equal(code, 1); // job 4 was rejected
  });

  it('draws what Ctrl-C took away', limited, async t => {
    const program = start(t, 1_000_000);
    await program.says(/^job:given/m, 3);
    await program.press();
    const { code, stdout } = await program.ended;
    assert.deepEqual(drawn(svgOf(stdout)), { fulfilled: [], rejected: [], lost: [0, 1, 2], workers: 3, press: true });
    assert.equal(code, 130);
  });

  it('is what the README shows: some of everything, in the colours of today', limited, async t => {
    const shown = readFileSync(new URL('samples/timeline.svg', root), 'utf8');
    const { fulfilled, rejected, lost, press } = drawn(shown);
    assert.deepEqual([fulfilled.length > 0, rejected, lost.length, press], [true, [4], 3, true]);
    assert.equal(styleOf(shown), styleOf(svgOf((await start(t, 1).ended).stdout)));
    assert.match(readFileSync(new URL('README.md', root), 'utf8'), /## How it works\n[^#]*!\[[^\]]+\]\(samples\/timeline\.svg\)/);
  });

  it('has a colour for dark wherever it has one for light', () => {
    const [light = '', dark = ''] = styleOf(readFileSync(new URL('samples/timeline.svg', root), 'utf8')).split('@media (prefers-color-scheme: dark)');
    const coloured = (style: string): string[] => [...style.replace('<style>', '').matchAll(/([^{}]+) {([^{}]*)}/g)]
      .flatMap(([, selectors = '', rules = '']) => Array.from(rules.matchAll(/(fill|stroke): #/g), ([, what]) => `${selectors.trim()} ${what}`)).sort();
    assert.deepEqual(coloured(dark), coloured(light));
  });
});
