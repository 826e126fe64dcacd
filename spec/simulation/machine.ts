// A machine of virtual time: processes with an event loop each, and pipes between them. It runs one callback after the other, of whichever
// process is due, and lets all promises settle in between: what can be in another order on a real machine is in another order here by
// the next seed. It knows neither pools nor jobs.
//
//  process   timers ─► what has come (messages, signals, exits), any source first ─► immediates ─► timers …, each phase as Node has it
//  time      moves when nobody has anything to do; a process that computes is ahead of it by itself (`spend`)
//  pipe      first in, first out; small messages have left at once while there is room, what does not fit waits for its reader
//  death     at any moment: what a process did "later", as it was ahead of the time, has not happened; what had not left is lost

import type { Clock, Timer } from '../../lib/host.ts';
import { Random } from './random.ts';

/** How much a pipe holds that nobody has read. */
const PIPE_BYTES = 8000;

/** How late everything is. */
export type Weather = 'calm' | 'lively' | 'wild';

interface Arrival {
  atMs: number;
  run: () => void;
}

/** Where something comes from: in the order in which it was sent. */
export class Source {
  readonly arrivals: Arrival[] = [];
  lastMs = 0;
}

class SimTimer implements Timer {
  readonly dueMs: number;
  readonly callback: () => void;
  readonly everyMs: number | undefined;
  isRef = true;
  /** Not the pool's. */
  isProgram = false;

  constructor(dueMs: number, callback: () => void, everyMs?: number) {
    this.dueMs = dueMs;
    this.callback = callback;
    this.everyMs = everyMs;
  }

  unref(): this {
    this.isRef = false;
    return this;
  }
}

/** A process. */
export class Actor {
  readonly name: string;
  readonly machine: Machine;
  readonly random: Random;
  /** Its own time, where it is ahead. */
  localMs = 0;
  diedMs = Infinity;
  isStopped = false;
  /** Its program has begun: from then on it reads. */
  hasBegun = true;
  readonly timers = new Set<SimTimer>();
  immediates: (() => void)[] = [];
  readonly #sources: Source[] = [];
  readonly #own = new Source();
  #phase: 'timers' | 'poll' | 'check' = 'timers';
  /** When this turn of its event loop began. What had come by then is read before the immediates of this turn. */
  turnMs = 0;
  /** When it asked what has come: what comes while it works that off is for the next turn, behind the timers. */
  #pollMs = 0;
  #checking: (() => void)[] = [];

  constructor(machine: Machine, name: string, number: number) {
    this.machine = machine;
    this.name = name;
    this.random = new Random(machine.seed, number);
    this.#sources.push(this.#own);
  }

  get isAlive(): boolean {
    return this.diedMs === Infinity;
  }

  now(): number {
    return Math.max(this.machine.nowMs, this.localMs);
  }

  /** It computes for so long: from here on it is ahead of the others. */
  spend(ms: number): void {
    this.localMs = this.now() + ms;
  }

  /** Takes what another source sends it. */
  listenTo(source: Source): void {
    this.#sources.push(source);
  }

  /** Has it do something when it next looks, at this time or later. */
  post(run: () => void, delayMs: number, source = this.#own, fromMs = this.now()): void {
    source.lastMs = Math.max(source.lastMs, fromMs + delayMs);
    source.arrivals.push({ atMs: source.lastMs, run });
  }

  /** The program that uses the pool does something so much later. */
  later(run: () => void, ms: number): void {
    this.#addTimer(run, ms).isProgram = true;
  }

  /** The next moment at which it has something to do. */
  get nextMs(): number {
    if (!this.isAlive || this.isStopped || !this.hasBegun) return Infinity;
    if (this.immediates.length > 0 || this.#checking.length > 0) return this.now();
    let nextMs = Infinity;
    for (const { dueMs } of this.timers) if (dueMs < nextMs) nextMs = dueMs;
    for (const { arrivals } of this.#sources) if (arrivals.length > 0 && arrivals[0]!.atMs < nextMs) nextMs = arrivals[0]!.atMs;
    return Math.max(nextMs, this.localMs);
  }

  /** Runs one callback, in the order of Node's phases. */
  runOne(): void {
    for (;;) {
      const run = this.#next();
      if (run === undefined) continue;
      return run();
    }
  }

  #next(): (() => void) | undefined {
    switch (this.#phase) {
      case 'timers': {
        const timer = this.#dueTimer();
        if (timer === undefined) {
          this.#phase = 'poll';
          this.#pollMs = this.now();
          return undefined;
        }
        this.timers.delete(timer);
        if (timer.everyMs !== undefined) this.clock.setInterval(timer.callback, timer.everyMs);
        return timer.callback;
      }
      case 'poll': {
        const due = this.#sources.filter(({ arrivals }) => arrivals.length > 0 && arrivals[0]!.atMs <= this.#pollMs);
        if (due.length > 0) return (due.length === 1 ? due[0]! : this.random.pick(due)).arrivals.shift()!.run;
        this.#phase = 'check';
        this.#checking = this.immediates;
        this.immediates = [];
        return undefined;
      }
      case 'check': {
        const run = this.#checking.shift();
        if (run === undefined) {
          this.#phase = 'timers';
          this.turnMs = this.now();
        }
        return run;
      }
    }
  }

  #dueTimer(): SimTimer | undefined {
    const nowMs = this.now();
    let first: SimTimer | undefined;
    for (const timer of this.timers) if (timer.dueMs <= nowMs && (first === undefined || timer.dueMs < first.dueMs)) first = timer;
    return first;
  }

