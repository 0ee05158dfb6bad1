// All rollouts.

import { api } from "../api.js";
import { ago, card, h, pill, span, swap, table } from "../dom.js";

export async function show({ may, watch, current }) {
  const place = h("div", {});
  const draw = async () => {
    const { rollouts } = await api("rollouts");
    if (!current()) return;
    const open = rollouts.filter((each) => !each.ended && each.state !== "draft"), drafts = rollouts.filter((each) => each.state === "draft"), over = rollouts.filter((each) => each.ended && each.state !== "draft");
    swap(place, card("Under way", list("Rollouts under way", open, "None is under way.")), drafts.length > 0 && card("Drafts", list("Drafts", drafts)), card("Over", list("Rollouts that are over", over, "None has ended yet.")));
  };
  await draw();
  watch({ rollouts: () => draw().catch(() => null) });
  return { title: "Rollouts", watches: true, content: [h("div", { class: "title" }, h("h1", {}, "Rollouts"), may("operator") && h("a", { class: "button primary", href: "#/rollout-new" }, "New rollout")), place] };
}

const list = (caption, rows, none) => table(caption, [
  ["Name", (each) => h("a", { href: `#/rollout/${each.name}` }, each.name)],
  ["State", (each) => pill(each.state)],
  ["Release", (each) => `${each.spec.release} ${each.spec.version}`, "nowrap"],
  ["Phase", (each) => steps(each)],
  ["Why", (each) => h("span", { class: "why" }, each.reason || "–"), "wide"],
  ["Made", (each) => ago(each.created), "right"],
  ["Took", (each) => (each.ended ? span(each.ended - each.created) : "–"), "right"],
], rows, none);

/** The phases as steps: those behind, the one it is in, those to come. */
export function steps({ phases, phase, state }) {
  const place = state === "draft" ? -1 : state === "finished" ? phases.length : phase;
  const said = place < 0 ? "not begun" : place >= phases.length ? "all phases done" : `phase ${place + 1} of ${phases.length}`;
  return h("span", { class: "steps", role: "img", "aria-label": said }, phases.map((text, i) => h("i", { class: i < place ? "past" : i === place ? `now ${state}` : "", title: text })));
}
