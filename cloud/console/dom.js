// Building the page: elements, texts of values, tables, dialogs, notices.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return node;
}
/** An HTML element: h("a", {href: "#/"}, "text"). */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
/** An SVG element. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/**
 * Replace what an element holds, and give the focus back to what had it, by id or address. Children that look the same
 * stay, so that a page which draws itself anew does not take a button away from under a finger.
 */
export function swap(node, ...given) {
  const children = given.flat(Infinity).filter(Boolean).map((each) => (each instanceof Node ? each : document.createTextNode(each)));
  const held = node.contains(document.activeElement) ? document.activeElement : null;
  const mark = held && (held.id ? `#${CSS.escape(held.id)}` : held.getAttribute("href") ? `[href="${CSS.escape(held.getAttribute("href"))}"]` : "");
  const open = [...node.querySelectorAll("details[open][id]")].map((each) => each.id);
  const before = [...node.childNodes];
  if (before.length !== children.length) node.replaceChildren(...children);
  else children.forEach((each, i) => before[i].isEqualNode(each) || before[i].replaceWith(each));
  for (const id of open) node.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  if (mark && !node.contains(document.activeElement)) node.querySelector(mark)?.focus({ preventScroll: true });
}

// ---------------------------------------------------------------- texts
const whole = new Intl.NumberFormat("en");
const few = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
export const number = (n) => (n === null || n === undefined ? "–" : Math.abs(n) < 1000 && n % 1 ? few.format(n) : whole.format(Math.round(n)));
export const percent = (x, digits = 1) => (x === null || x === undefined ? "–" : `${(x * 100).toFixed(digits).replace(/^-(0(\.0+)?)$/, "$1").replace("-", "−")}\u00a0%`);
export const compact = (n) => (n < 10_000 ? number(n) : Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(n));
export const ms = (us) => (us === null || us === undefined ? "–" : `${few.format(us / 1000)}\u00a0ms`);
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const [unit, size] = n >= 1e9 ? ["GB", 1e9] : n >= 1e6 ? ["MB", 1e6] : n >= 1e3 ? ["kB", 1e3] : ["B", 1];
  return `${few.format(n / size)}\u00a0${unit}`;
}
export function span(seconds) {
  const [n, unit] = seconds < 90 ? [seconds, "s"] : seconds < 5400 ? [seconds / 60, "min"] : seconds < 129_600 ? [seconds / 3600, "h"] : [seconds / 86_400, "days"];
  return `${Math.round(n)}\u00a0${unit}`;
}
/** How long ago, with the exact time behind it. */
export function ago(at) {
  if (!at) return "never";
  const past = Date.now() / 1000 - at;
  const text = Math.abs(past) < 5 ? "now" : past > 0 ? `${span(past)} ago` : `in ${span(-past)}`;
  const exact = new Date(at * 1000);
  return h("time", { datetime: exact.toISOString(), title: exact.toLocaleString() }, text);
}
export const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

// ---------------------------------------------------------------- states: a shape and a word, never the colour alone
const SHAPES = {
  good: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11Z",
  busy: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 1.7v8.6a4.3 4.3 0 0 1 0-8.6Z",
  bad: "M8 2 15 14H1Z",
  away: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 2.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7Z",
  wait: "M3 3h4v10H3Zm6 0h4v10H9Z",
};
const LOOKS = {
  healthy: "good", running: "good", finished: "good", done: "good", holds: "good", enrolled: "good", enabled: "good",
  updating: "busy", fetching: "busy", shadow: "busy", switching: "busy", probation: "busy", pending: "busy", info: "busy",
  failed: "bad", reverted: "bad", critical: "bad", breached: "bad", aborted: "bad", "rolled-back": "bad", expired: "bad",
  offline: "away", retired: "away", draft: "away", unknown: "away", none: "away",
  paused: "wait", waiting: "wait", waits: "wait", warning: "wait",
};
export const look = (state) => LOOKS[state] ?? "away";
export function pill(state, text = state) {
  const shape = state === "warning" ? SHAPES.bad : SHAPES[look(state)];
  return h("span", { class: `pill ${look(state)}` }, s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: shape })), text);
}

