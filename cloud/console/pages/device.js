// One device: what it shall be and is, what it says, what it did.

import { api } from "../api.js";
import { ago, ask, button, bytes, card, chip, facts, field, h, labels, notice, number, percent, pill, span, swap, table } from "../dom.js";
import { charts } from "./overview.js";

export async function show({ rest: [name], may, watch, current }) {
  const path = `devices/${encodeURIComponent(name)}`;
  const head = h("div", {}), body = h("div", { class: "grid" }), tail = h("div", {}), figures = h("div", { class: "grid four" });
  const draw = async () => {
    const [device, { commands }, { events }] = await Promise.all([api(path), api(`${path}/commands`), api(`${path}/events`)]);
    if (!current()) return;
    swap(head, title(device, may, path, draw));
    swap(body, twin(device), said(device, may, path, draw));
    swap(tail, card("Commands", commandTable(commands)), card("History", history(events)));
  };
  const [stats] = await Promise.all([api(`${path}/stats?hours=24&points=24`), draw()]);
  swap(figures, charts(stats));
  let last = Date.now();
  watch({ overview: () => { if (Date.now() - last > 2000) { last = Date.now(); draw().catch(() => null); } } });
  const timer = setInterval(() => draw().catch(() => null), 5000);
  return { title: name, watches: true, leave: () => clearInterval(timer), content: [head, body, card("What it measured in the last 24 hours", figures), tail] };
}

function title(device, may, path, again) {
  const send = (op, arguments_ = null) => async () => {
    await api(`${path}/commands`, { method: "POST", body: { op, ...(arguments_ ? { arguments: arguments_ } : {}) } });
    notice(`${op} is on its way to ${device.name}.`);
    await again();
  };
  const sure = (op, question, text) => async () => { if (await ask(question, h("p", {}, text), { yes: "Yes", bad: true })) await send(op)(); };
  const retire = async () => {
    if (!(await ask(`Retire ${device.name}?`, h("p", {}, "Its certificates are revoked: it may not connect any more. What it said stays. To come back it needs a new enrolment string."), { yes: "Retire", bad: true }))) return;
    await api(path, { method: "DELETE" });
    notice(`${device.name} is retired.`);
    await again();
  };
  const on = device.status === "enrolled";
  return [h("p", { class: "crumbs" }, h("a", { href: "#/fleet" }, "Fleet"), " / ", device.site && [h("a", { href: `#/fleet?selector=${encodeURIComponent(`site=${device.site}`)}` }, device.site), " / "]),
    h("div", { class: "title" }, h("h1", {}, device.name, " ", pill(device.health)), on && may("operator") && h("div", { class: "row" },
      button("Report", send("report"), "", { id: "op-report" }), button("Probe", send("probe"), "", { id: "op-probe" }), button("Logs", send("logs"), "", { id: "op-logs" }),
      button("Restart", sure("restart", `Restart the agent of ${device.name}?`, "It answers again within some seconds."), "", { id: "op-restart" }),
      button("Revert", sure("revert", `Take ${device.name} back to its previous model?`, "It stays there until it is told something new."), "", { id: "op-revert" }),
      may("admin") && button("Retire", retire, "danger", { id: "op-retire" })))];
}

