// The shell: who is there, where one is, and the page that belongs to it.

import { api, deafen, listen } from "./api.js";
import { button, field, h, notice, s, swap, values } from "./dom.js";

const ICONS = {
  overview: "M3 10.5 10 4l7 6.5M5 9v7h10V9",
  fleet: "M5 3h10v14H5ZM9 14h2",
  rollouts: "M3 16 8 11l3 3 6-8M13 6h4v4",
  library: "M3 6l7-3 7 3-7 3ZM3 10l7 3 7-3M3 14l7 3 7-3",
  runs: "M10 3v5M10 8l-6 7M10 8l6 7M4 15h12",
  alerts: "M10 3a5 5 0 0 0-5 5v4l-1.5 2.5h13L15 12V8a5 5 0 0 0-5-5ZM8.5 17h3",
  audit: "M5 3h7l3 3v11H5ZM7.5 9h5M7.5 12h5",
  settings: "M4 6h12M4 10h12M4 14h12M8 4v4M13 8v4M7 12v4",
};
const PAGES = [["overview", "Overview"], ["fleet", "Fleet"], ["rollouts", "Rollouts"], ["library", "Models"], ["runs", "Federated runs"], ["alerts", "Alerts"], ["audit", "Audit log"], ["settings", "Settings"]];
const MODULES = { device: "fleet", rollout: "rollouts", "rollout-new": "rollouts" };

const app = { me: null, leave: null, refresh: null, may: (role) => ["viewer", "operator", "admin"].indexOf(app.me.role) >= ["viewer", "operator", "admin"].indexOf(role) };
const main = h("main", { id: "main", tabindex: "-1" });
const badge = h("span", { class: "badge", hidden: true });
const signal = h("span", { class: "signal", role: "status" }, "connecting");

function theme(next) {
  const now = next ?? localStorage.getItem("theme") ?? "auto";
  localStorage.setItem("theme", now);
  document.documentElement.dataset.theme = now;
}

const icon = (name) => s("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));

function shell() {
  const links = PAGES.map(([name, title]) => h("a", { href: `#/${name}`, "data-page": name }, icon(name), h("span", {}, title), name === "alerts" && badge));
  const nav = h("nav", { id: "nav", "aria-label": "Pages" }, links, h("div", { class: "who" }, h("span", {}, app.me.name, " · ", app.me.role), signal));
  const menu = h("button", { type: "button", class: "menu", "aria-expanded": "false", "aria-controls": "nav", onclick: () => open(nav.dataset.open === undefined) }, "Menu");
  const open = (yes) => { menu.setAttribute("aria-expanded", String(yes)); if (yes) nav.dataset.open = ""; else delete nav.dataset.open; };
  nav.addEventListener("click", (event) => event.target.closest("a") && open(false));
  nav.addEventListener("keydown", (event) => event.key === "Escape" && (open(false), menu.focus()));
  const brand = h("a", { href: "#/overview", class: "brand" }, h("img", { src: "icon.svg", alt: "", width: "28", height: "28" }), "Littoral");
  return [h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "Skip to the content"),
    h("header", {}, brand, menu, nav), main, h("div", { id: "notices", role: "status" }), h("div", { id: "errors", role: "alert" })];
}

function login() {
  deafen();
  app.me = null;
  const form = h("form", { class: "login card" }, h("img", { src: "icon.svg", alt: "", width: "44", height: "44" }), h("h1", {}, "Littoral"), h("p", {}, "Sign in with a token of yours."),
    field("Token", { name: "token", type: "password", required: true, autocomplete: "current-password" }), h("button", { class: "primary" }, "Sign in"),
    h("p", { class: "quiet" }, "No token? Whoever runs the server makes one:"), h("pre", { tabindex: "0", "aria-label": "command" }, "littoral cloud token NAME --role operator"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      app.me = await api("session", { method: "POST", body: { token: values(form).token.trim() } });
      begin();
    } catch (error) { notice(error.message, true); }
  });
  document.title = "Sign in · Littoral";
  document.body.replaceChildren(h("main", { id: "main", class: "center" }, form), h("div", { id: "notices", role: "status" }), h("div", { id: "errors", role: "alert" }));
  form.querySelector("input").focus();
}

/** Who watches: the badge, the sign of life, and the page's own listeners. */
export function watch(listeners = {}, rollout = "") {
  listen({
    state: (up) => { signal.textContent = up ? "live" : "reconnecting"; signal.dataset.up = up; },
    overview: (found) => {
      const n = found.open_alerts.critical + found.open_alerts.warning;
      badge.hidden = !n;
      badge.replaceChildren(String(n), h("span", { class: "hidden" }, " open"));
      listeners.overview?.(found);
    },
    rollouts: (found) => listeners.rollouts?.(found),
    rollout: (found) => listeners.rollout?.(found),
  }, rollout);
}

let turn = 0;
async function route() {
  if (!app.me) return;
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [page = "overview", ...rest] = path.split("/").map(decodeURIComponent);
  const name = page || "overview";
  const mine = ++turn;
  app.leave?.();
  app.leave = null;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === (MODULES[name] ?? name)) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  document.querySelector("#errors").replaceChildren();
  try {
    if (!/^[a-z-]+$/.test(name) || ![...PAGES.map(([each]) => each), ...Object.keys(MODULES)].includes(name)) throw new Error("There is no such page.");
    const module = await import(`./pages/${name}.js`);
    const context = { ...app, watch, theme, signOut, rest, params: new URLSearchParams(search ?? ""), current: () => mine === turn };
    const made = await module.show(context);
    if (mine !== turn) { made.leave?.(); return; }
    app.leave = made.leave ?? null;
    document.title = `${made.title} · Littoral`;
    main.replaceChildren(...made.content.flat(Infinity).filter(Boolean));
    if (!made.watches) watch();
    if (turn > 1) main.focus({ preventScroll: true });
    scrollTo(0, 0);
  } catch (error) {
    if (mine === turn && app.me) main.replaceChildren(h("h1", {}, "This did not work"), h("p", {}, error.message), button("Try again", route));
  } finally { if (mine === turn) main.removeAttribute("aria-busy"); }
}

async function signOut() {
  await api("session", { method: "DELETE" }).catch(() => null);
  login();
}
function begin() {
  document.body.replaceChildren(...shell());
  if (!location.hash) history.replaceState(null, "", "#/overview");
  route();
}

theme();
addEventListener("hashchange", route);
addEventListener("signed-out", () => app.me && (login(), notice("The session is over; sign in again.", true)));
api("me").then((me) => { app.me = me; begin(); }, login);
