// The fleet as a table and as a map, searched and filtered.

import { api, query } from "../api.js";
import { ago, ask, button, card, empty, field, h, labels, notice, number, pill, s, swap, table } from "../dom.js";
import { LAND } from "../world.js";

const HEALTH = ["", "healthy", "updating", "failed", "offline", "retired"];
const PAGE = 100;

export async function show({ params, watch, may, current }) {
  const view = { selector: params.get("selector") ?? "", search: params.get("search") ?? "", health: params.get("health") ?? "", map: params.get("view") === "map" };
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Health" }), place = h("div", { "aria-live": "polite" });
  let devices = [], next = "";
  const keep = () => history.replaceState(null, "", `#/fleet${query({ ...view, map: "", view: view.map ? "map" : "" })}`);
  const asked = () => ({ selector: view.selector, search: view.search, health: view.health });

  const load = async (more = false) => {
    keep();
    const count = more ? PAGE : Math.max(PAGE, devices.length);
    const found = await api(`devices${query({ ...asked(), after: more ? next : "", limit: Math.min(count, 1000) })}`);
    if (!current()) return;
    devices = more ? [...devices, ...found.devices] : found.devices;
    next = found.next;
    swap(chips, HEALTH.map((name) => h("button", { type: "button", id: `health-${name}`, "aria-pressed": String(view.health === name), onclick: () => { view.health = name; devices = []; guarded(); } },
      name ? pill(name) : "All", h("b", {}, number(name ? found.counts[name] : total(found.counts))))));
    swap(place, view.map ? await map(asked()) : [rows(devices), next && h("p", { class: "center" }, button("Show more", () => load(true), "", { id: "more" }))]);
  };
  const guarded = (...given) => load(...given).catch((error) => notice(error.message, true));

  const search = field("Search", { type: "search", name: "search", value: view.search, placeholder: "name, site or target" });
  const selector = field("Selector", { name: "selector", value: view.selector, placeholder: "target=rpi4,room=hall" }, null, "or site=*-port, ring!=canary, group=NAME: columns and labels; * stands for anything");
  let timer = 0;
  search.addEventListener("input", (event) => { clearTimeout(timer); timer = setTimeout(() => { view.search = event.target.value; devices = []; guarded(); }, 250); });
  const form = h("form", { class: "filters", role: "search" }, search, selector, h("button", {}, "Apply"));
  form.addEventListener("submit", (event) => { event.preventDefault(); view.selector = selector.querySelector("input").value; devices = []; guarded(); });
  const views = h("div", { class: "chips", role: "group", "aria-label": "View" }, ["Table", "Map"].map((name) => {
    const node = h("button", { type: "button", "aria-pressed": String(view.map === (name === "Map")), onclick: () => { view.map = name === "Map"; for (const each of views.children) each.setAttribute("aria-pressed", String(each === node)); guarded(); } }, name);
    return node;
  }));
  const groups = h("div", {});
  const regroup = async () => swap(groups, await groupList(may, (text) => { view.selector = text; selector.querySelector("input").value = text; devices = []; guarded(); }, () => view.selector, regroup));
  await Promise.all([load(), regroup()]);
  let last = Date.now();
  watch({ overview: () => { if (Date.now() - last > 3000 && devices.length <= 1000) { last = Date.now(); guarded(); } } });
  return { title: "Fleet", watches: true, content: [h("div", { class: "title" }, h("h1", {}, "Fleet"), views), card("", form, chips), groups, place] };
}

const total = (counts) => Object.entries(counts).reduce((sum, [name, n]) => sum + (name === "retired" ? 0 : n), 0);

const rows = (devices) => table("Devices", [
  ["Name", (each) => h("a", { href: `#/device/${each.name}` }, each.name)],
  ["Health", (each) => [pill(each.health), each.state && each.state !== "running" && h("small", {}, each.state)]],
  ["Model", (each) => [each.release ?? (each.model ? `${each.model.slice(0, 12)}…` : "none"), each.rollout && h("small", {}, h("a", { href: `#/rollout/${each.rollout}` }, each.rollout))], "nowrap"],
  ["Target", (each) => each.target, "nowrap"],
  ["Site", (each) => each.site || "–", "nowrap"],
  ["Labels", (each) => labels(each.labels)],
  ["Seen", (each) => ago(each.seen), "right"],
], devices, "No device is like that.");

