/**
 * The dashboard: one page without outside resources, which polls /status and draws goodput, RTT, loss, redundancy and forwards of
 * each session over the last minutes as inline SVG. Names of peers go in as text, never as markup.
 */

export const DASHBOARD_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bats-proxy</title>
<style>
:root { color-scheme: light dark; --line: #2a6fdb; --other: #d9822b; --faint: #8888; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 0 1rem 2rem; }
h1 { font-size: 1.2rem; margin: 1rem 0 .2rem; }
#summary, .facts { color: GrayText; margin: 0 0 1rem; }
section { border-top: 1px solid var(--faint); padding: .8rem 0; }
h2 { font-size: 1rem; margin: 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .8rem; }
figure { margin: 0; }
figcaption { display: flex; justify-content: space-between; gap: .5rem; font-size: .85rem; }
figcaption b { font-variant-numeric: tabular-nums; }
svg { width: 100%; height: 4rem; display: block; background: color-mix(in srgb, var(--faint) 20%, transparent); }
path { fill: none; stroke: var(--line); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.suspended h2::after { content: " does not answer"; color: #c33; font-weight: normal; }
</style>
<h1>bats-proxy <span id="role"></span></h1>
<p id="summary">connecting</p>
<main></main>
<script>
"use strict";
const KEPT = 300, PERIOD_MS = 1000, SHOWN = 50;
const CHARTS = [
  ["to the peer", "Mbit/s", (now, before, s) => rate(now.bytesSent, before && before.bytesSent, s)],
  ["from the peer", "Mbit/s", (now, before, s) => rate(now.bytesReceived, before && before.bytesReceived, s)],
  ["round trip", "ms", (now) => now.rttMs],
  ["loss", "%", (now) => now.lossRate * 100],
  ["redundancy", "%", (now) => now.redundancy * 100],
  ["forwards", "", (now) => now.connections + now.flows],
];
const views = new Map();
const main = document.querySelector("main");
function rate(now, before, seconds) { return before === undefined ? null : (now - before) * 8 / 1e6 / seconds; }
function element(name, parent, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}
function createView(session) {
  const section = element("section", main);
  element("h2", section, session.peer);
  const facts = element("p", section);
  facts.className = "facts";
  const grid = element("div", section);
  grid.className = "charts";
  const charts = CHARTS.map(([label]) => {
    const figure = element("figure", grid);
    const caption = element("figcaption", figure);
    element("span", caption, label);
    const value = element("b", caption);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 " + (KEPT - 1) + " 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label + " over the last five minutes");
    const path = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    figure.append(svg);
    return { value, path, points: [] };
  });
  return { section, facts, charts, before: undefined, atMs: 0 };
}
function update(view, session, nowMs) {
  const seconds = (nowMs - view.atMs) / 1000;
  view.section.className = session.state;
  const minutes = Math.floor((nowMs - session.sinceMs) / 60000);
  view.facts.textContent = session.address + ", " + minutes + " min, sockets by " + session.io + ", " + session.aead + ", " + session.congestion;
  view.charts.forEach((chart, i) => {
    const [, unit, read] = CHARTS[i];
    const value = read(session, view.before, seconds);
    chart.points.push(value);
    if (chart.points.length > KEPT) chart.points.shift();
    chart.value.textContent = value === null ? "" : value.toFixed(unit === "" ? 0 : value < 10 ? 2 : 1) + " " + unit;
    draw(chart);
  });
  view.before = session;
  view.atMs = nowMs;
}
function draw({ path, points }) {
  const most = Math.max(1e-9, ...points.map((value) => value || 0)) * 1.05;
  let text = "", pen = "M";
  points.forEach((value, i) => {
    if (value === null) { pen = "M"; return; }
    text += pen + (KEPT - points.length + i) + " " + (99 - 98 * value / most).toFixed(1);
    pen = "L";
  });
  path.setAttribute("d", text);
}
function show(status) {
  document.getElementById("role").textContent = status.role + " " + status.version;
  const { sessions, forwards, refused } = status.totals;
  document.getElementById("summary").textContent = (status.ready ? "ready" : "not ready") + ", " + status.sessions.length +
    " sessions open of " + sessions + ", " + forwards + " forwards done, " + refused + " refused";
  const shown = status.sessions.length <= SHOWN ? status.sessions
    : status.sessions.toSorted((a, b) => b.bytesSent + b.bytesReceived - a.bytesSent - a.bytesReceived).slice(0, SHOWN);
  const ids = new Set(shown.map(({ id }) => id));
  for (const [id, { section }] of views) if (!ids.has(id)) { section.remove(); views.delete(id); }
  for (const session of shown) {
    if (!views.has(session.id)) views.set(session.id, createView(session));
    update(views.get(session.id), session, status.nowMs);
  }
}
async function poll() {
  try {
    const response = await fetch("status", { cache: "no-store" });
    show(await response.json());
  } catch {
    document.getElementById("summary").textContent = "does not answer";
  }
  setTimeout(poll, document.hidden ? 5 * PERIOD_MS : PERIOD_MS);
}
poll();
</script>
</html>
`;
