// One's own settings; and for an admin who may come in: people by tokens, devices by enrolment strings.

import { api } from "../api.js";
import { ago, ask, button, card, facts, field, h, labels, notice, once, pill, swap, table, values } from "../dom.js";

export async function show({ me, may, theme, signOut, current }) {
  const pick = field("Colours", { name: "theme", value: document.documentElement.dataset.theme }, [["auto", "as the system"], ["light", "light"], ["dark", "dark"]]);
  pick.addEventListener("change", (event) => theme(event.target.value));
  const own = card("You", facts([["Name", me.name], ["Role", me.role]]), pick, h("div", { class: "row" }, button("Sign out", signOut, "", { id: "sign-out" }), h("a", { class: "button", href: "/api/v1/openapi.json", target: "_blank", rel: "noopener" }, "API description")));
  const content = [h("h1", {}, "Settings"), own];
  if (!may("admin")) return { title: "Settings", content };
  const people = h("div", {}), devices = h("div", {});
  const draw = async () => {
    const [{ tokens }, { enrolments }] = await Promise.all([api("tokens"), api("enrolments")]);
    if (current()) { swap(people, tokenTable(tokens, me, draw)); swap(devices, enrolmentTable(enrolments, draw)); }
  };
  await draw();
  return { title: "Settings", content: [...content, card("Tokens", h("p", { class: "quiet" }, "A viewer reads; an operator also changes; an admin also lets people and devices in."), people, tokenForm(draw)), card("Enrolment strings", h("p", { class: "quiet" }, "A string lets one device in, once."), devices, enrolmentForm(draw))] };
}

const submit = (form, act) => { form.addEventListener("submit", async (event) => { event.preventDefault(); try { await act(values(form)); form.reset(); } catch (error) { notice(error.message, true); } }); return form; };

const tokenTable = (tokens, me, again) => table("Tokens", [
  ["Name", (each) => each.name], ["Role", (each) => each.role], ["Made", (each) => ago(each.created)], ["Ends", (each) => (each.expires ? ago(each.expires) : "never")],
  ["", (each) => each.name !== me.name && button("Delete", async () => {
    if (!(await ask(`Delete the token ${each.name}?`, h("p", {}, "Whoever uses it is out at once."), { yes: "Delete", bad: true }))) return;
    await api(`tokens/${encodeURIComponent(each.name)}`, { method: "DELETE" });
    await again();
  }, "danger plain", { "aria-label": `Delete the token ${each.name}` })],
], tokens);

const tokenForm = (again) => submit(h("form", { class: "form" }, field("Name", { name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" }), field("Role", { name: "role" }, ["viewer", "operator", "admin"]), field("Good for, days", { name: "days", type: "number", min: 1, max: 3650, placeholder: "for ever" }), h("button", { class: "primary" }, "Make a token")), async (found) => {
  const made = await api("tokens", { method: "POST", body: { name: found.name, role: found.role, days: found.days ? Number(found.days) : null } });
  await again();
  await once(`The token of ${made.name}`, made.token, "It is shown this once; only its digest is kept.");
});

const enrolmentTable = (enrolments, again) => table("Enrolment strings", [
  ["Device", (each) => each.device], ["Site", (each) => each.site || "–"], ["Labels", (each) => labels(each.labels)], ["Made", (each) => ago(each.created)],
  ["State", (each) => (each.used ? pill("done", "used") : each.expires * 1000 < Date.now() ? pill("expired") : pill("pending", "open"))], ["Ends", (each) => (each.used ? "–" : ago(each.expires))],
  ["", (each) => !each.used && button("Take back", async () => { await api(`enrolments/${each.id}`, { method: "DELETE" }); await again(); }, "plain", { "aria-label": `Take back the string of ${each.device}` })],
], enrolments);

const enrolmentForm = (again) => submit(h("form", { class: "form" }, field("Device", { name: "device", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" }), field("Site", { name: "site", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" }), field("Labels", { name: "labels", placeholder: "room=hall, line=2" }), field("Good for, hours", { name: "hours", type: "number", min: 1, max: 2160, value: 24 }), h("button", { class: "primary" }, "Make a string")), async (found) => {
  const given = Object.fromEntries(found.labels.split(",").map((each) => each.split("=").map((part) => part.trim())).filter(([key]) => key));
  const made = await api("enrolments", { method: "POST", body: { device: found.device, site: found.site, labels: given, hours: Number(found.hours) } });
  await again();
  await once(`The string of ${made.device}`, made.string, "It is shown this once; it lets the device in once.", made.command);
});
