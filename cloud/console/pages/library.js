// The models: versions, sizes, targets, what was measured, patches, and the pictures that bundles carry.

import { api, query } from "../api.js";
import { frontier } from "../charts.js";
import { ago, ask, button, bytes, card, chip, empty, field, h, ms, notice, number, percent, swap, table, values } from "../dom.js";

export async function show({ may, current }) {
  const place = h("div", {});
  const draw = async () => { const { releases } = await api("releases"); if (current()) swap(place, releases.length ? byModel(releases).map(([name, all]) => model(name, all, may, draw)) : empty("Nothing is published yet: littoral repository publish BUNDLE")); };
  await draw();
  const upload = async () => {
    const form = h("div", {}, field("Bundle", { name: "file", type: "file", accept: ".bundle", required: true }), field("Name", { name: "name" }, null, "empty: the bundle's own"), field("Version", { name: "version", type: "number", min: 1 }, null, "empty: the next"), field("Target", { name: "target" }, null, "empty: the bundle's own"));
    const found = await ask("Publish a bundle", form, { yes: "Publish" });
    if (!found) return;
    const made = await api(`releases${query({ name: found.name, version: found.version, target: found.target })}`, { method: "POST", file: found.file });
    notice(`${made.path} is published.`);
    await draw();
  };
  return { title: "Models", content: [h("div", { class: "title" }, h("h1", {}, "Models"), may("operator") && button("Publish a bundle", upload, "primary", { id: "publish" })), place] };
}

function byModel(releases) {
  const found = new Map();
  for (const each of releases) found.set(each.name, [...(found.get(each.name) ?? []), each]);
  return [...found];
}
const accuracy = ({ metrics }) => { const ppm = metrics.accuracy_compressed_ppm ?? metrics.accuracy_ppm ?? metrics.agreement_ppm; return ppm === undefined ? null : ppm / 1e6; };
const spread = (all, show) => { const [low, high] = [Math.min(...all), Math.max(...all)]; return low === high ? show(low) : `${show(low)} – ${show(high)}`; };

function model(name, all, may, again) {
  const versions = [...new Set(all.map((each) => each.version))].sort((a, b) => b - a);
  const targets = [...new Set(all.map((each) => each.target))];
  const picture = h("div", {});
  const draw = (target) => {
    const points = all.filter((each) => each.target === target && accuracy(each) !== null).map((each) => ({ x: each.bytes, y: accuracy(each), name: `v${each.version}` }));
    swap(picture, points.length > 1 && frontier(`${name} on ${target}: accuracy against size`, points, { x: bytes, y: (value) => percent(value), labels: ["size →", "accuracy"] }));
  };
  const choose = field("Frontier for", { name: "target", value: targets.includes("rpi4") ? "rpi4" : targets[0] }, targets);
  choose.addEventListener("change", (event) => draw(event.target.value));
  draw(choose.querySelector("select").value);
  const list = versions.map((version, i) => one(name, version, all.filter((each) => each.version === version), may, again, i === 0));
  return card(name, h("p", { class: "quiet" }, `${versions.length} versions for ${targets.length} targets`), h("div", { class: "split" }, h("div", {}, list), h("div", {}, choose, picture)));
}

function one(name, version, all, may, again, newest) {
  const scores = all.map(accuracy).filter((each) => each !== null);
  const withdraw = async () => {
    if (!(await ask(`Withdraw ${name} ${version}?`, h("p", {}, "No device fetches it any more; those that run it go on."), { yes: "Withdraw", bad: true }))) return;
    await api(`releases/${encodeURIComponent(name)}/${version}`, { method: "DELETE" });
    notice(`${name} ${version} is withdrawn.`);
    await again();
  };
  return h("details", { id: `release-${name}-${version}`, open: newest }, h("summary", {}, h("b", {}, `Version ${version}`), h("span", {}, spread(all.map((each) => each.bytes), bytes)), scores.length > 0 && h("span", {}, spread(scores, (x) => percent(x))), h("span", { class: "quiet" }, ago(Math.max(...all.map((each) => each.published))))),
    table(`${name} ${version}`, [
      ["Target", (each) => each.target], ["Size", (each) => bytes(each.bytes), "right"], ["Accuracy", (each) => percent(accuracy(each)), "right"], ["Latency", (each) => ms(each.metrics.latency_us), "right"],
      ["As a patch", (each) => (each.deltas.length ? each.deltas.map((delta) => chip(delta.from ? `from ${delta.from}` : "from an older one", `${bytes(delta.bytes)}, ${percent(delta.bytes / each.bytes, 0)}`)) : "–"), "wide"],
      ["", (each) => button("Reports", () => reports(each), "plain", { "aria-label": `Reports of ${each.path}` })],
    ], all),
    h("div", { class: "row" }, may("operator") && h("a", { class: "button", href: `#/rollout-new?release=${encodeURIComponent(name)}&version=${version}` }, `Roll out version ${version}`), may("admin") && button(`Withdraw version ${version}`, withdraw, "danger plain")));
}

/** What the bundle itself carries: its recipe, and pictures and pages that its making left in it. */
async function reports(each) {
  const path = `releases/${[each.name, each.version, each.target].map(encodeURIComponent).join("/")}/files`;
  const { files, recipe, sealed } = await api(path);
  const shown = files.map((file) => { const href = `/api/v1/${path}/${encodeURIComponent(file)}`; return /\.png$/.test(file) ? h("figure", {}, h("img", { src: href, alt: `${file} of ${each.path}`, loading: "lazy" }), h("figcaption", {}, file)) : h("p", {}, h("a", { href, target: "_blank", rel: "noopener" }, file)); });
  await ask(each.path, [h("dl", { class: "facts" }, Object.entries(each.metrics).map(([key, value]) => h("div", {}, h("dt", {}, key.replace(/_ppm$/, "")), h("dd", {}, key.endsWith("_ppm") ? percent(value / 1e6, 2) : typeof value === "number" ? number(value) : value)))),
    recipe.length > 0 && h("p", {}, "Made by ", recipe.map((step) => step.name).join(" → ")), shown.length ? shown : empty(sealed ? "The bundle is sealed: only devices that are told its key can read it." : "The bundle carries no picture and no report."), h("p", { class: "quiet" }, h("code", {}, each.sha256))], { yes: "Close", only: true });
}