  /** A process that is dead asks in vain. */
  readonly clock: Clock = {
    now: () => this.now(),
    setTimeout: (callback, ms) => this.#addTimer(callback, ms),
    clearTimeout: timer => this.#clear(timer),
    setInterval: (callback, ms) => this.#addTimer(callback, ms, ms),
    clearInterval: timer => this.#clear(timer),
    setImmediate: callback => { if (this.isAlive) this.immediates.push(callback); },
    queueMicrotask: callback => queueMicrotask(() => { if (this.isAlive) callback(); }),
  };

  #addTimer(callback: () => void, ms: number, everyMs?: number): SimTimer {
    const timer = new SimTimer(this.now() + Math.max(1, ms) + this.machine.lateness(this.random), callback, everyMs);
    if (this.isAlive) this.timers.add(timer);
    return timer;
  }

  #clear(timer: Timer | undefined): void {
    if (timer instanceof SimTimer) this.timers.delete(timer);
  }
}

interface Message {
  envelope: unknown;
  bytes: number;
  sentMs: number;
  hasLeft: boolean;
  isRead: boolean;
  callback: (error: Error | null) => void;
}

/** One direction of a channel. */
export class Pipe {
  readonly #machine: Machine;
  readonly #from: Actor;
  readonly #to: Actor;
  readonly #source = new Source();
  /** What cannot be written its sender hears in the next turn. */
  readonly #errors = new Source();
  readonly #random: Random;
  readonly #sent: Message[] = [];
  #unreadBytes = 0;
  /** What hears the messages. */
  listener = (_envelope: unknown): void => {};
  /** What is told of a message that has left for good. */
  onLeft = (_envelope: unknown, _sentMs: number): void => {};
  isClosed = false;

