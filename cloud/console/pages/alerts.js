// Alerts: what is open, and what there was.

import { api, query } from "../api.js";
import { ago, button, card, h, notice, pill, swap, table } from "../dom.js";

export async function show({ params, may, watch, current }) {
  let everything = params.get("all") === "1", list = [];
  const place = h("div", { "aria-live": "polite" });
  const draw = async (more = false) => {
    const found = await api(`alerts${query({ everything: everything ? "true" : "", before: more ? list.at(-1).id : "", limit: 100 })}`);
    if (!current()) return;
    list = more ? [...list, ...found.alerts] : found.alerts;
    swap(place, card("", table("Alerts", columns(may, draw), list, "Nothing needs a look."), found.alerts.length === 100 && button("Show more", () => draw(true), "", { id: "more" })));
  };
  const views = h("div", { class: "chips", role: "group", "aria-label": "Which" }, ["Open", "All"].map((name) => h("button", { type: "button", "aria-pressed": String(everything === (name === "All")), onclick: (event) => { everything = name === "All"; for (const each of views.children) each.setAttribute("aria-pressed", String(each === event.currentTarget)); draw().catch((error) => notice(error.message, true)); } }, name)));
  await draw();
  watch({ overview: () => draw().catch(() => null) });
  return { title: "Alerts", watches: true, content: [h("div", { class: "title" }, h("h1", {}, "Alerts"), views), place] };
}

const columns = (may, again) => [
  ["About", (each) => about(each.subject)], ["Severity", (each) => pill(each.severity)], ["What", (each) => each.text, "wide"], ["Since", (each) => ago(each.at)],
  ["", (each) => (each.ended ? h("span", { class: "quiet" }, "over ", ago(each.ended)) : each.acknowledged ? h("span", { class: "quiet" }, `seen by ${each.acknowledged}`)
    : may("operator") ? button("Acknowledge", async () => { await api(`alerts/${each.id}/acknowledge`, { method: "POST", body: {} }); await again(); }, "", { id: `seen-${each.id}`, "aria-label": `Acknowledge: ${each.text}` }) : "")],
];

/** The page that belongs to a subject such as "rollout/kws-3". */
function about(subject) {
  const [kind, name] = subject.split("/");
  const href = { rollout: `#/rollout/${name}`, device: `#/device/${name}`, site: `#/fleet?selector=${encodeURIComponent(`site=${name}`)}`, model: "#/library" }[kind];
  return href && name ? h("a", { href }, subject) : subject;
}
