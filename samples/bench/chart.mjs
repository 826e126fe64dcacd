// Draws bars of the medians, for a light or a dark page: one panel for each row that compares pools, the longest bar the best.

const THEMES = {
  light: { text: '#1f2328', faint: '#59636e', ours: '#0969da', ceiling: '#8c959f', peer: '#c8d1da' },
  dark: { text: '#f0f6fc', faint: '#9198a1', ours: '#4493f8', ceiling: '#656c76', peer: '#3d444d' },
};
const SHOWN = ['tiny', 'objects', 'latency', 'echo 64 MB'];
const [WIDTH, NAME, BAR, LINE, HEAD] = [840, 210, 500, 20, 44];

const label = number => number >= 1000 ? Math.round(number).toLocaleString('en') : number.toPrecision(3);

export function chart({ rows, node, processor, cores }, theme) {
  const { text, faint, ours, ceiling, peer } = THEMES[theme];
  const shown = rows.filter(row => SHOWN.includes(row.name) && Object.keys(row.medians).length > 1);
  if (shown.length === 0) return '';
  const parts = [];
  let y = 0;
  for (const { title, unit, isRate, medians } of shown) {
    parts.push(`<text x="0" y="${y + 28}" font-weight="600" fill="${text}">${title} <tspan fill="${faint}" font-weight="400">(${unit}, ${isRate ? 'more' : 'less'} is better)</tspan></text>`);
    y += HEAD;
    const most = Math.max(...Object.values(medians));
    const sorted = Object.entries(medians).sort(([, a], [, b]) => isRate ? b - a : a - b);
    for (const [pool, value] of sorted) {
      const fill = pool === 'drainpool' ? ours : pool === 'bare' ? ceiling : peer;
      const name = pool === 'bare' ? 'bare channel of Node' : pool === 'piscina' ? 'piscina (threads)' : pool;
      parts.push(`<text x="${NAME - 10}" y="${y + 14}" text-anchor="end" fill="${pool === 'drainpool' ? text : faint}">${name}</text>`
        + `<rect x="${NAME}" y="${y + 3}" width="${Math.max(1, value / most * BAR).toFixed(1)}" height="14" rx="2" fill="${fill}"/>`
        + `<text x="${(NAME + Math.max(1, value / most * BAR) + 8).toFixed(1)}" y="${y + 14}" fill="${text}">${label(value)}</text>`);
      y += LINE;
    }
    y += 10;
  }
  parts.push(`<text x="0" y="${y + 14}" fill="${faint}">Node ${node}, ${cores} x ${processor}, two workers; medians</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 24}" font-family="system-ui, sans-serif" font-size="13">\n${parts.join('\n')}\n</svg>\n`;
}
