// One rollout: how far it is, its gates as they were measured, and what one can do with it.

import { api, query } from "../api.js";
import { shares } from "../charts.js";
import { ago, ask, button, card, chip, facts, field, h, notice, number, percent, pill, span, swap, table } from "../dom.js";

// What may be done in which state: button, question, what it does.
const MOVES = {
  draft: [["start", "Start", "The first phase begins at once; the gates watch it."]],
  running: [["pause", "Pause", "Nobody more is told; who was told goes on."], ["finish", "Finish here", "Who was told keeps the release; nobody more is told."], ["abort", "Abort", "It ends, and every device that was told gets back what it had."]],
  paused: [["resume", "Resume", "It goes on where it stands; a gate that is still breached stops it again."], ["finish", "Finish here", "Who was told keeps the release; nobody more is told."], ["abort", "Abort", "It ends, and every device that was told gets back what it had."]],
  finished: [["rollback", "Roll back", "Every device that was told gets back what it had."]],
};

export async function show({ rest: [name], may, watch, current }) {
  const path = `rollouts/${encodeURIComponent(name)}`;
  const head = h("div", {}), body = h("div", {}), told = h("div", {});
  const draw = (found) => { if (current()) { swap(head, title(found, may, path)); swap(body, progress(found), gates(found), targets(found), plan(found)); } };
  let count = 25;
  const devices = async () => {
    const found = await api(`${path}/devices${query({ limit: count })}`);
    if (current()) swap(told, card("Devices that were told", deviceTable(found.devices), found.next && h("div", { class: "row" }, count < 1000 && button("Show more", () => { count = Math.min(1000, count * 4); return devices(); }, "", { id: "more" }), h("a", { href: `#/fleet?selector=${encodeURIComponent(`rollout=${name}`)}` }, "All of them in the fleet"))));
  };
  draw(await api(path));
  await devices();
  let last = Date.now();
  watch({ rollout: (found) => { draw(found); if (Date.now() - last > 2000) { last = Date.now(); devices().catch(() => null); } } }, name);
  return { title: name, watches: true, content: [head, body, told] };
}

function title(found, may, path) {
  const move = ([action, text, about]) => button(text, async () => {
    const reason = ["pause", "finish", "abort", "rollback"].includes(action);
    const sure = await ask(`${text} ${found.name}?`, [h("p", {}, about), reason && field("Why", { name: "reason", maxlength: "512" }, null, "for the audit log")], { yes: text, bad: ["abort", "rollback"].includes(action) });
    if (!sure) return;
    await api(`${path}/${action}`, { method: "POST", body: { reason: sure.reason ?? "" } });
    notice(`${found.name}: ${action} is under way.`);
  }, action === "abort" || action === "rollback" ? "danger" : "primary", { id: `move-${action}` });
  return [h("p", { class: "crumbs" }, h("a", { href: "#/rollouts" }, "Rollouts"), " /"),
    h("div", { class: "title" }, h("h1", {}, found.name, " ", pill(found.state)), may("operator") && h("div", { class: "row" }, (MOVES[found.state] ?? []).map(move))),
    found.reason && h("p", { class: ["rolled-back", "aborted"].includes(found.state) ? "said bad" : "said", role: "status" }, found.reason)];
}

const isBack = ({ state }) => state === "aborted" || state === "rolled-back";
const PARTS = [["done", "good"], ["pending", "busy"], ["failed", "bad"], ["away", "away"]];
function progress(found) {
  // of those that have not ended, some are within reach and some away
  const parts = (each) => PARTS.map(([name, kind]) => ({ name, kind, n: name === "pending" ? each.pending - each.away : each[name] }));
  const over = found.state === "finished", back = isBack(found);
  const phase = (each) => {
    const now = each.phase === found.phase && !over && found.state !== "draft";
    const state = found.state === "draft" || each.phase > found.phase ? (back ? "not reached" : "to come") : now ? (back ? "stopped here" : "now") : "over";
    return h("li", { class: now ? "now" : "" }, h("div", { class: "row apart" }, h("b", {}, `${each.phase + 1} · ${each.text}`), h("span", { class: "quiet" }, state, now && found.settled ? `, holds since ${span(Date.now() / 1000 - found.settled)} of ${span(each.soak_s)}` : "")),
      shares(`Phase ${each.phase + 1}`, parts(each), each.told || 1),
      h("small", {}, back && !each.told ? "" : each.told ? `${number(each.told)} told: ${PARTS.map(([name]) => [name, name === "pending" ? each.pending - each.away : each[name]]).filter(([, n]) => n).map(([name, n]) => `${number(n)} ${name}`).join(", ")}` : "nobody told yet"));
  };
  if (back) {
    const left = found.ended ? "Every device that was told has got back what it had." : `${number(found.told)} devices are still to get back what they had.`;
    return card("Progress", h("p", {}, left), h("ol", { class: "phases" }, found.by_phase.map(phase)));
  }
  return card("Progress", h("div", { class: "headline" }, h("p", { class: "big" }, h("b", {}, number(found.done)), ` of ${number(found.devices)} devices run ${found.spec.release} ${found.spec.version}`), h("p", { class: "big" }, h("b", {}, percent(found.devices ? found.done / found.devices : null, 0)))),
    shares("All phases", parts(found), found.devices || 1), h("ul", { class: "keys" }, PARTS.map(([name]) => h("li", {}, pill({ done: "done", pending: "pending", failed: "failed", away: "offline" }[name], name)))),
    h("ol", { class: "phases" }, found.by_phase.map(phase)));
}

