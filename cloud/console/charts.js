// Small charts as inline SVG: lines over time, bars, shares of a whole, points in a plane.

import { h, number, s } from "./dom.js";

const W = 250, H = 110, LEFT = 42, RIGHT = 6, TOP = 8, BOTTOM = 20;

/** Round steps that cover a range: 1, 2 or 5 times a power of ten. */
export function ticks(low, high, about = 3) {
  if (!(high > low)) return [low];
  const raw = (high - low) / about, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((each) => each * power >= raw) * power;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}
const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function frame(label, height, ...content) {
  return s("svg", { viewBox: `0 0 ${W} ${height}`, class: "chart", role: "img", "aria-label": label }, content);
}
function grid(marks, y, show) {
  return marks.map((mark) => [
    s("line", { x1: LEFT, x2: W - RIGHT, y1: y(mark), y2: y(mark), class: "grid" }),
    s("text", { x: LEFT - 5, y: y(mark) + 3.5, class: "tick end" }, show(mark)),
  ]);
}

/**
 * Lines over x. Series are {name, values: [[x, y | null], ...]}; the first is drawn strongest. A pointer, or the arrow
 * keys, read single values. `low` and `high` widen the range; `show` writes a value, `when` an x.
 */
export function lines(title, series, { show = number, when = number, low = Infinity, high = -Infinity, note = "" } = {}) {
  const known = series.flatMap((each) => each.values).filter(([, y]) => y !== null && y !== undefined);
  const figure = h("figure", { class: "small" });
  if (!known.length) return fill(figure, title, "–", note, h("p", { class: "empty" }, "No figures in this time."));
  const xs = known.map(([x]) => x), ys = known.map(([, y]) => y);
  let [bottom, top] = [Math.min(low, ...ys), Math.max(high, ...ys)];
  if (bottom === top) [bottom, top] = [bottom - (Math.abs(bottom) || 1) * 0.1, top + (Math.abs(top) || 1) * 0.1];
  const room = (top - bottom) * 0.08;
  if (bottom !== low) bottom -= room;
  if (top !== high) top += room;
  const x = scale(Math.min(...xs), Math.max(...xs), LEFT, W - RIGHT), y = scale(bottom, top, H - BOTTOM, TOP);
  const path = (values) => {
    let text = "", pen = false;
    for (const [at, value] of values) { if (value === null || value === undefined) { pen = false; continue; } text += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`; pen = true; }
    return text;
  };
  const main = series[0].values.filter(([, value]) => value !== null && value !== undefined);
  const area = main.length > 1 && low === 0 ? s("path", { class: "area", d: `${path(main)}L${x(main.at(-1)[0])} ${H - BOTTOM}L${x(main[0][0])} ${H - BOTTOM}Z` }) : null;
  const cursor = s("g", { class: "cursor", visibility: "hidden" }, s("line", { y1: TOP, y2: H - BOTTOM }), s("circle", { r: 3 }));
  const first = Math.min(...xs), last = Math.max(...xs);
  const svg = frame(`${title}: last ${show(main.at(-1)?.[1])}, lowest ${show(Math.min(...ys))}, highest ${show(Math.max(...ys))}`, H,
    grid(ticks(bottom, top), y, show), area, series.map((each, i) => s("path", { class: `line l${i}`, d: path(each.values) })),
    s("text", { x: LEFT, y: H - 5, class: "tick" }, when(first)), s("text", { x: W - RIGHT, y: H - 5, class: "tick end" }, when(last)), cursor);
  const latest = show(main.at(-1)?.[1]);
  const read = h("output", {}, latest);
  let place = main.length - 1;
  const point = (i) => {
    place = Math.max(0, Math.min(main.length - 1, i));
    const [at, value] = main[place];
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("transform", `translate(${x(at)} 0)`);
    cursor.lastChild.setAttribute("cy", y(value));
    read.textContent = `${show(value)} at ${when(at)}`;
  };
  const rest = () => { cursor.setAttribute("visibility", "hidden"); read.textContent = latest; };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * W;
    point(main.reduce((best, [each], i) => (Math.abs(x(each) - at) < Math.abs(x(main[best][0]) - at) ? i : best), 0));
  });
  svg.addEventListener("pointerleave", rest);
  figure.tabIndex = 0;
  figure.setAttribute("aria-label", `${title}; arrow keys read values`);
  figure.setAttribute("role", "group");
  figure.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); point(place + by); }
  });
  figure.addEventListener("blur", rest);
  const legend = series.length > 1 && h("div", { class: "legend" }, series.map((each, i) => h("span", { class: `key k${i}` }, each.name)));
  return fill(figure, title, read, note, svg, legend);
}
function fill(figure, title, read, note, ...content) {
  figure.append(h("figcaption", {}, h("span", {}, title, note && h("small", {}, ` ${note}`)), h("b", {}, read)), ...content.filter(Boolean));
  return figure;
}

/** Shares of a whole as one bar with a legend; parts are {name, n, kind, href}. */
export function shares(title, parts, total = parts.reduce((sum, each) => sum + each.n, 0)) {
  let at = 0;
  const pieces = parts.filter((each) => each.n).map((each) => {
    const width = (each.n / (total || 1)) * 100;
    const piece = s("rect", { x: at, y: 0, width: Math.max(width, 0.4), height: 3, class: `fill ${each.kind}` }, s("title", {}, `${each.name}: ${number(each.n)}`));
    at += width;
    return piece;
  });
  const text = parts.filter((each) => each.n).map((each) => `${each.name} ${number(each.n)}`).join(", ");
  return s("svg", { viewBox: "0 0 100 3", class: "shares", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${text || "none"}` }, s("rect", { width: 100, height: 3, class: "track" }), pieces);
}

