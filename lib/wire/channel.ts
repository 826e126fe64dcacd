// One end of the channel between parent and worker, which is Node's own: messages under a token, a send that
// resolves when the message has left the process, and how a value becomes bytes. It knows neither what the messages mean nor who is
// on the other side.
//
//  a value                     crosses
//  a primitive                 in its message, as it is
//  small plain data            in its message, in one buffer with the others: a snapshot each (Batch)
//  anything else               in its message, as bytes of its own
//  more than 256 kB of these   ahead of its message, whole
//  more than 64 MB             ahead of its message, piece by piece, each when the one before has left

import { isArrayBufferView as isView, isTypedArray } from 'node:util/types';
import type { Endpoint, Sizes } from '../host.ts';
import type { Plain } from './batch.ts';
import { Batch, Segments } from './batch.ts';
import type { PieceMessage, Wire } from './protocol.ts';
import type { Packed } from './values.ts';
import { AHEAD_BYTES, pack, unpackOrSay } from './values.ts';

/** A job may overwrite what is global: what a worker needs to send its result is taken now. */
const { Error, Promise } = globalThis;

/** Between processes. Measured: below 64 MB, a value that crosses piece by piece is slower. */
export const SIZES: Sizes = { ahead: AHEAD_BYTES, announced: 1024 * 1024, whole: 64 * 1024 * 1024, piece: 1024 * 1024 };
const NO_BYTES = new Uint8Array(0);

/**
 * What marks a message as the pool's: without it a message is the user's own. There is one for each direction, as a
 * worker module may listen to what the parent sends, and must not learn what its own process sends.
 */
export interface Tokens {
  incoming: string;
  outgoing: string;
}

export class Channel<In extends { type: string }, Out extends { type: string }> {
  readonly #endpoint: Endpoint;
  readonly #send: NonNullable<Endpoint['send']>;
  readonly #tokens: Tokens;
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

  constructor(endpoint: Endpoint, tokens: Tokens, sizes: Sizes) {
    if (endpoint.send === undefined) throw new TypeError('Cannot open a channel as this process has none: workers are started by a ProcessPool');
    this.#endpoint = endpoint;
    this.#send = endpoint.send.bind(endpoint);
    this.#tokens = tokens;
    this.#sizes = sizes;
  }

  /** Calls back with every message of the pool, pieces included; with undefined for one that the parser refuses. */
  receive(parse: (message: unknown) => In | PieceMessage | undefined, callback: (message: In | PieceMessage | undefined) => void): void {
    this.#endpoint.on('message', envelope => {
      if (!Array.isArray(envelope) || envelope[0] !== this.#tokens.incoming) return;
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
  encode(value: unknown, name: string, batch?: Batch): Wire {
    if (typeof value === 'number') return value; // a tiny job is done in half a microsecond: each look at it counts
    if (!isView(value) || !isTypedArray(value) || value.byteLength <= this.#sizes.ahead || !this.#maySendWhole(value)) return this.encodePacked(pack(value, name, batch));
    this.#sendWhole(value);
    return { next: 'view' };
  }

  /** The same for what `pack` made of a value. */
  encodePacked(packed: Packed | Plain): Wire {
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
    this.#send([this.#tokens.outgoing, { type: 'piece', bytes, total }], undefined, undefined, () => left());
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
  discard(wire: Wire): void {
    if (typeof wire === 'object' && wire !== null && 'next' in wire && wire.next !== 'plain') this.#arrived.shift();
  }

  #write(message: Out | PieceMessage): Promise<boolean> {
    return new Promise(resolve => {
      this.#send([this.#tokens.outgoing, message], undefined, undefined, error => resolve(error === null));
    });
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
