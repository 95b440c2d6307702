// The Workspaces on the left, and the chosen one on top.

import { at, clock, make, seconds, span } from "./dom.js";
import { stages } from "./stages.js";

export function list(workspaces, chosen, choose) {
  const wanted = at("filter").value.trim().toLowerCase();
  const words = (it) => `${it.key} ${it.does} ${it.instance} ${it.state}`.toLowerCase();
  const shown = [...workspaces.values()].filter((it) => words(it).includes(wanted));
  const all = make("button", { type: "button", "aria-current": chosen === "", onclick: () => choose("") },
    make("span"), "All events", make("small", {}, `${workspaces.size}`));
  const focused = document.activeElement?.dataset.key;
  at("workspaces").replaceChildren(all, ...shown.map((it) => item(it, chosen, choose)));
  if (focused !== undefined) at("workspaces").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function item(it, chosen, choose) {
  const [namespace, name] = it.key.split("/");
  const state = it.gone ? "gone" : it.state || "new";
  const age = it.created && !it.gone ? span(seconds(it.created, new Date())) : "";
  return make("button", {
    type: "button", class: it.gone ? "gone" : false, "aria-current": it.key === chosen, "data-key": it.key,
    title: it.message, onclick: () => choose(it.key),
  }, make("span", { class: `dot ${it.ready || "Unknown"}` }), name, make("small", { class: "age" }, age),
  make("small", {}, [namespace === "default" ? "" : namespace, state, it.does, it.instance].filter(Boolean).join(" · ")));
}

// `moment`: what the console says of it; `then`: it is about a time that is past; `rows`: for the marks.
export function show(moment, then, rows, choose) {
  at("workspace").hidden = !moment;
  if (!moment) return;
  const it = moment.workspace;
  const url = it.url && /^https?:/.test(it.url) ? make("a", { href: it.url, rel: "noreferrer" }, it.url) : it.url;
  at("head").replaceChildren(
    make("h2", {}, it.key),
    make("span", { class: it.ready || "Unknown" }, it.gone ? "gone" : it.state || "new"),
    make("span", { class: "soft" }, [it.does, it.instance].filter(Boolean).join(" on ")),
    make("span", {}, url),
    ...(then ? [make("span", { class: "then" }, `as it was at ${clock(moment.at)} UTC`)] : []),
    make("p", { class: "soft" }, it.message),
  );
  at("stages").replaceChildren(...stages(moment, rows, choose));
  at("conditions").replaceChildren(...it.conditions.map((condition) => make("tr", {},
    make("td", {}, condition.type),
    make("td", { class: condition.status }, condition.status),
    make("td", { title: condition.since }, condition.since ? clock(condition.since).slice(0, 8) : ""),
    make("td", {}, condition.reason),
    make("td", {}, condition.message),
  )));
}
