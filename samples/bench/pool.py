# Python's multiprocessing.Pool, measured as measure.mjs does: `python3 pool.py '{"row": "tiny", "pool": "imap_unordered(64)", ...}'`

import json, multiprocessing, os, sys, time

def following(n): return n + 1
def annotate(line): return {**line, 'bytes': line['bytes'] + 1}
def echo(value): return value

def spin(ms):
    end = time.perf_counter() + ms / 1000 if ms else 0
    while time.perf_counter() < end: pass
    return ms

def memory(_):
    with open('/proc/self/statm') as file: return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

def check(found, wanted):
    if found != wanted: raise SystemExit(f'Cannot count this measurement as the result is wrong: found {found}, wanted {wanted}')

def stream(pool, how, work, jobs):
    if how == 'map': return pool.map(work, jobs)
    return pool.imap_unordered(work, jobs, **({'chunksize': 64} if how == 'imap_unordered(64)' else {}))

def line(n):
    return dict(host=f'10.0.{n >> 8 & 255}.{n & 255}', user=None if n % 7 == 0 else f'user-{n % 1000}',
                time=1.7e12 + n * 250, method='GET', path=f'/articles/{n}/' + 'a-rather-long-title-' * 8,
                protocol='HTTP/1.1', status=404 if n % 50 == 0 else 200, bytes=n, durationMs=n / 16,
                referrer='https://www.example.org/search?q=' + 'words+and+' * 20 + f'&page={n % 10}',
                agent='Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
                cookies=dict(session='f' * 64, theme='dark', consent='yes' * 40))

def measure(row, how, given):
    start = time.perf_counter()
    if row == 'first':
        with multiprocessing.Pool(1) as pool: check(pool.apply(following, (1,)), 2)
        return dict(ms=(time.perf_counter() - start) * 1000)
    if row in ('latency', 'echo', 'memory'):
        with multiprocessing.Pool(1) as pool:
            if row == 'memory': return dict(mb=pool.apply(memory, (0,)) / 2 ** 20)
            sent = bytes(b'drain' * (given.get('mb', 0) * 2 ** 20 // 5))
            times = []
            for n in range(given['times'] if row == 'echo' else given['count']):
                start = time.perf_counter()
                value = pool.apply(echo, (sent,)) if row == 'echo' else pool.apply(following, (n,))
                times.append(time.perf_counter() - start)
                check(value == (sent if row == 'echo' else n + 1), True)
            times.sort()
            if row == 'echo': return dict(ms=times[len(times) // 2] * 1000)
            return dict(p50us=times[len(times) // 2] * 1e6, p99us=times[int(len(times) * 0.99)] * 1e6)
    count = given['count']
    with multiprocessing.Pool(2) as pool:
        pool.map(following, range(1000))
        lines = [line(n) for n in range(1000)]
        start = time.perf_counter()
        if row == 'tiny': check(sum(stream(pool, how, following, range(count))), count * (count + 1) // 2)
        elif row == 'objects': check(sum(value['bytes'] for value in stream(pool, how, annotate, (lines[n % 1000] for n in range(count)))), count // 1000 * 500500)
        else: check(sum(stream(pool, how, spin, (100 if n % 400 == 0 else 0 for n in range(1, count + 1)))), count // 400 * 100)
        elapsed = time.perf_counter() - start
    return dict(timesIdeal=elapsed / (count / 400 * 0.1 / 2)) if row == 'mixed' else dict(jobsPerS=count / elapsed)

if __name__ == '__main__':
    given = json.loads(sys.argv[1])
    print(json.dumps(measure(given['row'], given['pool'].removeprefix('python '), given)))