async function groupList(may, pick, selected, again) {
  const { groups } = await api("groups");
  const save = async () => {
    const text = selected();
    if (!text) throw new Error("Write a selector first, and apply it.");
    const found = await ask("Save as a group", [h("p", {}, h("code", {}, text)), field("Name", { name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*" })], { yes: "Save" });
    if (found) { await api(`groups/${encodeURIComponent(found.name)}`, { method: "PUT", body: { selector: text } }); notice(`Group ${found.name} is saved.`); await again(); }
  };
  const remove = async (name) => {
    if (await ask(`Forget the group ${name}?`, h("p", {}, "Its devices stay."), { yes: "Forget", bad: true })) { await api(`groups/${encodeURIComponent(name)}`, { method: "DELETE" }); await again(); }
  };
  const command = async () => {
    const text = selected();
    if (!text) throw new Error("Write a selector first, and apply it; all stands for every device.");
    const found = await ask("Ask all of these devices", [h("p", {}, h("code", {}, text)), field("To", { name: "op" }, ["report", "probe", "restart", "revert"])], { yes: "Ask them", bad: true });
    if (found) { const { devices } = await api("commands", { method: "POST", body: { op: found.op, selector: text } }); notice(`${found.op} is on its way to ${number(devices)} devices.`); }
  };
  return h("div", { class: "groups" }, h("span", { class: "quiet" }, "Groups"), groups.map((each) => h("span", { class: "group" },
    h("button", { type: "button", title: each.selector, onclick: () => pick(`group=${each.name}`) }, each.name, h("b", {}, number(each.devices))),
    may("operator") && button("×", () => remove(each.name), "plain", { "aria-label": `Forget the group ${each.name}` }))), may("operator") && button("Save selector as group", save, "plain"), may("operator") && button("Command these", command, "plain"));
}

/** The world, or what is zoomed into; circles are cells with devices, the larger the more. */
async function map(asked) {
  const box = [0, 0, 1440, 600];
  const land = s("path", { d: LAND, class: "land" }), spots = s("g", {});
  const svg = s("svg", { class: "map", viewBox: box.join(" "), role: "group", "aria-label": "Map of the devices" }, land, spots);
  const draw = async () => {
    const degrees = Math.max(0.05, Math.min(3, box[2] / 480));
    const { cells } = await api(`map${query({ ...asked, degrees })}`);
    const wide = Math.max(300, document.querySelector("#main").clientWidth - 80), unit = box[2] / (wide < 600 ? 2 : 1.5) / wide; // so that circles are as large on every screen
    spots.replaceChildren(...cells.sort((a, b) => b.total - a.total).map((each) => spot(each, unit)));
    return cells;
  };
  const zoom = async (by, x = box[0] + box[2] / 2, y = box[1] + box[3] / 2) => {
    const width = Math.min(1440, Math.max(12, box[2] * by)), height = (width * 600) / 1440;
    box.splice(0, 4, Math.max(0, Math.min(1440 - width, x - width / 2)), Math.max(0, Math.min(600 - height, y - height / 2)), width, height);
    svg.setAttribute("viewBox", box.map((each) => each.toFixed(2)).join(" "));
    await draw();
  };
  svg.addEventListener("dblclick", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    zoom(0.4, at.x, at.y);
  });
  const cells = await draw();
  if (!cells.length) return empty("No device like that has a position.");
  return card("", h("div", { class: "mapbox" }, svg, h("div", { class: "zoom" }, button("+", () => zoom(0.5), "", { "aria-label": "Zoom in" }), button("−", () => zoom(2), "", { "aria-label": "Zoom out" }))),
    h("ul", { class: "keys" }, ["healthy", "updating", "failed", "offline"].map((name) => h("li", {}, pill(name)))), h("p", { class: "quiet" }, "A circle is a place; its size says how many devices, its ring who is well. Double-click to look closer."));
}

function spot(cell, unit) {
  const [x, y] = [4 * (cell.longitude + 180), 4 * (90 - cell.latitude)], r = unit * (7 + 2.6 * Math.sqrt(cell.total));
  const order = [["healthy", "good"], ["updating", "busy"], ["failed", "bad"], ["offline", "away"]];
  const round = 2 * Math.PI * r;
  let at = 0;
  const ring = order.filter(([name]) => cell.health[name]).map(([name, kind]) => {
    const part = (cell.health[name] / cell.total) * round;
    const piece = s("circle", { r, class: `ring ${kind}`, "stroke-width": unit * 6, "stroke-dasharray": `${part} ${round - part}`, "stroke-dashoffset": -at, transform: "rotate(-90)" });
    at += part;
    return piece;
  });
  const text = `${cell.site || cell.device}: ${number(cell.total)} devices, ${order.filter(([name]) => cell.health[name]).map(([name]) => `${cell.health[name]} ${name}`).join(", ")}`;
  const href = cell.total === 1 ? `#/device/${cell.device}` : cell.site ? `#/fleet?selector=${encodeURIComponent(`site=${cell.site}`)}` : `#/device/${cell.device}`;
  return s("a", { href, "aria-label": text, transform: `translate(${x} ${y})` }, s("title", {}, text), s("circle", { r, class: "disc" }), ring, s("text", { "font-size": unit * 15, dy: unit * 5, class: "middle" }, number(cell.total)));
}
