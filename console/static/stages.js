// The stages of a Workspace on a time line, and above them a mark for each line that something was decided in.

import { clock, make, seconds, span } from "./dom.js";

export function stages(moment, rows, choose) {
  const found = moment.timeline;
  if (!found.length) return [];
  const began = new Date(found[0].began);
  // What lasts when all is done would leave no room for what there was before.
  const ended = new Date(found.at(-1).standing === "ready" ? found.at(-1).began : found.at(-1).ended ?? moment.at);
  const whole = Math.max(0.001, seconds(began, ended));
  const part = (time) => `${Math.min(100, Math.max(0, seconds(began, time) / whole * 100))}%`;
  return [...marks(rows, began, ended, part, choose), ...found.flatMap((stage) => line(stage, ended, part))];
}

function line(stage, last, part) {
  const ends = stage.standing === "ready" ? stage.began : stage.ended ?? last;
  const bar = make("span", { class: "bar", title: `${clock(stage.began)} – ${clock(ends)} UTC` });
  // At the very end there is still room to be seen.
  bar.style.left = `min(${part(stage.began)}, 100% - 3px)`;
  bar.style.right = `min(100% - ${part(ends)}, 100% - 3px - ${part(stage.began)})`;
  const took = span(seconds(stage.began, ends));
  const said = {
    ready: `since ${clock(stage.began).slice(0, 8)}`, now: `${took} so far`, failed: `failed after ${took}`, done: took,
  };
  return [
    make("span", { class: `stage ${stage.standing}`, title: stage.note }, stage.name),
    make("span", { class: `track ${stage.standing}`, title: stage.note }, bar),
    make("span", { class: "soft" }, said[stage.standing]),
  ];
}

function marks(rows, began, ended, part, choose) {
  const within = rows.filter((it) => new Date(it.time) >= began && new Date(it.time) <= ended && it.decided);
  if (!within.length) return [];
  const track = make("span", { class: "track" });
  for (const row of within) {
    const mark = make("button", {
      type: "button", class: row.failed ? "tick failed" : "tick", tabindex: "-1",
      title: `${clock(row.time)} ${row.function}: ${row.what}: ${row.outcome}`, onclick: () => choose(row.name),
    });
    mark.style.left = `min(${part(row.time)}, 100% - 3px)`;
    track.append(mark);
  }
  return [make("span", { class: "soft" }, "decisions"), track, make("span", { class: "soft" }, within.length)];
}
