// The fleet at a glance.

import { api } from "../api.js";
import { bars, lines, shares } from "../charts.js";
import { ago, card, clock, compact, empty, h, ms, number, percent, pill, swap } from "../dom.js";

const ORDER = [["healthy", "good"], ["updating", "busy"], ["failed", "bad"], ["offline", "away"]];

export async function show({ watch, current }) {
  const glance = h("div", {}), rest = h("div", { class: "grid" }), figures = h("div", { class: "grid four" });
  const draw = async () => {
    const found = await api("overview");
    if (!current()) return;
    swap(glance, health(found.health));
    const sites = found.sites.filter(([name]) => name).map(([name, n]) => ({ name, n, href: `#/fleet?selector=${encodeURIComponent(`site=${name}`)}` }));
    swap(rest, h("div", { class: "stack" }, alerts(found), card("Models in the field", models(found.models))), h("div", { class: "stack" }, moving(found.rollouts), card("Sites", bars(sites))));
  };
  const [stats] = await Promise.all([api("stats?hours=24&points=48"), draw()]);
  swap(figures, charts(stats));
  watch({ overview: (found) => { swap(glance, health(found.health)); draw().catch(() => null); }, rollouts: () => draw().catch(() => null) });
  return { title: "Overview", watches: true, content: [h("h1", {}, "Overview"), glance, card("What devices measured in the last 24 hours", figures), rest] };
}

function health(counts) {
  const total = ORDER.reduce((sum, [name]) => sum + counts[name], 0);
  return card("", h("div", { class: "headline" }, h("p", { class: "big" }, h("b", {}, number(total)), " devices"), h("p", { class: "big" }, h("b", {}, percent(total ? (counts.healthy + counts.updating) / total : null)), " well")),
    shares("Health", ORDER.map(([name, kind]) => ({ name, n: counts[name], kind })), total),
    h("ul", { class: "keys" }, ORDER.map(([name]) => h("li", {}, h("a", { href: `#/fleet?health=${name}` }, pill(name), h("b", {}, number(counts[name])))))));
}

export function charts({ points }) {
  const of = (name) => [{ name, values: points.map((each) => [each.time, each[name]]) }];
  const when = (at) => clock(at);
  return [
    lines("Inferences", of("n"), { when, show: compact, low: 0 }),
    lines("Latency, p95", of("p95_us"), { when, show: ms, low: 0 }),
    lines("Accuracy", of("accuracy"), { when, show: (x) => percent(x) }),
    lines("Drift", of("drift"), { when, show: (x) => percent(x), low: 0 }),
  ];
}

function alerts({ alerts: open, open_alerts: counts }) {
  const rank = ["critical", "warning", "info"];
  const list = [...open].sort((a, b) => rank.indexOf(a.severity) - rank.indexOf(b.severity) || b.at - a.at).slice(0, 5).map((each) => h("li", {}, pill(each.severity), h("div", {}, h("b", {}, each.subject), h("p", {}, each.text)), ago(each.at)));
  const more = counts.critical + counts.warning + counts.info;
  return card("Alerts", list.length ? h("ul", { class: "list" }, list) : empty("Nothing needs a look."), h("p", {}, h("a", { href: "#/alerts" }, more ? `All ${more} open alerts` : "All alerts")));
}

function moving(rollouts) {
  const rank = ["running", "paused", "draft"];
  const list = [...rollouts].sort((a, b) => rank.indexOf(a.state) - rank.indexOf(b.state)).map((each) => h("li", {}, pill(each.state), h("div", {}, h("a", { href: `#/rollout/${each.name}` }, each.name), h("p", {}, each.reason || "not started yet")), ago(each.created)));
  return card("Rollouts under way", list.length ? h("ul", { class: "list" }, list) : empty("None."), h("p", {}, h("a", { href: "#/rollouts" }, "All rollouts")));
}

const models = (found) => (found.length ? bars(found.map(([name, n]) => ({ name: name || "none", n, href: name && !name.endsWith("…") ? "#/library" : "" }))) : empty("No device runs a model yet."));
