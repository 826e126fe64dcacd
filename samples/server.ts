// A server that hashes passwords on all cores, and that systemd or a Ctrl-C may end at any time.
//
//   npm run sample server        and then   curl -d 'a password' localhost:8080
//
// POST a password: its scrypt hash. GET: the pool's numbers. While more jobs wait than it wants to keep anybody waiting for it
// says 503 and `Retry-After`; a client that goes away takes its job with it; a worker that dies costs nobody an answer.
// At SIGTERM or Ctrl-C it finishes what its workers have, until a deadline, says 503 to all others, and exits with 143 or 130.
// A second signal does not wait. systemd's default, SIGTERM to every process of a service, is no different: workers ignore it.
// Options: --port 8080, --workers, --max-waiting 100, --deadline-ms 10000, --cost 17 (the logarithm of scrypt's N)

import { randomBytes, scryptSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { availableParallelism } from 'node:os';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { isWorker, JobLostError, ProcessPool } from 'drainpool';

/** A longer password is refused before it is read. */
const PASSWORD_BYTES = 1024;
const RETRY_AFTER_S = 1;
/** How long clients have to fetch their last answers. */
const FETCH_MS = 2000;
const BLOCK_SIZE = 8;

type Job = { password: string; cost: number };

/** Runs in the workers. It cannot be interrupted in the middle, and need not be: it takes a third of a second. */
export default function hash({ password, cost }: Job): string {
  const [salt, N] = [randomBytes(16), 2 ** cost];
  const key = scryptSync(password, salt, 32, { N, r: BLOCK_SIZE, maxmem: 256 * N * BLOCK_SIZE });
  return `$scrypt$ln=${cost},r=${BLOCK_SIZE},p=1$${salt.toString('base64')}$${key.toString('base64')}`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: {
    port: { type: 'string', default: '8080' },
    workers: { type: 'string', default: String(availableParallelism()) },
    'max-waiting': { type: 'string', default: '100' },
    'deadline-ms': { type: 'string', default: '10000' },
    cost: { type: 'string', default: '17' },
  } });
  const workers = Number(values.workers);
  const interruptSignals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM'];
  const pool = new ProcessPool<typeof hash>(import.meta.url, {
    workers,
    minWorkers: workers, // the first client does not wait for them
    interruptSignals,
    interruptPolicy: 'finish',
    retries: 1, // where a worker died: a hash can be had again
  });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method !== 'POST') return say(response, 200, JSON.stringify(pool.stats()));
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    if (!(Number(request.headers['content-length']) <= PASSWORD_BYTES)) return say(response, 413, 'Too long, or of no stated length');
    const password = await text(request);
    if (pool.stats().jobs.waiting >= Number(values['max-waiting'])) return sayLater(response);
    try {
      say(response, 200, await pool.run({ password, cost: Number(values.cost) }, { signal: gone.signal }));
    } catch (error) {
      if (gone.signal.aborted) return;
      if (error instanceof JobLostError) return sayLater(response);
      console.error(error);
      say(response, 500, 'Cannot hash');
    }
  };

  const server = createServer((request, response) => { answer(request, response).catch(() => response.destroy()); });
  server.listen(Number(values.port), () => console.log(`listening: ${JSON.stringify(server.address())}`));

  let isEnding = false;
  for (const signal of interruptSignals) {
    process.on(signal, () => { // after the pool's own; it stays, so that no later signal cuts off an answer
      if (isEnding) return;
      isEnding = true;
      console.log(`${signal}: finishing ${pool.stats().jobs.given} jobs`);
      setTimeout(() => void pool.terminate(), Number(values['deadline-ms'])).unref();
    });
  }

  const report = await pool.join(); // until a signal there is nothing to wait for here: the server holds the program
  server.close();
  setTimeout(() => server.closeAllConnections(), FETCH_MS).unref();
  await once(server, 'close');
  console.log(`${report.outcome}: ${report.fulfilled} hashed, ${report.lost.length} lost, ${report.pending.length} not begun`);
  process.exitCode = report.exitCode; // 143 after SIGTERM, 130 after Ctrl-C
}

/** Each answer is the last of its connection: a client that would rather keep it asks a proxy. */
function say(response: ServerResponse, status: number, word: string): void {
  response.writeHead(status, { connection: 'close' }).end(`${word}\n`);
}

function sayLater(response: ServerResponse): void {
  response.setHeader('retry-after', RETRY_AFTER_S);
  say(response, 503, 'Too busy');
}

if (!isWorker) await main();
