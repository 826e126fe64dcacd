// Both sides of the seam on a machine of virtual time: what the pool sees of it, and what the program in a worker sees. A worker runs
// the shipped program; how it starts, and what becomes of it, its plan says. It knows neither jobs nor what a schedule is about.

import type { Child, Host, Shell, Sizes, WorkerHost } from '../../lib/host.ts';
import { Pipe, Source } from './machine.ts';
import type { Actor, Machine } from './machine.ts';
import { Random } from './random.ts';

/** As large as the machine's pipes are small. */
const SIZES: Sizes = { ahead: 2000, announced: 4000, whole: 6000, piece: 2000 };

/** What becomes of the nth process that is started. */
export interface WorkerPlan {
  /** `refused`: fork throws. `no process`: it returns a child without a pid, and says why a moment later. */
  start: 'ok' | 'refused' | 'no process';
  /** Until its program runs, and until its module is there. */
  bootMs: number;
  importMs: number;
  /** `exits`, `is killed`: while its module is being imported. */
  import: 'ok' | 'throws' | 'exits' | 'is killed' | 'never ends' | 'exports nothing';
  setup: 'none' | 'ok' | 'throws';
  teardown: 'none' | 'ok' | 'throws' | 'never ends' | 'blocks';
  /** Somebody else holds the other end of its channel for so long after its death; 0 for nobody. */
  heldMs: number;
  /** What it says that it holds. */
  memoryBytes: number;
  /** So long after it was loaded it exits, whatever it does. */
  livesMs: number;
}

export const SOUND: WorkerPlan = { start: 'ok', bootMs: 5, importMs: 1, import: 'ok', setup: 'none', teardown: 'none', heldMs: 0, memoryBytes: 1000, livesMs: Infinity };

export interface ShellPlan {
  start: 'ok' | 'missing' | 'refused';
  /** It is shot so long after its start. */
  shotMs: number;
}

type OnExit = (exitCode: number | null, signal: NodeJS.Signals | null) => void;

/** A simulated worker process. */
export class SimWorker {
  readonly number: number;
  readonly pid: number;
  readonly actor: Actor;
  readonly plan: WorkerPlan;
  readonly #world: World;
  readonly #tokens: WorkerHost['tokens'];
  readonly #ignored: readonly string[];
  readonly toParent: Pipe;
  readonly toWorker: Pipe;
  readonly #signals = new Source();
  readonly #exits = new Source();
  readonly #listeners: { exit: (() => void)[]; disconnect: (() => void)[]; failure: ((error: unknown) => void)[] } = { exit: [], disconnect: [], failure: [] };
  /** Since when SIGTERM does nothing, or does something again: changes of its own time. */
  readonly #shield: { sinceMs: number; isUp: boolean }[] = [{ sinceMs: -1, isUp: false }];
  #bootedMs = Infinity;
  #isBootDue = false;
  #pending: NodeJS.Signals[] = [];
  isExiting = false;
  onExit: OnExit = () => {};
  onDisconnect = (): void => {};
  /** Is told of what it reads, and of what it sends. */
  onRead = (_envelope: unknown): void => {};
  onSay = (_envelope: unknown): void => {};
  /** When it read its first `stop`. */
  stopReadMs = Infinity;
  /** What left it as results. */
  readonly left: { sign: number; sentMs: number }[] = [];
  /** When it said how far it was, as its last word; and when it said that it is leaving. */
  saidMs = Infinity;
  stoppingMs = Infinity;
  /** The messages of jobs that have left for it: the ids. And how many of those jobs it has answered, as the pool has heard. */
  readonly given: number[][] = [];
  answered = 0;
  hasSaidStopping = false;
  /** How many jobs have an outcome that has left it. */
  leftJobs = 0;
  /** It was told to give up a job. */
  wasCancelled = false;
  deathSignal: NodeJS.Signals | null | undefined;
  /** When it was stopped last, and when the pool sent it SIGTERM. */
  stoppedMs = Infinity;
  termMs = Infinity;
  /** It came to its end by the protocol. */
  leftByItself = false;
  /** A job of it computes for ever. */
  spinsInJob = false;
  teardowns = 0;
  /** What the pool has heard of it: that it is ready, its exit, the end of its channel. */
  wasReady = false;
  hasAnswered = false;
  isExitKnown = false;
  isChannelEnded = false;
  /** It was told to leave. */
  isTold = false;
  /** How many rounds of starts had died in vain when it was started. */
  round = 0;

