// The audit log, and whether nobody has rewritten it.

import { api, query } from "../api.js";
import { ago, button, card, chip, h, number, pill, swap, table } from "../dom.js";

export async function show({ current }) {
  let list = [];
  const place = h("div", {}), state = h("div", { role: "status" });
  const load = async () => {
    const found = await api(`audit${query({ before: list.at(-1)?.sequence ?? "", limit: 100 })}`);
    if (!current()) return;
    list = [...list, ...found.events];
    swap(place, card("", table("Audit log", COLUMNS, list), found.events.length === 100 && h("p", {}, button("Show more", load, "", { id: "more" }))));
  };
  const verify = async () => {
    const { entries, broken } = await api("audit/verification");
    swap(state, h("p", { class: broken === null ? "said" : "said bad" }, pill(broken === null ? "holds" : "breached", broken === null ? "unbroken" : "broken"), broken === null ? ` ${number(entries)} entries; each hash follows from the one before.` : ` Entry ${broken} does not follow from the one before: somebody changed the log.`));
  };
  await Promise.all([load(), verify()]);
  return { title: "Audit log", content: [h("div", { class: "title" }, h("h1", {}, "Audit log"), button("Verify again", verify, "", { id: "verify" })), state, place] };
}

const COLUMNS = [
  ["Entry", (each) => number(each.sequence)], ["When", (each) => ago(each.at)], ["Who", (each) => each.actor], ["What", (each) => each.action], ["Whom", (each) => each.subject || "–"],
  ["Detail", (each) => Object.entries(each.detail).map(([key, value]) => chip(key, cut(typeof value === "object" ? JSON.stringify(value) : String(value)))), "wide"], ["Hash", (each) => h("code", { title: each.hash }, each.hash.slice(0, 10))],
];
const cut = (text) => (text.length > 120 ? `${text.slice(0, 120)}…` : text);
