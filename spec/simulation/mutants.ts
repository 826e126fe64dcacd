// Single breaks of the shipped code, each of which the simulator must find: faults that the library once had, as they were, and others of
// their kinds. The texts are those of the compiled files, one line or a part of one; a spec holds that they are still there.

export interface Mutant {
  /** What is broken, in words. */
  name: string;
  /** Of lib/, without its ending. */
  file: string;
  text: string;
  replacement: string;
  /** It takes many thousand schedules: it is looked for only with `--rare`. */
  isRare: boolean;
}

const broken = (name: string, file: string, text: string, replacement: string): Mutant => ({ name, file, text, replacement, isRare: false });
const rarelyMet = (...parts: Parameters<typeof broken>): Mutant => ({ ...broken(...parts), isRare: true });

export const MUTANTS: readonly Mutant[] = [
  // ---- Faults that the library once had
  broken('a job that is handed back while the pool is ending gets no fate', 'parent/jobs', 'return this.ledger.unfinished([record], \'pending\', this.#end);', 'return;'),
  broken('a source goes on after it has ended the pool in its own next()', 'parent/source', "this.#state = 'closing';", 'return;'),
  broken('policy finish waits for a worker that is stuck in its start', 'parent/coordinator', 'worker.endOfJobs(isFinishing || unsettled === 0);', 'worker.endOfJobs();'),
  broken('a worker that went deaf after its job is waited for', 'parent/worker-handle', 'this.#child.endWithin(ms);', ';'),
  broken('a putAll() that is awaited in the loop over the results waits for itself', 'parent/jobs', 'awaited: () => this.results.inHand()', 'awaited: () => () => false'),
  broken('workers that die at import are started without end', 'parent/starts', 'return this.crashStreak >= MOST_ROUNDS[how];', 'return false;'),
  broken('workers that leave idle fail a pool in which jobs are done', 'parent/jobs', 'this.#owner.progressed();', ';'),
  broken('a press does nothing while the pool finishes what runs', 'parent/shutdown', 'else if (this.state === \'finishing\')\n            this.#terminate(this.#settings.graceMs);\n        else if (this.state === \'terminating\')', 'else if (false)'),
  broken('the shorter grace of a second terminate() is not heard', 'parent/shutdown', 'worker.hasten(graceMs);', ';'),
  broken('jobs behind a long one stay there after close()', 'parent/dispatcher', 'if (this.#rebalanceTimer !== undefined ||', 'if (this.#jobs.queue.closed || this.#rebalanceTimer !== undefined ||'),
  broken('a loop delivers the values of a job that has timed out', 'parent/answers', 'record.state === \'in flight\' ? record : undefined', 'record'),
  broken('a time limit that fell into a large value is never judged', 'parent/worker-handle', 'this.assignment.judge();', ';'),
  broken('a worker is not watched for idleness when none of its jobs could be cloned', 'parent/worker-handle', 'this.#awaitJob(); // none could be cloned', '; // none could be cloned'),
  broken('a channel that somebody else holds is waited for', 'parent/worker-process', 'this.#child.closeChannel(); // somebody else', '; // somebody else'),
  broken('a loop that asks for two jobs at once never lets go of the first', 'worker/inbox', 'letGo();', ';'),
  broken('what may have started when a worker exits by itself is run again', 'parent/in-flight', 'count === 1 || this.started !== undefined', 'count === 1'),
  rarelyMet('a loop that was told to give up a job is given others', 'parent/assignment', 'if (this.#worker.isLoop)\n            this.#worker.endOfJobs(); // it has but one', 'if (false)\n            this.#worker.endOfJobs(); // it has but one'),
  broken('a loop starts a job of the next message before the results of the last one have left', 'worker/loop', '|| (this.#inbox.isAtMessageEnd && this.#outbox.hasUnsent)', ''),
  broken('the word of an exit that was only emitted is believed', 'worker/inbox', 'this.#outbox.sayAlive();', ';'),
  rarelyMet('a channel that is held keeps a pool that was told to end at once', 'parent/worker-handle', 'this.#graceMs = 0;', ';'),
  broken('a worker that is dead is given jobs while its channel is held', 'parent/worker-handle', '|| this.#child.exit !== undefined;', ';'),
  broken('a time limit that fell into a large value is judged before what has come is read', 'parent/time-limit', 'this.#host.setImmediate(() => {\n            if (this.#overdue !== record)', '(judge => judge())(() => {\n            if (this.#overdue !== record)'),
  broken('a deadline is judged before what has come is read', 'parent/deadline', 'clock.setImmediate(() => { if (!calledOff)\n        judge(); })', '{ if (!calledOff)\n        judge(); }'),
  broken('jobs go behind a slow one, and back, and behind it again', 'parent/assignment', ' && current !== this.#slowJob)', ')'),
  broken('what cannot leave at once is forgotten when a job only emits exit', 'worker/outbox', 'this.#outcomes = later;', 'this.#outcomes = [];'),
  // ---- One fate for each job
  broken('a job that is settled may be settled again', 'parent/jobs', 'if (record.state === \'over\')', 'if (false)'),
  broken('what was given and not started is lost', 'parent/jobs', 'this.ledger.unfinished(unstarted, \'pending\', this.#end);', 'this.ledger.unfinished(unstarted, \'lost\', this.#end);\n        else if (false)\n            ;'),
  broken('what had started is pending', 'parent/jobs', 'this.ledger.unfinished(started, \'lost\', this.#end);', 'this.ledger.unfinished(started, \'pending\', this.#end);'),
  broken('suspects are pending', 'parent/jobs', 'this.ledger.unfinished(suspects, \'lost\', this.#end);', 'this.ledger.unfinished(suspects, \'pending\', this.#end);'),
  broken('a suspect that waits at the end is pending', 'parent/ledger', 'record.isolated?.isSuspect === true ? \'lost\' : wanted', 'wanted'),
  broken('what the calls have waiting is forgotten at the end', 'parent/jobs', 'this.ledger.unfinished(this.calls.drain(), \'pending\', end);', 'this.calls.drain();'),
  broken('what the queue has waiting is forgotten at the end', 'parent/jobs', 'this.ledger.unfinished(this.queue.end(), \'pending\', end);', 'this.queue.end();'),
  broken('the worker hands back one job too many', 'worker/inbox', 'let count = -this.#position;', 'let count = 1 - this.#position;'),
  broken('the worker hands back one job too few', 'worker/inbox', 'count += jobs.length;', 'count += jobs.length - 1;'),
  broken('the worker says that nothing has started', 'worker/program', "type: 'stopping', started: this.#outbox.started", "type: 'stopping', started: 0"),
  broken('a worker that exits says that nothing has started', 'worker/program', "type: 'exiting', started: this.#outbox.started", "type: 'exiting', started: 0"),
  broken('results that were ready are not sent when a worker exits', 'worker/outbox', 'void this.#take()();', ';'),
  broken('jobs come back in the wrong order', 'parent/in-flight', 'records.splice(records.length - count)', 'records.splice(0, count)'),
  broken('a message that never left may have started', 'parent/in-flight', 'this.#held.push(...records);', 'this.#messages.push(records);'),
  broken('jobs that cross are forgotten when their worker dies', 'parent/in-flight', '[...jobs, ...this.#held]', 'jobs'),
  broken('all messages of a worker may have started', 'parent/in-flight', 'this.#messages[0].length - this.#answered : 0', 'this.jobs : 0'),
  broken('none of a message may have started when its worker is shot', 'parent/in-flight', '?? (hasPut ? 1 : ofFirst)', '?? (hasPut ? 1 : 0)'),
  broken('of a loop that was shot in the middle all jobs of the message are run again', 'parent/in-flight', '?? (hasPut ? 1 : ofFirst)', '?? ofFirst'),
  broken('map hands nothing back behind its gap', 'parent/map', 'if (outcome?.status === \'fulfilled\')', 'if (false)'),
  // ---- At most once, and no job after the end
  broken('a failed attempt is always tried again', 'parent/jobs', 'if (record.isolated.attempt > this.#settings.retries || this.#end !== undefined)', 'if (this.#end !== undefined)'),
  broken('one attempt too many', 'parent/jobs', 'record.isolated.attempt > this.#settings.retries ||', 'record.isolated.attempt > this.#settings.retries + 1 ||'),
  broken('a job that was timed out is tried again while its worker has it', 'parent/jobs', 'record.state = \'cancelled\';', 'record.state = \'cancelled\', this.#attemptFailed(record, error);'),
  // ---- What was done is delivered
  broken('a worker leaves before its last results', 'worker/program', 'async #leave() {\n        await this.#outbox.flush();', 'async #leave() {'),
  broken('a job may fulfil only before stop', 'worker/functions', 'if (this.#program.takesValues)\n            this.#finish(job', 'if (this.#program.takesReasons)\n            this.#finish(job'),
  broken('SIGTERM ends a worker that is leaving', 'worker/program', 'this.#outbox.raiseShield(true);', ';'),
  broken('results are dropped when the pool is ending', 'parent/jobs', 'answered(record, outcome, value) {\n        if (', 'answered(record, outcome, value) {\n        if (this.#end !== undefined) return;\n        if ('),
  // ---- The steps of the end
  broken('SIGTERM comes though another one answers', 'parent/shutdown', 'nowMs - this.#lastMessageAt < SILENCE_MS &&', 'false &&'),
  broken('SIGTERM comes at once', 'parent/shutdown', 'const SILENCE_MS = 50;', 'const SILENCE_MS = 5;'),
  broken('SIGTERM comes to those that answer', 'parent/shutdown', 'if (worker.isUnresponsive)', 'if (true)'),
  broken('SIGTERM never comes', 'parent/shutdown', 'worker.kill(\'SIGTERM\');\n        });', ';\n        });'),
  broken('SIGKILL never comes', 'parent/worker-process', 'if (this.exit === undefined)\n                this.#owner.overdue();', 'if (this.exit === undefined)\n                ;'),
  broken('SIGKILL comes too soon', 'parent/worker-process', 'this.#cancelEnd = deadline(this.#host, ms, () => {', 'this.#cancelEnd = deadline(this.#host, ms / 2, () => {'),
  broken('the second press does nothing', 'parent/shutdown', 'else if (this.state === \'terminating\')\n            this.#killAll();', 'else if (this.state === \'terminating\')\n            ;'),
  broken('a stopped worker is not continued to die of SIGTERM', 'parent/worker-process', 'this.#child.kill(\'SIGCONT\');', ';'),
  // ---- Promises, bounds, leftovers
  broken('a producer is not let go at the end', 'parent/job-queue', 'end() {\n        this.#ended = true;\n        this.#letIn();', 'end() {\n        this.#ended = true;'),
  broken('a reader is not let go at the end', 'parent/result-queue', 'for (const reader of this.#readers.drain())\n            this.#leave(reader, error);', ';'),
  broken('producers are never let in', 'parent/job-queue', 'this.#waiting.size <= this.#capacity)', 'this.#waiting.size < 0)'),
  broken('sources are read on at the end', 'parent/coordinator', 'this.jobs.queue.closeSources();', ';'),
  broken('a map is not told of the end', 'parent/coordinator', 'for (const map of this.barrier.maps)\n            map.stop();', ';'),
  broken('a timer of the start stays behind', 'parent/starts', 'end() {\n        this.#clock.clearTimeout(this.#refusalPause);\n        this.#clock.clearTimeout(this.#pause);', 'end() {'),
  broken('a listener stays behind', 'parent/barrier', 'if (this.#results.size === 0)\n            this.#host', 'if (false)\n            this.#host'),
  broken('the guard stays behind', 'parent/orphan-guard', 'this.#shell.kill(\'SIGKILL\');', 'callback();'),
  broken('a worker has one job more than its share', 'parent/dispatcher', 'worker.assignment.left);', 'worker.assignment.left + 1);'),
  broken('a pause after a death is never over', 'parent/starts', 'this.#pause = undefined;\n            this.#resume();', ';'),
  broken('a refused start is never tried again', 'parent/starts', 'this.#refusalPause = undefined;\n            this.#resume();', ';'),
  rarelyMet('a job to a deaf worker is waited for, without end', 'parent/job-sender', 'this.#cancelReading = deadline(this.#host, READING_MS, () => this.#owner.unread());', ';'),
  broken('no timer holds the event loop', 'parent/coordinator', 'this.#hold ??= this.#host.setInterval(() => { }, FOR_EVER_MS);', ';'),
  broken('the event loop is held for ever', 'parent/coordinator', 'this.#host.clearInterval(this.#hold);', ';'),
  broken('a cancelled job is waited for, without end', 'parent/assignment', 'if (this.#inFlight.current === record && worker.mayAnswer)\n                worker.kill(\'SIGTERM\');', ';'),
  broken('a time limit is set for no job', 'parent/assignment', 'else if (timeoutMs !== Infinity)', 'else if (false)'),
  // ---- Limits
  broken('more workers than workers', 'parent/workforce', 'this.workers.size >= this.#settings.workers ||', 'this.workers.size > this.#settings.workers ||'),
  broken('a slow reader is not waited for', 'parent/dispatcher', 'const isReadSlowly = results.size >= this.#settings.resultCapacity && results.beingRead;', 'const isReadSlowly = false;'),
  broken('putAll reads its source to the end, whatever waits', 'parent/job-queue', 'await this.#room.promise;', ';'),
  broken('map reads its source to the end, whatever waits', 'parent/map', 'if (this.#slots.size >= this.#host.capacity)', 'if (false)'),
  broken('put() never waits', 'parent/job-queue', 'return this.#room?.promise ?? TAKEN;', 'return TAKEN;'),
  broken('minWorkers are not kept', 'parent/coordinator', 'this.#settings.minWorkers - this.#workforce.workers.size', '0'),
  broken('idle workers go below minWorkers', 'parent/workforce', '&& staying > this.#settings.minWorkers', ''),
  broken('a worker that holds too much memory goes on', 'parent/worker-handle', 'this.#reason ??= \'memory\';\n        this.endOfJobs();', 'this.#reason ??= \'memory\';'),
  broken('all workers are started for one job', 'parent/dispatcher', 'if (worker.activity !== \'busy\' && !worker.isLeaving)\n                wanted--;', ';'),
  broken('run() waits for a slow reader', 'parent/dispatcher', 'const call = this.#jobs.calls.peek();', 'const call = this.isHeldBack ? undefined : this.#jobs.calls.peek();'),
  broken('a reader that has left still counts', 'parent/result-queue', 'return: () => {\n                this.#leave(reader, null);', 'return: () => {'),
  rarelyMet('a put() that is awaited in the loop over the results waits for itself', 'parent/job-queue', 'this.#isPutHeld = this.#room !== undefined;', ';'),
  // ---- Presses and the report
  broken('one Ctrl-C that arrives twice counts twice', 'parent/signals', 'nowMs - lastPressMs <= SAME_PRESS_MS', 'false'),
  broken('an interrupt() in a listener of its own and its press are two', 'parent/shutdown', 'if (this.isNew)\n            this.end', 'if (false)\n            this.end'),
  broken('Ctrl-C is never given back where nobody reads', 'parent/barrier', '++this.#latePresses === 2', '++this.#latePresses === 200'),
  broken('the report does not know the signal', 'parent/shutdown', 'this.interrupt(signal);', 'this.interrupt(null);'),
  // ---- The end
  broken('disposal does not wait', 'parent/pool', 'await barrier.over;', ';'),
  broken('nothing holds the event loop while the pool ends', 'parent/coordinator', '|| end !== undefined || (closed && workers.size > 0)', ''),
  broken('an idle pool holds the event loop', 'parent/coordinator', 'this.#holdEventLoop(unsettled > 0 ||', 'this.#holdEventLoop(workers.size > 0 ||'),
  broken('a listener stays at the signal option', 'parent/coordinator', 'this.#ignoreAbort();', ';'),
  broken('teardown never runs', 'worker/program', 'await this.#teardown?.();', ';'),
  broken('a job does not hear of stop', 'worker/program', 'this.current.abort();', ';'),
  broken('a job that was told to stop is rejected by what it throws then', 'worker/functions', 'if (this.#program.takesReasons)', 'if (this.#program.takesValues)'),
  broken('user code does not die of SIGTERM', 'worker/outbox', 'this.#host.shield(false);', ';'),
  broken('SIGTERM takes a large result with it', 'worker/outbox', 'if (isView(value) || (isLast && !isSmall(value)))\n            this.raiseShield();', ';'),
  broken('the sum of a loop is lost', 'parent/answers', 'const takes = isCurrent ? ofCurrent : this.#inFlight.lastDone;', 'const takes = ofCurrent;'),
  broken('a caller hears that a lost job is pending', 'parent/ledger', 'new JobLostError(outcome, how)', 'new JobLostError(\'pending\', how)'),
  broken('the results of a failed pool just end', 'parent/barrier', 'this.#results.end(end.error);', 'this.#results.end(null);'),
  broken('a signal goes to a pid that is gone', 'parent/worker-handle', 'return this.hasten(0); // its pid', 'this.hasten(0); // its pid'),
  // ---- Maps, sources and puts
  broken('a map that the end cut short just ends', 'parent/map', 'this.#host.whyEnded().then(step?.reject, step?.reject);', 'step?.resolve({ done: true, value: undefined });'),
  broken('a map passes over a failure', 'parent/map', 'this.#fail(outcome.reason);', ';'),
  broken('a map that was left has the rest done', 'parent/map', 'for (const slot of this.#slots.drain())\n            discard(slot);', 'this.#slots.drain();'),
  broken('an iterator is never closed', 'parent/source', 'void closeIterator(this.#iterator);', ';'),
  broken('putAll forgets how many it put', 'parent/job-queue', 'return count;\n                if', 'return 0;\n                if'),
  broken('a job that is not taken is said to be', 'parent/job-queue', 'const NOT_TAKEN = Promise.resolve(false);', 'const NOT_TAKEN = Promise.resolve(true);'),
  // ---- Time limits and calls that are called off
  broken('what a job gave after its time counts', 'parent/jobs', 'if (record.state === \'cancelled\')\n            this.#attemptFailed(record, record.isolated?.failure);\n        else', ''),
  broken('a job does not hear that it is called off', 'worker/program', 'job.abort(reason);', ';'),
  broken('a job that was called off before it began is run', 'worker/inbox', 'this.#received[0]?.message.firstId === id', 'false'),
  broken('a job has half its time', 'parent/assignment', 'this.#limit.start(record, timeoutMs);', 'this.#limit.start(record, timeoutMs / 2);'),
  broken('called off while it waits, it counts as waiting still', 'parent/jobs', 'if (wasWaiting)\n            this.calls.cancelled();', 'if (wasWaiting)\n            ;'),
  broken('a timed-out job goes behind another', 'parent/dispatcher', '(first.isolated !== null && behindAnother)', 'false'),
  // ---- The guard
  broken('a worker is not on the list of the guard', 'parent/orphan-guard', 'this.#pids.add(pid);\n        this.#kills = 0;\n        this.#tell();', 'this.#pids.add(pid);\n        this.#kills = 0;\n        if (this.#shell === undefined) this.#tell();'),
  broken('a pid that is gone stays on the list', 'parent/orphan-guard', 'this.#pids.delete(pid);\n        this.#kills = 0;\n        this.#tell();', 'this.#pids.delete(pid);\n        this.#kills = 0;'),
  broken('one that was shot is not started again', 'parent/orphan-guard', '&& ++this.#kills < MOST_KILLS', '&& false'),
  broken('one that was refused is not tried again', 'parent/orphan-guard', 'this.#host.setTimeout(() => this.#tell(), TRY_AGAIN_MS)', 'this.#host.setTimeout(() => {}, TRY_AGAIN_MS)'),
  // ---- Pauses between starts
  broken('no pause after a death', 'parent/starts', 'this.#wait(how === \'interrupted\' ? 0 :', 'this.#wait(true ? 0 :'),
  broken('pauses do not grow', 'parent/starts', 'FIRST_PAUSE_MS * 2 ** (this.crashStreak - 1)', 'FIRST_PAUSE_MS'),
  broken('one refusal is the end', 'parent/starts', 'this.refusals >= MOST_REFUSALS', 'this.refusals >= 1'),
  broken('a crash fails the pool at once', 'parent/starts', 'const MOST_ROUNDS = { starting: 4, ready: 3, killed: 7,', 'const MOST_ROUNDS = { starting: 2, ready: 3, killed: 2,'),
  // ---- What follows what
  broken('a job starts before the last results have left', 'worker/inbox', 'if (this.isAtMessageEnd)\n            await this.#outbox.flush();', ';'),
  broken('a loop asks on before its values have left', 'worker/loop', 'if (this.#hasPut)\n            await this.#outbox.flush();', ';'),
  broken('jobs follow a request to give back', 'parent/assignment', 'if (this.#isReclaiming || this.#inFlight.isHeld)', 'if (this.#inFlight.isHeld)'),
  broken('jobs pass others that cross', 'parent/assignment', 'if (this.#isReclaiming || this.#inFlight.isHeld)', 'if (this.#isReclaiming)'),
  broken('nobody asks for jobs back', 'parent/assignment', 'void this.#channel.send({ type: \'reclaim\' });', 'this.#isReclaiming = false;'),
  broken('nobody waits to hear that a message never left', 'parent/job-sender', 'if (this.#leaving === 0)', 'if (true)'),
  broken('a large job goes on after stop', 'parent/assignment', 'worker.mayNotStart || !worker.isConnected', '!worker.isConnected'),
  broken('the last word of a worker that exits does not count', 'parent/worker-handle', 'if (this.#startedAtExit !== undefined)', 'if (false)'),
  broken('run() jobs pass all that were put', 'parent/dispatcher', 'call.id < job.id', 'true'),
];
