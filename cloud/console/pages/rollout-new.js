// A new rollout: what, to whom, in which phases, behind which gates; and what it would do.

import { api } from "../api.js";
import { ask, button, bytes, card, during, empty, field, h, notice, number, span, swap, table, values } from "../dom.js";

export async function show({ params, may }) {
  const [{ releases }, { groups }] = await Promise.all([api("releases"), api("groups")]);
  const content = [h("p", { class: "crumbs" }, h("a", { href: "#/rollouts" }, "Rollouts"), " /"), h("h1", {}, "New rollout")];
  if (!may("operator")) return { title: "New rollout", content: [...content, empty("This needs an operator's token.")] };
  if (!releases.length) return { title: "New rollout", content: [...content, empty("Publish a bundle first, on the page of the models.")] };
  const models = [...new Set(releases.map((each) => each.name))];
  const versions = (name) => [...new Set(releases.filter((each) => each.name === name).map((each) => each.version))].sort((a, b) => b - a);
  const chosen = models.includes(params.get("release")) ? params.get("release") : models[0];
  const version = Number(params.get("version")) || versions(chosen)[0];
  const name = field("Name", { name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}", value: `${chosen}-${version}` });
  const release = field("Model", { name: "release", value: chosen }, models);
  const number_ = field("Version", { name: "version", value: String(version) }, versions(chosen).map(String));
  const input = (field_) => field_.querySelector("input, select");
  let touched = false;
  name.addEventListener("input", () => { touched = true; });
  release.addEventListener("change", () => { input(number_).replaceChildren(...versions(input(release).value).map((each) => h("option", {}, String(each)))); rename(); });
  number_.addEventListener("change", () => rename());
  const rename = () => { if (!touched) input(name).value = `${input(release).value}-${input(number_).value}`; };
  const selector = field("Devices", { name: "selector", placeholder: "all", list: "groups" }, null, "a selector such as site=hamburg-port or group=canaries; empty for all");
  const form = h("form", {}, card("What and to whom", h("div", { class: "form" }, release, number_, name, selector), h("datalist", { id: "groups" }, groups.map((each) => h("option", { value: `group=${each.name}` })))),
    card("Phases", h("div", { class: "form" }, field("Phases", { name: "phases", value: "1 %, 10 %, 50 %, 100 %", required: true }, null, "shares or counts of devices, each wider than the one before"), field("Soak, minutes", { name: "soak", type: "number", min: 0, max: 43_200, value: 10 }, null, "how long a phase must hold"),
      field("Switch from, UTC", { name: "from", type: "time" }), field("Switch until, UTC", { name: "until", type: "time" }))),
    card("Gates", h("div", { class: "form" }, gate("Devices that succeed, %", "min_success", 95), gate("Agreement in the shadow, %", "min_agree", 80), gate("Accuracy may fall by, %", "max_drop", 2), field("95th percentile, new to old", { name: "max_slower", type: "number", min: 0.1, max: 100, step: 0.05, value: 1.5 }),
      gate("Inferences that may fail, %", "max_errors", 1), field("Shadow, inputs", { name: "samples", type: "number", min: 0, max: 1_000_000, value: 100 }, null, "0 for no shadow")),
      field("At a breach, take the release back at once (else pause)", { name: "automatic", type: "checkbox", checked: true }), field("Tell devices that come later too", { name: "follow", type: "checkbox" })));
  const preview = h("div", { "aria-live": "polite" });
  const spec = () => read(values(form));
  const dry = async () => { if (form.reportValidity()) swap(preview, shown(await api("rollouts/plan", { method: "POST", body: { spec: spec() } }))); };
  const make = async (start) => {
    if (!form.reportValidity()) return;
    const wanted = spec(), plan = await api("rollouts/plan", { method: "POST", body: { spec: wanted } });
    if (start && !(await ask(`Start ${wanted.name}?`, h("p", {}, `${wanted.release} ${wanted.version} goes to ${number(plan.devices)} devices, ${number(plan.phases[0].devices)} of them in the first phase, at once.`), { yes: "Start" }))) return;
    await api("rollouts", { method: "POST", body: { spec: wanted } });
    if (start) await api(`rollouts/${encodeURIComponent(wanted.name)}/start`, { method: "POST", body: {} });
    notice(start ? `${wanted.name} has begun.` : `${wanted.name} is a draft.`);
    location.hash = `#/rollout/${wanted.name}`;
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); during(event.submitter ?? form, dry); });
  form.append(h("div", { class: "row" }, h("button", { class: "primary", id: "preview" }, "Preview"), button("Make a draft", () => make(false), "", { id: "draft" }), button("Make and start", () => make(true), "", { id: "start" })));
  return { title: "New rollout", content: [...content, form, preview] };
}

const gate = (label, name, value) => field(label, { name, type: "number", min: 0, max: 100, step: 0.1, value });
const minutes = (text) => Math.round(Number(text) * 60);

/** The form's values as a specification. */
function read(found) {
  const share = (text) => Number((Number(text) / 100).toFixed(6));
  return {
    name: found.name.trim(), release: found.release, version: Number(found.version), selector: found.selector.trim(),
    phases: found.phases.split(",").map((each) => ({ share: each.trim(), soak_s: minutes(found.soak) })),
    gates: { min_success: share(found.min_success), min_agree: share(found.min_agree), max_drop: share(found.max_drop), max_slower: Number(found.max_slower), max_errors: share(found.max_errors) },
    shadow: { samples: Number(found.samples), min_agree_ppm: Math.round(Number(found.min_agree) * 10_000), max_drop_ppm: Math.round(Number(found.max_drop) * 10_000) },
    automatic: found.automatic === "on", follow: found.follow === "on", ...(found.from && found.until ? { window: [found.from, found.until] } : {}),
  };
}

function shown(plan) {
  const targets = Object.keys(plan.targets), out = Object.entries(plan.left_out);
  if (!plan.devices) return card("What it would do", empty("No device is selected that lacks this release."));
  return card("What it would do", h("p", {}, h("b", {}, `${number(plan.devices)} devices`), ` would get it, and fetch ${bytes(plan.bytes)} together where no patch applies.`),
    table("Phases", [["Phase", (each) => each.text], ["Devices", (each) => number(each.devices), "right"], ["Soak", (each) => span(each.soak_s), "right"], ...targets.map((target) => [target, (each) => number(each.targets[target] ?? 0), "right"])], plan.phases),
    h("p", {}, "First: ", Object.values(plan.canaries).flat().slice(0, 12).map((each, i) => [i ? ", " : "", h("a", { href: `#/device/${each}` }, each)])),
    out.length > 0 && h("p", {}, "Left out, for the release has no bundle for them: ", out.map(([target, each]) => `${target || "unknown target"} (${number(each.devices)})`).join(", ")));
}
