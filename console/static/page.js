// What is chosen, and keeping it up to date. The address says it: #NAMESPACE/NAME, and @LINE while one looks back.

import * as chat from "./chat.js";
import { ask, at, settling } from "./dom.js";
import * as rows from "./rows.js";
import * as workspaces from "./workspaces.js";

const known = new Map();
let source = { live: false };
let key = "", line = null;   // the Workspace, or "" for all; the line that is looked at, or null for now
let page = { rows: [], total: 0, offset: 0 }, place = null;   // the line's place in all of them, null for none
let turned = null;           // an offset that was turned to while nothing is looked at

const pathOf = (name) => name.split("/").map(encodeURIComponent).join("/");

// From line to line is no way that anybody goes back.
function go(workspace, name = null) {
  const hash = `#${workspace}${name ? `@${name}` : ""}`;
  const stays = !location.hash || location.hash === hash || (workspace === key && line !== null && name !== null);
  history[stays ? "replaceState" : "pushState"](null, "", hash);
  arrive();
}

function arrive() {
  const [workspace, name] = location.hash.slice(1).split("@");
  if (workspace !== key) { page = { rows: [], total: 0, offset: 0 }; turned = null; }
  [key, line] = [workspace, name ?? null];
  list();
  refresh();
}

const list = () => workspaces.list(known, key, (workspace) => { place = null; turned = null; go(workspace); });

const within = (more = {}) => new URLSearchParams({ workspace: key, quiet: at("quiet").checked, ...more });
const rowsPath = (offset) => `api/rows?${within({
  limit: rows.PAGE, ...(offset === null ? {} : { offset: Math.floor(offset / rows.PAGE) * rows.PAGE }),
})}`;

// The page of lines, and the Workspace as it is or was.
const refresh = settling(async () => {
  const wanted = [key, line];
  const still = () => wanted[0] === key && wanted[1] === line;
  try {
    const told = line === null ? null : await ask(`api/rows/${encodeURIComponent(line)}?${within()}`);
    const found = await ask(rowsPath(told ? told.place : turned));
    const moment = told ? told.moments[key] : key ? await ask(`api/workspaces/${pathOf(key)}`).catch(() => null) : null;
    if (!still()) return;
    [page, place] = [found, told ? told.place : null];
    draw();
    rows.story(told ? told.story : null);
    workspaces.show(moment ?? null, told !== null, page.rows, pick);
    trouble();
  } catch (error) {
    if (still()) trouble(error.message);
  }
});

function draw() {
  rows.list(page, line, pick, (offset) => { if (line === null) { turned = offset; refresh(); } else step(offset); });
  at("slider").max = Math.max(0, page.total - 1);
  at("slider").value = line === null ? page.total : place ?? page.total;
  at("slider").disabled = at("back").disabled = page.total === 0;
  at("on").disabled = line === null;
  at("now").disabled = line === null && turned === null;
  at("place").textContent = line === null ? `${page.total} lines` : `${(place ?? 0) + 1} of ${page.total}`;
  chat.choose(known.get(key)?.chats ? key : null);
  if (line !== null) at("chat").hidden = true;   // nobody talks to the past
}

const pick = (name) => go(key, name);

function now() { place = null; turned = null; go(key); }

// To the line at that place; past the last one it is now.
async function step(to) {
  if (to >= page.total) { now(); return; }
  place = Math.max(0, to);
  const there = place;   // while it is asked for, something else may be drawn
  let row = page.rows[there - page.offset];
  try {
    if (!row) {
      const found = await ask(rowsPath(there));
      row = found.rows[there - found.offset];
    }
  } catch (error) { trouble(error.message); }
  if (row) pick(row.name);
}

const back = () => step(line === null ? page.total - 1 : place - 1);
const on = () => { if (line !== null) step(place + 1); };

function trouble(said = source.trouble ?? "") {
  at("trouble").textContent = said;
  at("trouble").hidden = !said;
}

const reload = settling(async () => {
  try {
    source = await ask("api/state");
  } catch (error) { trouble(error.message); return; }
  known.clear();
  for (const it of source.workspaces) known.set(it.key, it);
  const parts = [source.live ? (source.listed ? "live" : "the API server does not answer yet") : "a recording"];
  if (!source.read) parts.push("reading what is recorded");
  if (source.lost) parts.push(`${source.lost} records were lost: there was no room for them`);
  at("source").textContent = parts.join(" · ");
  if (!location.hash && source.workspaces.length) go(source.workspaces[0].key);
  else arrive();
});

function listen() {
  const stream = new EventSource("api/stream");
  const say = (text, off) => { at("connection").textContent = text; at("connection").classList.toggle("off", off); };
  stream.addEventListener("open", () => say("connected", false));
  stream.addEventListener("error", () => {
    say("reconnecting", true);
    // Refused, not cut: the browser does not try again by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
  stream.addEventListener("reset", reload);
  stream.addEventListener("status", (event) => { source.trouble = JSON.parse(event.data).trouble; trouble(); });
  stream.addEventListener("workspace", (event) => {
    const it = JSON.parse(event.data);
    known.set(it.key, it);
    list();
    if (it.key === key) refresh();
  });
  stream.addEventListener("rows", (event) => {
    const news = JSON.parse(event.data);
    if (key === "" || news.gone.length || news.rows.some((it) => it.workspaces.includes(key))) refresh();
  });
}

addEventListener("hashchange", arrive);
addEventListener("keydown", (event) => {
  const writes = event.target.matches("textarea, input:not([type=range]):not([type=checkbox])");
  if (writes || event.ctrlKey || event.metaKey || event.altKey) return;
  const does = { ArrowLeft: back, ArrowRight: on, Escape: now }[event.key];
  if (does) { event.preventDefault(); does(); }
});
at("back").addEventListener("click", back);
at("on").addEventListener("click", on);
at("now").addEventListener("click", now);
at("slider").addEventListener("input", (event) => step(Number(event.target.value)));
at("quiet").addEventListener("change", () => { place = null; turned = null; if (line === null) refresh(); else now(); });
at("filter").addEventListener("input", list);
setInterval(list, 10_000);   // ages
listen();
