// Random numbers from a seed: the same seed gives the same numbers, on every machine. (sfc32, a small and quick generator of good quality.)

export class Random {
  #a: number;
  #b: number;
  #c = 0x9e3779b9;
  #counter = 1;

  /** Two seeds, as a generator of its own for each thing keeps the others as they are when one thing is taken away. */
  constructor(seed: number, name = 0) {
    this.#a = seed | 0;
    this.#b = Math.imul(name, 0x85ebca6b) ^ Math.floor(seed / 2 ** 32);
    for (let i = 0; i < 12; i++) this.bits();
  }

  /** 32 bits. */
  bits(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum | 0;
    return sum >>> 0;
  }

  /** From 0 to 1. */
  unit(): number {
    return this.bits() / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** An integer, both ends included. */
  integer(from: number, to: number): number {
    return from + Math.floor(this.unit() * (to - from + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)]!;
  }

  /** Small mostly, and now and then large: milliseconds, say, as many as the edges of the code are apart. */
  spread(most: number): number {
    return most ** this.unit() - 1;
  }
}