function twin(device) {
  const wanted = device.desired ?? {}, is = device.reported ?? {}, names = device.models;
  const model = (digest) => (digest ? h("span", { title: digest }, names[digest] ?? `${digest.slice(0, 12)}…`) : "none");
  const rows = [
    ["Version", wanted.v ?? 0, is.v ?? 0, device.desired_v === device.reported_v],
    ["Model", model(wanted.model?.sha256), model(is.model), (wanted.model?.sha256 ?? "") === (is.model ?? "")],
    ["State", "running", pill(is.state || "unknown", is.state || "not heard yet"), is.state === "running"],
  ];
  const more = [
    wanted.rollout && ["Rollout", h("a", { href: `#/rollout/${wanted.rollout}` }, wanted.rollout), ` phase ${wanted.phase + 1}`],
    wanted.window && ["Switches between", wanted.window.join(" and "), " UTC"],
    wanted.max_kbps ? ["Fetches at most", `${wanted.max_kbps} kbit/s`] : null,
    wanted.federated && ["Federated run", String(wanted.federated.run ?? "yes")],
    is.state === "fetching" && ["Fetched", h("progress", { max: 1e6, value: is.progress_ppm, "aria-label": "Fetched" }), ` ${percent(is.progress_ppm / 1e6, 0)}`],
    ["Moved for this update", bytes(is.fetched_bytes)], ["Slot", is.slot || "–"], ["Goes back to", model(is.previous)],
    is.shadow && ["Shadow", `${number(is.shadow.n)} inputs, ${percent(is.shadow.agree_ppm / 1e6)} alike`],
  ];
  return card("Twin", h("p", { class: "quiet" }, "Wanted ", ago(device.desired_at), ", reported ", ago(device.reported_at)),
    table("Desired and reported", [["", ([each]) => each], ["Desired", ([, each]) => each], ["Reported", ([, , each]) => each], ["Same", ([, , , same]) => (same ? pill("done", "same") : pill("waiting", "differs"))]], rows),
    is.error && h("p", { class: "said bad" }, is.error), facts(more));
}

function said(device, may, path, again) {
  const beat = device.beat ?? {}, caps = device.reported?.capabilities ?? {};
  const edit = async () => {
    const text = Object.entries(device.labels).map(([key, value]) => `${key}=${value}`).join(", ");
    const found = await ask(`Labels of ${device.name}`, field("Labels", { name: "labels", value: text }, null, "such as room=hall, line=2"), { yes: "Save" });
    if (!found) return;
    const next = Object.fromEntries(found.labels.split(",").map((each) => each.split("=").map((part) => part.trim())).filter(([key]) => key));
    if (Object.values(next).some((each) => !each)) throw new Error("Write each label as KEY=VALUE.");
    const gone = Object.fromEntries(Object.keys(device.labels).filter((key) => !(key in next)).map((key) => [key, null]));
    await api(path, { method: "PATCH", body: { labels: { ...gone, ...next } } });
    await again();
  };
  const word = (flag, yes, no) => (flag === true ? yes : flag === false ? no : "unknown");
  return card("Device", facts([
    ["Seen", ago(device.seen)], ["Up for", beat.up_s ? span(beat.up_s) : "–"], ["Power", beat.power ?? "unknown"], ["Idle", word(beat.idle, "yes", "no")], ["Connection", word(beat.metered, "metered", "free")],
    ["Free disk", beat.free_mb ? bytes(beat.free_mb * 1e6) : "–"], ["Temperature", beat.temperature_c === undefined || beat.temperature_c === null ? "–" : `${beat.temperature_c.toFixed(1)} °C`],
    ["Target", device.target || "–"], ["Agent", device.reported?.agent || "–"], ["Has", [caps.cores && `${caps.cores} cores`, caps.memory_mb && `${number(caps.memory_mb)} MB`, ...(caps.engines ?? [])].filter(Boolean).join(", ") || "–"],
    ["Enrolled", ago(device.enrolled)], ["Certificate ends", device.expires ? ago(device.expires) : "–"],
    ["Stands at", device.latitude === null ? "–" : `${device.latitude.toFixed(3)}, ${device.longitude.toFixed(3)}`],
  ]), h("div", { class: "row" }, labels(device.labels), may("operator") && button("Edit labels", edit, "plain", { id: "edit-labels" })));
}

const commandTable = (commands) => table("Commands", [
  ["Command", (each) => each.command.op], ["Status", (each) => pill(each.status)], ["Asked", (each) => ago(each.created)],
  ["Answer", (each) => (each.text.length > 90 || each.text.includes("\n") ? h("details", { id: `answer-${each.id}` }, h("summary", {}, "Show the answer"), h("pre", { tabindex: "0", "aria-label": "Answer" }, each.text)) : each.text || "–"), "wide"],
], commands, "Nothing was asked of it.");

export const history = (events) => table("History", [
  ["When", (each) => ago(each.at)], ["Who", (each) => each.actor], ["What", (each) => each.action],
  ["Detail", (each) => Object.entries(each.detail).map(([key, value]) => chip(key, typeof value === "object" ? JSON.stringify(value) : String(value))), "wide"],
], events, "Nothing was done to it yet.");