  constructor(machine: Machine, from: Actor, to: Actor, random: Random) {
    this.#machine = machine;
    this.#from = from;
    this.#to = to;
    this.#random = random;
    to.listenTo(this.#source);
    from.listenTo(this.#errors);
  }

  send(envelope: unknown, callback: (error: Error | null) => void): boolean {
    if (!this.#from.isAlive) return false;
    const message: Message = { envelope, bytes: sizeOf(envelope), sentMs: this.#from.now(), hasLeft: false, isRead: false, callback };
    if (this.isClosed) this.#fail(message);
    else {
      this.#sent.push(message);
      this.#write();
    }
    return true;
  }

  #fail({ callback }: Message): void {
    this.#from.post(() => callback(new Error('write EPIPE')), 0, this.#errors);
  }

  /** What fits leaves, in order; one that is larger than the pipe leaves when it was read. */
  #write(): void {
    for (const message of this.#sent) {
      if (message.hasLeft) continue;
      if (this.#unreadBytes > 0 && this.#unreadBytes + message.bytes > PIPE_BYTES) return;
      message.hasLeft = true;
      this.#unreadBytes += message.bytes;
      const isSmall = message.bytes <= PIPE_BYTES;
      if (isSmall) {
        this.onLeft(message.envelope, message.sentMs);
        this.#from.post(() => message.callback(null), this.#machine.lateness(this.#random) / 8);
      }
      this.#to.post(() => {
        message.isRead = true;
        this.#unreadBytes -= message.bytes;
        while (this.#sent[0]?.isRead) this.#sent.shift();
        if (!isSmall) {
          this.onLeft(message.envelope, message.sentMs);
          this.#from.post(() => message.callback(null), this.#machine.latency(this.#random));
        }
        this.listener(message.envelope);
        this.#write();
      }, this.#machine.latency(this.#random) + message.bytes / 1000, this.#source, Math.max(message.sentMs, this.#machine.nowMs));
    }
  }

  /** Its sender has died: what had not left by then is lost, and so is one that was cut in the middle. */
  senderDied(diedMs: number): void {
    this.isClosed = true;
    const lost = new Set(this.#sent.filter(({ hasLeft, sentMs, bytes, isRead }) => !isRead && (!hasLeft || sentMs > diedMs || bytes > PIPE_BYTES)));
    const kept = this.#sent.filter(message => !message.isRead && !lost.has(message));
    // In the source are those that have left, in their order.
    const left = this.#sent.filter(({ hasLeft, isRead }) => hasLeft && !isRead);
    const { arrivals } = this.#source;
    const waiting = arrivals.splice(0, arrivals.length);
    for (const [i, arrival] of waiting.entries()) if (kept.includes(left[i]!)) arrivals.push(arrival);
    this.#source.lastMs = arrivals.at(-1)?.atMs ?? 0;
    this.#sent.splice(0, this.#sent.length, ...kept);
  }

  /** Nobody holds its other end from then on. */
  end(fromMs: number, onEnd: () => void): void {
    this.#to.post(onEnd, this.#machine.latency(this.#random), this.#source, fromMs);
  }

  /** When all that has left will be there to be read. */
  get arrivedMs(): number {
    return this.#source.arrivals.at(-1)?.atMs ?? 0;
  }

  /** Something was there to be read before this time, and nobody has. */
  isUnreadSince(atMs: number): boolean {
    return this.#source.arrivals.length > 0 && this.#source.arrivals[0]!.atMs < atMs;
  }

  /** Its reader has died: nothing arrives any more. */
  readerDied(): void {
    this.isClosed = true;
    this.#source.arrivals.length = 0;
    for (const message of this.#sent) if (!message.hasLeft || message.bytes > PIPE_BYTES) this.#fail(message);
    this.#sent.length = 0;
  }

  /** Nobody waits for what may still come. */
  abandon(onEnd: () => void): void {
    this.isClosed = true;
    this.#source.arrivals.length = 0;
    this.#source.lastMs = 0;
    this.#to.post(onEnd, 0, this.#source);
  }
}

/** What it is on a wire, roughly. */
function sizeOf(envelope: unknown): number {
  const message: unknown = Array.isArray(envelope) ? envelope[1] : undefined;
  if (typeof message !== 'object' || message === null) return 50;
  let bytes = 50;
  if ('bytes' in message && ArrayBuffer.isView(message.bytes)) bytes += message.bytes.byteLength;
  for (const list of ['jobs', 'outcomes', 'segments']) {
    const items: unknown = Reflect.get(message, list);
    if (Array.isArray(items)) for (const item of items) bytes += ArrayBuffer.isView(item) ? item.byteLength : item instanceof Object && 'bytes' in item && ArrayBuffer.isView(item.bytes) ? item.bytes.byteLength : 8;
  }
  return bytes;
}

interface WorldEvent {
  atMs: number;
  run: () => void;
}

export class Machine {
  readonly seed: number;
  readonly weather: Weather;
  readonly #random: Random;
  readonly actors: Actor[] = [];
  nowMs = 0;
  events = 0;
  readonly #world: WorldEvent[] = [];
  /** Which faults, calls and ends there were. */
  readonly met = new Set<string>();
  /** What could not have happened: the first of it counts. */
  failure: string | undefined;
  trace: ((line: string) => void) | undefined;

  constructor(seed: number, weather: Weather) {
    this.seed = seed;
    this.weather = weather;
    this.#random = new Random(seed, 1);
  }

  add(name: string): Actor {
    const actor = new Actor(this, name, 1000 + this.actors.length);
    this.actors.push(actor);
    return actor;
  }

  /** Something outside all processes, at this time. */
  at(atMs: number, run: () => void): void {
    this.#world.push({ atMs, run });
    this.#world.sort((a, b) => a.atMs - b.atMs);
  }

  fail(what: string): void {
    this.failure ??= `${what} (at ${this.nowMs.toFixed(2)} ms)`;
  }

  say(who: string, what: () => string): void {
    this.trace?.(`${this.nowMs.toFixed(2).padStart(10)}  ${who.padEnd(9)} ${what()}`);
  }

  /** How long something is under way. */
  latency(random: Random): number {
    if (this.weather === 'calm') return 0.05;
    const unit = random.unit();
    if (unit < 0.5) return unit / 10;
    if (unit < 0.9 || this.weather === 'lively') return random.unit() * 2;
    return random.spread(unit < 0.99 ? 100 : 1500);
  }

  /** How late a timer is. */
  lateness(random: Random): number {
    if (this.weather === 'calm') return 0;
    if (random.chance(0.9)) return random.unit();
    return this.weather === 'lively' ? random.spread(20) : random.spread(300);
  }

  /** Runs what is due next, of anybody. False if there is nothing before that time. */
  step(untilMs: number): boolean {
    let next: Actor | undefined;
    let nextMs = this.#world[0]?.atMs ?? Infinity;
    let equals = 1;
    for (const actor of this.actors) {
      const actorMs = actor.nextMs;
      if (actorMs > nextMs || actorMs === Infinity) continue;
      if (actorMs < nextMs) equals = 1;
      else if (this.#random.integer(0, equals++) > 0) continue; // whoever is due at the same time may be first
      next = actor;
      nextMs = actorMs;
    }
    if (nextMs === Infinity || nextMs > untilMs) return false;
    this.nowMs = Math.max(this.nowMs, nextMs);
    this.events++;
    try {
      if (next === undefined) this.#world.shift()!.run();
      else next.runOne();
    } catch (error) {
      this.fail(`${next?.name ?? 'the world'} threw ${error instanceof Error ? `${error.stack ?? error.message}` : String(error)}`);
    }
    return true;
  }
}
