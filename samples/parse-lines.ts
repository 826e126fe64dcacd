// The worker module of parse-logs.ts: a range of bytes of an access log in, a small aggregate of its lines out. A range
// owns the lines that start in it: it leaves the one that it starts in the middle of to the range before, and reads on
// past its end to finish its last. So every line is parsed once, wherever the borders fall.

import { openSync, readSync } from 'node:fs';

/** From the byte `start` up to the byte `end`, which belongs to the next range. */
export type Range = { start: number; end: number };
/** `at` is the byte where the line of a slow request starts. */
export type Aggregate = { lines: number; unparsed: number; bytes: number; statuses: Map<string, number>; paths: Map<string, number>; slowest: { ms: number; at: number; status: string; path: string }[] };

/** How many of the slowest requests, and of the paths with most requests, are of interest. */
export const TOP = 10;
/** A longer line counts as one that does not parse: a file without line ends must not have to fit in memory. */
const LONGEST_LINE_BYTES = 64 * 1024;
const NEWLINE = 10;
/** Combined log format, then the milliseconds. A path goes without its query; a quote within quotes is escaped. */
const LINE = /^\S+ \S+ \S+ \[[^\]]+\] "\S+ ([^ "?\\]+)[^"\\]*(?:\\.[^"\\]*)*" (\d{3}) (\d+|-) "[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*" (\d+)\r?$/;
let file = -1;
/** Once in each worker, which leaves the file open to its end. */
export function setup(path: string): void { file = openSync(path, 'r'); }

export default function parseRange({ start, end }: Range): Aggregate {
  const all = nothing();
  const from = Math.max(start - 1, 0); // the byte before tells whether a line starts with the range
  const bytes = Buffer.allocUnsafe(end - from + LONGEST_LINE_BYTES);
  let size = 0;
  for (let more = -1; more !== 0; size += more) more = readSync(file, bytes, size, bytes.length - size, from + size);
  const text = bytes.subarray(0, size);
  const endOfLine = (at: number): number => (text.indexOf(NEWLINE, at) + 1 || size + 1) - 1; // the last one may lack its newline
  for (let at = start === 0 ? 0 : endOfLine(0) + 1, to = 0; at < Math.min(end - from, size); at = to + 1) {
    to = endOfLine(at);
    // Latin-1 has a character for every byte. Line by line, since a path keeps the string alive that it is cut from.
    const match = to - at <= LONGEST_LINE_BYTES ? LINE.exec(text.toString('latin1', at, to)) : null;
    all.lines++;
    all.unparsed += match === null ? 1 : 0;
    if (match === null) continue;
    const [, path = '', status = '', sent = '', ms = ''] = match;
    all.bytes += sent === '-' ? 0 : Number(sent);
    add(all.statuses, status, 1);
    add(all.paths, path, 1);
    if (Number(ms) > (all.slowest[TOP - 1]?.ms ?? -1)) keepSlowest(all, [{ ms: Number(ms), at: from + at, status, path }]);
  }
  return all;
}

/** The aggregate of no lines. */
export const nothing = (): Aggregate => ({ lines: 0, unparsed: 0, bytes: 0, statuses: new Map(), paths: new Map(), slowest: [] });

/** Adds a part to a sum, which is the same in whatever order the parts come. */
export function merge(sum: Aggregate, part: Aggregate): void {
  sum.lines += part.lines;
  sum.unparsed += part.unparsed;
  sum.bytes += part.bytes;
  for (const [status, count] of part.statuses) add(sum.statuses, status, count);
  for (const [path, count] of part.paths) add(sum.paths, path, count);
  keepSlowest(sum, part.slowest);
}

const add = (counts: Map<string, number>, key: string, count: number): unknown => counts.set(key, (counts.get(key) ?? 0) + count);

function keepSlowest(all: Aggregate, more: Aggregate['slowest']): void {
  all.slowest = [...all.slowest, ...more].sort((a, b) => b.ms - a.ms || a.at - b.at).slice(0, TOP);
}
