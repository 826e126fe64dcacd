// One end of the channel between parent and worker, which is Node's own: messages under a brand, a send that
// resolves when the message has left the process, and how a value becomes bytes. It knows neither what the messages mean nor who is
// on the other side.
//
//  a value                     crosses
//  a primitive                 in its message, as it is
//  small plain data            in its message, in one buffer with the others: a snapshot each (Batch)
//  anything else               in its message, as bytes of its own
//  more than 256 kB of these   ahead of its message, whole
//  more than 64 MB             ahead of its message, piece by piece, each when the one before has left

import { inspect } from 'node:util';
import { isArrayBufferView as isView, isMap, isNativeError, isProxy, isSet, isTypedArray } from 'node:util/types';
import { DefaultDeserializer, DefaultSerializer, Deserializer, Serializer } from 'node:v8';
import type { PieceMessage, Segment, Wire } from './protocol.ts';

/** A job may overwrite what is global: what a worker needs to send its result is taken now. */
const { Promise } = globalThis;

/** A value of more bytes than this crosses ahead of its message: it is worth one of its own. */
const AHEAD_BYTES = 256 * 1024;
/** One of more bytes than this is announced: its way takes as long as a worker may be silent. */
const ANNOUNCED_BYTES = 1024 * 1024;
/** One of more bytes than this crosses in pieces: between two of them other messages get through. Measured: below, a piece by piece value is slower. */
const WHOLE_BYTES = 64 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;
const NO_BYTES = new Uint8Array(0);

