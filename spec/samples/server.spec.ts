// The server under load, and at its end: as systemd ends it, with a second signal, past its deadline; with a worker shot, and
// with clients that go away. A worker that is stopped (SIGSTOP) holds its job as long as the spec wants.

import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import { request } from 'node:http';
import type { ClientRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Program } from '../support/program.ts';
import type { Ended } from '../support/program.ts';
import { limited } from '../support/limits.ts';

/** Each test takes a few seconds: after this long something hangs. */
/** Signals closer together than this are one. */
const SAME_PRESS_MS = 100;
const FOR_EVER_MS = '1000000000';
const tellEvents = new URL('../fixtures/tell-events.js', import.meta.url);

interface Answer { status: number | undefined; retryAfter: string | undefined; body: string }

/** The sample, with cheap hashes, that also says what happens in its pool. */
class Server extends Program {
  #port = 0;

  constructor(t: TestContext, args: readonly string[] = []) {
    const options = ['--port', '0', '--cost', '4', '--workers', '2', ...args];
    super(new URL('../../samples/server.js', import.meta.url), options, { execArgv: ['--import', tellEvents.href] });
    t.after(() => this.kill('SIGKILL'));
  }

  /** Resolves to its workers' pids, when all of them are ready. */
  async start(workers = 2): Promise<number[]> {
    await this.says(/^listening:/m);
    await this.says(/^worker:ready/m, workers);
    this.#port = Number(/^listening: .*"port":(\d+)/m.exec(this.stdout)?.[1]);
    return Array.from(this.stdout.matchAll(/^worker:ready {"pid":(\d+)}/gm), ([, pid]) => Number(pid));
  }

  send(method: 'GET' | 'POST', body = ''): ClientRequest {
    return request({ port: this.#port, method, headers: { 'content-length': Buffer.byteLength(body) } }).end(body);
  }

  async hash(password: string): Promise<Answer> {
    return answerTo(this.send('POST', password));
  }

  /** Asks for the numbers until they are so. */
  async counts(wanted: { submitted?: number; waiting?: number; given?: number; rejected?: number }): Promise<void> {
    for (;;) {
      const { jobs } = JSON.parse((await answerTo(this.send('GET'))).body);
      if (Object.entries(wanted).every(([name, count]) => jobs[name] === count)) return;
    }
  }
}

async function answerTo(sent: ClientRequest): Promise<Answer> {
  const response = await new Promise<Parameters<Parameters<typeof request>[2] & {}>[0]>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject);
  });
  return { status: response.statusCode, retryAfter: response.headers['retry-after'], body: await text(response) };
}

const stop = (pids: number[]): void => { for (const pid of pids) process.kill(pid, 'SIGSTOP'); };
const goOn = (pids: number[]): void => { for (const pid of pids) process.kill(pid, 'SIGCONT'); };
const passwords = (count: number): string[] => Array.from({ length: count }, (_, i) => `password ${i}`);
const statuses = (answers: Answer[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { status } of answers) counts[String(status)] = (counts[String(status)] ?? 0) + 1;
  return counts;
};

/** How PHC strings say it. */
function assertHash({ body }: Answer, password: string): void {
  const [, cost, salt, key] = /^\$scrypt\$ln=(\d+),r=8,p=1\$([^$]+)\$([^$]+)\n$/.exec(body) ?? assert.fail(body);
  assert.equal(key, scryptSync(password, Buffer.from(salt ?? '', 'base64'), 32, { N: 2 ** Number(cost), r: 8 }).toString('base64'));
}

function assertEnded({ code, signal, stderr, stdout }: Ended, exitCode: number, lastLine: string): void {
  assert.deepEqual([code, signal, stderr, stdout.split('\n').at(-2)], [exitCode, null, '', lastLine]);
}