// ---------------------------------------------------------------- blocks
export const card = (title, ...children) => h("section", { class: "card" }, title && h("h2", {}, title), children);
export const empty = (text) => h("p", { class: "empty" }, text);
export const chip = (key, value) => h("span", { class: "chip" }, h("b", {}, key), value);
export const labels = (all) => Object.entries(all ?? {}).map(([key, value]) => chip(key, value));
export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, ...value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** A table; on a phone each row is a card. Columns are [title, row => content, class?]; the first names the row. */
export function table(caption, columns, rows, none = "Nothing here yet.") {
  if (!rows.length) return empty(none);
  const head = h("tr", { role: "row" }, columns.map(([title, , kind]) => h("th", { scope: "col", role: "columnheader", class: kind }, title || h("span", { class: "hidden" }, "actions"))));
  const cell = (row) => ([title, content, kind], i) =>
    i ? h("td", { role: "cell", "data-label": title, class: kind }, h("div", {}, content(row))) : h("th", { scope: "row", role: "rowheader", class: kind }, content(row));
  return h("table", { role: "table" }, h("caption", { class: "hidden" }, caption), h("thead", { role: "rowgroup" }, head),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, columns.map(cell(row))))));
}

let fields = 0;
/** A labelled input: field("Name", {name: "name"}) or field("Role", {name: "role"}, ["viewer", ...]). */
export function field(label, props, options = null, hint = "") {
  const id = `field-${++fields}`;
  const about = hint ? { "aria-describedby": `${id}-hint` } : {};
  const input = options
    ? h("select", { id, ...about, ...props }, options.map((each) => { const [value, text] = [each].flat(); return h("option", { value, selected: value === props.value }, text ?? value); }))
    : h("input", { id, autocomplete: "off", ...about, ...props });
  if (props.type === "checkbox") return h("label", { class: "check", for: id }, input, label);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("small", { id: `${id}-hint` }, hint));
}
export const values = (form) => Object.fromEntries(new FormData(form));

/** A button; while what it does lasts it cannot be pressed again, and what fails is said. */
export function button(text, act, kind = "", props = {}) {
  const node = h("button", { type: "button", class: kind, ...props }, text);
  node.addEventListener("click", () => during(node, act));
  return node;
}
export async function during(node, act) {
  if (node.hasAttribute("aria-busy")) return; // not `disabled`: a dialog gives the focus back to the button that opened it
  node.setAttribute("aria-busy", "true");
  try { await act(); } catch (error) { notice(error.message, true); } finally { node.removeAttribute("aria-busy"); }
}

/** Say what happened, aloud too. */
export function notice(text, bad = false) {
  const place = document.querySelector(bad ? "#errors" : "#notices");
  const node = h("div", { class: bad ? "notice bad" : "notice" }, text, h("button", { type: "button", "aria-label": "Close this message", onclick: () => node.remove() }, "×"));
  place.append(node);
  setTimeout(() => node.remove(), bad ? 15_000 : 5_000);
}

/** A dialog that is waited for: true, the form's values, or null where it was left. */
export function ask(title, content, { yes = "Confirm", bad = false, only = false } = {}) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" }, h("h2", { id: "ask" }, title), content,
      h("div", { class: "row end" }, !only && h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"), h("button", { value: "yes", class: bad ? "danger" : "primary" }, yes)));
    const dialog = h("dialog", { "aria-labelledby": "ask" }, form);
    dialog.addEventListener("close", () => { const found = values(form); dialog.remove(); resolve(dialog.returnValue === "yes" ? found : null); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Show a secret once, with a button that copies it. */
export function once(title, secret, text, line = "") {
  const copy = (value, what) => button(`Copy ${what}`, async () => { await navigator.clipboard.writeText(value); notice(`The ${what} is copied.`); });
  return ask(title, [h("p", {}, text), h("pre", { class: "secret", tabindex: "0", "aria-label": "secret" }, secret), copy(secret, line ? "string" : "token"),
    line && [h("p", {}, "Run this on the device:"), h("pre", { tabindex: "0", "aria-label": "command" }, line), copy(line, "command")]], { yes: "I have kept it", only: true });
}
