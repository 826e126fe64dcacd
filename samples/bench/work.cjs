// What the workers do, the same for every pool: BENCH_WORK says which. CommonJS, which all pools can load.

const works = {
  /** A tiny job: number in, number out. */
  next: n => n + 1,
  /** An object in, an object out: one parsed line of an access log. */
  annotate: line => ({ ...line, bytes: line.bytes + 1 }),
  /** A fixed amount of computation. */
  compute: steps => {
    let hash = 1;
    for (let i = 0; i < steps; i++) hash = Math.imul(hash ^ i, 0x01000193);
    return hash;
  },
  /** So many milliseconds on the clock, or, with 0, a tiny job. */
  spin: ms => {
    for (const endMs = ms === 0 ? 0 : performance.now() + ms; performance.now() < endMs;);
    return ms;
  },
  echo: bytes => bytes,
  memory: () => process.memoryUsage.rss(),
};

module.exports = works[process.env.BENCH_WORK];