describe('server', { concurrency: 2 }, () => {
  it('answers two hundred clients at once, each with the hash of its password, and leaves with 143 at SIGTERM', limited, async t => {
    const server = new Server(t, ['--max-waiting', '200']);
    await server.start();
    const answers = await Promise.all(passwords(200).map(password => server.hash(password)));
    assert.deepEqual(statuses(answers), { 200: 200 });
    answers.forEach((answer, i) => assertHash(answer, `password ${i}`));
    assert.equal((await server.hash('x'.repeat(1025))).status, 413);
    await server.press({ signal: 'SIGTERM' });
    assertEnded(await server.ended, 143, 'interrupted: 200 hashed, 0 lost, 0 not begun');
  });

  it('says 503 and when to come again while as many wait as may, and answers those that wait', limited, async t => {
    const server = new Server(t, ['--max-waiting', '3']);
    const pids = await server.start();
    stop(pids);
    const waiting: Promise<Answer>[] = [];
    for (const given of [1, 2]) { // one at a time, as whatever has just come waits for a moment
      waiting.push(server.hash('given'));
      await server.counts({ given });
    }
    waiting.push(...passwords(3).map(password => server.hash(password)));
    await server.counts({ waiting: 3 });
    const refused = await server.hash('one too many');
    assert.deepEqual([refused.status, refused.retryAfter], [503, '1']);
    goOn(pids);
    assert.deepEqual(statuses(await Promise.all(waiting)), { 200: 5 });
    assert.equal((await server.hash('room again')).status, 200);
    await server.press();
    assertEnded(await server.ended, 130, 'interrupted: 6 hashed, 0 lost, 0 not begun');
  });

  /** Two hundred clients wait, two of them for jobs that stopped workers have, and then SIGTERM reaches the whole group. */
  async function endWith200(t: TestContext, args: readonly string[] = []): Promise<{ server: Server; pids: number[]; answers: Promise<Answer[]> }> {
    const server = new Server(t, ['--max-waiting', '200', ...args]);
    const pids = await server.start();
    stop(pids);
    const answers = Promise.all(passwords(200).map(password => server.hash(password)));
    await server.counts({ given: 2, waiting: 198 });
    await server.press({ signal: 'SIGTERM' });
    await server.says(/^SIGTERM: finishing 2 jobs$/m);
    return { server, pids, answers };
  }

  it('finishes at SIGTERM what its workers have, and says 503 to all others, to those who come later as well', limited, async t => {
    const { server, pids, answers } = await endWith200(t, ['--deadline-ms', FOR_EVER_MS]);
    const late = await server.hash('late');
    assert.deepEqual([late.status, late.retryAfter], [503, '1']);
    goOn(pids);
    assert.deepEqual(statuses(await answers), { 200: 2, 503: 198 });
    assertEnded(await server.ended, 143, 'interrupted: 2 hashed, 0 lost, 198 not begun');
  });

  it('waits no longer than its deadline, for nobody', limited, async t => {
    const { server, answers } = await endWith200(t, ['--deadline-ms', '100']);
    assert.deepEqual(statuses(await answers), { 503: 200 });
    assertEnded(await server.ended, 143, 'interrupted: 0 hashed, 2 lost, 198 not begun');
  });

  it('waits no longer at a second SIGTERM', limited, async t => {
    const { server, answers } = await endWith200(t, ['--deadline-ms', FOR_EVER_MS]);
    await setTimeout(SAME_PRESS_MS + 1);
    await server.press({ signal: 'SIGTERM' });
    assert.deepEqual(statuses(await answers), { 503: 200 });
    assertEnded(await server.ended, 143, 'interrupted: 0 hashed, 2 lost, 198 not begun');
  });

  it('answers though a worker is shot in the middle of the job', limited, async t => {
    const server = new Server(t, ['--workers', '1']);
    const pids = await server.start(1);
    stop(pids);
    const answer = server.hash('a password');
    await server.says(/^job:given/m);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    assert.deepEqual(statuses([await answer]), { 200: 1 });
    assertHash(await answer, 'a password');
    await server.says(/^job:given .*"attempt":2/m);
    await server.press({ signal: 'SIGTERM' });
    assertEnded(await server.ended, 143, 'interrupted: 1 hashed, 0 lost, 0 not begun');
  });

  it('does not begin the job of a client that has gone away', limited, async t => {
    const server = new Server(t, ['--workers', '1']);
    const pids = await server.start(1);
    stop(pids);
    const first = server.hash('stays');
    await server.counts({ given: 1 });
    const leaver = server.send('POST', 'leaves').on('error', () => {});
    await server.counts({ given: 1, waiting: 1 });
    const last = server.hash('stays, too');
    await server.counts({ given: 1, waiting: 2 });
    leaver.destroy();
    await server.counts({ given: 1, waiting: 1, rejected: 1 });
    goOn(pids);
    assert.deepEqual(statuses([await first, await last]), { 200: 2 });
    await server.press({ signal: 'SIGTERM' });
    const ended = await server.ended;
    assertEnded(ended, 143, 'interrupted: 2 hashed, 0 lost, 0 not begun');
    assert.deepEqual(Array.from(ended.stdout.matchAll(/^job:given {"id":(\d)/gm), ([, id]) => id), ['0', '2']);
  });
});