  constructor(world: World, number: number, plan: WorkerPlan, args: readonly string[]) {
    const { machine, parent } = world;
    const [, incoming = '', outgoing = '', ...ignored] = args;
    this.#tokens = { incoming, outgoing };
    this.#ignored = ignored;
    this.#world = world;
    this.number = number;
    this.pid = 1000 + number;
    this.plan = plan;
    this.actor = machine.add(`worker ${number}`);
    this.actor.hasBegun = false;
    this.toParent = new Pipe(machine, this.actor, parent, new Random(machine.seed, 2000 + number));
    this.toWorker = new Pipe(machine, parent, this.actor, new Random(machine.seed, 3000 + number));
    this.actor.listenTo(this.#signals);
    parent.listenTo(this.#exits);
    machine.at(machine.nowMs + plan.bootMs, () => this.#boot());
  }

  get name(): string {
    return this.actor.name;
  }

  #boot(): void {
    if (!this.actor.isAlive || this.actor.hasBegun) return;
    if (this.actor.isStopped) {
      this.#isBootDue = true;
      return;
    }
    this.actor.hasBegun = true;
    this.#bootedMs = this.actor.now();
    this.#world.machine.say(this.name, () => 'boots');
    this.#world.program(this.#host());
  }

  #host(): WorkerHost {
    const { actor, plan } = this;
    const { machine } = this.#world;
    return {
      ...actor.clock,
      assert: (isSo, what) => { if (!isSo && actor.isAlive) machine.fail(`not so in ${this.name}: ${what}`); },
      endpoint: {
        send: (message, _handle, _options, callback) => {
          if (actor.isAlive) this.onSay(message);
          return this.toParent.send(message, callback);
        },
        on: (_event, listener) => {
          this.toWorker.listener = envelope => {
            if (isStop(envelope) && this.stopReadMs === Infinity) this.stopReadMs = actor.now();
            this.onRead(envelope);
            listener(envelope);
          };
        },
      },
      sizes: SIZES,
      tokens: this.#tokens,
      load: () => this.#load(),
      on: (event: string, listener: (argument?: unknown) => void) => {
        if (event === 'exit' || event === 'disconnect' || event === 'failure') this.#listeners[event].push(listener);
      },
      isTamperedWith: () => false,
      shield: isUp => { this.#shield.push({ sinceMs: actor.now(), isUp }); },
      restore: () => {},
      memoryBytes: () => plan.memoryBytes,
      outputWritten: () => Promise.resolve(),
      exit: exitCode => {
        machine.say(this.name, () => `leaves: ${exitCode}`);
        this.leftByItself = actor.isAlive && !this.isExiting;
        this.exit(exitCode);
      },
    };
  }

  async #load(): Promise<Record<string, unknown>> {
    const { actor, plan } = this;
    await new Promise<void>(resolve => { actor.clock.setTimeout(resolve, plan.importMs); });
    if (plan.import !== 'ok') this.#world.machine.met.add(`an import that ${plan.import}`);
    if (plan.livesMs !== Infinity) this.#world.machine.met.add('a worker that exits of itself');
    switch (plan.import) {
      case 'throws': throw new Error('the module throws');
      case 'exits': this.exit(7); return never();
      case 'is killed': this.die(null, 'SIGSEGV'); return never();
      case 'never ends': return never();
      case 'exports nothing': return {};
      case 'ok':
        if (plan.livesMs !== Infinity) actor.clock.setTimeout(() => this.exit(6), plan.livesMs);
        return this.#world.exports(this);
    }
  }

  /** `process.exit()`. */
  exit(exitCode: number): void {
    if (!this.actor.isAlive || this.isExiting) return;
    this.isExiting = true;
    for (const listener of this.#listeners.exit) listener();
    this.die(exitCode, null, this.actor.now());
  }

  /** A job of it emits 'exit', and goes on. */
  emitExit(): void {
    if (this.actor.isAlive && !this.isExiting) for (const listener of this.#listeners.exit) listener();
  }

  /** An error that nobody catches. */
  fail(error: unknown): void {
    if (!this.actor.isAlive) return;
    this.#world.machine.say(this.name, () => `fails: ${String(error)}`);
    for (const listener of this.#listeners.failure) listener(error);
    this.exit(1);
  }

  die(exitCode: number | null, signal: NodeJS.Signals | null, diedMs = this.#world.machine.nowMs): void {
    const { actor } = this;
    if (!actor.isAlive) return;
    const { machine, parent, random } = this.#world;
    machine.say(this.name, () => `is dead: ${signal ?? exitCode}`);
    actor.diedMs = diedMs;
    this.deathSignal = signal;
    actor.timers.clear();
    this.toWorker.readerDied();
    const { heldMs } = this.plan;
    if (heldMs > 0) machine.met.add('a channel that is held');
    this.toParent.senderDied(diedMs);
    const exitMs = Math.max(diedMs, this.toParent.arrivedMs); // what is in a pipe is there at once: nobody hears of the exit before it could have read that
    this.toParent.end(diedMs + heldMs, () => this.#world.channelEnded(this));
    parent.post(() => this.#world.exited(this, exitCode, signal), machine.latency(random), this.#exits, exitMs);
  }

  /** A signal reaches it. */
  signal(signal: NodeJS.Signals): void {
    const { machine } = this.#world;
    const { actor } = this;
    if (!actor.isAlive) return;
    machine.say(this.name, () => `gets ${signal}`);
    if (signal === 'SIGKILL') return this.die(null, signal);
    if (signal === 'SIGCONT') return this.proceed();
    if (signal === 'SIGSTOP') {
      actor.isStopped = true;
      this.stoppedMs = machine.nowMs;
      return;
    }
    if (actor.isStopped) { this.#pending.push(signal); return; }
    const hasBooted = machine.nowMs >= this.#bootedMs;
    if (signal === 'SIGTERM') {
      const isUp = this.#shield.findLast(({ sinceMs }) => sinceMs <= machine.nowMs)?.isUp ?? false;
      if (!isUp && this.stoppingMs < machine.nowMs) machine.fail(`${this.name} died of SIGTERM while it was leaving`);
      if (isUp && this.spinsInJob) machine.fail(`${this.name} did not die of SIGTERM, in a job that computes for ever`);
      if (!isUp) this.die(null, signal);
    } else if (!this.#ignored.includes(signal) || !hasBooted) this.die(null, signal);
  }

  proceed(): void {
    this.actor.isStopped = false;
    if (this.#isBootDue) this.#boot();
    for (const signal of this.#pending.splice(0)) this.signal(signal);
  }
}

function isStop(envelope: unknown): boolean {
  const message: unknown = Array.isArray(envelope) ? envelope[1] : undefined;
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'stop';
}

const never = <T>(): Promise<T> => new Promise(() => {});

/** Everything outside the pool. */
export interface World {
  readonly machine: Machine;
  readonly parent: Actor;
  readonly random: Random;
  /** Runs the shipped program. */
  program(host: WorkerHost): void;
  /** What the worker module of this one exports. */
  exports(worker: SimWorker): Record<string, unknown>;
  workerPlan(number: number): WorkerPlan;
  shellPlan(number: number): ShellPlan;
  /** The pool hears of an exit, or of the end of a channel. */
  exited(worker: SimWorker, exitCode: number | null, signal: NodeJS.Signals | null): void;
  channelEnded(worker: SimWorker): void;
}

/** The machine as the pool sees it. */
export class SimHost {
  readonly #world: World;
  /** All that were ever started. */
  readonly workers: SimWorker[] = [];
  /** How often a start was tried. */
  starts = 0;
  readonly shells = new Set<SimShell>();
  #shells = 0;
  readonly signals = new Map<NodeJS.Signals, Set<() => void>>();
  /** Is told of all that the pool sends, and of signals. */
  onSent = (_worker: SimWorker, _message: unknown): void => {};
  onKill = (_worker: SimWorker, _signal: NodeJS.Signals): void => {};
  onHeard = (_worker: SimWorker, _message: unknown): void => {};
  onStarted = (_worker: SimWorker): void => {};
  onStart = (): void => {};
  onRefused = (): void => {};

  constructor(world: World) {
    this.#world = world;
  }

  get host(): Host {
    let tokens = 0;
    return {
      ...this.#world.parent.clock,
      workerModule: undefined,
      sizes: SIZES,
      assert: (isSo, what) => { if (!isSo) this.#world.machine.fail(`not so: ${what}`); },
      token: () => `token ${tokens++}`,
      startWorker: args => this.#startWorker(args),
      startShell: () => this.#startShell(),
      onSignal: (signal, callback) => {
        const callbacks = this.signals.get(signal) ?? new Set();
        this.signals.set(signal, callbacks);
        callbacks.add(callback);
        return () => {
          callbacks.delete(callback);
          if (callbacks.size === 0) this.signals.delete(signal);
        };
      },
    };
  }

  #startWorker(args: readonly string[]): Child {
    const { machine, parent, random } = this.#world;
    const number = this.starts++;
    this.onStart();
    const plan = this.#world.workerPlan(number);
    machine.say('pool', () => `starts worker ${number}${plan.start === 'ok' ? '' : `: ${plan.start}`}`);
    if (plan.start !== 'ok') this.onRefused();
    if (plan.start !== 'ok') machine.met.add(`a start that is ${plan.start}`);
    if (plan.start === 'refused') throw Object.assign(new Error('spawn EAGAIN'), { code: 'EAGAIN' });
    if (plan.start === 'no process') {
      let onError = (_error: Error): void => {};
      parent.post(() => onError(Object.assign(new Error('spawn EMFILE'), { code: 'EMFILE' })), machine.latency(random));
      return {
        pid: 0,
        target: 0,
        send: (_message, _handle, _options, callback) => {
          parent.post(() => callback(new Error('no process')), 0);
          return false;
        },
        on: (event: string, listener: (...args: never[]) => void) => { if (event === 'error') onError = listener as unknown as typeof onError; },
        kill: () => {},
        closeChannel: () => {},
      };
    }
    const worker = new SimWorker(this.#world, number, plan, args);
    this.workers.push(worker);
    this.onStarted(worker);
    return {
      pid: worker.pid,
      target: worker.pid,
      send: (message, _handle, _options, callback) => {
        this.onSent(worker, message);
        return worker.toWorker.send(message, callback);
      },
      on: (event: string, listener: (...args: never[]) => void) => {
        if (event === 'message') {
          const hear = listener as unknown as (message: unknown) => void;
          worker.toParent.listener = envelope => {
            this.onHeard(worker, envelope);
            hear(envelope);
          };
        }
        if (event === 'exit') worker.onExit = listener as unknown as OnExit;
        if (event === 'disconnect') worker.onDisconnect = listener as unknown as () => void;
      },
      kill: signal => {
        if (worker.isExitKnown) this.#world.machine.fail(`${worker.name} gets ${signal}, and its pid may be another's: it has exited`);
        this.onKill(worker, signal);
        const { machine } = this.#world;
        if (signal === 'SIGTERM') worker.termMs = Math.min(worker.termMs, machine.nowMs);
        if (signal === 'SIGKILL' && worker.actor.isAlive && worker.actor.isStopped && worker.stoppedMs <= worker.termMs && worker.termMs < machine.nowMs) machine.fail(`${worker.name} is stopped, got SIGTERM, and was not continued to die of it`);
        worker.signal(signal);
      },
      closeChannel: () => worker.toParent.abandon(() => this.#world.channelEnded(worker)),
    };
  }

  #startShell(): Shell {
    const number = this.#shells++;
    const plan = this.#world.shellPlan(number);
    if (plan.start !== 'ok' || plan.shotMs !== Infinity) this.#world.machine.met.add(`a guard that is ${plan.start === 'ok' ? 'shot' : plan.start}`);
    if (plan.start === 'refused') throw Object.assign(new Error('spawn EAGAIN'), { code: 'EAGAIN' });
    const shell = new SimShell(this.#world, plan, number, () => this.shells.delete(shell));
    if (plan.start === 'ok') this.shells.add(shell);
    return shell;
  }
}

export class SimShell implements Shell {
  readonly pid: number;
  readonly #world: World;
  readonly #left: () => void;
  #isAlive = true;
  #onExit: OnExit = () => {};

  constructor(world: World, plan: ShellPlan, number: number, left: () => void) {
    this.#world = world;
    this.#left = left;
    this.pid = plan.start === 'ok' ? 100 + number : 0;
    if (plan.shotMs !== Infinity) world.machine.at(world.machine.nowMs + plan.shotMs, () => this.kill('SIGKILL'));
  }

  on(event: string, listener: (...args: never[]) => void): void {
    if (event === 'exit') this.#onExit = listener as unknown as OnExit;
    else if (this.pid === 0) {
      const onError = listener as unknown as (error: Error) => void;
      this.#world.parent.post(() => onError(Object.assign(new Error('spawn ENOENT'), { code: 'ENOENT' })), this.#world.machine.latency(this.#world.random));
    }
  }

  /** Whom it would kill. */
  pids: number[] = [];

  write(line: string): void {
    this.pids = line.split(' ').filter(word => word.trim() !== '').map(Number);
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#isAlive || this.pid === 0) return;
    this.#isAlive = false;
    this.#left();
    this.#world.parent.post(() => this.#onExit(null, signal), this.#world.machine.latency(this.#world.random));
  }
}
