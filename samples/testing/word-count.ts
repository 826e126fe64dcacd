// The worker module of count-words.ts: the path of a file in, the number of its words out.

import { readFileSync } from 'node:fs';

export default function wordCount(path: string): number {
  return readFileSync(path, 'utf8').match(/\S+/g)?.length ?? 0;
}
