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
  broken('a job that is handed back while the pool is ending gets no fate', 'pool', "return this.#ledger.overtaken([entry], 'pending', this.#end);", 'return;'),
  broken('a source goes on after it has ended the pool in its own next()', 'source', "this.#state = 'closing';", 'return;'),
  broken('policy finish waits for a worker that is stuck in its start', 'pool', 'worker.endOfJobs(isFinishing || this.#ledger.unsettled === 0);', 'worker.endOfJobs();'),
  broken('a worker that went deaf after its job is waited for', 'worker-process', 'this.#endWithin(ms);', ';'),
  broken('a putAll() that is awaited in the loop over the results waits for itself', 'pool', 'awaited: () => this.results.inHand()', 'awaited: () => () => false'),
  broken('workers that die at import are started without end', 'starts', 'return this.streak >= MOST_ROUNDS[how];', 'return false;'),
  broken('workers that leave idle fail a pool in which jobs are done', 'pool', 'this.#starts.progressed();', ';'),
  broken('a press does nothing while the pool finishes what runs', 'pool', "else if (this.#phase === 'finishing')\n            this.#terminate(this.#settings.graceMs);\n        else\n            this.#killAll();", 'else\n            ;'),
  broken('the shorter grace of a second terminate() is not heard', 'pool', 'worker.hasten(graceMs);', ';'),
  broken('jobs behind a long one stay there after close()', 'pool', 'if (this.#evenOutTimer !== undefined ||', 'if (this.#queue.closed || this.#evenOutTimer !== undefined ||'),
  broken('a loop delivers the values of a job that has timed out', 'worker-process', "entry.state === 'given' ? entry : undefined", 'entry'),
  broken('a time limit that fell into a large value is never judged', 'worker-process', 'this.#judgeOverdue();', ';'),
  broken('a worker is not watched for idleness when none of its jobs could be cloned', 'worker-process', 'this.#mindIdleness(); // none could be cloned', '; // none could be cloned'),
  broken('a channel that somebody else holds is waited for', 'worker-process', 'this.#child.closeChannel(); // somebody else', '; // somebody else'),
  broken('a loop that asks for two jobs at once never lets go of the first', 'program', 'letGo();', ';'),
  broken('what may have started when a worker exits by itself is run again', 'given', 'count === 1 || this.started !== undefined', 'count === 1'),
  rarelyMet('a loop that was told to give up a job is given others', 'worker-process', 'if (this.isLoop)\n            this.endOfJobs(); // it has but one', 'if (false)\n            this.endOfJobs(); // it has but one'),
  broken('a loop starts a job of the next message before the results of the last one have left', 'program', '|| (this.#position === 0 && this.#hasUnsent)', ''),
  broken('the word of an exit that was only emitted is believed', 'program', 'this.#sayAlive();', ';'),
  rarelyMet('a channel that is held keeps a pool that was told to end at once', 'worker-process', 'this.#graceMs = 0;', ';'),
  broken('a worker that is dead is given jobs while its channel is held', 'worker-process', '|| this.#exit !== undefined;', ';'),
  broken('a time limit that fell into a large value is judged before what has come is read', 'worker-process', 'this.#host.setImmediate(() => {\n            if (!this.#isOverdue ||', '(judge => judge())(() => {\n            if (!this.#isOverdue ||'),
  broken('a deadline is judged before what has come is read', 'deadline', 'clock.setImmediate(() => { if (!calledOff)\n        judge(); })', '{ if (!calledOff)\n        judge(); }'),
  broken('jobs go behind a slow one, and back, and behind it again', 'worker-process', ' && current !== this.#slowJob)', ')'),
  // ---- One fate for each job
  broken('a job that is settled may be settled again', 'pool', "if (entry.state === 'over')", 'if (false)'),
  broken('what was given and not started is lost', 'pool', "this.#ledger.overtaken(unstarted, 'pending', this.#end);", "this.#ledger.overtaken(unstarted, 'lost', this.#end);\n        else if (false)\n            ;"),
  broken('what had started is pending', 'pool', "this.#ledger.overtaken(started, 'lost', this.#end);", "this.#ledger.overtaken(started, 'pending', this.#end);"),
  broken('suspects are pending', 'pool', "this.#ledger.overtaken(suspects, 'lost', this.#end);", "this.#ledger.overtaken(suspects, 'pending', this.#end);"),
  broken('a suspect that waits at the end is pending', 'ledger', "entry.alone?.isSuspect === true ? 'lost' : wanted", 'wanted'),
  broken('what the calls have waiting is forgotten at the end', 'pool', "this.#ledger.overtaken(this.#calls.drain(), 'pending', end);", 'this.#calls.drain();'),
  broken('what the queue has waiting is forgotten at the end', 'pool', "this.#ledger.overtaken(this.#queue.end(), 'pending', end);", 'this.#queue.end();'),
  broken('the worker hands back one job too many', 'program', 'let count = -this.#position;', 'let count = 1 - this.#position;'),
  broken('the worker hands back one job too few', 'program', 'count += jobs.length;', 'count += jobs.length - 1;'),
  broken('the worker says that nothing has started', 'program', "type: 'stopping', started: this.#started", "type: 'stopping', started: 0"),
  broken('a worker that exits says that nothing has started', 'program', "type: 'exiting', started: this.#started", "type: 'exiting', started: 0"),
  broken('results that were ready are not sent when a worker exits', 'program', 'void this.#takeResults()();', ';'),
  broken('jobs come back in the wrong order', 'given', 'entries.splice(entries.length - count)', 'entries.splice(0, count)'),
  broken('a message that never left may have started', 'given', 'this.#crossing.push(...entries);', 'this.#messages.push(entries);'),
  broken('jobs that cross are forgotten when their worker dies', 'given', '[...jobs, ...this.#crossing]', 'jobs'),
  broken('all messages of a worker may have started', 'given', 'this.#messages[0].length - this.#answered : 0', 'this.jobs : 0'),
  broken('none of a message may have started when its worker is shot', 'given', '?? (hasPut ? 1 : ofFirst)', '?? (hasPut ? 1 : 0)'),
  broken('of a loop that was shot in the middle all jobs of the message are run again', 'given', '?? (hasPut ? 1 : ofFirst)', '?? ofFirst'),
  broken('map hands nothing back behind its gap', 'map', "if (fate?.status === 'fulfilled')", 'if (false)'),
  // ---- At most once, and no job after the end
  broken('a failed attempt is always tried again', 'pool', "if (entry.alone.attempt > this.#settings.retries || this.#phase !== 'running')", "if (this.#phase !== 'running')"),
  broken('one attempt too many', 'pool', 'entry.alone.attempt > this.#settings.retries ||', 'entry.alone.attempt > this.#settings.retries + 1 ||'),
  broken('a job that was timed out is tried again while its worker has it', 'pool', "entry.state = 'cancelled';", "entry.state = 'cancelled', this.#attemptFailed(entry, error);"),
  // ---- What was done is delivered
  broken('a worker leaves before its last results', 'program', 'async #leave() {\n        await this.#flush();', 'async #leave() {'),
  broken('a job may fulfil only before stop', 'program', "#fulfil(job, value) {\n        if (this.#phase === 'working')", "#fulfil(job, value) {\n        if (this.#phase === 'working' && !this.isStopping)"),
  broken('SIGTERM ends a worker that is leaving', 'program', '#sayStopping() {\n        this.isStopping = true;\n        this.#shield();', '#sayStopping() {\n        this.isStopping = true;'),
  broken('results are dropped when the pool is ending', 'pool', "#answered(entry, fate, value) {\n        if (", "#answered(entry, fate, value) {\n        if (this.#phase === 'terminating') return;\n        if ("),
  // ---- The steps of the end
  broken('SIGTERM comes though another one answers', 'pool', 'nowMs - this.#heardMs < SILENCE_MS &&', 'false &&'),
  broken('SIGTERM comes at once', 'pool', 'const SILENCE_MS = 50;', 'const SILENCE_MS = 5;'),
  broken('SIGTERM comes to those that answer', 'pool', 'if (worker.isDeaf)', 'if (true)'),
  broken('SIGTERM never comes', 'pool', "worker.kill('SIGTERM');\n        });", ';\n        });'),
  broken('SIGKILL never comes', 'worker-process', "if (this.#exit === undefined)\n                this.kill('SIGKILL');", 'if (this.#exit === undefined)\n                ;'),
  broken('SIGKILL comes too soon', 'worker-process', 'this.#callOffKill = deadline(this.#host, ms, () => {', 'this.#callOffKill = deadline(this.#host, ms / 2, () => {'),
  broken('the second press does nothing', 'pool', 'else\n            this.#killAll();\n    }\n    #killAll', 'else\n            ;\n    }\n    #killAll'),
  broken('a stopped worker is not continued to die of SIGTERM', 'worker-process', "this.#child.kill('SIGCONT');\n            this.#endWithin(this.#graceMs);", ';'),
  // ---- Promises, bounds, leftovers
  broken('a producer is not let go at the end', 'queue', 'end() {\n        this.#ended = true;\n        this.#letIn();', 'end() {\n        this.#ended = true;'),
  broken('a reader is not let go at the end', 'queue', 'for (const reader of this.#readers.drain())\n            this.#leave(reader, error);', ';'),
  broken('producers are never let in', 'queue', 'this.#waiting.size <= this.#capacity)', 'this.#waiting.size < 0)'),
  broken('sources are read on at the end', 'pool', 'this.#queue.closeSources();', ';'),
  broken('a map is not told of the end', 'pool', 'for (const map of this.#maps)\n            map.stop();', ';'),
  broken('a timer of the start stays behind', 'starts', 'end() {\n        this.#clock.clearTimeout(this.#refusalPause);\n        this.#clock.clearTimeout(this.#pause);', 'end() {'),
  broken('a listener stays behind', 'pool', 'if (this.results.size === 0)\n            this.#host', 'if (false)\n            this.#host'),
  broken('the guard stays behind', 'guard', "this.#shell.kill('SIGKILL');", 'callback();'),
  broken('a worker has one job more than its share', 'pool', 'worker.jobsLeft);', 'worker.jobsLeft + 1);'),
  broken('a pause after a death is never over', 'starts', 'this.#pause = undefined;\n            this.#resume();', ';'),
  broken('a refused start is never tried again', 'starts', 'this.#refusalPause = undefined;\n            this.#resume();', ';'),
  rarelyMet('a job to a deaf worker is waited for, without end', 'worker-process', "this.#callOffReading = deadline(this.#host, READING_MS, () => this.kill('SIGKILL'));", ';'),
  broken('no timer holds the event loop', 'pool', 'this.#hold ??= this.#host.setInterval(() => { }, FOR_EVER_MS);', ';'),
  broken('the event loop is held for ever', 'pool', 'this.#host.clearInterval(this.#hold);', ';'),
  broken('a cancelled job is waited for, without end', 'worker-process', "if (this.#given.current === entry && this.#phase === 'ready')\n                this.kill('SIGTERM');", ';'),
  broken('a time limit is set for no job', 'worker-process', 'else if (alone.timeoutMs !== Infinity)', 'else if (false)'),
  // ---- Limits
  broken('more workers than workers', 'pool', 'this.#workers.size >= this.#settings.workers ||', 'this.#workers.size > this.#settings.workers ||'),
  broken('a slow reader is not waited for', 'pool', 'const isReadSlowly = this.results.size >= this.#settings.resultCapacity && this.results.beingRead;', 'const isReadSlowly = false;'),
  broken('putAll reads its source to the end, whatever waits', 'queue', 'await this.#room.promise;', ';'),
  broken('map reads its source to the end, whatever waits', 'map', 'if (this.#slots.size >= this.#host.capacity)', 'if (false)'),
  broken('put() never waits', 'queue', 'return this.#room?.promise ?? TAKEN;', 'return TAKEN;'),
  broken('minWorkers are not kept', 'pool', 'this.#settings.minWorkers - this.#workers.size', '0'),
  broken('idle workers go below minWorkers', 'pool', '&& staying > this.#settings.minWorkers', ''),
  broken('a worker that holds too much memory goes on', 'worker-process', 'this.#isTooLarge = true;\n            this.endOfJobs();', 'this.#isTooLarge = true;'),
  broken('all workers are started for one job', 'pool', 'if (worker.state !== \'busy\' && !worker.isLeaving)\n                wanted--;', ';'),
  broken('run() waits for a slow reader', 'pool', 'const call = this.#calls.peek();', 'const call = this.#isHeldBack ? undefined : this.#calls.peek();'),
  broken('a reader that has left still counts', 'queue', 'return: () => {\n                this.#leave(reader, null);', 'return: () => {'),
  rarelyMet('a put() that is awaited in the loop over the results waits for itself', 'queue', 'this.#isPutHeld = this.#room !== undefined;', ';'),
  // ---- Presses and the report
  broken('one Ctrl-C that arrives twice counts twice', 'interrupt', 'nowMs - lastPressMs <= SAME_PRESS_MS', 'false'),
  broken('an interrupt() in a listener of its own and its press are two', 'pool', 'if (this.#isEndNew)\n            this.#end', 'if (false)\n            this.#end'),
  broken('Ctrl-C is never given back where nobody reads', 'pool', '++this.#latePresses === 2', '++this.#latePresses === 200'),
  broken('the report does not know the signal', 'pool', 'this.#interrupt(signal);', 'this.#interrupt(null);'),
  // ---- The end
  broken('disposal does not wait', 'pool', 'await this.#over.promise;', ';'),
  broken('nothing holds the event loop while the pool ends', 'pool', '|| this.#end !== undefined || (this.#queue.closed && this.#workers.size > 0)', ''),
  broken('an idle pool holds the event loop', 'pool', 'this.#holdEventLoop(this.#ledger.unsettled > 0 ||', 'this.#holdEventLoop(this.#workers.size > 0 ||'),
  broken('a listener stays at the signal option', 'pool', 'this.#ignoreAbort();', ';'),
  broken('teardown never runs', 'program', 'await this.#teardown?.();', ';'),
  broken('a job does not hear of stop', 'program', 'this.#current.abort();', ';'),
  broken('a job that was told to stop is rejected by what it throws then', 'program', 'if (this.#phase === \'working\' && !this.isStopping)\n            this.#finish(job, this.#rejected(reason));', 'if (this.#phase === \'working\')\n            this.#finish(job, this.#rejected(reason));'),
  broken('user code does not die of SIGTERM', 'program', 'this.#host.shield(false);', ';'),
  broken('SIGTERM takes a large result with it', 'program', 'if (isView(value) || (this.#position === 0 && !isSmall(value)))\n            this.#shield();', ';'),
  broken('the sum of a loop is lost', 'worker-process', 'const takes = isCurrent ? ofCurrent : this.#given.lastDone;', 'const takes = ofCurrent;'),
  broken('a caller hears that a lost job is pending', 'ledger', 'new JobLostError(fate, outcome)', 'new JobLostError(\'pending\', outcome)'),
  broken('the results of a failed pool just end', 'pool', 'this.results.end(end.error);', 'this.results.end(null);'),
  broken('a signal goes to a pid that is gone', 'worker-process', 'return this.hasten(0); // its pid', 'this.hasten(0); // its pid'),
  // ---- Maps, sources and puts
  broken('a map that the end cut short just ends', 'map', 'this.#host.whyEnded().then(step?.reject, step?.reject);', 'step?.resolve({ done: true, value: undefined });'),
  broken('a map passes over a failure', 'map', 'this.#fail(fate.reason);', ';'),
  broken('a map that was left has the rest done', 'map', 'for (const slot of this.#slots.drain())\n            drop(slot);', 'this.#slots.drain();'),
  broken('an iterator is never closed', 'source', 'void closeIterator(this.#iterator);', ';'),
  broken('putAll forgets how many it put', 'queue', 'return count;\n                if', 'return 0;\n                if'),
  broken('a job that is not taken is said to be', 'queue', 'const NOT_TAKEN = Promise.resolve(false);', 'const NOT_TAKEN = Promise.resolve(true);'),
  // ---- Time limits and calls that are called off
  broken('what a job gave after its time counts', 'pool', 'if (entry.state === \'cancelled\')\n            this.#attemptFailed(entry, entry.alone?.failure);\n        else', ''),
  broken('a job does not hear that it is called off', 'program', 'job.abort(reason);', ';'),
  broken('a job that was called off before it began is run', 'program', 'this.#received[0]?.message.firstId === id', 'false'),
  broken('a job has half its time', 'worker-process', 'this.#limit(entry, alone, alone.timeoutMs);', 'this.#limit(entry, alone, alone.timeoutMs / 2);'),
  broken('called off while it waits, it counts as waiting still', 'pool', 'if (wasWaiting)\n            this.#calls.calledOff();', 'if (wasWaiting)\n            ;'),
  broken('a timed-out job goes behind another', 'pool', '(first.alone !== null && behindAnother)', 'false'),
  // ---- The guard
  broken('a worker is not on the list of the guard', 'guard', 'this.#pids.add(pid);\n        this.#shots = 0;\n        this.#tell();', 'this.#pids.add(pid);\n        this.#shots = 0;\n        if (this.#shell === undefined) this.#tell();'),
  broken('a pid that is gone stays on the list', 'guard', 'this.#pids.delete(pid);\n        this.#shots = 0;\n        this.#tell();', 'this.#pids.delete(pid);\n        this.#shots = 0;'),
  broken('one that was shot is not started again', 'guard', '&& ++this.#shots < MOST_SHOTS', '&& false'),
  broken('one that was refused is not tried again', 'guard', 'this.#host.setTimeout(() => this.#tell(), TRY_AGAIN_MS)', 'this.#host.setTimeout(() => {}, TRY_AGAIN_MS)'),
  // ---- Pauses between starts
  broken('no pause after a death', 'starts', 'this.#wait(how === \'interrupted\' ? 0 :', 'this.#wait(true ? 0 :'),
  broken('pauses do not grow', 'starts', 'FIRST_PAUSE_MS * 2 ** (this.streak - 1)', 'FIRST_PAUSE_MS'),
  broken('one refusal is the end', 'starts', 'this.refusals >= MOST_REFUSALS', 'this.refusals >= 1'),
  broken('a crash fails the pool at once', 'starts', 'const MOST_ROUNDS = { starting: 4, ready: 3, killed: 7,', 'const MOST_ROUNDS = { starting: 2, ready: 3, killed: 2,'),
  // ---- What follows what
  broken('a job starts before the last results have left', 'program', 'if (this.#position === 0)\n            await this.#flush();', ';'),
  broken('a loop asks on before its values have left', 'program', 'if (hasPut)\n                    await this.#flush();', ';'),
  broken('jobs follow a request to give back', 'worker-process', '|| this.#isAskedBack || this.#given.isCrossing)', '|| this.#given.isCrossing)'),
  broken('jobs pass others that cross', 'worker-process', '|| this.#isAskedBack || this.#given.isCrossing)\n            return false;', '|| this.#isAskedBack)\n            return false;'),
  broken('nobody asks for jobs back', 'worker-process', 'void this.#channel.send({ type: \'give-back\' });', 'this.#isAskedBack = false;'),
  broken('nobody waits to hear that a message never left', 'worker-process', 'if (this.#sending === 0)', 'if (true)'),
  broken('a large job goes on after stop', 'worker-process', 'return this.#told === \'stop\' || !this.#isChannelOpen;', 'return !this.#isChannelOpen;'),
  broken('the last word of a worker that exits does not count', 'worker-process', 'this.#given.started = this.#startedAtExit ?? this.#given.started;', ';'),
  broken('run() jobs pass all that were put', 'pool', 'call.id < job.id', 'true'),
];