const MEANS = { success: "devices that end with the new model", "failed devices": "that went back or failed", agreement: "answers like the old model's, in the shadow", "accuracy drop": "over labelled inputs", "latency ratio": "95th percentile, new to old", errors: "inferences that fail", drift: "from the calibration data" };
function gates(found) {
  if (isBack(found)) return null; // what was measured then is in the reason
  const value = (gate, x) => (x === null ? "–" : gate.name === "latency ratio" ? `${x.toFixed(2)} ×` : gate.name === "failed devices" ? number(x) : percent(x));
  const names = [...new Set(found.gates.map((each) => each.name))], all = found.gates.some((each) => !each.target) ? [""] : [];
  const of = (name, target) => found.gates.find((each) => each.name === name && each.target === target);
  const cell = (name, target) => { const gate = of(name, target); return gate ? h("span", { title: gate.n === null ? "" : `of ${number(gate.n)}` }, pill(gate.state, value(gate, gate.value)), h("span", { class: "hidden" }, ` ${gate.state}`)) : h("span", { class: "none" }, "–"); };
  const limit = (name) => { const gate = found.gates.find((each) => each.name === name); if (name === "latency ratio" && gate.limit >= 1e6) return "any"; return `${gate.least ? "at least" : "at most"} ${value(gate, gate.limit)}`; };
  const broken = found.gates.filter((each) => each.state === "breached").length;
  return card("Gates", h("p", { class: "quiet" }, broken ? `${broken} breached.` : "None is breached.", " A gate waits until it rests on enough."), table("Gates", [
    ["Gate", (name) => [name, h("small", {}, MEANS[name])]], ["Limit", limit], ...[...all, ...Object.keys(found.evidence).sort()].map((target) => [target || "all targets", (name) => cell(name, target)]),
  ], names, "Nothing was measured yet."));
}

function targets(found) {
  const rows = Object.entries(found.targets), out = Object.entries(found.left_out);
  if (isBack(found) && !rows.length) return null; // nobody is meant by it any more
  return card("Targets", table("Targets", [
    ["Target", ([name]) => name], ["Devices", ([, each]) => number(each.devices), "right"], ["May have it now", ([, each]) => number(each.allowed), "right"], ["Told", ([, each]) => number(each.told), "right"],
    ["Done", ([, each]) => number(each.done), "right"], ["Failed", ([, each]) => number(each.failed), "right"], ["Away", ([, each]) => number(each.away), "right"],
  ], rows, "No device is selected."), out.length > 0 && h("p", { class: "quiet" }, "Left out, for the release has no bundle for them: ", out.map(([target, each]) => `${target || "unknown target"} (${number(each.devices)}, such as ${each.first})`).join(", ")));
}

function plan({ spec, created, ended }) {
  return card("What it shall do", facts([
    ["Release", `${spec.release} ${spec.version}`], ["Devices", spec.selector ? h("code", {}, spec.selector) : "all"], ["Window", spec.window ? `${spec.window.join(" to ")} UTC` : "any time"],
    ["Shadow", spec.shadow.samples ? `${number(spec.shadow.samples)} inputs, at most ${span(spec.shadow.seconds)}` : "none"], ["Probation", `${span(spec.probation_s)}, ${spec.probes} probes`], ["Patience", span(spec.patience_s)],
    ["At a breach", spec.automatic ? "takes the release back by itself" : "pauses"], ["Late comers", spec.follow ? "are told too" : "are not told"], ["Made", ago(created)], ended && ["Ended", ago(ended)],
  ]));
}

const deviceTable = (rows) => table("Devices", [
  ["Name", (each) => h("a", { href: `#/device/${each.device}` }, each.device)], ["Phase", (each) => number(each.phase + 1), "right"], ["State", (each) => [pill(each.state || "unknown", each.state || "not heard"), !each.online && chip("", "offline")]],
  ["Answered", (each) => (each.reported_v >= each.desired_v ? "yes" : "not yet")], ["Target", (each) => each.target], ["Told", (each) => ago(each.told), "right"],
], rows, "Nobody was told yet.");
