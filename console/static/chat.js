// A talk with the model of the chosen Workspace; each has its own.

import { at, complaint, make } from "./dom.js";

const talks = new Map();
let chosen = null, running = null;

// `key` of the Workspace; null where there is none that can be asked.
export function choose(key) {
  at("chat").hidden = key === null;
  if (key === chosen) return;
  running?.abort();
  chosen = key;
  if (key !== null && !talks.has(key)) talks.set(key, []);
  at("figures").textContent = "";
  at("talk").replaceChildren();
  for (const { role, content } of talks.get(key) ?? []) show(role, content);
}

function show(role, content) {
  const turn = make("div", { class: `turn ${role}` }, content);
  at("talk").append(turn);
  at("talk").scrollTop = at("talk").scrollHeight;
  return turn;
}

async function* events(response) {
  const lines = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  for (let part = await lines.read(); !part.done; part = await lines.read()) {
    const whole = (seen + part.value).split("\n\n");
    seen = whole.pop();
    for (const event of whole) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
  throw new Error("The answer was cut short.");
}

async function ask(question) {
  const messages = talks.get(chosen), figures = at("figures"), mine = new AbortController();
  messages.push({ role: "user", content: question });
  show("user", question);
  const turn = show("assistant", "");
  running = mine;
  at("send").textContent = "Stop";
  figures.textContent = "";
  const began = performance.now();
  let first = null, tokens = 0;
  try {
    const response = await fetch(`api/workspaces/${chosen}/chat`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ messages }), signal: mine.signal,
    });
    if (!response.ok) throw new Error(await complaint(response));
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      const piece = event.choices[0]?.delta?.content ?? "";
      if (piece) first ??= performance.now();
      turn.textContent += piece;
      tokens = event.usage?.completion_tokens ?? tokens;
      at("talk").scrollTop = at("talk").scrollHeight;
    }
    const took = (from) => (from - began) / 1000;
    const now = performance.now();
    figures.textContent = `${tokens} tokens in ${took(now).toFixed(1)} s, the first after ${took(first ?? now).toFixed(2)} s`;
  } catch (error) {
    if (error.name !== "AbortError") {
      show("failed", error.message);
      // What was not answered is not part of the talk: it may be sent again.
      if (!turn.textContent) { messages.pop(); turn.remove(); }
    }
  } finally {
    if (turn.textContent) messages.push({ role: "assistant", content: turn.textContent });
    else if (messages.at(-1)?.role === "user") messages.pop();
    if (running === mine) { running = null; at("send").textContent = "Send"; }
  }
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) { running.abort(); return; }
  const question = at("text").value.trim();
  at("text").value = "";
  if (question) ask(question);
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); at("ask").requestSubmit(); }
});
at("clear").addEventListener("click", () => {
  running?.abort();
  talks.set(chosen, []);
  at("talk").replaceChildren();
  at("figures").textContent = "";
});