/** What both a ChildProcess and the `process` of a worker have. */
export interface Endpoint {
  send?(message: unknown, handle: undefined, options: undefined, callback: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

/**
 * What marks a message as the pool's: without it a message is the user's own. There is one for each direction, as a
 * worker module may listen to what the parent sends, and must not learn what its own process sends.
 */
export interface Brands {
  incoming: string;
  outgoing: string;
}

export class Channel<In extends { type: string }, Out extends { type: string }> {
  readonly #endpoint: Endpoint;
  readonly #send: NonNullable<Endpoint['send']>;
  readonly #brands: Brands;
  /** Large values that must be sent before the next message may be. */
  #staged: Uint8Array[] = [];
  #isSendingStaged = false;
  /** One that was sent in one piece, until it has left. */
  #whole: Promise<void> | undefined;
  /** Large values that came before their message. */
  readonly #arrived: (NodeJS.TypedArray | Error)[] = [];
  /** The one that comes in pieces: so many of its bytes are here. */
  #arriving: { value: Uint8Array | undefined; bytes: number } | undefined;

  constructor(endpoint: Endpoint, brands: Brands) {
    if (endpoint.send === undefined) throw new TypeError('Cannot open a channel as this process has none: workers are started by a ProcessPool');
    this.#endpoint = endpoint;
    this.#send = endpoint.send.bind(endpoint);
    this.#brands = brands;
  }

  /** Calls back with every message of the pool, pieces included; with undefined for one that the parser refuses. */
  receive(parse: (message: unknown) => In | PieceMessage | undefined, callback: (message: In | PieceMessage | undefined) => void): void {
    this.#endpoint.on('message', envelope => {
      if (!Array.isArray(envelope) || envelope[0] !== this.#brands.incoming) return;
      const message = parse(envelope[1]);
      callback(isPiece(message) && !this.#keep(message) ? undefined : message);
    });
  }

  /**
   * Makes a value, as it is now, part of the next message. A large array of bytes or numbers is sent at once, which spares a copy.
   *
   * @throws what `pack` throws.
   */
  take(value: unknown, name: string): Wire {
    if (!isTypedArray(value) || value.byteLength <= AHEAD_BYTES || !this.#maySendWhole(value)) return this.stage(pack(value, name));
    this.#sendWhole(value);
    return { next: 'view' };
  }

  /** The same for what `pack` made of a value. */
  stage(packed: Packed): Wire {
    if (!(packed instanceof Uint8Array) || packed.length <= AHEAD_BYTES) return packed;
    if (this.#maySendWhole(packed)) this.#sendWhole(packed);
    else this.#staged.push(packed);
    return { next: 'packed' };
  }

  #maySendWhole(value: NodeJS.TypedArray): boolean {
    return value.byteLength <= WHOLE_BYTES && this.#staged.length === 0 && !this.#isSendingStaged;
  }

  #sendWhole(bytes: NodeJS.TypedArray): void {
    const total = bytes.byteLength;
    if (total > ANNOUNCED_BYTES) void this.#write({ type: 'piece', bytes: NO_BYTES, total });
    let left = (): void => {};
    this.#send([this.#brands.outgoing, { type: 'piece', bytes, total }], undefined, undefined, () => left());
    const whole = new Promise<void>(resolve => { left = resolve; });
    this.#whole = whole;
    void whole.then(() => { if (this.#whole === whole) this.#whole = undefined; });
  }

  /** Whether large values must leave before the next message may be sent. */
  get hasLarge(): boolean {
    return this.#staged.length > 0 || this.#whole !== undefined || this.#isSendingStaged;
  }

  /**
   * Resolves when all large values have left: sends those that were staged, each piece when the one before has left. It stops between
   * two of them once `given up` is true, or when the other end is gone: then it resolves to false.
   */
  async sendLarge(givenUp = (): boolean => false): Promise<boolean> {
    await this.#whole;
    this.#isSendingStaged = true;
    for (let value = this.#staged.shift(); value !== undefined; value = this.#staged.shift()) {
      for (let at = 0; at < value.length; at += PIECE_BYTES) {
        const hasLeft = !givenUp() && await this.#write({ type: 'piece', bytes: value.subarray(at, at + PIECE_BYTES), total: value.length });
        if (!hasLeft) return false;
      }
    }
    this.#isSendingStaged = false;
    return !givenUp();
  }

  /** Whether it can be part of a value. */
  #keep({ bytes, total }: PieceMessage): boolean {
    if (bytes.byteLength === total) this.#arrived.push(bytes);
    else if (bytes.byteLength > 0) {
      this.#arriving ??= { value: this.#room(total), bytes: 0 };
      const { value } = this.#arriving;
      if (!(bytes instanceof Uint8Array) || this.#arriving.bytes + bytes.length > total) return false;
      value?.set(bytes, this.#arriving.bytes);
      this.#arriving.bytes += bytes.length;
      if (this.#arriving.bytes === total) this.#arriving = undefined;
    }
    return true;
  }

  /** For a value in pieces. Where there is no memory for it, it is an error for its job alone. */
  #room(bytes: number): Uint8Array | undefined {
    try {
      const value = Buffer.allocUnsafeSlow(bytes);
      this.#arrived.push(value);
      return value;
    } catch (cause) {
      this.#arrived.push(new RangeError(`Cannot take a value of ${bytes} bytes as there is no room for it`, { cause }));
      return undefined;
    }
  }

  /** Resolves to true when the message has left the process, to false if it never will as the other end is gone. */
  send(message: Out): Promise<boolean> {
    return this.#write(message);
  }

  /** The value that the other end sent. To be called once for each, in the order in which they came, with the segments of its message. */
  read(wire: Wire, segments?: Segments): unknown {
    if (typeof wire !== 'object' || wire === null) return wire;
    if (wire instanceof Uint8Array) return unpack(wire);
    if (wire.next === 'plain') return segments?.read();
    const value = this.#arrived.shift() ?? new RangeError('Cannot read the value as it did not come before its message');
    if (value instanceof Error) throw value;
    return wire.next === 'packed' && value instanceof Uint8Array ? unpack(value) : ownMemory(value);
  }

  /** The same for the reason of something, which is not worth more than what it explains: one that cannot be read is the error that says so. */
  readReason(wire: Wire): unknown {
    try {
      return this.read(wire);
    } catch (error) {
      return error;
    }
  }

  /** Instead of reading it. */
  drop(wire: Wire): void {
    if (typeof wire === 'object' && wire !== null && 'next' in wire && wire.next !== 'plain') this.#arrived.shift();
  }

  #write(message: Out | PieceMessage): Promise<boolean> {
    return new Promise(resolve => {
      this.#send([this.#brands.outgoing, message], undefined, undefined, error => resolve(error === null));
    });
  }
}

/** A value of more bytes, roughly, has bytes of its own: there is nothing to gain by writing it with others. */
const PLAIN_BYTES = 64 * 1024;
/** One that is nested deeper has bytes of its own: v8 writes deeper than it reads, and where it gave up reading nobody finds the next value. */
const PLAIN_DEPTH = 32;
/** Written together, since a buffer for each takes five times as long: 0.8 against 4.8 µs for a line of a log. */
const NEXT: Wire = { next: 'plain' };

/** The plain values of one message, each written at the moment that it is given. */
export class Batch {
  #serializer: Serializer | undefined;
  #count = 0;
  #segments: Segment[] = [];
  /** Objects of this segment. One that comes again is written anew, in another: v8 would refer to what it was before. */
  readonly #seen = new Set<object>();

  /** Its place in the message, or undefined for what is no plain data: it may not even be possible to send it. */
  add(value: unknown): { wire: Wire; bytes: number } | undefined {
    if (typeof value !== 'object' || value === null) return undefined;
    try {
      let bytes = this.#sizeOf(value, 0);
      if (bytes === Infinity && this.#seen.size > 0) {
        this.#close();
        bytes = this.#sizeOf(value, 0);
      }
      if (bytes > PLAIN_BYTES) return this.#close();
      if (this.#serializer === undefined) {
        this.#serializer = new Serializer();
        this.#serializer.writeHeader();
      }
      this.#serializer.writeValue(value);
      this.#count++;
      return { wire: NEXT, bytes };
    } catch {
      return this.#close(); // what was written of it is behind those that count
    }
  }

  /** The segments so far. */
  take(): Segment[] {
    this.#close();
    const segments = this.#segments;
    this.#segments = [];
    return segments;
  }

  #close(): undefined {
    if (this.#serializer !== undefined && this.#count > 0) this.#segments.push({ count: this.#count, bytes: this.#serializer.releaseBuffer() });
    this.#serializer = undefined;
    this.#count = 0;
    this.#seen.clear();
  }

  /** Roughly, in bytes; Infinity if something in it is not plain, too deep, or is in this segment already. */
  #sizeOf(value: unknown, depth: number): number {
    if (typeof value === 'string') return value.length;
    if (typeof value === 'function' || typeof value === 'symbol') return Infinity;
    if (typeof value !== 'object' || value === null) return 8;
    if (depth > PLAIN_DEPTH || this.#seen.has(value)) return Infinity;
    this.#seen.add(value);
    let bytes = 8;
    if (Array.isArray(value)) {
      if (value.length > PLAIN_BYTES) return Infinity;
      for (let i = 0; i < value.length && bytes <= PLAIN_BYTES; i++) bytes += this.#sizeOf(value[i], depth + 1);
      return bytes;
    }
    const proto: unknown = Object.getPrototypeOf(value);
    if (proto === Date.prototype) return bytes;
    if (proto !== Object.prototype && proto !== null) return Infinity;
    for (const key in value) {
      bytes += key.length + this.#sizeOf(Reflect.get(value, key), depth + 1);
      if (bytes > PLAIN_BYTES) break;
    }
    return bytes;
  }
}

/** Reads what a batch has written, in its order. Behind one that cannot be read the rest of its segment cannot be found: those are errors, too. */
export class Segments {
  readonly #segments: Segment[];
  #next = 0;
  #left = 0;
  #deserializer: Deserializer | undefined;

  constructor(segments: Segment[]) {
    this.#segments = segments;
  }

  /** @throws RangeError if there is no more, or it cannot be found; what v8 throws. */
  read(): unknown {
    while (this.#left === 0) {
      const segment = this.#segments[this.#next++];
      if (segment === undefined) throw new RangeError('Cannot read the value as its message does not hold it');
      this.#left = segment.count;
      this.#deserializer = new Deserializer(segment.bytes);
      this.#deserializer.readHeader();
    }
    this.#left--;
    const deserializer = this.#deserializer;
    if (deserializer === undefined) throw new RangeError('Cannot read the value as one before it in its message could not be read');
    this.#deserializer = undefined; // after a throw it stands somewhere inside the broken value
    const value: unknown = deserializer.readValue();
    this.#deserializer = deserializer;
    return value;
  }
}

function isPiece(message: { type: string } | undefined): message is PieceMessage {
  return message?.type === 'piece';
}

/** What crossed as it is, and large, is a view on all that came with it: its `buffer` must be its own. A Buffer's may be another's. */
function ownMemory(value: NodeJS.TypedArray): NodeJS.TypedArray {
  return Buffer.isBuffer(value) ? value : value.slice();
}

/** The views on memory, by the names that they have on every realm; this Node may not have the last one. */
const VIEWS = ['Buffer', 'DataView', 'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array', 'Float16Array'];
/** The types of some Node versions do not know them all, and a job may overwrite them. */
const VIEW_KINDS = VIEWS.map(name => Reflect.get(globalThis, name));
/** What a typed array is, whatever class of one's own it belongs to; undefined for a DataView. */
const viewName = Reflect.getOwnPropertyDescriptor(Reflect.getPrototypeOf(Uint8Array.prototype) ?? {}, Symbol.toStringTag)?.get;
/** With these v8 begins, and then with this byte a value that is a view. */
const HEADER_BYTES = 2;
const VIEW_TAG = 0x5c;

/** Writes values as v8 does, but of a view its own bytes. (The calls with `_` are how Node lets a subclass have its way.) */
class Writer extends DefaultSerializer {
  _writeHostObject(view: NodeJS.ArrayBufferView): void {
    const name: unknown = Buffer.isBuffer(view) ? 'Buffer' : viewName?.call(view);
    this.writeUint32(VIEWS.indexOf(typeof name === 'string' ? name : 'DataView'));
    this.writeDouble(view.byteLength);
    this.writeRawBytes(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  }
}

/** Reads them: each view has a buffer of its own, of its own length. But a large Buffer that is the whole value is spared the copy. */
class Reader extends DefaultDeserializer {
  readonly #sparesCopy: boolean;

  constructor(bytes: Uint8Array) {
    super(bytes);
    this.#sparesCopy = bytes.length > AHEAD_BYTES && bytes[HEADER_BYTES] === VIEW_TAG;
    this.readHeader();
  }

  _readHostObject(): unknown {
    const kind = this.readUint32();
    const bytes = this.readRawBytes(this.readDouble());
    if (kind === 0 && this.#sparesCopy) return bytes;
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    return kind === 0 ? Buffer.from(buffer) : new VIEW_KINDS[kind](buffer);
  }
}

function serialize(value: unknown): Buffer {
  const writer = new Writer();
  writer.writeHeader();
  writer.writeValue(value);
  return writer.releaseBuffer();
}


/** A snapshot of a value: a primitive, or bytes. */
export type Packed = Exclude<Wire, { next: string }>;

/** The first byte of a packed error; everything else begins with the 0xff of v8. */
const ERROR_TAG = 0;

/**
 * Takes a snapshot of a value. Errors keep their class if it is built in, name, message, stack, `cause`,
 * `errors` and own properties, less those that cannot be cloned.
 *
 * @throws DataCloneError which says what in it cannot be cloned, and where; `name` is what the value is called there.
 */
export function pack(value: unknown, name: string): Packed {
  if (typeof value === 'string') return value.length > AHEAD_BYTES / 2 ? serialize(value) : value;
  if (value === undefined || value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'bigint') return value;
  try {
    if (!isError(value)) return clone(value);
    return Buffer.concat([Uint8Array.of(ERROR_TAG), serialize(describeError(value, new Map()))]);
  } catch (cause) {
    const [where, what] = locate(value, name, new Set()) ?? [name, kindOfValue(value)];
    throw new DOMException(`Cannot send \`${name}\` to another process as \`${where}\` cannot be cloned: it is ${what}`, { name: 'DataCloneError', cause });
  }
}

/** The same for what was thrown: it cannot fail, since an error that says why takes the place of what cannot be cloned. */
export function packReason(reason: unknown): Packed {
  try {
    return pack(reason, 'reason');
  } catch (error) {
    return pack(error, 'reason');
  }
}

function unpack(bytes: Uint8Array): unknown {
  return bytes[0] === ERROR_TAG ? rebuildError(new Reader(bytes.subarray(1)).readValue(), new Map()) : new Reader(bytes).readValue();
}

/** An error as plain data. v8 keeps neither own properties nor, on every Node version, `cause`; shared and cyclic errors stay so. */
interface ErrorRecord {
  kind: string;
  name: string;
  message: string;
  own: { key: string; part: Part; enumerable: boolean }[];
}

type Part = { error: ErrorRecord } | { value: unknown } | { parts: Part[] };

const BUILT_IN: ReadonlyMap<string, ErrorConstructor> = new Map([Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map(Kind => [Kind.name, Kind]));

function isError(value: unknown): value is Error {
  return isNativeError(value) || value instanceof Error;
}

function describeError(error: Error, seen: Map<Error, ErrorRecord>): ErrorRecord {
  const known = seen.get(error);
  if (known !== undefined) return known;
  const record: ErrorRecord = { kind: kindOf(error), name: String(error.name), message: String(error.message), own: [] };
  seen.set(error, record);
  for (const key of new Set(['stack', ...Object.getOwnPropertyNames(error)])) {
    if (key === 'message') continue;
    const part = ownPart(error, key, seen);
    if (part !== undefined) record.own.push({ key, part, enumerable: Object.prototype.propertyIsEnumerable.call(error, key) });
  }
  return record;
}

/** The nearest class in the error's line that exists on the other side. */
function kindOf(error: Error): string {
  if (error instanceof DOMException) return 'DOMException';
  if (error instanceof AggregateError) return 'AggregateError';
  for (let proto: unknown = Object.getPrototypeOf(error); proto !== null; proto = Object.getPrototypeOf(proto)) {
    for (const Kind of BUILT_IN.values()) if (proto === Kind.prototype) return Kind.name;
  }
  return '';
}

function ownPart(error: Error, key: string, seen: Map<Error, ErrorRecord>): Part | undefined {
  try {
    return partOf(Reflect.get(error, key), seen);
  } catch {
    return undefined; // a getter that throws: the rest of the error is worth more
  }
}

function partOf(value: unknown, seen: Map<Error, ErrorRecord>): Part | undefined {
  if (isError(value)) return { error: describeError(value, seen) };
  if (Array.isArray(value) && Object.values(value).some(isError)) return { parts: value.map(item => partOf(item, seen) ?? { value: undefined }) };
  return isCloneable(value) ? { value } : undefined;
}

function rebuildError(record: ErrorRecord, seen: Map<ErrorRecord, Error>): Error {
  const known = seen.get(record);
  if (known !== undefined) return known;
  const error = emptyError(record);
  seen.set(record, error);
  if (error.name !== record.name) Object.defineProperty(error, 'name', { value: record.name, configurable: true, writable: true });
  for (const { key, part, enumerable } of record.own) {
    Object.defineProperty(error, key, { value: rebuildPart(part, seen), enumerable, configurable: true, writable: true });
  }
  return error;
}

function emptyError({ kind, name, message }: ErrorRecord): Error {
  if (kind === 'DOMException') return new DOMException(message, name);
  if (kind === 'AggregateError') return new AggregateError([], message);
  const Kind = BUILT_IN.get(kind) ?? Error;
  return new Kind(message);
}

function rebuildPart(part: Part, seen: Map<ErrorRecord, Error>): unknown {
  if ('error' in part) return rebuildError(part.error, seen);
  return 'parts' in part ? part.parts.map(item => rebuildPart(item, seen)) : part.value;
}

/** @throws whatever v8 throws, and a TypeError where v8 would silently make a bare `{}` of what the value holds. */
function clone(value: unknown): Buffer {
  const bytes = serialize(value);
  if (holdsForeign(value, bytes.length, new Set())) throw new TypeError('Cannot clone an object of a class of the platform');
  return bytes;
}

function isCloneable(value: unknown): boolean {
  try {
    clone(value);
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether something in it is a Blob, a URL, a Headers or the like: some Node versions refuse them, others send `{}`.
 * An array of more items than the value has bytes is sparse: only its keys are walked.
 */
function holdsForeign(value: unknown, bytes: number, seen: Set<unknown>): boolean {
  if (typeof value !== 'object' || value === null || seen.has(value) || isView(value)) return false;
  seen.add(value);
  const isForeign = (item: unknown): boolean => typeof item === 'object' && holdsForeign(item, bytes, seen);
  if (Array.isArray(value) && value.length <= bytes) return value.some(isForeign);
  if (isMap(value)) for (const [key, item] of value) if (isForeign(key) || isForeign(item)) return true;
  if (isSet(value)) for (const item of value) if (isForeign(item)) return true;
  if (isOfPlatform(value)) return true;
  for (const key in value) if (isForeign(Reflect.get(value, key))) return true;
  return false;
}

/** Built-in classes with a tag that v8 carries. */
const CARRIED: ReadonlySet<string> = new Set(['Map', 'Set', 'ArrayBuffer', 'BigInt']);

function isOfPlatform(value: object): boolean {
  const tag: unknown = Reflect.get(value, Symbol.toStringTag);
  if (typeof tag !== 'string' || CARRIED.has(tag)) return false;
  const Kind = tag.split('.').reduce((of: unknown, name) => Reflect.get(Object(of), name), globalThis); // 'WebAssembly.Module', too
  return typeof Kind === 'function' && value instanceof Kind;
}

/** A path longer than this helps nobody, and each step costs a clone of what is left. */
const MOST_STEPS = 30;

/**
 * Where in a value the first thing is that cannot be cloned, as a path like `job.items[3].callback`, and what it is. Undefined
 * where it is part of something that is being searched already: cycles end there.
 */
function locate(value: unknown, path: string, seen: Set<unknown>): [where: string, what: string] | undefined {
  seen.add(value);
  let isInCycle = false;
  for (const [step, read] of children(value)) {
    const where = path + step;
    try {
      const child = read();
      if (isCloneable(child)) continue;
      isInCycle ||= seen.has(child);
      const found = seen.has(child) ? undefined : seen.size > MOST_STEPS ? [where, kindOfValue(child)] as const : locate(child, where, seen);
      if (found !== undefined) return [...found];
    } catch (error) {
      return [where, `a getter that throws ${error instanceof Error ? error.message : inspect(error, { depth: 0 })}`];
    }
  }
  return isInCycle ? undefined : [path, kindOfValue(value)];
}

/** The parts that a clone would visit, each with its step in the path. */
function* children(value: unknown): Generator<[step: string, read: () => unknown]> {
  if (typeof value !== 'object' || value === null || isProxy(value)) return;
  if (value instanceof Map) for (const [key, item] of value) yield [`.get(${inspect(key, { depth: 0 })})`, () => item];
  else if (value instanceof Set) for (const item of value) yield ['.values()', () => item];
  else for (const key of Object.keys(value)) yield [Array.isArray(value) ? `[${key}]` : `.${key}`, () => Reflect.get(value, key)];
}

function kindOfValue(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`;
  return isProxy(value) ? 'a Proxy' : `of the class ${Object.prototype.toString.call(value).slice(8, -1)}`;
}
