// The whole idea in one file, without the library: two queues, sentinels, and a Ctrl-C that keeps what was done.
// It is the program of 2010, put right: a comment that begins with a year names the fault of that post that it answers.
// Copy it, and replace `work` and `main`. Press Ctrl-C: the workers end, and what was done is printed. Press it twice:
// they are killed. Job 3 throws, on purpose; or shoot a worker, with kill -9: it costs that worker's job, and no other.
// Options: --job-ms 2000, --value-bytes 10

import { fork, type ChildProcess } from 'node:child_process';
import { on } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';

interface Job { n: number; ms: number; bytes: number }
type Answer = { type: 'done'; value: string } | { type: 'failed'; error: string };
type ToWorker = { type: 'job'; job: Job } | { type: 'end-of-jobs' };
type ToParent = { type: 'ready' } | Answer;

const SAME_PRESS_MS = 100; // a shell and npm may deliver one Ctrl-C twice

async function work({ n, ms, bytes }: Job): Promise<string> {
  console.log(`worker ${process.pid}: job ${n}`);
  await setTimeout(ms);
  if (n === 3) throw new Error('three is too many');
  return 'x'.repeat(bytes);
}

/** Resolves when the message has left this process, or if nobody is there to get it. Rejects if it cannot be cloned. */
function send(to: NodeJS.Process | ChildProcess, message: ToWorker | ToParent): Promise<void> {
  return new Promise(resolve => { to.send?.(message, undefined, {}, () => resolve()); });
}

const failed = (error: unknown): Answer => ({ type: 'failed', error: String(error) });
const ignore = (): void => {};

// ---- In a worker

async function worker(): Promise<void> {
  // 2010: a terminal sends Ctrl-C to every process of its group, and it cut off the jobs. Here only the parent answers it.
  process.on('SIGINT', ignore);
  process.on('disconnect', () => process.exit(1)); // the parent was killed: nobody will read what is done
  void send(process, { type: 'ready' });
  for await (const [received] of on(process, 'message')) {
    const message: ToWorker = received;
    // 2010: it left when the queue looked empty, a guess that loses jobs when it is wrong. 2011: the sentinel is a word.
    if (message.type === 'end-of-jobs') break;
    const answer = await work(message.job).then<Answer, Answer>(value => ({ type: 'done', value }), failed);
    // 2010: terminate cut results in two, and the parent waited for the rest for ever. This one goes out whole.
    process.on('SIGTERM', ignore);
    // 2011: put returns before the data has left. This put is awaited: nothing starts, and nobody leaves, before.
    await send(process, answer).catch((error: unknown) => send(process, failed(error)));
    process.off('SIGTERM', ignore);
    void send(process, { type: 'ready' }); // not before: whoever is given a job must die of SIGTERM
  }
  process.exit(0);
}

// ---- In the parent

/** Ready: it ignores Ctrl-C and waits for a job. Before it is ready for the first time, Ctrl-C kills it as any new process. */
interface Worker { child: ChildProcess; state: 'starting' | 'ready' | 'busy' | 'ending'; job: Job | undefined }

const jobs: Job[] = []; // the job queue; what is left in it at the end is pending: it certainly has not started
const results: ({ job: Job } & Answer)[] = []; // the result queue
const lost: Job[] = []; // may have started when the pool was terminated
const workers = new Set<Worker>();
let mostWorkers = 3;
let state: 'open' | 'closed' | 'terminating' = 'open';
let lastPressMs = -Infinity;
let tellJoined = ignore;
const joined = new Promise<void>(resolve => { tellJoined = resolve; });

function put(job: Job): void {
  jobs.push(job);
  advance();
}

function close(): void {
  if (state === 'open') state = 'closed';
  advance();
}

/** 2016: the parent asked again and again whether a child had ended. This is called when something happened, and only then. */
function advance(): void {
  if (state !== 'terminating') {
    for (const one of workers) {
      if (one.state !== 'ready' || (jobs.length === 0 && state === 'open')) continue;
      one.job = jobs.shift();
      one.state = one.job === undefined ? 'ending' : 'busy'; // one sentinel for each worker, behind the last job
      void send(one.child, one.job === undefined ? { type: 'end-of-jobs' } : { type: 'job', job: one.job });
    }
    let wanted = jobs.length - [...workers].filter(({ job }) => job === undefined).length;
    while (wanted-- > 0 && workers.size < mostWorkers) start();
  }
  if (workers.size === 0 && (state !== 'open' || mostWorkers === 0)) tellJoined();
}

function start(): void {
  // 2010: all shared a pipe and its lock, and whoever died with the lock stopped the others. Each has its own channel here.
  const child = fork(import.meta.filename, ['worker'], { serialization: 'advanced' });
  const one: Worker = { child, state: 'starting', job: undefined };
  workers.add(one);
  // 2010: it joined first and read then, and hung on results over 64 kB. These are read as they come, also while it joins.
  child.on('message', (message: ToParent) => {
    if (message.type === 'ready') one.state = 'ready';
    else if (one.job !== undefined) results.push({ job: one.job, ...message });
    one.job = undefined;
    advance();
  });
  // Joined: the exit was seen, and the channel was read to its end. Which of the two comes first is not certain.
  let missing = 2;
  const end = (): void => { if (--missing === 0) gone(one, child.signalCode ?? `exit code ${child.exitCode}`); };
  child.on('exit', end).on('disconnect', end);
  child.on('error', ({ message }) => { if (child.pid === undefined) gone(one, message); }); // it could not be started
}

/** 2010: nobody missed a worker that died, and its job was waited for for ever. Here that is the job's answer. */
function gone(one: Worker, how: string): void {
  workers.delete(one);
  if (one.state === 'starting') mostWorkers--; // or one that cannot start would be started again and again
  if (one.job !== undefined && state === 'terminating') lost.push(one.job);
  else if (one.job !== undefined) results.push({ job: one.job, ...failed(`its worker died: ${how}`) });
  advance();
}

/** The first Ctrl-C terminates. 2016: a second one made a deadlock. Here it kills whoever is left. */
function press(): void {
  if (performance.now() - lastPressMs < SAME_PRESS_MS) return;
  lastPressMs = performance.now();
  const signal = state === 'terminating' ? 'SIGKILL' : 'SIGTERM';
  state = 'terminating';
  for (const { child } of workers) void send(child, { type: 'end-of-jobs' }); // for one that sends a result, and ignores SIGTERM
  for (const { child } of workers) child.kill(signal);
  advance();
}

async function main(): Promise<void> {
  process.on('SIGINT', press);
  console.log(`parent ${process.pid}: 6 jobs, press Ctrl-C`);
  const { values } = parseArgs({ options: { 'job-ms': { type: 'string' }, 'value-bytes': { type: 'string' } } });
  const { 'job-ms': ms = 2000, 'value-bytes': bytes = 10 } = values;
  for (let n = 1; n <= 6; n++) put({ n, ms: Number(ms), bytes: Number(bytes) });
  close();
  await joined;

  const said = (answer: Answer): string => (answer.type === 'done' ? `${answer.value.length} bytes` : answer.error);
  for (const { job, ...answer } of results) console.log(`job ${job.n}: ${said(answer)}`);
  console.log(`${lost.length} lost, ${jobs.length} pending`);
  process.exitCode = state === 'terminating' ? 130 : 0; // 2010: it was 0, as if all had been done
}

await (process.argv[2] === 'worker' ? worker() : main());
