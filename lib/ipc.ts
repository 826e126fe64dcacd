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
import { isArrayBuffer, isArrayBufferView as isView, isBoxedPrimitive, isDate, isMap, isNativeError, isProxy, isRegExp, isSet, isTypedArray } from 'node:util/types';
import { DefaultDeserializer, DefaultSerializer, Deserializer, Serializer } from 'node:v8';
import type { Endpoint, Sizes } from './host.ts';
import type { PieceMessage, Segment, Wire } from './protocol.ts';

/** A job may overwrite what is global: what a worker needs to send its result is taken now. */
const { Date, DOMException, Error, Map, Promise, Set } = globalThis;

/** What is larger than this is worth a message of its own. */
const AHEAD_BYTES = 256 * 1024;
/** Between processes. Measured: below 64 MB, a value that crosses piece by piece is slower. */
export const SIZES: Sizes = { ahead: AHEAD_BYTES, announced: 1024 * 1024, whole: 64 * 1024 * 1024, piece: 1024 * 1024 };
const NO_BYTES = new Uint8Array(0);

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
  readonly #sizes: Sizes;
  /** Large values that must be sent before the next message may be. */
  #staged: Uint8Array[] = [];
  #isSendingStaged = false;
  /** One that was sent in one piece, until it has left. */
  #whole: Promise<void> | undefined;
  /** Large values that came before their message. */
  readonly #arrived: (NodeJS.TypedArray | Error)[] = [];
  /** The one that comes in pieces: so many of its bytes are here. */
  #arriving: { value: Uint8Array | undefined; bytes: number } | undefined;

  constructor(endpoint: Endpoint, brands: Brands, sizes: Sizes) {
    if (endpoint.send === undefined) throw new TypeError('Cannot open a channel as this process has none: workers are started by a ProcessPool');
    this.#endpoint = endpoint;
    this.#send = endpoint.send.bind(endpoint);
    this.#brands = brands;
    this.#sizes = sizes;
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
   * Makes a value, as it is now, part of the next message, small plain data by way of its batch. A large array of bytes or numbers is
   * sent at once, which spares a copy.
   *
   * @throws what `pack` throws.
   */
  take(value: unknown, name: string, batch?: Batch): Wire {
    if (typeof value === 'number') return value; // a tiny job is done in half a microsecond: each look at it counts
    if (!isView(value) || !isTypedArray(value) || value.byteLength <= this.#sizes.ahead || !this.#maySendWhole(value)) return this.stage(pack(value, name, batch));
    this.#sendWhole(value);
    return { next: 'view' };
  }

  /** The same for what `pack` made of a value. */
  stage(packed: Packed | Plain): Wire {
    if (!(packed instanceof Uint8Array) || packed.length <= this.#sizes.ahead) return packed;
    if (this.#maySendWhole(packed)) this.#sendWhole(packed);
    else this.#staged.push(packed);
    return { next: 'packed' };
  }

  #maySendWhole(value: NodeJS.TypedArray): boolean {
    return value.byteLength <= this.#sizes.whole && this.#staged.length === 0 && !this.#isSendingStaged;
  }

  #sendWhole(bytes: NodeJS.TypedArray): void {
    const total = bytes.byteLength;
    if (total > this.#sizes.announced) void this.#write({ type: 'piece', bytes: NO_BYTES, total });
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
    const { piece } = this.#sizes;
    for (let value = this.#staged.shift(); value !== undefined; value = this.#staged.shift()) {
      for (let at = 0; at < value.length; at += piece) {
        const hasLeft = !givenUp() && await this.#write({ type: 'piece', bytes: value.subarray(at, at + piece), total: value.length });
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
    if (wire instanceof Uint8Array) return unpackOrSay(wire);
    if (wire.next === 'plain') return segments?.read();
    const value = this.#arrived.shift() ?? new Missing('Cannot read the value as it did not come before its message');
    if (value instanceof Error) throw value;
    return wire.next === 'packed' && value instanceof Uint8Array ? unpackOrSay(value) : ownMemory(value);
  }

  /** The same; but one that is too deep or too large for this process is no error of the channel. */
  attempt(wire: Wire): { value: unknown } | { error: RangeError } {
    try {
      return { value: this.read(wire) };
    } catch (error) {
      if (error instanceof RangeError && !(error instanceof Missing)) return { error };
      throw error;
    }
  }

  /** The reason of something, which is not worth more than what it explains: one that is too deep is the error that says so. */
  readReason(wire: Wire): unknown {
    const read = this.attempt(wire);
    return 'error' in read ? read.error : read.value;
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
const NEXT = { next: 'plain' } as const;
type Plain = typeof NEXT;

/** The plain values of one message, each written at the moment that it is given. */
export class Batch {
  /** Roughly how much was written since the last `take`. */
  bytes = 0;
  /** For one value after the other. */
  readonly snapshot = new Snapshot();
  #segments: { count: number; serializer: Serializer }[] = [];
  #open: { count: number; serializer: Serializer } | undefined;

  /** Takes the copy that its snapshot has made, if that is small and plain. */
  add(copy: unknown): Plain | undefined {
    const { isPlain, bytes, deepest } = this.snapshot;
    if (!isPlain || bytes > PLAIN_BYTES || deepest > PLAIN_DEPTH) return undefined;
    const segment = this.#open ?? this.#begin();
    this.#open = undefined; // what a throw leaves in it is behind those that count
    segment.serializer.writeValue(copy);
    segment.count++;
    this.#open = segment;
    this.bytes += bytes;
    return NEXT;
  }

  /** The segments so far. */
  take(): Segment[] {
    const segments = this.#segments.map(({ count, serializer }) => ({ count, bytes: serializer.releaseBuffer() }));
    this.#segments = [];
    this.#open = undefined;
    this.bytes = 0;
    return segments;
  }

  #begin(): { count: number; serializer: Serializer } {
    const segment = { count: 0, serializer: new Serializer() };
    segment.serializer.writeHeader();
    this.#segments.push(segment);
    return segment;
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

/** A value that was announced and never came: the other end broke the protocol. */
class Missing extends RangeError {}

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
const viewName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)?.get;
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

/** The first byte of packed errors; everything else begins with the 0xff of v8. */
const ERROR_TAG = 0;
/** The same for something else that was thrown, and the notes on what was left out. */
const NOTED_TAG = 1;

/**
 * Takes a snapshot of a value. Errors keep their class if it is built in, name, message, stack, `cause`,
 * `errors` and own properties, less those that cannot be cloned. Small plain data goes into the batch, if there is one.
 *
 * @throws DataCloneError which says what in it cannot be cloned, and where; `name` is what the value is called there.
 */
export function pack(value: unknown, name: string): Packed;
export function pack(value: unknown, name: string, batch: Batch | undefined): Packed | Plain;
export function pack(value: unknown, name: string, batch?: Batch): Packed | Plain {
  if (typeof value === 'string') return value.length > AHEAD_BYTES / 2 ? serialize(value) : value;
  if (value === undefined || value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'bigint') return value;
  const snapshot = batch?.snapshot ?? new Snapshot();
  try {
    if (Object.getPrototypeOf(value) !== Object.prototype && isError(value)) return new ErrorPacker(value, name).pack();
    const copy = snapshot.take(value);
    const packed = batch?.add(copy) ?? serialize(copy);
    snapshot.clear();
    return packed;
  } catch (error) {
    const { where, what, cause } = describe(error, value, name, snapshot.isLater);
    snapshot.clear();
    throw new DOMException(`Cannot send \`${name}\` to another process as \`${where}\` cannot be cloned: it is ${what}`, { name: 'DataCloneError', cause });
  }
}

/**
 * The same for what was thrown, of which what can be cloned is worth more than what cannot: that is left out, at any depth, and what was
 * left out is noted. It cannot fail: in the end there is a word that it did.
 */
export function packReason(reason: unknown): Packed {
  try {
    if (isPrimitive(reason) || isError(reason)) return pack(reason, 'reason');
    const notCloned: string[] = [];
    const value = new Snapshot(notCloned, 'reason').take(reason);
    return notCloned.length === 0 ? serialize(value) : tagged(NOTED_TAG, { value, notCloned });
  } catch (error) {
    try {
      const { where, what } = describe(error, reason, 'reason');
      return pack(new DOMException(`Cannot send \`reason\` to another process as \`${where}\` cannot be cloned: it is ${what}`, 'DataCloneError'), 'reason');
    } catch {
      return 'Something was thrown that cannot be sent, nor can it be said why';
    }
  }
}

const tagged = (tag: number, value: unknown): Buffer => Buffer.concat([Uint8Array.of(tag), serialize(value)]);

/** v8 says no more than that the stack, or a buffer, was too small. */
function unpackOrSay(bytes: Uint8Array): unknown {
  try {
    return unpack(bytes);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new RangeError('Cannot read the value as it is nested too deep, or is too large, for the process that receives it', { cause });
  }
}

function unpack(bytes: Uint8Array): unknown {
  if (bytes[0] === ERROR_TAG) return rebuildErrors(new Reader(bytes.subarray(1)).readValue());
  if (bytes[0] !== NOTED_TAG) return new Reader(bytes).readValue();
  const { value, notCloned }: { value: object; notCloned: string[] } = new Reader(bytes.subarray(1)).readValue();
  if (!(NOTE in value)) define(value, NOTE, notCloned);
  return value;
}

/** The property in which the receiver of a reason sees what was left out of it. */
const NOTE = 'notCloned';
/** What an error refers to is kept so deep, and so many causes behind each other, and so many errors in all. */
const MOST_LEVELS = 50;
const MOST_CAUSES = 250;
const MOST_ERRORS = 10_000;
const MOST_NOTES = 30;

/** An error as plain data. v8 keeps neither own properties nor, on every Node version, `cause`. */
interface ErrorRecord {
  kind: string;
  name: string;
  message: string;
  own: { key: string; part: Part; enumerable: boolean }[];
}

/** Errors are named by their place in the list, so that a long chain is not deep, and what is shared or cyclic stays so. */
type Part = { error: number } | { value: unknown } | { parts: Part[] };
interface PackedErrors {
  errors: ErrorRecord[];
  notCloned: string[];
}

const BUILT_IN: ReadonlyMap<string, ErrorConstructor> = new Map([Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map(Kind => [Kind.name, Kind]));

/** Of whatever realm: a test runner or a vm context has its own. */
function isError(value: unknown): value is Error {
  return isNativeError(value) || (typeof value === 'object' && value !== null && kindOf(value) !== undefined);
}

/** The nearest class in the error's line that exists on the other side: by its name, as each realm has its own. Undefined if it is no error. */
function kindOf(error: object): string | undefined {
  try {
    for (const proto of line(error)) {
      const Class: unknown = Reflect.getOwnPropertyDescriptor(proto, 'constructor')?.value;
      if (typeof Class !== 'function') continue;
      const { name } = Class;
      if (name === 'DOMException' || ((name === 'AggregateError' || BUILT_IN.has(name)) && isNative(Class))) return name;
    }
  } catch {
    // a Proxy may throw anything
  }
  return undefined;
}

/** The prototypes of an object, the nearest first: no trap of theirs is run. */
function* line(value: object): Generator<object> {
  for (let proto: unknown = Object.getPrototypeOf(value); typeof proto === 'object' && proto !== null && proto !== Object.prototype && !isProxy(proto); proto = Object.getPrototypeOf(proto)) yield proto;
}

/** A class of one's own may be called TypeError, too. */
const isNative = (Class: Function): boolean => Function.prototype.toString.call(Class).endsWith('{ [native code] }');

class ErrorPacker {
  readonly notCloned: string[] = [];
  readonly #snapshot = new Snapshot(this.notCloned);
  readonly #places = new Map<Error, number>();
  readonly #found: { error: Error; path: string; causes: number }[] = [];

  constructor(error: Error, name: string) {
    this.#place(error, name, 0);
  }

  pack(): Buffer {
    const errors: ErrorRecord[] = [];
    for (const found of this.#found) errors.push(this.#describe(found)); // it grows meanwhile
    return tagged(ERROR_TAG, { errors, notCloned: this.notCloned } satisfies PackedErrors);
  }

  #place(error: Error, path: string, causes: number): Part | undefined {
    const known = this.#places.get(error);
    if (known !== undefined) return { error: known };
    if (causes > MOST_CAUSES || this.#found.length === MOST_ERRORS) {
      note(this.notCloned, path, 'one error too many');
      return undefined;
    }
    this.#places.set(error, this.#found.length);
    return { error: this.#found.push({ error, path, causes }) - 1 };
  }

  #describe({ error, path, causes }: { error: Error; path: string; causes: number }): ErrorRecord {
    const own: ErrorRecord['own'] = [];
    const read = new Map<string, unknown>();
    for (const key of new Set(['stack', ...Object.getOwnPropertyNames(error)])) {
      try {
        read.set(key, Reflect.get(error, key));
      } catch (trap) {
        if (key === 'message' && causes === 0) throw new Refusal(trapped(trap), trap);
        note(this.notCloned, `${path}.${key}`, trapped(trap));
      }
    }
    for (const [key, value] of read) {
      const part = key === 'message' ? undefined : this.#part(value, `${path}.${key}`, causes + 1);
      if (part !== undefined) own.push({ key, part, enumerable: Object.prototype.propertyIsEnumerable.call(error, key) });
    }
    const text = (key: 'name' | 'message'): string => textOf(() => String(read.has(key) ? read.get(key) : error[key]));
    return { kind: kindOf(error) ?? '', name: text('name'), message: text('message'), own };
  }

  #part(value: unknown, path: string, causes: number, lists = 0): Part | undefined {
    if (isError(value)) return this.#place(value, path, causes);
    if (!isProxy(value) && Array.isArray(value) && lists < MOST_LEVELS && hasErrors(value)) {
      const parts: Part[] = []; // its own `map` may be anybody's
      for (let i = 0; i < value.length; i++) parts.push(this.#item(value, i, path, { causes, lists }) ?? { value: undefined });
      return { parts };
    }
    const copy = this.#snapshot.copyPart(value, path);
    return copy === DROPPED ? undefined : { value: copy };
  }

  #item(list: unknown[], i: number, path: string, { causes, lists }: { causes: number; lists: number }): Part | undefined {
    try {
      return this.#part(list[i], `${path}[${i}]`, causes, lists + 1);
    } catch (trap) {
      note(this.notCloned, `${path}[${i}]`, trapped(trap));
      return undefined;
    }
  }
}

/** Such as the `errors` of an AggregateError: no getter is run for that. */
function hasErrors(list: unknown[]): boolean {
  const descriptors = Object.values(Object.getOwnPropertyDescriptors(list));
  return descriptors.length > list.length && descriptors.some(({ value }) => isError(value)); // one of them is its length
}

/** A name may be anything, and have no string. */
function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

function rebuildErrors({ errors, notCloned }: PackedErrors): Error | undefined {
  const built = errors.map(record => emptyError(record));
  const rebuild = (part: Part): unknown => 'error' in part ? built[part.error] : 'parts' in part ? part.parts.map(rebuild) : part.value;
  for (const [i, { name, own }] of errors.entries()) {
    const error = built[i]!;
    if (error.name !== name) Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
    for (const { key, part, enumerable } of own) Object.defineProperty(error, key, { value: rebuild(part), enumerable, configurable: true, writable: true });
  }
  const [error] = built;
  if (notCloned.length > 0) Object.defineProperty(error, NOTE, { value: notCloned, configurable: true, writable: true });
  return error;
}

function emptyError({ kind, name, message }: ErrorRecord): Error {
  if (kind === 'DOMException') return new DOMException(message, name);
  if (kind === 'AggregateError') return new AggregateError([], message);
  const Kind = BUILT_IN.get(kind) ?? Error;
  return new Kind(message);
}

function note(notes: string[], where: string, what: string): void {
  if (notes.length < MOST_NOTES) notes.push(`${where}: ${what}`);
  else notes[MOST_NOTES] = 'and more';
}

const trapped = (error: unknown): string => `a getter that throws ${isError(error) ? textOf(() => String(error.message)) : inspect(error, { depth: 0 })}`;

/** Whether the bytes of a view can be read: its buffer may have been given away, or have shrunk. */
function isThere(view: NodeJS.ArrayBufferView): boolean {
  try {
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).length >= 0;
  } catch {
    return false;
  }
}

/** Takes the place of what was left out. */
const DROPPED = Symbol('dropped');

/** Something in a value cannot be cloned: what it is, and the way to it, added while the walk goes back. */
class Refusal {
  readonly cause: unknown;
  readonly #what: string;
  /** The innermost first. */
  readonly #way: [container: object, step: unknown][] = [];

  constructor(what: string, cause?: unknown) {
    this.#what = what;
    this.cause = cause;
  }

  add(container: object, step: unknown): void {
    this.#way.push([container, step]);
  }

  /** As a path like `job.items[3].callback`, in which the value has this name, and what is there. */
  describe(name: string, isLater = false): { where: string; what: string } {
    if (isLater) return { where: name, what: `${this.#what}, more than ${DEEP} levels deep in it` };
    let where = name;
    for (const [i, [container, step]] of this.#way.reverse().entries()) {
      if (step === KEY) return { where, what: `${kindOfValue(container)}, with a key that cannot be cloned` };
      if (i === MOST_STEPS) return { where, what: kindOfValue(container) };
      where += stepOf(container, step);
    }
    return { where, what: this.#what };
  }
}

/** Why a value cannot be sent, where its walk or v8 threw this. */
function describe(error: unknown, value: unknown, name: string, isLater = false): { where: string; what: string; cause: unknown } {
  if (error instanceof Refusal) return { ...error.describe(name, isLater), cause: error.cause };
  return { where: name, what: `${kindOfValue(value)}, and v8 says: ${textOf(() => String(error))}`, cause: error };
}

/** A path longer than this helps nobody. */
const MOST_STEPS = 31;
/** The step to the key of a Map: it has no path. */
const KEY = Symbol('key');
/** After so many levels the walk goes on from the top: v8 needs less of the stack for one. */
const DEEP = 128;
/** No v8 writes so deep: these are getters that make each other, without end. */
const ENDLESS = 100_000;
/** So many objects are found sooner in a list than in a Map. */
const FEW = 16;

/**
 * A copy of a value for v8 to write, made in one walk. It has what v8 would write: own enumerable properties under strings, nothing
 * inherited. So each getter runs once, what v8 would make a bare `{}` of is found, and no two values have an object in common. What
 * is shared or cyclic inside the value stays so.
 */
class Snapshot {
  /** How large it is, roughly, and how deep. */
  bytes = 0;
  deepest = 0;
  /** Whether all objects in the copy are new. */
  isPlain = true;
  /** Whether the walk is at what was too deep at first: the way there is not known. */
  isLater = false;
  /** Objects, each before its copy. */
  readonly #few: (object | undefined)[] = [];
  #fewCount = 0;
  #many: Map<object, object> | undefined;
  /** What is so deep that it is filled in later. */
  #later: { value: object; copy: object; depth: number }[] = [];
  /** Where it is noted what was left out; without it, what cannot be cloned is an error. */
  readonly #notes: string[] | undefined;
  readonly #mostLevels: number;
  #path: string;

  constructor(notes?: string[], path = '') {
    this.#notes = notes;
    this.#mostLevels = notes === undefined ? ENDLESS : MOST_LEVELS;
    this.#path = path;
  }

  /** For one of many, in the same copy: DROPPED if it cannot be cloned. */
  copyPart(value: unknown, path: string): unknown {
    this.#path = path;
    try {
      return this.#copy(value, 0);
    } catch (error) {
      return this.#leftOut(error);
    }
  }

  /** Makes it ready for the next value. */
  clear(): void {
    this.bytes = this.deepest = 0;
    this.isPlain = true;
    this.isLater = false;
    for (let i = 0; i < this.#fewCount; i++) this.#few[i] = undefined;
    this.#fewCount = 0;
    this.#many = undefined;
    this.#later = this.#later.length === 0 ? this.#later : [];
  }

  /** @throws Refusal */
  take(value: unknown): unknown {
    const copy = this.#copy(value, 0);
    for (const { value, copy, depth } of this.#later) { // it grows meanwhile
      this.isLater = true;
      this.#fill(value, copy, depth);
    }
    return copy;
  }

  #copy(value: unknown, depth: number): unknown {
    if (typeof value === 'object' && value !== null) return this.#object(value, depth);
    if (typeof value === 'function' || typeof value === 'symbol') throw new Refusal(kindOfValue(value));
    this.bytes += typeof value === 'string' ? value.length : 8;
    return value;
  }

  #object(value: object, depth: number): object {
    if (isProxy(value)) throw new Refusal(kindOfValue(value));
    const known = this.#known(value);
    if (known !== undefined) return known;
    if (depth > this.#mostLevels) throw new Refusal('nested too deep');
    this.bytes += 8;
    if (depth > this.deepest) this.deepest = depth;
    if (Array.isArray(value)) return this.#isDeep(depth) ? this.#filled(value, [], depth) : this.#array(value, depth);
    if (Object.getPrototypeOf(value) === Object.prototype && !this.#isDeep(depth)) return this.#plain(value, depth);
    return this.#special(value, depth) ?? this.#filled(value, {}, depth);
  }

  #isDeep(depth: number): boolean {
    return depth > 0 && depth % DEEP === 0;
  }

  /** A new copy, now or later. */
  #filled(value: object, copy: object, depth: number): object {
    this.#keep(value, copy);
    if (this.#isDeep(depth)) this.#later.push({ value, copy, depth });
    else this.#fill(value, copy, depth);
    return copy;
  }

  /** The quick way for most: a spread runs each getter, too. */
  #plain(value: object, depth: number): object {
    let copy: Record<string, unknown>;
    try {
      copy = { ...value };
    } catch {
      return this.#filled(value, {}, depth); // which of them throws?
    }
    let isEmpty = true;
    for (const key in copy) {
      if (!Object.hasOwn(copy, key)) continue; // somebody gave all objects a property
      if (isEmpty) this.#keep(value, copy);
      isEmpty = false;
      const item = copy[key];
      this.bytes += key.length;
      if (typeof item === 'string') this.bytes += item.length;
      else if (isPrimitive(item)) this.bytes += 8;
      else if ((copy[key] = this.#part(item, value, key, depth)) === DROPPED) delete copy[key];
    }
    return isEmpty ? this.#special(value, depth) ?? this.#keep(value, copy) : copy;
  }

  #array(value: unknown[], depth: number): object {
    const { length } = value;
    const keys = Object.keys(value);
    const isDense = keys.length === length && (length === 0 || keys[length - 1] === String(length - 1)) && Object.getPrototypeOf(value) === Array.prototype;
    if (!isDense) return this.#filled(value, [], depth);
    let copy: unknown[];
    try {
      copy = Array.prototype.slice.call(value); // v8 writes one without holes in half the time
    } catch {
      return this.#filled(value, [], depth);
    }
    this.#keep(value, copy);
    for (let i = 0; i < length; i++) {
      const item = copy[i];
      if (typeof item === 'string') this.bytes += item.length;
      else if (isPrimitive(item)) this.bytes += 8;
      else if ((copy[i] = this.#part(item, value, i, depth)) === DROPPED) copy[i] = undefined;
    }
    return copy;
  }

  /** One after the other, as v8 does. */
  #fill(value: object, copy: object, depth: number): void {
    if (isMap(copy)) return this.#fillMap(value, copy, depth);
    if (isSet(copy)) return this.#fillSet(value, copy, depth);
    for (const key of Object.keys(value)) {
      this.bytes += key.length;
      const part = this.#field(value, key, depth);
      if (part !== DROPPED) define(copy, key, part);
    }
    if (Array.isArray(value) && Array.isArray(copy)) copy.length = value.length;
  }

  #field(value: object, key: string, depth: number): unknown {
    let item: unknown;
    try {
      item = Reflect.get(value, key);
    } catch (error) {
      return this.#leftOut(new Refusal(trapped(error), error), value, key);
    }
    return this.#part(item, value, key, depth);
  }

  #part(item: unknown, container: object, step: unknown, depth: number): unknown {
    const path = this.#path;
    try {
      if (this.#notes !== undefined) this.#path += stepOf(container, step);
      const part = this.#copy(item, depth + 1);
      this.#path = path;
      return part;
    } catch (error) {
      this.#path = path;
      return this.#leftOut(error, container, step);
    }
  }

  /** What cannot be cloned is noted; or it is an error, to which this is one step of its way. */
  #leftOut(error: unknown, container?: object, step?: unknown): unknown {
    if (error instanceof Refusal) {
      if (container !== undefined) error.add(container, step);
      if (this.#notes !== undefined) {
        const { where, what } = error.describe(this.#path);
        note(this.#notes, where, what);
        return DROPPED;
      }
    }
    throw error;
  }

  /** What is more to v8 than its properties, or nothing at all; undefined for all else. */
  #special(value: object, depth: number): object | undefined {
    if (isDate(value)) return this.#keep(value, new Date(Date.prototype.getTime.call(value)));
    if (isMap(value)) return this.#filled(value, new Map(), depth);
    if (isSet(value)) return this.#filled(value, new Set(), depth);
    if (!isView(value) && !(isArrayBuffer(value) && value.byteLength > 0)) {
      const Class = builtIn(value);
      if (Class !== undefined) throw new Refusal(`of the class ${Class}`);
      if (isNativeError(value)) return this.#error(value, depth);
      if (Object.keys(value).length === 0 && !isCloneable(value)) throw new Refusal(kindOfValue(value));
      if (!isRegExp(value) && !isBoxedPrimitive(value) && !isArrayBuffer(value)) return undefined;
    }
    if (isView(value) && !isThere(value)) throw new Refusal(`${kindOfValue(value)}, on memory that is not there any more`);
    this.isPlain = false;
    return value;
  }

  #fillMap(value: object, copy: Map<unknown, unknown>, depth: number): void {
    const entries: [unknown, unknown][] = [];
    Map.prototype.forEach.call(value, (item, key) => { entries.push([key, item]); });
    for (const [key, item] of entries) {
      const parts = [this.#part(key, value, KEY, depth), this.#part(item, value, key, depth)];
      if (!parts.includes(DROPPED)) copy.set(parts[0], parts[1]);
    }
  }

  #fillSet(value: object, copy: Set<unknown>, depth: number): void {
    const items: unknown[] = [];
    Set.prototype.forEach.call(value, item => { items.push(item); });
    for (const item of items) copy.add(this.#part(item, value, '', depth));
    copy.delete(DROPPED);
  }

  /** What v8 keeps of one that is part of a value. */
  #error(value: Error, depth: number): object {
    this.isPlain = false;
    const copy = this.#keep(value, new Error());
    Object.setPrototypeOf(copy, Object.getPrototypeOf(value));
    Object.defineProperty(copy, 'stack', { value: undefined, configurable: true });
    for (const key of ['name', 'message', 'stack', 'cause']) {
      const part = Object.hasOwn(value, key) ? this.#field(value, key, depth) : DROPPED;
      if (part !== DROPPED) Object.defineProperty(copy, key, { value: part, configurable: true });
    }
    return copy;
  }

  #known(value: object): object | undefined {
    if (this.#many !== undefined) return this.#many.get(value);
    for (let i = 0; i < this.#fewCount; i += 2) if (this.#few[i] === value) return this.#few[i + 1];
    return undefined;
  }

  #keep<Copy extends object>(value: object, copy: Copy): Copy {
    if (this.#fewCount < 2 * FEW) {
      this.#few[this.#fewCount++] = value;
      this.#few[this.#fewCount++] = copy;
    } else {
      this.#many ??= this.#moved();
      this.#many.set(value, copy);
    }
    return copy;
  }

  #moved(): Map<object, object> {
    const many = new Map<object, object>();
    for (let i = 0; i < 2 * FEW; i += 2) many.set(this.#few[i]!, this.#few[i + 1]!);
    return many;
  }
}

/** Also `__proto__`. */
function define(copy: object, key: string, value: unknown): void {
  Object.defineProperty(copy, key, { value, enumerable: true, configurable: true, writable: true });
}

function stepOf(container: unknown, step: unknown): string {
  if (step === KEY) return '';
  if (isMap(container)) return `.get(${inspect(step, { depth: 0 })})`;
  if (isSet(container)) return '.values()';
  return Array.isArray(container) ? `[${String(step)}]` : `.${String(step)}`;
}

const isPrimitive = (value: unknown): boolean => (typeof value !== 'object' || value === null) && typeof value !== 'function' && typeof value !== 'symbol';

function isCloneable(value: unknown): boolean {
  try {
    serialize(value);
    return true;
  } catch {
    return false;
  }
}

/** Native classes without a tag, of any realm, that v8 carries. */
const KNOWN: ReadonlySet<string> = new Set(['Object', 'RegExp', 'Boolean', 'Number', 'String', 'AggregateError', ...BUILT_IN.keys()]);
/** Built-in classes with a tag that v8 carries. */
const CARRIED: ReadonlySet<string> = new Set(['Map', 'Set', 'ArrayBuffer', 'BigInt']);

/** Node's own classes, by their prototypes: of the modules that are loaded, as no others can have instances. */
const nodeClasses = new Map<object, string>();
let modulesSeen = 0;

/** What is asked of a module here an import asks of it, too; but `process` would open its streams. */
function learnNodeClasses(): void {
  const loaded: unknown = Reflect.get(process, 'moduleLoadList');
  for (; Array.isArray(loaded) && modulesSeen < loaded.length; modulesSeen++) {
    const exports = Object(process.getBuiltinModule(String(loaded[modulesSeen]).replace(/^NativeModule (process$)?/, '')));
    for (const key of Object.keys(exports)) {
      const proto: unknown = Reflect.get(Object(exports[key]), 'prototype');
      if (typeof proto === 'object' && proto !== null) nodeClasses.set(proto, key);
    }
  }
}

/** Of these all that counts is in their keys: the symbols are settings, and what was computed. */
const OPEN: ReadonlySet<string> = new Set(['EventEmitter', 'Stats', 'BigIntStats']);

/**
 * Of which class of the platform it is whose state v8 does not see: it would refuse it, or send a bare shell. That is a global class with a tag,
 * but for those that v8 carries; one that is native code; and one that a module of Node exports, where the object has keys that are symbols,
 * or no keys at all. Classes of one's own are not meant, unless they extend one of these.
 */
function builtIn(value: object): string | undefined {
  learnNodeClasses();
  for (const proto of line(value)) {
    const tag: unknown = Reflect.getOwnPropertyDescriptor(proto, Symbol.toStringTag)?.value;
    const Kind = typeof tag === 'string' ? tag.split('.').reduce((of: unknown, name) => Reflect.get(Object(of), name), globalThis) : undefined; // 'WebAssembly.Module', too
    if (typeof tag === 'string' && Reflect.get(Object(Kind), 'prototype') === proto) return CARRIED.has(tag) ? undefined : tag;
    const Class: unknown = Reflect.getOwnPropertyDescriptor(proto, 'constructor')?.value;
    if (typeof Class === 'function' && isNative(Class) && !KNOWN.has(Class.name)) return Class.name;
    const name = nodeClasses.get(proto);
    if (name !== undefined && !OPEN.has(name) && (Object.getOwnPropertySymbols(value).length > 0 || Object.keys(value).length === 0)) return name;
  }
  return undefined;
}

function kindOfValue(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`;
  return isProxy(value) ? 'a Proxy' : `of the class ${Object.prototype.toString.call(value).slice(8, -1)}`;
}
