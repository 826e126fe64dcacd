// A worker that says when it is busy, and is so for a minute.

import { writeSync } from 'node:fs';

export default function busy() {
  writeSync(1, 'busy\n');
  for (const endMs = performance.now() + 60_000; performance.now() < endMs;);
}

if (process.argv[2] === 'alone') {
  process.on('SIGINT', () => {});
  busy();
}
