// Writes an access log to try parse-logs.ts on: combined log format, with the milliseconds of each request as the last
// field. The same number of lines is the same log every time: node dist/samples/make-log.js FILE [LINES]

import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

const LINES = 2_000_000;
const LINES_AT_A_TIME = 1000;
const PATHS = 2000;
const START = Date.UTC(2026, 0, 1);
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const SECTIONS = ['', 'articles', 'images', 'api/v1/users', 'api/v1/orders', 'static', 'search', 'feeds'];
const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36',
  'curl/8.5.0',
  String.raw`a \"quoted\" bot/1.0`,
];

/** Mulberry32: a number from 0 up to 1, the same ones in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function* linesOf(count: number): Generator<string> {
  const random = generator(2010);
  let now = START;
  for (let left = count; left > 0; left -= LINES_AT_A_TIME) {
    let lines = '';
    for (let i = 0; i < Math.min(left, LINES_AT_A_TIME); i++) {
      now += Math.floor(random() * 100);
      lines += lineAt(now, random);
    }
    yield lines;
  }
}

function lineAt(now: number, random: () => number): string {
  const below = (limit: number): number => Math.floor(random() * limit);
  const number = Math.floor(PATHS ** random()) - 1; // a few paths have most of the requests
  const section = SECTIONS[number % SECTIONS.length] ?? '';
  const item = number < SECTIONS.length ? section : [...(section === '' ? [] : [section]), number].join('/');
  const path = `/${item}${random() < 0.2 ? `?page=${below(50)}` : ''}`;
  const status = pick([[0.86, 200], [0.91, 304], [0.95, 302], [0.985, 404], [0.995, 403], [1, 500]], random());
  const bytes = status === 304 ? '-' : Math.floor(200 * 500 ** random());
  const referer = random() < 0.4 ? '-' : `https://example.com/${SECTIONS[below(SECTIONS.length)]}`;
  const ms = Math.floor(1 / (1.0001 - random())) + below(40); // most are fast, one in a thousand takes a second or more
  const ip = `10.${below(4)}.${below(256)}.${below(256)}`;
  return `${ip} - ${random() < 0.05 ? 'alice' : '-'} [${stamp(now)}] "${random() < 0.9 ? 'GET' : 'POST'} ${path} HTTP/1.1" ${status} ${bytes} "${referer}" "${AGENTS[below(AGENTS.length)]}" ${ms}\n`;
}

/** The first of which the share, summed up, is above the number. */
function pick(shares: readonly (readonly [number, number])[], number: number): number {
  return shares.find(([share]) => number < share)?.[1] ?? 0;
}

function stamp(now: number): string {
  const iso = new Date(now).toISOString();
  return `${iso.slice(8, 10)}/${MONTHS[Number(iso.slice(5, 7)) - 1]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
}

try {
  const [file = '', lines = String(LINES), ...others] = process.argv.slice(2);
  if (file === '' || others.length > 0 || !/^\d+$/.test(lines)) throw new Error('it takes FILE [LINES]');
  await pipeline(linesOf(Number(lines)), createWriteStream(file)); // which asks for more when the disk has taken the last
} catch (error) {
  process.stderr.write(`Cannot make the log: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
