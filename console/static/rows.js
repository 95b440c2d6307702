// The lines of a recording, a page at a time, and the story of the one that is looked at.

import { at, clock, make } from "./dom.js";

export const PAGE = 100;

export function list(page, chosen, choose, turn) {
  const rows = page.rows.map((row) => item(row, chosen, choose)).reverse();
  const later = page.total - page.offset - page.rows.length;
  at("rows").replaceChildren(
    ...(later > 0 ? [more(`${later} later`, () => turn(page.offset + page.rows.length))] : []),
    ...rows,
    ...(page.offset > 0 ? [more(`${page.offset} earlier`, () => turn(page.offset - 1))] : []),
    ...(page.total ? [] : [make("p", { class: "more" }, "Nothing is recorded of it.")]),
  );
  at("rows").querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
}

const more = (text, onclick) => make("button", { type: "button", class: "more", onclick }, text);

function item(row, chosen, choose) {
  const took = row.seconds === null ? "" : `${Math.round(row.seconds * 1000)} ms`;
  return make("button", {
    type: "button", role: "option", class: row.failed ? "row failed" : "row", "data-name": row.name, tabindex: "-1",
    "aria-selected": row.name === chosen, title: `${row.time}\n${row.what}\n${row.outcome}`, onclick: () => choose(row.name),
  }, ...[clock(row.time), row.function, took, row.what, row.outcome].map((text) => make("span", {}, text)));
}

// What is decided stands out, and so does what a difference adds and takes away.
export function story(text) {
  at("story").hidden = text === null;
  if (text === null) return;
  let differs = true;
  at("story").scrollLeft = 0;
  at("story").replaceChildren(...text.split("\n").map((line) => {
    const said = !line.startsWith("    ");
    if (said) differs = !line.endsWith("for the first time in this recording:");
    const sign = differs && !said ? line[4] : "";
    const heading = /^\S|^ {2}(decided|seen|and):?/.test(line);
    return make("span", { class: heading ? "said" : sign === "+" ? "added" : sign === "-" ? "removed" : false }, line);
  }));
}
