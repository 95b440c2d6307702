// Elements, times and answers. What is shown is always put in as text: it comes from objects that others wrote.

export const at = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

// As kubectl shows it, in its largest unit.
export function span(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)}${unit}`;
  }
  return seconds < 10 ? `${Math.max(0, seconds).toFixed(1)}s` : `${Math.floor(seconds)}s`;
}

export const clock = (time) => new Date(time).toISOString().slice(11, 23);
export const seconds = (from, to) => (new Date(to) - new Date(from)) / 1000;

export async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await complaint(response));
  return response.json();
}

// The server's words where it has some: they say what to do.
export async function complaint(response) {
  const body = await response.json().catch(() => null);
  return body?.error ?? `The console answered ${response.status} ${response.statusText}.`;
}

// At once, and then once more for whatever was asked for meanwhile: of many calls the last one counts.
export function settling(work) {
  let running = false, again = false;
  return async function run() {
    if (running) { again = true; return; }
    running = true;
    do { again = false; await work(); } while (again);
    running = false;
  };
}
