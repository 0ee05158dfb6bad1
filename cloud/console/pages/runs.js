// Federated runs with their curves.

import { api } from "../api.js";
import { lines } from "../charts.js";
import { ago, bytes, card, chip, empty, h, number, percent, pill, swap } from "../dom.js";

export async function show({ watch, current }) {
  const place = h("div", {});
  const draw = async () => { const { runs } = await api("runs"); if (current()) swap(place, runs.length ? runs.map(run) : empty("No federated run yet: littoral fleet federate MODEL.bundle --test TEST.npz --name RUN")); };
  await draw();
  watch();
  const timer = setInterval(() => draw().catch(() => null), 5000);
  return { title: "Federated runs", watches: true, leave: () => clearInterval(timer), content: [h("h1", {}, "Federated runs"), place] };
}

const when = (n) => `round ${n}`;
function run(each) {
  const { rounds, settings } = each, last = rounds.at(-1);
  const of = (name, title = name) => ({ name: title, values: rounds.map((round) => [round.number, round[name]]) });
  const begin = each.initial.accuracy === undefined || each.initial.accuracy === null ? [] : [[0, each.initial.accuracy]];
  let up = 0;
  const uplink = rounds.map((round) => [round.number, (up += round.bytes_up)]);
  const kept = ["strategy", "method", "codec", "defence", "privacy", "clients"].filter((key) => settings[key]);
  return card("", h("div", { class: "title" }, h("h2", {}, each.name, " ", pill(each.state)), each.has_report && h("a", { class: "button", href: `/api/v1/runs/${encodeURIComponent(each.name)}/report`, target: "_blank", rel: "noopener" }, "Report")),
    h("p", { class: "row" }, h("span", {}, "trains ", h("b", {}, each.model)), h("span", { class: "quiet" }, "began ", ago(each.created)), kept.map((key) => chip(key, String(settings[key])))),
    last ? [h("div", { class: "headline" }, h("p", { class: "big" }, h("b", {}, percent(last.accuracy)), ` accuracy${settings.rounds ? `, round ${last.number} of ${settings.rounds}` : ""}`), h("p", { class: "big" }, h("b", {}, bytes(up)), " from devices"), last.epsilon !== null && h("p", { class: "big" }, h("b", {}, number(last.epsilon)), " ε spent")),
      h("div", { class: "grid four" }, lines("Accuracy", [{ name: "held-out", values: [...begin, ...of("accuracy").values] }], { when, show: (x) => percent(x) }), lines("Loss", [of("loss", "held-out"), of("train_loss", "training")], { when, low: 0 }),
        lines("Devices", [{ name: "averaged", values: rounds.map((round) => [round.number, round.clients - round.failed - round.set_aside]) }, of("failed")], { when, low: 0 }), lines("Bytes from devices", [{ name: "in all", values: uplink }], { when, show: bytes, low: 0 }))] : empty("No round has ended yet."));
}
