// What cannot be cloned, what it is, and where in a value: for errors that say so, and for notes on what was left out. And what an error is,
// of whatever realm.

import { inspect } from 'node:util';
import { isMap, isNativeError, isProxy, isSet } from 'node:util/types';
import { serialize } from 'node:v8';

/** A job may overwrite what is global: what a worker needs to send its result is taken now. */
const { Error, Map, Set } = globalThis;

const MOST_NOTES = 30;
export const BUILT_IN: ReadonlyMap<string, ErrorConstructor> = new Map([Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map(Kind => [Kind.name, Kind]));

/** Of whatever realm: a test runner or a vm context has its own. */
export function isError(value: unknown): value is Error {
  return isNativeError(value) || (typeof value === 'object' && value !== null && kindOf(value) !== undefined);
}

/** The nearest class in the error's line that exists on the other side: by its name, as each realm has its own. Undefined if it is no error. */
export function kindOf(error: object): string | undefined {
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

/** A name may be anything, and have no string. */
export function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

export function note(notes: string[], where: string, what: string): void {
  if (notes.length < MOST_NOTES) notes.push(`${where}: ${what}`);
  else notes[MOST_NOTES] = 'and more';
}

export const trapped = (error: unknown): string => `a getter that throws ${isError(error) ? textOf(() => String(error.message)) : inspect(error, { depth: 0 })}`;

/** Whether the bytes of a view can be read: its buffer may have been given away, or have shrunk. */
export function isThere(view: NodeJS.ArrayBufferView): boolean {
  try {
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).length >= 0;
  } catch {
    return false;
  }
}

/** Takes the place of what was left out. */
export const DROPPED = Symbol('dropped');

/** Something in a value cannot be cloned: what it is, and the way to it, added while the walk goes back. */
export class Refusal {
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
export function describe(error: unknown, value: unknown, name: string, isLater = false): { where: string; what: string; cause: unknown } {
  if (error instanceof Refusal) return { ...error.describe(name, isLater), cause: error.cause };
  return { where: name, what: `${kindOfValue(value)}, and v8 says: ${textOf(() => String(error))}`, cause: error };
}

/** A path longer than this helps nobody. */
const MOST_STEPS = 31;
/** The step to the key of a Map: it has no path. */
export const KEY = Symbol('key');
/** After so many levels the walk goes on from the top: v8 needs less of the stack for one. */
export const DEEP = 128;

export function stepOf(container: unknown, step: unknown): string {
  if (step === KEY) return '';
  if (isMap(container)) return `.get(${inspect(step, { depth: 0 })})`;
  if (isSet(container)) return '.values()';
  return Array.isArray(container) ? `[${String(step)}]` : `.${String(step)}`;
}

export const isPrimitive = (value: unknown): boolean => (typeof value !== 'object' || value === null) && typeof value !== 'function' && typeof value !== 'symbol';

export function isCloneable(value: unknown): boolean {
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
export function builtIn(value: object): string | undefined {
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

export function kindOfValue(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`;
  return isProxy(value) ? 'a Proxy' : `of the class ${Object.prototype.toString.call(value).slice(8, -1)}`;
}
