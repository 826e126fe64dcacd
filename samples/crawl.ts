// A crawler: jobs that are found in results. The queue is closed when no page is open any more: that is known, not guessed.
// Each page is one job, which fetches it and takes it apart; its links are put as jobs, those that are new. A counter of open
// pages says when the last one is done; a queue that looks empty says nothing, since a page under way may have links.
// The site is a small one of its own, on a local port, with circles, a broken link and a page that is not there.
// Press Ctrl-C: what was read is counted, and what was known and not read.
// Options: --pages 40, --page-ms 50

import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isWorker, ProcessPool } from 'drainpool';

/** Runs in the workers: the links of a page. */
export default async function read(url: string): Promise<string[]> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  const links = (await response.text()).matchAll(/<a href="([^"]*)">/g);
  return [...links].flatMap(([, link = '']) => URL.canParse(link, url) ? [new URL(link, url).href] : []);
}

/** Pages 1 to `pages`: each links to two more, back to the first, to nowhere, and the last one to a page that is not there. */
async function serve(pages: number, pageMs: number): Promise<{ first: string; close: () => void }> {
  const server = createServer(async (request, response) => {
    const n = Number(request.url?.slice(1));
    await setTimeout(pageMs);
    response.statusCode = n <= pages ? 200 : 404;
    const links = [2 * n, 2 * n + 1].filter(link => link <= pages).concat(1, ...(n === pages ? [pages + 1] : []));
    response.end(`${links.map(link => `<a href="/${link}">page ${link}</a>`).join('')}<a href="http://">nowhere</a>`);
  });
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve); });
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return { first: `http://127.0.0.1:${port}/1`, close: () => { server.closeAllConnections(); server.close(); } };
}

async function main(): Promise<void> {
  const type = 'string';
  const { values: { pages = '40', 'page-ms': pageMs = '50' } } = parseArgs({ options: { pages: { type }, 'page-ms': { type } } });
  const site = await serve(Number(pages), Number(pageMs));
  const pool = new ProcessPool<typeof import('./crawl.ts')>(import.meta.url, { workers: 4 });
  const known = new Set<string>();
  let open = 0;
  const put = (url: string): void => {
    if (known.has(url)) return;
    known.add(url);
    open++;
    void pool.jobs.put(url);
  };

  put(site.first);
  console.log(`${open} page open`);
  for await (const { job: url, ...result } of pool.results) {
    if (result.status === 'fulfilled') for (const link of result.value) put(link);
    else console.log(`${new URL(url).pathname}: ${String(result.reason)}`);
    if (--open === 0) pool.jobs.close();
  }
  site.close();

  const report = await pool.join();
  const unread = report.lost.length + report.pending.length;
  console.log(`${report.outcome}: ${report.fulfilled} read, ${report.rejected} failed, ${unread} not read`);
  process.exitCode = report.exitCode;
}

if (!isWorker) await main();