/** Bars by name: rows are {name, n, href, text}. */
export function bars(rows) {
  const most = Math.max(...rows.map((each) => each.n), 1);
  return h("ul", { class: "bars" }, rows.map((each) => h("li", {},
    each.href ? h("a", { href: each.href }, each.name) : h("span", {}, each.name),
    s("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { width: Math.max((each.n / most) * 100, 0.5), height: 4, class: "fill" })),
    h("b", {}, each.text ?? number(each.n)))));
}

/**
 * Points in a plane, and the frontier: those that no other beats in both. Points are {x, y, name, kind}; less x and
 * more y is better.
 */
export function frontier(title, points, { x: showX, y: showY, labels }) {
  const high = 170, base = high - 34;
  const xs = points.map((each) => each.x), ys = points.map((each) => each.y);
  const padX = (Math.max(...xs) - Math.min(...xs) || Math.max(...xs)) * 0.12, padY = (Math.max(...ys) - Math.min(...ys) || 0.01) * 0.2;
  const [x0, x1] = [Math.max(0, Math.min(...xs) - padX), Math.max(...xs) + padX], [y0, y1] = [Math.min(...ys) - padY, Math.max(...ys) + padY];
  const x = scale(x0, x1, LEFT + 6, W - RIGHT), y = scale(y0, y1, base, TOP);
  const best = points.filter((p) => !points.some((q) => (q.x < p.x && q.y >= p.y) || (q.x <= p.x && q.y > p.y))).sort((a, b) => a.x - b.x);
  const steps = best.map((p, i) => `${i ? `H${x(p.x)}` : `M${x(p.x)}`} ${i ? `V${y(p.y)}` : y(p.y)}`).join("");
  const said = points.map((p) => `${p.name}: ${showX(p.x)}, ${showY(p.y)}`).join("; ");
  return h("figure", { class: "small" }, h("figcaption", {}, h("span", {}, title)), frame(`${title}. ${said}`, high,
    grid(ticks(y0, y1), y, showY), ticks(x0, x1, 4).map((mark) => s("text", { x: x(mark), y: base + 14, class: "tick middle" }, showX(mark))),
    s("text", { x: W - RIGHT, y: high - 5, class: "axis end" }, labels[0]), s("text", { x: 2, y: high - 5, class: "axis" }, `↑ ${labels[1]}`),
    s("path", { d: steps, class: "line dashed" }),
    points.map((p) => [s("circle", { cx: x(p.x), cy: y(p.y), r: best.includes(p) ? 5 : 3.5, class: best.includes(p) ? "dot best" : "dot" }, s("title", {}, `${p.name}: ${showX(p.x)}, ${showY(p.y)}`)),
      s("text", { x: x(p.x), y: y(p.y) - 8, class: "tick middle" }, p.name)])));
}
