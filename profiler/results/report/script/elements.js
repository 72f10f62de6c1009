// What a report does in the browser: unpack the data, draw, and let a person look at single dialogues.
// Every text of a run becomes a text node, never markup. Nothing is fetched, stored or sent.
"use strict";

// Elements of the page, and numbers in words.

const byId = (id) => document.getElementById(id);

/** An element with attributes; functions are listeners, children are nodes or texts. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(
    ...children
      .flat()
      .filter((child) => child !== null && child !== undefined)
      .map((child) => (child instanceof Node ? child : String(child))),
  );
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function table(head, rows) {
  const cell = (tag, value) =>
    el(
      tag,
      value?.number ? { class: "number" } : value?.words ? { class: "words" } : tag === "th" ? { scope: "col" } : {},
      value?.number ?? value?.words ?? value ?? "",
    );
  return el(
    "div",
    { class: "wide", tabindex: "0", role: "group", "aria-label": "Table" },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head.map((each) => cell("th", each)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            row.map((each) => cell("td", each)),
          ),
        ),
      ),
    ),
  );
}

function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: "facts" },
    known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

function show(id, ...content) {
  const section = byId(id);
  section.hidden = false;
  section.querySelector(".body")?.replaceChildren(...content.filter(Boolean));
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function shown(value, name = "") {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const money = name.includes("usd") ? "$" : "";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return money + grouped.format(value);
  if (size >= 1000) return money + grouped.format(value);
  return money + Number(value.toPrecision(size >= 1 ? 4 : 3)).toString();
}

const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;
const interval = (bounds) => (bounds ? `${shown(bounds[0])} to ${shown(bounds[1])}` : "no interval");
const pValue = (p) => (p === null || p === undefined ? "–" : p < 0.0001 ? "<0.0001" : p.toFixed(4));
