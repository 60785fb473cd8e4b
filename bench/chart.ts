/** Draws a line chart as a self-contained SVG for the docs: linear axes from zero, a legend. Not a charting library. */
export interface Chart {
  title: string;
  x: string;
  y: string;
  series: { name: string; points: { x: number; y: number }[] }[];
}

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 70;
const TOP = 50;
const RIGHT = 20;
const BOTTOM = 60;
const COLOURS = ["#1f6feb", "#d1512d", "#2da44e", "#8250df"];

/** A round step that makes about five ticks up to `largest`. */
function tickStep(largest: number): number {
  const raw = largest / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
}

export function lineChart({ title, x, y, series }: Chart): string {
  const points = series.flatMap((one) => one.points);
  const xStep = tickStep(Math.max(...points.map((point) => point.x)));
  const yStep = tickStep(Math.max(...points.map((point) => point.y)));
  const xEnd = xStep * Math.ceil(Math.max(...points.map((point) => point.x)) / xStep);
  const yEnd = yStep * Math.ceil(Math.max(...points.map((point) => point.y)) / yStep);
  const across = (value: number) => (LEFT + ((WIDTH - LEFT - RIGHT) * value) / xEnd).toFixed(1);
  const up = (value: number) => (HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * value) / yEnd).toFixed(1);
  const parts: string[] = [];
  for (let value = 0; value <= xEnd + xStep / 2; value += xStep) {
    parts.push(
      `<text x="${across(value)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${+value.toFixed(6)}</text>`,
    );
  }
  for (let value = 0; value <= yEnd + yStep / 2; value += yStep) {
    parts.push(`<path d="M${LEFT} ${up(value)}H${WIDTH - RIGHT}" stroke="#d0d7de"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${+up(value) + 4}" text-anchor="end">${+value.toFixed(6)}</text>`);
  }
  series.forEach(({ name, points: line }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = line.map((point, j) => `${j === 0 ? "M" : "L"}${across(point.x)} ${up(point.y)}`).join("");
    parts.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const point of line)
      parts.push(`<circle cx="${across(point.x)}" cy="${up(point.y)}" r="3" fill="${colour}"/>`);
    parts.push(`<rect x="${LEFT + 15}" y="${TOP + 5 + 20 * i}" width="14" height="4" fill="${colour}"/>`);
    parts.push(`<text x="${LEFT + 36}" y="${TOP + 12 + 20 * i}">${name}</text>`);
  });
  parts.push(`<text x="${LEFT}" y="26" font-size="16" font-weight="bold">${title}</text>`);
  parts.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 14}" text-anchor="middle">${x}</text>`);
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  parts.push(`<text x="18" y="${middle}" text-anchor="middle" transform="rotate(-90 18 ${middle})">${y}</text>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}
