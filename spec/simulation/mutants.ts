// Single breaks of the shipped code, each of which the simulator must find: faults that the library once had, as they were, and others of
// their kinds. The texts are those of the compiled files, one line or a part of one; a spec holds that they are still there.

export interface Mutant {
  /** What is broken, in words. */
  name: string;
  /** Of lib/, without its ending. */
  file: string;
  text: string;
  replacement: string;
}

const broken = (name: string, file: string, text: string, replacement: string): Mutant => ({ name, file, text, replacement });

export const MUTANTS: readonly Mutant[] = [
  broken('[limits] more workers than workers', 'pool', 'this.#workers.size >= this.#settings.workers ||', 'this.#workers.size > this.#settings.workers ||'),
  broken('[limits] a slow reader is not waited for', 'pool', 'const isReadSlowly = this.results.size >= this.#settings.resultCapacity && this.results.beingRead;', 'const isReadSlowly = false;'),
  broken('[limits] putAll reads its source to the end, whatever waits', 'queue', 'await this.#room.promise;', ';'),
  broken('[limits] map reads its source to the end, whatever waits', 'map', 'if (this.#slots.size >= this.#host.capacity)', 'if (false)'),
  broken('[limits] put() never waits', 'queue', 'return this.#room?.promise ?? TAKEN;', 'return TAKEN;'),
  broken('[limits] minWorkers are not kept', 'pool', 'this.#settings.minWorkers - this.#workers.size', '0'),
  broken('[limits] idle workers go below minWorkers', 'pool', '&& staying > this.#settings.minWorkers', ''),
  broken('[limits] a worker that holds too much memory goes on', 'worker-process', 'this.#isTooLarge = true;\n            this.endOfJobs();', 'this.#isTooLarge = true;'),
  broken('[limits] all workers are started for one job', 'pool', 'if (worker.state !== \'busy\' && !worker.isLeaving)\n                wanted--;', ';'),
  broken('[limits] run() waits for a slow reader', 'pool', 'const call = this.#calls.peek();', 'const call = this.#isHeldBack ? undefined : this.#calls.peek();'),
  broken('[limits] a reader that has left still counts', 'queue', 'return: () => {\n                this.#leave(reader, null);', 'return: () => {'),
  broken('[limits] a put() that is awaited in the loop over the results waits for itself', 'queue', 'this.#isPutHeld = this.#room !== undefined;', ';'),
  broken('[press] one Ctrl-C that arrives twice counts twice', 'interrupt', 'nowMs - lastPressMs <= SAME_PRESS_MS', 'false'),
  broken('[press] an interrupt() in a listener of its own and its press are two', 'pool', 'else if (this.#isEndNew)', 'else if (false)'),
  broken('[press] Ctrl-C is never given back where nobody reads', 'pool', '++this.#latePresses === 2', '++this.#latePresses === 200'),
  broken('[press] the report does not know the signal', 'pool', 'this.#interrupt(signal);', 'this.#interrupt(null);'),
  broken('[end] disposal does not wait', 'pool', 'await this.#over.promise;', ';'),
  broken('[end] nothing holds the event loop while the pool ends', 'pool', '|| this.#end !== undefined || (this.#queue.closed && this.#workers.size > 0)', ''),
  broken('[end] an idle pool holds the event loop', 'pool', 'this.#holdEventLoop(this.#ledger.unsettled > 0 ||', 'this.#holdEventLoop(this.#workers.size > 0 ||'),
  broken('[end] a listener stays at the signal option', 'pool', 'this.#ignoreAbort();', ';'),
  broken('[end] teardown never runs', 'program', 'await this.#teardown?.();', ';'),
  broken('[end] a job does not hear of stop', 'program', 'this.#current.abort();', ';'),
  broken('[end] a job that was told to stop is rejected by what it throws then', 'program', 'if (this.#phase === \'working\' && !this.isStopping)\n            this.#finish(job, this.#rejected(reason));', 'if (this.#phase === \'working\')\n            this.#finish(job, this.#rejected(reason));'),
  broken('[end] user code does not die of SIGTERM', 'program', 'this.#host.shield(false);', ';'),
  broken('[end] SIGTERM takes a large result with it', 'program', 'if (isView(value) || (this.#position === 0 && !isSmall(value)))\n            this.#shield();', ';'),
  broken('[end] the sum of a loop is lost', 'worker-process', 'const takes = isCurrent ? ofCurrent : this.#given.lastDone;', 'const takes = ofCurrent;'),
  broken('[end] a caller hears that a lost job is pending', 'ledger', 'new JobLostError(fate, outcome)', 'new JobLostError(\'pending\', outcome)'),
  broken('[end] the results of a failed pool just end', 'pool', 'this.results.end(end.error);', 'this.results.end(null);'),
  broken('[end] a signal goes to a pid that is gone', 'worker-process', 'return this.hasten(0); // its pid', 'this.hasten(0); // its pid'),
  broken('[map] a map that the end cut short just ends', 'map', 'this.#host.whyEnded().then(step?.reject, step?.reject);', 'step?.resolve({ done: true, value: undefined });'),
  broken('[map] a map passes over a failure', 'map', 'this.#fail(fate.reason);', ';'),
  broken('[map] a map that was left has the rest done', 'map', 'for (const { callOff } of this.#slots.drain())\n            callOff();', 'this.#slots.drain();'),
  broken('[map] an iterator is never closed', 'source', 'void closeIterator(this.#iterator);', ';'),
  broken('[map] putAll forgets how many it put', 'queue', 'return count;\n                if', 'return 0;\n                if'),
  broken('[map] a job that is not taken is said to be', 'queue', 'const NOT_TAKEN = Promise.resolve(false);', 'const NOT_TAKEN = Promise.resolve(true);'),
  broken('[time] what a job gave after its time counts', 'pool', 'if (entry.state === \'cancelled\')\n            this.#attemptFailed(entry, entry.alone?.failure);\n        else', ''),
  broken('[time] a job does not hear that it is called off', 'program', 'job.abort(reason);', ';'),
  broken('[time] a job that was called off before it began is run', 'program', 'this.#received[0]?.message.firstId === id', 'false'),
  broken('[time] a job has half its time', 'worker-process', 'this.#limit(entry, alone, alone.timeoutMs);', 'this.#limit(entry, alone, alone.timeoutMs / 2);'),
  broken('[time] a deadline judges before what came is read', 'deadline', 'const judgeSoon = () => clock.setImmediate(() => { if (!calledOff)\n        judge(); });', 'const judgeSoon = () => { if (!calledOff)\n        judge(); };'),
  broken('[time] called off while it waits, it counts as waiting still', 'pool', 'if (wasWaiting)\n            this.#calls.calledOff();', 'if (wasWaiting)\n            ;'),
  broken('[time] a timed-out job goes behind another', 'pool', '(first.alone !== null && behindAnother)', 'false'),
  broken('[guard] a worker is not on the list of the guard', 'guard', 'this.#pids.add(pid);\n        this.#shots = 0;\n        this.#tell();', 'this.#pids.add(pid);\n        this.#shots = 0;\n        if (this.#shell === undefined) this.#tell();'),
  broken('[guard] a pid that is gone stays on the list', 'guard', 'this.#pids.delete(pid);\n        this.#shots = 0;\n        this.#tell();', 'this.#pids.delete(pid);\n        this.#shots = 0;'),
  broken('[guard] one that was shot is not started again', 'guard', '&& ++this.#shots < MOST_SHOTS', '&& false'),
  broken('[guard] one that was refused is not tried again', 'guard', 'this.#host.setTimeout(() => this.#tell(), TRY_AGAIN_MS)', 'this.#host.setTimeout(() => {}, TRY_AGAIN_MS)'),
  broken('[starts] no pause after a death', 'starts', 'this.#wait(how === \'interrupted\' ? 0 :', 'this.#wait(true ? 0 :'),
  broken('[starts] pauses do not grow', 'starts', 'FIRST_PAUSE_MS * 2 ** (this.streak - 1)', 'FIRST_PAUSE_MS'),
  broken('[starts] one refusal is the end', 'starts', 'this.refusals >= MOST_REFUSALS', 'this.refusals >= 1'),
  broken('[starts] a crash fails the pool at once', 'starts', 'const MOST_ROUNDS = { starting: 4, ready: 3, killed: 7,', 'const MOST_ROUNDS = { starting: 2, ready: 3, killed: 2,'),
  broken('[order] a job starts before the last results have left', 'program', 'if (this.#position === 0)\n            await this.#flush();', ';'),
  broken('[order] a loop asks on before its values have left', 'program', 'if (hasPut)\n                    await this.#flush();', ';'),
  broken('[order] jobs follow a request to give back', 'worker-process', '|| this.#isPutDown || this.#isAskedBack || this.#given.isCrossing)', '|| this.#isPutDown || this.#given.isCrossing)'),
  broken('[order] jobs pass others that cross', 'worker-process', '|| this.#isAskedBack || this.#given.isCrossing)\n            return false;', '|| this.#isAskedBack)\n            return false;'),
  broken('[order] nobody asks for jobs back', 'worker-process', 'void this.#channel.send({ type: \'give-back\' });', 'this.#isAskedBack = false;'),
  broken('[order] large values of jobs that are handed back stay', 'program', 'this.#channel.drop(wire);', ';'),
  broken('[order] nobody waits to hear that a message never left', 'worker-process', 'if (this.#sending === 0)', 'if (true)'),
  broken('[order] a large job goes on after stop', 'worker-process', 'return this.#told === \'stop\' || !this.#isChannelOpen;', 'return !this.#isChannelOpen;'),
  broken('[order] the last word of a worker that exits does not count', 'worker-process', 'this.#given.started = this.#startedAtExit ?? this.#given.started;', ';'),
  broken('[order] a job that only emits exit ends its worker', 'worker-process', 'this.#startedAtExit = undefined;', ';'),
  broken('[order] a job that kills as it is sent goes round for ever', 'pool', 'const MOST_SHOTS = 3;', 'const MOST_SHOTS = 3000;'),
  broken('[order] run() jobs pass all that were put', 'pool', 'call.id < job.id', 'true'),
];
