// A value as the other process is to get it: a snapshot of now, as a primitive or as bytes; and the value again. Bytes are as v8 writes them, but
// each view on memory has bytes of its own, of its own length, and an error keeps its class, its causes and its properties, of which v8 keeps but
// some. It knows no messages.

import { isProxy } from 'node:util/types';
import { DefaultDeserializer, DefaultSerializer } from 'node:v8';
import type { Batch, Plain } from './batch.ts';
import type { Wire } from './protocol.ts';
import { MOST_LEVELS, Snapshot, define } from './snapshot.ts';
import { BUILT_IN, DROPPED, Refusal, describe, isError, isPrimitive, kindOf, note, textOf, trapped } from './uncloneable.ts';

/** A job may overwrite what is global: what a worker needs to send its result is taken now. */
const { DOMException, Error, Map, Set } = globalThis;

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
    const copy = snapshot.copy(value);
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
    const value = new Snapshot(notCloned, 'reason').copy(reason);
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

/** v8 says no more than that the stack, or a buffer, was too small. */
export function unpackOrSay(bytes: Uint8Array): unknown {
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

// ---- Errors as data, and back

/** The first byte of packed errors; everything else begins with the 0xff of v8. */
const ERROR_TAG = 0;
const tagged = (tag: number, value: unknown): Buffer => Buffer.concat([Uint8Array.of(tag), serialize(value)]);
/** The property in which the receiver of a reason sees what was left out of it. */
const NOTE = 'notCloned';
const MOST_CAUSES = 250;
const MOST_ERRORS = 10_000;

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

// ---- Bytes

/** What is larger than this is worth a message of its own. */
export const AHEAD_BYTES = 256 * 1024;
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
