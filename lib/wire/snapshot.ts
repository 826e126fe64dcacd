// The copy of a value that v8 is to write, made in one walk.

import { isArrayBuffer, isArrayBufferView as isView, isBoxedPrimitive, isDate, isMap, isNativeError, isProxy, isRegExp, isSet } from 'node:util/types';
import { DEEP, DROPPED, KEY, Refusal, builtIn, isCloneable, isPrimitive, isThere, kindOfValue, note, stepOf, trapped } from './uncloneable.ts';

/** A job may overwrite what is global: what a worker needs to send its result is taken now. */
const { Date, Error, Map, Set } = globalThis;

/** What an error refers to is kept so deep, and so many causes behind each other, and so many errors in all. */
export const MOST_LEVELS = 50;
/** No v8 writes so deep: these are getters that make each other, without end. */
const ENDLESS = 100_000;
/** So many objects are found sooner in a list than in a Map. */
const FEW = 16;

/**
 * A copy of a value for v8 to write, made in one walk. It has what v8 would write: own enumerable properties under strings, nothing
 * inherited. So each getter runs once, what v8 would make a bare `{}` of is found, and no two values have an object in common. What
 * is shared or cyclic inside the value stays so.
 */
export class Snapshot {
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
  copy(value: unknown): unknown {
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
export function define(copy: object, key: string, value: unknown): void {
  Object.defineProperty(copy, key, { value, enumerable: true, configurable: true, writable: true });
}
