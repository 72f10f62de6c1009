// What a report does in the browser: unpack the data, draw, and let a person look at single dialogues.
// Every text of a run becomes a text node, never markup. Nothing is fetched, stored or sent.
"use strict";

// --- Elements -------------------------------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);

/** An element with attributes; functions are listeners, children are nodes or texts. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function table(head, rows) {
  const cell = (tag, value) => el(tag, value?.number ? { class: "number" } : value?.words ? { class: "words" } : tag === "th" ? { scope: "col" } : {}, value?.number ?? value?.words ?? value ?? "");
  return el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Table" }, el("table", {}, el("thead", {}, el("tr", {}, head.map((each) => cell("th", each)))), el("tbody", {}, rows.map((row) => el("tr", {}, row.map((each) => cell("td", each)))))));
}

function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function show(id, ...content) {
  const section = byId(id);
  section.hidden = false;
  section.querySelector(".body")?.replaceChildren(...content.filter(Boolean));
}

// --- Numbers in words -----------------------------------------------------------------------------------------------

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

// --- Unpacking ------------------------------------------------------------------------------------------------------

/** The bytes of a block: two in each character of a large file, base64 in others. */
function bytesOf(block) {
  const text = block.textContent;
  if (document.characterSet === "UTF-16LE") return bytesOfCharacters(text, Number(block.dataset.bytes));
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const packed = atob(text);
  const bytes = new Uint8Array(packed.length);
  for (let at = 0; at < packed.length; at++) bytes[at] = packed.charCodeAt(at);
  return bytes;
}

/** What cannot stand in HTML was escaped: see packing.py. */
function bytesOfCharacters(text, count) {
  const bytes = new Uint8Array(count + 1);
  let place = 0;
  for (let at = 0; at < text.length; at++) {
    let unit = text.charCodeAt(at);
    if (unit === 0xe000) {
      unit = text.charCodeAt(++at);
      if (unit < 0x100) unit -= 0x10;
      else if (unit < 0xe000) unit += 0xd700;
    }
    bytes[place++] = unit & 0xff;
    bytes[place++] = unit >> 8;
  }
  return bytes.subarray(0, count);
}

async function unpacked(block) {
  const stream = new Blob([bytesOf(block)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

/** A block of columns as rows: what was asked and what came back, a pair for each run, null where it has no such item. */
async function rowsOf(block) {
  const runs = (await unpacked(block)).map(({ count, absent, asked, got }) => {
    const [requests, records] = [linesOf(asked, count), linesOf(got, count)];
    const pairs = requests.map((request, at) => [request, records[at]]);
    for (const at of absent) pairs[at] = null;
    return pairs;
  });
  return runs[0].map((_, at) => runs.map((pairs) => pairs[at]));
}

function linesOf({ all, each, lacking }, count) {
  const lines = Array.from({ length: count }, () => ({ ...all }));
  for (const [key, values] of Object.entries(each)) {
    const gaps = new Set(lacking[key]);
    values.forEach((value, at) => gaps.has(at) || (lines[at][key] = value));
  }
  return lines;
}

let F; // facts: everything but the dialogues
let C; // columns: a place in each for every row
let textBlocks = [];
const recent = new Map(); // the blocks of texts that were looked at last

async function block(number) {
  const found = recent.get(number) ?? rowsOf(textBlocks[number]);
  recent.delete(number);
  recent.set(number, found);
  if (recent.size > 6) recent.delete(recent.keys().next().value);
  return found;
}

async function pairsOf(row) {
  return (await block(Math.floor(row / F.rows_a_block)))[row % F.rows_a_block];
}

// --- What a line of the logs says -----------------------------------------------------------------------------------

function textOf(content) {
  if (typeof content === "string") return content;
  return (Array.isArray(content) ? content : []).map((part) => ("text" in part ? String(part.text) : `[${part.type ?? "unknown"}]`)).join("\n");
}

function repliesOf(record) {
  if (record.replies?.length) return record.replies;
  return typeof record.completion === "string" ? [record.completion] : [];
}

function questionOf(request) {
  const prompt = request.prompt ?? {};
  const said = (prompt.messages ?? []).filter((each) => each.role === "user").map((each) => each.content);
  return textOf((said.length ? said : prompt.turns ?? [prompt.user]).at(-1));
}

function askedOf(request, record) {
  const prompt = request.prompt ?? {};
  const said = prompt.system ? [["system", textOf(prompt.system)]] : [];
  for (const each of prompt.messages ?? []) said.push([each.role, textOf(each.content)]);
  const replies = repliesOf(record);
  (prompt.turns ?? []).forEach((turn, at) => {
    said.push(["user", textOf(turn)]);
    if (at < prompt.turns.length - 1 && replies[at] !== undefined) said.push(["assistant", replies[at]]);
  });
  if (prompt.user !== undefined) said.push(["user", textOf(prompt.user)]);
  return said;
}

const answerOf = (record) => repliesOf(record).at(-1) ?? null;

// --- Fields: what can be shown, filtered and sorted -----------------------------------------------------------------

let fields = [];
const letter = (run) => String.fromCharCode(65 + run);
const marked = (run) => el("span", { class: `letter run-${run % 5}` }, letter(run));

function makeFields() {
  const several = C.runs.length > 1;
  const prefix = (run) => (several ? `${letter(run)} ` : "");
  fields = [{ key: "id", label: "dialogue", kind: "text", of: (row) => C.ids[row], width: 170 }];
  if (C.repeats) fields.push({ key: "repeat", label: "repeat", kind: "number", of: (row) => C.repeats[row], width: 80 });
  C.change.forEach((column, at) => fields.push({ key: `change-${at + 1}`, label: several && C.runs.length > 2 ? `${letter(at + 1)} change` : "change", kind: "choice", choices: C.changes, of: (row) => C.changes[column[row]], rank: (row) => column[row] || 99, width: 130 }));
  C.runs.forEach((run, at) => {
    const errors = F.runs[at].errors.map(errorLabel);
    fields.push({ key: `type-${at}`, label: `${prefix(at)}type`, kind: "choice", choices: C.types, of: (row) => C.types[run.type[row]] ?? null, width: 100 });
    Object.entries(run.scores).forEach(([name, column], place) => fields.push({ key: `${name}-${at}`, label: prefix(at) + name, kind: column.some((each) => typeof each === "number") ? "number" : "flag", of: (row) => column[row], width: 120, hidden: place >= 4 || (several && name === "completion_rate") }));
    if (errors.length) fields.push({ key: `error-${at}`, label: `${prefix(at)}error`, kind: "choice", choices: errors, of: (row) => errors[run.error[row]] ?? null, width: 200, hidden: true });
    fields.push({ key: `failed-${at}`, label: `${prefix(at)}failure`, kind: "flag", of: (row) => (run.type[row] < 0 ? null : run.failed[row] === 1), width: 90, hidden: true });
  });
  if (F.texts) {
    fields.push({ key: "question", label: "question", kind: "snippet", snippet: (pairs) => questionOf(pairs.find(Boolean)[0]), width: 300 });
    C.runs.forEach((_, at) => fields.push({ key: `answer-${at}`, label: `${prefix(at)}answer`, kind: "snippet", snippet: (pairs) => (pairs[at] && answerOf(pairs[at][1])) ?? "", width: 300 }));
  }
  if (C.tag_sets.some((tags) => tags.length)) {
    const names = [...new Set(C.tag_sets.flat())].sort();
    fields.push({ key: "tags", label: "tags", kind: "choice", choices: names, many: (row) => C.tag_sets[C.tags[row]], of: (row) => C.tag_sets[C.tags[row]].join(", "), width: 150 });
  }
  C.runs.forEach((run, at) => Object.entries(run.measures).forEach(([name, column]) => fields.push({ key: `${name}-${at}`, label: prefix(at) + name, kind: "number", of: (row) => column[row], width: 110, hidden: name === "input_tokens" || name === "attempts" })));
}

const errorLabel = (group) => [group.kind, group.status, group.message].filter((part) => part !== null && part !== "").join(" · ");
const failedAt = (row) => C.runs.some((run) => run.failed[row] === 1);

// --- Filter, search and sort ----------------------------------------------------------------------------------------

let view = new Uint32Array(0);
let filters = [];
let query = "";
let order = null; // {field, down}
const folded = []; // of each block: its texts in small letters, and where each row begins

const OPERATORS = {
  text: { contains: (value, wanted) => fold(value).includes(fold(wanted)) },
  choice: { is: (value, wanted) => value === wanted, "is not": (value, wanted) => value !== wanted },
  flag: { is: (value, wanted) => String(value ?? "missing") === wanted },
  number: { "≥": (value, wanted) => value >= wanted, "≤": (value, wanted) => value <= wanted, "=": (value, wanted) => Number(value) === wanted, "is missing": (value) => value === null },
};

function fold(text) {
  return String(text).toLowerCase().replace(/[‘’]/g, "'").replace(/[“”]/g, '"').replace(/[–—]/g, "-");
}

function passes(filter) {
  const test = OPERATORS[filter.field.kind][filter.operator];
  const { field, value } = filter;
  if (field.many) return (row) => field.many(row).includes(value) === (filter.operator === "is");
  if (field.kind === "number") return (row) => (filter.operator === "is missing" ? field.of(row) === null : field.of(row) !== null && test(Number(field.of(row)), Number(value)));
  return (row) => test(field.of(row), value);
}

/** Which rows have the query in their id, questions or answers, as far as these are unpacked. */
function search(wanted) {
  const hits = new Uint8Array(C.ids.length);
  for (const { text, starts, rows } of [...folded.flat(), ...idsFolded()]) {
    let place = 0;
    let at = text.indexOf(wanted);
    while (at >= 0) {
      while (place + 1 < starts.length && starts[place + 1] <= at) place++;
      hits[rows[place]] = 1;
      if (++place >= starts.length) break;
      at = text.indexOf(wanted, starts[place]);
    }
  }
  return hits;
}

/** Texts as one long text each for plain and other characters: a text without others takes half the memory and time. */
function joined(texts, first) {
  const kinds = [{ texts: [], rows: [] }, { texts: [], rows: [] }];
  texts.forEach((text, at) => {
    const kind = kinds[/^[\u0000-\u00ff]*$/.test(text) ? 0 : 1];
    kind.texts.push(text);
    kind.rows.push(first + at);
  });
  return kinds.filter((kind) => kind.rows.length).map(({ texts: each, rows }) => {
    const starts = new Uint32Array(each.length);
    for (let at = 1; at < each.length; at++) starts[at] = starts[at - 1] + each[at - 1].length + 1;
    return { text: each.join("\u0000"), starts, rows };
  });
}

let foldedIds = null;
function idsFolded() {
  foldedIds ??= joined(C.ids.map(fold), 0);
  return foldedIds;
}

function look() {
  const began = performance.now();
  const tests = filters.map(passes);
  const hits = query ? search(fold(query)) : null;
  const rows = [];
  for (let row = 0; row < C.ids.length; row++) if ((!hits || hits[row]) && tests.every((test) => test(row))) rows.push(row);
  if (order) sort(rows);
  view = Uint32Array.from(rows);
  const took = performance.now() - began;
  document.documentElement.dataset.searchMs = took.toFixed(1);
  const whole = query && F.texts && folded.length < textBlocks.length ? ` · texts searched so far: ${percent(folded.length / textBlocks.length)}` : "";
  byId("found").textContent = `${grouped.format(view.length)} of ${grouped.format(C.ids.length)} dialogues${whole}`;
  byId("scroller").scrollTop = 0;
  draw();
}

function sort(rows) {
  const { field, down } = order;
  const key = field.rank ?? field.of;
  const keys = new Map(rows.map((row) => [row, key(row)]));
  const sign = down ? -1 : 1;
  rows.sort((left, right) => {
    const [a, b] = [keys.get(left), keys.get(right)];
    if (a === b) return left - right;
    if (a === null || a === undefined) return 1; // what is missing stays below, either way
    if (b === null || b === undefined) return -1;
    return (a < b ? -1 : 1) * sign;
  });
}

/** Unpacks the texts one block after the other, and lets the browser breathe in between. */
async function readTexts() {
  for (let number = 0; number < textBlocks.length; number++) {
    const rows = await rowsOf(textBlocks[number]);
    const texts = rows.map((pairs) => fold(pairs.filter(Boolean).map(([request, record]) => [...askedOf(request, record).map(([, text]) => text), ...repliesOf(record).slice(-1)].join("\n")).join("\n")));
    folded.push(joined(texts, number * F.rows_a_block));
    if (query && (number % 20 === 19 || number === textBlocks.length - 1)) look();
    await new Promise((resume) => setTimeout(resume));
  }
}

// --- The table ------------------------------------------------------------------------------------------------------

const MOST_ROWS = 56; // besides the header and the two rows that stand for all above and below
let rowHeight = 33;
let current = -1; // a row of the data, not of the view
let drawing = 0;

function columnsShown() {
  return fields.filter((field) => !field.hidden);
}

function drawHead() {
  const grid = byId("table");
  grid.setAttribute("role", "grid");
  grid.setAttribute("tabindex", "0");
  grid.setAttribute("aria-label", "Dialogues; arrow keys move, Enter opens");
  const shownFields = columnsShown();
  const widths = el("colgroup", {}, shownFields.map((field) => {
    const col = el("col");
    col.style.width = `${field.width}px`;
    return col;
  }));
  grid.querySelector("colgroup")?.remove();
  grid.prepend(widths);
  grid.style.width = `${shownFields.reduce((sum, field) => sum + field.width, 0)}px`;
  grid.tHead.replaceChildren(el("tr", { "aria-rowindex": "1" }, shownFields.map(headOf)));
}

function headOf(field) {
  if (field.kind === "snippet") return el("th", { scope: "col" }, el("button", { type: "button", disabled: true, title: "texts are searched, not sorted" }, field.label));
  const sorted = order?.field === field ? (order.down ? "descending" : "ascending") : undefined;
  const press = () => {
    order = order?.field !== field ? { field, down: field.kind === "number" } : order.down === (field.kind === "number") ? { field, down: !order.down } : null;
    drawHead();
    look();
  };
  return el("th", { scope: "col", "aria-sort": sorted }, el("button", { type: "button", click: press, title: `sort by ${field.label}` }, field.label, sorted ? (order.down ? " ▾" : " ▴") : ""));
}

function render() {
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(draw);
}

function draw() {
  const scroller = byId("scroller");
  const grid = byId("table");
  const count = Math.min(MOST_ROWS, Math.ceil(scroller.clientHeight / rowHeight) + 8, view.length);
  const first = Math.max(0, Math.min(view.length - count, Math.floor(scroller.scrollTop / rowHeight) - 4));
  const shownFields = columnsShown();
  const rows = Array.from({ length: count }, (_, at) => rowOf(first + at, shownFields));
  grid.tBodies[0].replaceChildren(space(first), ...rows, space(view.length - first - count));
  grid.setAttribute("aria-rowcount", view.length + 1);
  if (rows.length && rows[0].offsetHeight && Math.abs(rows[0].offsetHeight - rowHeight) > 0.5) {
    rowHeight = rows[0].offsetHeight;
    render();
  }
  const active = byId(`row-${current}`);
  if (active) grid.setAttribute("aria-activedescendant", active.id);
  else grid.removeAttribute("aria-activedescendant");
}

function space(rows) {
  const cell = el("td", { colspan: columnsShown().length });
  cell.style.height = `${rows * rowHeight}px`;
  const line = el("tr", { class: "space", "aria-hidden": "true" }, cell);
  line.hidden = rows <= 0;
  return line;
}

function rowOf(place, shownFields) {
  const row = view[place];
  const cells = shownFields.map((field) => {
    if (field.kind === "snippet") return el("td", {}, "…");
    const value = field.of(row);
    const wrong = ["error", "right → wrong", "lower score", "became an error"].includes(value);
    return el("td", { class: field.kind === "number" ? "number" : wrong ? "bad" : undefined, title: field.kind === "text" ? value : undefined }, shown(value, field.key));
  });
  if (F.texts) fillSnippets(row, shownFields, cells);
  return el("tr", { id: `row-${row}`, "aria-rowindex": place + 2, "aria-selected": String(row === current), click: () => open(row) }, cells);
}

async function fillSnippets(row, shownFields, cells) {
  const pairs = await pairsOf(row);
  shownFields.forEach((field, at) => {
    if (field.kind === "snippet") cells[at].textContent = (field.snippet(pairs) ?? "").slice(0, 120);
  });
}

function reveal(place) {
  const scroller = byId("scroller");
  const top = place * rowHeight;
  const head = byId("table").tHead.offsetHeight;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + rowHeight > scroller.scrollTop + scroller.clientHeight - head) scroller.scrollTop = top + rowHeight - scroller.clientHeight + head;
  render();
}

function moveTo(place) {
  if (!view.length) return;
  const within = Math.max(0, Math.min(view.length - 1, place));
  current = view[within];
  reveal(within);
}

const placeOf = (row) => view.indexOf(row);

// --- One dialogue ---------------------------------------------------------------------------------------------------

async function open(row) {
  current = row;
  const place = placeOf(row);
  if (place >= 0) reveal(place);
  const address = `#d=${encodeURIComponent(C.ids[row])}${C.repeats?.[row] ? `&r=${C.repeats[row]}` : ""}`;
  if (location.hash !== address) history.replaceState(null, "", address);
  const pairs = await pairsOf(row);
  if (current !== row) return;
  const panel = byId("dialogue");
  panel.replaceChildren(...dialogue(row, pairs, address));
  panel.hidden = false;
  byId("both").classList.add("open");
  render();
}

function close() {
  byId("dialogue").hidden = true;
  byId("both").classList.remove("open");
  history.replaceState(null, "", "#dialogues");
  byId("table").focus();
  render();
}

function dialogue(row, pairs, address) {
  const present = pairs.map((pair, run) => ({ pair, run })).filter(({ pair }) => pair);
  const questions = new Set(present.map(({ pair }) => JSON.stringify(askedOf(pair[0], {}))));
  const name = C.repeats ? `${C.ids[row]}, repeat ${C.repeats[row]}` : C.ids[row];
  const bar = el("div", { class: "bar" }, el("button", { type: "button", click: () => step(-1) }, "Previous"), el("button", { type: "button", click: () => step(1) }, "Next"), el("button", { type: "button", click: () => nextFailure(1) }, "Next failure"), el("a", { href: address }, "Permalink"), el("button", { type: "button", click: close }, "Close"));
  const parts = [bar, el("h3", {}, name)];
  if (questions.size === 1 && present.length > 1) parts.push(conversation(askedOf(present[0].pair[0], {}), []));
  const base = present[0]?.run === 0 ? answerOf(present[0].pair[1]) : null;
  parts.push(el("div", { class: "runs" }, present.map(({ pair, run }) => side(row, run, pair, { alone: questions.size > 1 || present.length === 1, base }))));
  return parts;
}

function side(row, run, [request, record], { alone, base }) {
  const wanted = Array.isArray(request.required_facts) ? request.required_facts : [];
  const answers = repliesOf(record);
  const scores = Object.entries(C.runs[run].scores).map(([name, column]) => [name, column[row]]);
  const said = alone ? askedOf(request, record) : [];
  const parts = C.runs.length > 1 ? [el("h3", {}, marked(run), F.runs[run].name)] : [];
  parts.push(conversation(said, wanted));
  const answer = answers.at(-1);
  if (answer !== undefined) parts.push(turn(`${record.type}${record.stop_reason ? ` (${record.stop_reason})` : ""}`, highlighted(answer, wanted), true));
  else if (record.error) parts.push(turn("error", document.createTextNode([record.error.type, record.error.status, record.error.message].filter(Boolean).join(" · ")), true));
  if (run > 0 && typeof base === "string" && typeof answer === "string") parts.push(difference(base, answer));
  if (wanted.length) parts.push(el("h3", {}, "Facts"), el("ul", { class: "plain" }, wanted.map((fact) => factLine(fact, answers))));
  if (request.expected !== undefined) parts.push(facts([["expected", typeof request.expected === "string" ? request.expected : JSON.stringify(request.expected)]]));
  const measures = Object.entries(C.runs[run].measures).map(([name, column]) => [name, column[row] === null ? null : shown(column[row], name)]);
  parts.push(facts([...scores.map(([name, score]) => [name, shown(score)]), ...measures, ["request id", record.request_id], ["tags", (request.tags ?? []).join(", ")]]));
  parts.push(raw({ request, response: record, scores: Object.fromEntries(scores) }));
  return el("div", {}, parts);
}

function conversation(said, wanted) {
  return el("div", {}, said.map(([who, text]) => turn(who, who === "assistant" ? highlighted(text, wanted) : highlighted(text, []), false)));
}

function turn(who, content, answered) {
  return el("div", { class: answered ? "turn answered" : "turn" }, el("div", { class: "who" }, who), el("div", { class: "said" }, content));
}

/** The text with facts and the searched words marked where they stand. */
function highlighted(text, wanted) {
  const words = [...wanted.filter((fact) => fact.trim()), ...(query.trim().length > 1 ? [query.trim()] : [])];
  const found = document.createDocumentFragment();
  if (!words.length) {
    found.append(text);
    return found;
  }
  const escaped = words.sort((a, b) => b.length - a.length).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(escaped.join("|"), "giu");
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    found.append(text.slice(from, match.index), el("mark", {}, match[0]));
    from = match.index + match[0].length;
  }
  found.append(text.slice(from));
  return found;
}

function factLine(fact, answers) {
  const there = answers.some((answer) => answer.toLowerCase().includes(fact.toLowerCase()));
  return el("li", {}, el("span", { class: there ? "good" : "bad" }, there ? "✓ found: " : "✗ not found: "), fact);
}

function raw(lines) {
  const text = JSON.stringify(lines, null, 2);
  const content = el("pre", { tabindex: "0" }, text);
  const copy = el("button", { type: "button", click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(content);
      copy.textContent = "Selected: copy it with the keyboard";
    }
  } }, "Copy JSON");
  return el("details", {}, el("summary", {}, "Raw JSON"), copy, content);
}

function step(by) {
  const place = placeOf(current);
  const next = place < 0 ? 0 : place + by;
  if (next >= 0 && next < view.length) open(view[next]);
}

function nextFailure(by) {
  for (let place = placeOf(current) + by; place >= 0 && place < view.length; place += by) {
    if (failedAt(view[place])) {
      open(view[place]);
      return;
    }
  }
  byId("found").textContent = by > 0 ? "No failure after this one among the dialogues listed." : "No failure before this one among the dialogues listed.";
}

// --- Differences of two texts ---------------------------------------------------------------------------------------

const MOST_WORDS = 1500;

function difference(before, after) {
  if (before === after) return el("p", { class: "soft" }, "The answer is the same as that of A.");
  const parts = changes(before.split(/(\s+)/), after.split(/(\s+)/));
  if (!parts) return el("p", { class: "soft" }, "The answers are too long to show word by word how they differ.");
  const names = { "-": "del", "+": "ins" };
  return el("details", { open: true }, el("summary", {}, "Changes from A's answer"), el("div", { class: "said turn" }, parts.map(([kind, text]) => (names[kind] ? el(names[kind], {}, text) : text))));
}

/** What was kept, removed and added, by the longest common sequence of words; null where that would take too long. */
function changes(before, after) {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < before.length - head && tail < after.length - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const [left, right] = [before.slice(head, before.length - tail), after.slice(head, after.length - tail)];
  if (left.length > MOST_WORDS || right.length > MOST_WORDS) return null;
  const width = right.length + 1;
  const longest = new Uint16Array((left.length + 1) * width);
  for (let a = left.length - 1; a >= 0; a--) for (let b = right.length - 1; b >= 0; b--) longest[a * width + b] = left[a] === right[b] ? longest[(a + 1) * width + b + 1] + 1 : Math.max(longest[(a + 1) * width + b], longest[a * width + b + 1]);
  const parts = [["=", before.slice(0, head).join("")]];
  const add = (kind, word) => (parts.at(-1)[0] === kind ? (parts.at(-1)[1] += word) : parts.push([kind, word]));
  let [a, b] = [0, 0];
  while (a < left.length || b < right.length) {
    if (a < left.length && b < right.length && left[a] === right[b]) add("=", left[(b++, a++)]);
    else if (b >= right.length || (a < left.length && longest[(a + 1) * width + b] >= longest[a * width + b + 1])) add("-", left[a++]);
    else add("+", right[b++]);
  }
  parts.push(["=", before.slice(before.length - tail).join("")]);
  return parts;
}

// --- Charts ---------------------------------------------------------------------------------------------------------

const SIZE = { width: 560, height: 250, left: 44, right: 12, top: 8, middle: 150, gap: 14, bottom: 24 };
const BUCKET = 1.02; // a bucket of a spread ends at this many times its beginning
const MOST_BARS = 40;

function spreadChart(name, spreads) {
  const indexes = spreads.flatMap((spread) => (spread ? spread.buckets.map(([index]) => index) : []));
  const [least, most] = [Math.min(...indexes), Math.max(...indexes)];
  const wide = Math.max(1, Math.ceil((most - least + 1) / MOST_BARS));
  const bars = Math.ceil((most - least + 1) / wide);
  const edge = (bar) => BUCKET ** (least + bar * wide);
  const x = (bar) => SIZE.left + (bar / bars) * (SIZE.width - SIZE.left - SIZE.right);
  const counts = spreads.map((spread) => binned(spread, least, wide, bars));
  const highest = Math.max(1, ...counts.flat());
  const up = (count) => SIZE.middle - (count / highest) * (SIZE.middle - SIZE.top);
  const low = SIZE.height - SIZE.bottom;
  const high = SIZE.middle + SIZE.gap;
  const share = (part) => low - part * (low - high);
  const drawn = [axis(SIZE.left, SIZE.middle), axis(SIZE.left, low), label(4, SIZE.top + 8, shown(highest)), label(4, high + 8, "100 %"), label(4, low, "0 %")];
  counts.forEach((column, run) => {
    column.forEach((count, bar) => count && drawn.push(svg("rect", { class: `bar run-${run % 5}`, x: x(bar), y: up(count), width: Math.max(1, x(bar + 1) - x(bar) - 1), height: SIZE.middle - up(count), "stroke-width": 0 })));
    const spread = spreads[run];
    if (spread) drawn.push(svg("path", { class: `curve run-${run % 5}`, d: cumulative(spread, column, x, share) }));
  });
  ticks(edge(0), edge(bars)).forEach(([value, place]) => drawn.push(label(SIZE.left + place * (SIZE.width - SIZE.left - SIZE.right), SIZE.height - 8, shown(value, name), "middle")));
  return drawn;
}

function binned(spread, least, wide, bars) {
  const counts = new Array(bars).fill(0);
  for (const [index, count] of spread?.buckets ?? []) counts[Math.floor((index - least) / wide)] += count;
  return counts;
}

function cumulative(spread, counts, x, share) {
  let seen = spread.zeros;
  const points = [`M${x(0)},${share(seen / spread.n)}`];
  counts.forEach((count, bar) => {
    seen += count;
    points.push(`L${x(bar + 1)},${share(seen / spread.n)}`);
  });
  return points.join("");
}

const axis = (from, y) => svg("line", { class: "axis", x1: from, x2: SIZE.width - SIZE.right, y1: y, y2: y });
const label = (x, y, text, anchor = "start") => svg("text", { x, y, "text-anchor": anchor }, text);

/** Round values between two ends of a logarithmic axis, with their places from 0 to 1; both ends where none is round. */
function ticks(from, to) {
  const place = (value) => Math.log(value / from) / Math.log(to / from);
  const round = [];
  for (let power = Math.floor(Math.log10(from)); 10 ** power <= to; power++) for (const step of [1, 2, 5]) round.push(Number((step * 10 ** power).toPrecision(1)));
  const inside = round.filter((value) => value >= from && value <= to).map((value) => [value, place(value)]);
  if (inside.length < 2) return [[Number(from.toPrecision(2)), 0.02], [Number(to.toPrecision(2)), 0.97]];
  const kept = [];
  for (const tick of inside) if (!kept.length || tick[1] - kept.at(-1)[1] > 0.09) kept.push(tick);
  return kept;
}

/** About the value below which a share of all lies: the middle of its bucket. */
function quantile(spread, share, whole) {
  const rounded = (value) => (whole ? Math.round(value) : value);
  let left = share * spread.n - spread.zeros;
  if (left <= 0) return 0;
  for (const [index, count] of spread.buckets) {
    left -= count;
    if (left <= 0) return rounded(Math.min(spread.most, Math.max(spread.least, BUCKET ** (index + 0.5))));
  }
  return spread.most;
}

function drawSpreads() {
  const names = ["latency_s", "ttft_s", "output_tokens", "input_tokens", "cost_usd"];
  const figures = names.flatMap((name) => {
    const spreads = F.runs.map((run) => run.spreads[name] ?? null);
    if (!spreads.some((spread) => spread)) return [];
    const whole = name.endsWith("tokens");
    const lines = spreads.map((spread, run) => spread && `${F.runs.length > 1 ? `${letter(run)}: ` : ""}${spread.most ? `half up to ${shown(quantile(spread, 0.5, whole), name)}, 95 % up to ${shown(quantile(spread, 0.95, whole), name)}, at most ${shown(spread.most, name)}` : "all are 0"} (n ${grouped.format(spread.n)}${spread.zeros && spread.most ? `, ${grouped.format(spread.zeros)} of them 0` : ""})`).filter(Boolean);
    const drawn = spreads.some((spread) => spread?.buckets.length) ? svg("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": `${name}, histogram and cumulative share: ${lines.join("; ")}` }, ...spreadChart(name, spreads)) : null;
    return [el("figure", {}, el("figcaption", {}, name, " ", el("span", {}, lines.join("; "))), drawn)];
  });
  if (figures.length) show("spread", ...figures);
}

function drawTimelines() {
  const series = [["per_s", "answers a second"], ["in_flight", "in flight, at most"], ["retries", "retries"], ["errors", "errors"]];
  const figures = F.runs.flatMap((run, at) => (run.timeline ? series.filter(([name]) => run.timeline[name].some(Boolean)).map(([name, words]) => timelineFigure(run, at, name, words)) : []));
  const bound = F.runs.flatMap((run, at) => boundBy(run).map((line) => el("p", {}, F.runs.length > 1 ? marked(at) : null, line)));
  if (figures.length || bound.length) show("timeline", ...figures, ...bound);
}

function timelineFigure(run, at, name, words) {
  const values = run.timeline[name];
  const highest = Math.max(...values);
  const height = 120;
  const x = (place) => SIZE.left + (place / values.length) * (SIZE.width - SIZE.left - SIZE.right);
  const y = (value) => height - 20 - (value / highest) * (height - 30);
  const path = values.map((value, place) => `${place ? "L" : "M"}${x(place)},${y(value)}L${x(place + 1)},${y(value)}`).join("");
  const end = run.timeline.width_s * values.length;
  const drawn = svg("svg", { viewBox: `0 0 ${SIZE.width} ${height}`, role: "img", "aria-label": `${words} over ${shown(end)} seconds, at most ${shown(highest)}` }, axis(SIZE.left, height - 20), svg("path", { class: `curve run-${at % 5}`, d: path }), label(4, 18, shown(highest)), label(SIZE.left, height - 4, "0 s"), label(SIZE.width - SIZE.right, height - 4, `${shown(end)} s`, "end"));
  return el("figure", {}, el("figcaption", {}, F.runs.length > 1 ? marked(at) : null, words), drawn);
}

function boundBy(run) {
  const sessions = run.summary.run.sessions ?? [];
  const lines = sessions.filter((session) => session.bound_by).map((session, at) => `Session ${at + 1} of ${sessions.length} was bound by ${said(session.bound_by)}.`);
  if (lines.length) return lines;
  return run.summary.run.bound_by ? [`Bound by ${said(run.summary.run.bound_by)}.`] : [];
}

const said = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));

// --- The other sections ---------------------------------------------------------------------------------------------

function drawModes() {
  byId("modes").replaceChildren(...F.runs.map((run, at) => {
    const { mode, client } = run.summary.run;
    const own = String(client ?? "").startsWith("own client ");
    const words = own ? [client.toUpperCase().slice(0, 10), ` ${client.slice(11)}: whether a provider was asked and money spent, only it knows`] : mode === "mock" ? ["MOCK", " — answered by the deterministic mock; no model was called, nothing was spent"] : mode === "live" ? ["LIVE", " — asked of the provider; this spent money"] : ["UNKNOWN", " — the run does not say who answered"];
    return el("p", { class: `mode ${own ? "own" : mode}` }, F.runs.length > 1 ? marked(at) : null, el("strong", {}, words[0]), words[1], F.runs.length > 1 ? ` — ${run.name}` : "", run.complete ? "" : " — UNFINISHED: this is what is kept of it so far");
  }));
}

function drawAbout() {
  const shownRuns = F.runs.map((run, at) => {
    const { run: about, counts, cost_usd: cost } = run.summary;
    const identity = about.identity ?? {};
    const settings = Object.entries(identity).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length));
    return el("div", {}, F.runs.length > 1 ? el("h3", {}, marked(at), run.name) : null, facts([
      ["model", identity.model], ["experiment", about.experiment_id], ["answered by", about.client], ["address", about.address],
      ["dialogues", `${shown(counts.total)}: ${shown(counts.answer)} answers, ${shown(counts.refusal)} refusals, ${shown(counts.truncated)} cut off, ${shown(counts.error)} errors`],
      ["cost", cost === null || cost === undefined ? "unknown" : shown(cost, "usd")], ["started", about.started], ["finished", about.finished],
      ["sessions", about.sessions?.length], ["versions", Object.entries(about.versions ?? {}).map((each) => each.join(" ")).join(", ")],
    ]), el("details", {}, el("summary", {}, "Settings"), facts(settings.map(([name, value]) => [name, said(value)]))),
    about.rate_card ? el("details", {}, el("summary", {}, "Prices"), facts(Object.entries(about.rate_card).map(([name, value]) => [name, value === null ? null : said(value)]))) : null,
    about.sessions?.length ? el("details", {}, el("summary", {}, "Sessions"), ...about.sessions.map((session) => facts(Object.entries(session).map(([name, value]) => [name, value === null ? null : said(value)])))) : null);
  });
  show("about", el("div", { class: "runs" }, shownRuns));
}

function intervalPicture(found, ends) {
  const x = (value) => 4 + ((value - ends[0]) / (ends[1] - ends[0] || 1)) * 152;
  const drawn = found.flatMap((each, run) => {
    if (!each || each.value === null) return [];
    const y = 8 + run * 10;
    const line = each.ci95 ? [svg("line", { class: `run-${run % 5}`, x1: x(each.ci95[0]), x2: x(each.ci95[1]), y1: y, y2: y, "stroke-width": 2 })] : [];
    return [...line, svg("circle", { class: `run-${run % 5}`, cx: x(each.value), cy: y, r: 3.5 })];
  });
  return svg("svg", { class: "interval", viewBox: `0 0 160 ${6 + found.length * 10}`, "aria-hidden": "true" }, svg("line", { class: "axis", x1: 4, x2: 156, y1: 4 + found.length * 10, y2: 4 + found.length * 10 }), ...drawn);
}

function drawMetrics() {
  const rows = metricRows(F.runs.map((run) => run.summary.metrics ?? {}));
  const head = ["metric", ...F.runs.flatMap((_, at) => [{ number: F.runs.length > 1 ? `${letter(at)} value` : "value" }, "95 % interval", { number: "n" }]), "drawn"];
  const body = rows.map(([name, found]) => {
    const bounds = found.filter((each) => each && each.value !== null).flatMap((each) => [each.value, ...(each.ci95 ?? [])]);
    const ends = [Math.min(0, ...bounds), Math.max(1, ...bounds)];
    return [name, ...found.flatMap((each) => [{ number: shown(each?.value) }, each?.error ?? interval(each?.ci95), { number: shown(each?.n) }]), intervalPicture(found, ends)];
  });
  show("metrics", table(head, body), el("p", { class: "soft" }, "Intervals are of each run alone. n: how many dialogues the value is of."), byTag());
}

/** Metrics and their parts (such as over-refusal), with what each run says of them. */
function metricRows(all) {
  const rows = [];
  for (const name of new Set(all.flatMap((metrics) => Object.keys(metrics)))) {
    const found = all.map((metrics) => metrics[name] ?? null);
    rows.push([name, found]);
    const parts = new Set(found.flatMap((each) => Object.keys(each ?? {}).filter((key) => each[key] !== null && typeof each[key] === "object" && "value" in each[key])));
    for (const part of parts) rows.push([`${name}.${part}`, found.map((each) => each?.[part] ?? null)]);
  }
  return rows;
}

const MOST_TAGS = 50;

function byTag() {
  const tags = [...new Set(F.runs.flatMap((run) => Object.keys(run.summary.by_tag ?? {})))].sort();
  if (!tags.length) return null;
  const names = [...new Set(F.runs.flatMap((run) => Object.keys(run.summary.metrics ?? {})))];
  const several = F.runs.length > 1;
  const head = ["tag", { number: "n" }, ...names.flatMap((name) => F.runs.map((_, at) => ({ number: several ? `${name} ${letter(at)}` : name })))];
  const line = (tag) => [tag, { number: shown(F.runs.find((run) => run.summary.by_tag?.[tag])?.summary.by_tag[tag].n) }, ...names.flatMap((name) => F.runs.map((run) => tagCell(run.summary.by_tag?.[tag]?.[name])))];
  const holder = el("div", {}, table(head, tags.slice(0, MOST_TAGS).map(line)));
  if (tags.length > MOST_TAGS) holder.append(el("button", { type: "button", click: () => holder.replaceChildren(table(head, tags.map(line))) }, `Show all ${grouped.format(tags.length)} tags`));
  return el("details", { open: tags.length <= 12 }, el("summary", {}, `By tag (${grouped.format(tags.length)})`), holder);
}

const tagCell = (found) => ({ number: found && found.value !== null ? `${shown(found.value)} (${found.ci95 ? interval(found.ci95) : "no interval"}; n ${shown(found.n)})` : "–" });

function drawFailures() {
  const parts = F.runs.flatMap((run, at) => {
    const title = F.runs.length > 1 ? [el("h3", {}, marked(at), run.name)] : [];
    const errors = [...run.errors.entries()].sort(([, a], [, b]) => b.count - a.count);
    const errorTable = errors.length ? table([{ number: "errors" }, "kind", "code", "message", "first"], errors.map(([, group]) => [{ number: el("button", { type: "button", click: () => only(`error-${at}`, "is", errorLabel(group)) }, grouped.format(group.count)) }, group.kind, shown(group.status), { words: group.message || "–" }, { words: link(group.first) }])) : el("p", {}, "No errors.");
    const refusals = run.refusals.length ? table([{ number: "refusals" }, "category", "was it expected?"], run.refusals.map((each) => [{ number: el("button", { type: "button", click: () => only(`type-${at}`, "is", "refusal") }, grouped.format(each.count)) }, each.category, each.expected === null ? "the dataset does not say" : each.expected ? "yes" : "no"])) : el("p", {}, "No refusals.");
    return [...title, errorTable, refusals];
  });
  show("failures", ...parts);
}

const link = (id) => el("a", { href: `#d=${encodeURIComponent(id)}` }, id);

function drawComparison() {
  if (F.not_compared) show("comparison", el("p", { class: "bad" }, F.not_compared));
  if (!F.comparison) return;
  const { base, against, family, cheapest, dominated } = F.comparison;
  const parts = against.flatMap((each, at) => [
    el("h3", {}, marked(at + 1), `${each.new.name} against `, marked(0), base.name),
    el("p", {}, `${grouped.format(each.pairing.paired)} dialogues are paired; ${grouped.format(each.pairing.only_in_base)} only in A, ${grouped.format(each.pairing.only_in_new)} only in ${letter(at + 1)}.`),
    ...each.warnings.map((warning) => el("p", { class: "bad" }, `Warning: ${warning}.`)),
    table(["metric", { number: "A" }, { number: letter(at + 1) }, { number: "difference" }, "95 % interval (uncorrected)", { number: "p, corrected" }, "verdict", { number: "n" }, "changed"], each.comparisons.map((one) => [one.metric, { number: shown(one.base, one.metric) }, { number: shown(one.new, one.metric) }, { number: shown(one.difference, one.metric) }, interval(one.ci95), { number: pValue(one.p_corrected) }, verdictOf(one), { number: shown(one.n) }, one.flips ? `${shown(one.flips.to_true)} to true, ${shown(one.flips.to_false)} to false` : ""])),
    slicesOf(each.slices.filter((slice) => slice.shown)),
  ]);
  parts.push(el("p", { class: "soft" }, `p is corrected for all ${family} comparisons (Holm); verdicts follow it.`));
  for (const each of [...(cheapest ?? []), ...(dominated ?? [])]) parts.push(facts(Object.entries(each).map(([name, value]) => [name, said(value)])));
  show("comparison", ...parts);
}

function verdictOf(one) {
  return el("strong", { class: one.verdict === "better" ? "good" : one.verdict === "worse" ? "bad" : undefined }, one.verdict);
}

function slicesOf(slices) {
  if (!slices.length) return null;
  return el("details", { open: true }, el("summary", {}, "Tags in which a difference is shown"), table(["tag", "metric", { number: "difference" }, "95 % interval", { number: "q" }, { number: "n" }, "direction"], slices.map((slice) => [slice.tag, slice.metric, { number: shown(slice.difference, slice.metric) }, interval(slice.ci95), { number: pValue(slice.q) }, { number: shown(slice.n) }, slice.opposite ? "opposite to the whole" : ""])));
}

function drawLeftOut() {
  const lines = [];
  if (!F.texts) lines.push("Texts are not in this file (--no-texts).");
  if (F.dropped.length) lines.push(`Left out of this file: ${F.dropped.join(", ")}.`);
  if (F.shown < F.rows) {
    lines.push(`${grouped.format(F.shown)} of ${grouped.format(F.rows)} dialogues are in this file; everything above counts all of them.`);
    for (const { kind, total, shown: kept } of F.kinds) lines.push(kind.startsWith("worst ") ? `${kind}: ${grouped.format(kept)} are here.` : `${kind}: ${grouped.format(kept)} of ${grouped.format(total)} are here, ${grouped.format(total - kept)} left out.`);
    lines.push("The others are a seeded sample of the rest.");
  }
  byId("left-out").textContent = lines.join(" ");
}

function drawSections() {
  const sections = [...document.querySelectorAll("main > section:not([hidden])")];
  byId("sections").replaceChildren(...sections.map((section) => el("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
  byId("made").textContent = `Made by experiment-profiler ${F.profiler}. ${F.texts ? "Questions and answers are in this file" : "Questions and answers are not in this file"}; nothing is sent anywhere.`;
}

// --- Controls -------------------------------------------------------------------------------------------------------

function only(key, operator, value) {
  filters = [{ field: fields.find((field) => field.key === key), operator, value }];
  drawFilters();
  look();
  byId("dialogues").scrollIntoView();
}

function drawFilters() {
  byId("filters").replaceChildren(...filters.map((filter, at) => el("li", {}, el("button", { type: "button", click: () => {
    filters.splice(at, 1);
    drawFilters();
    look();
  } }, `${filter.field.label} ${filter.operator} ${filter.operator === "is missing" ? "" : filter.value} ✕`))));
}

function chosenField() {
  return fields[Number(byId("filter-column").value)];
}

function offerOperators() {
  const field = chosenField();
  byId("filter-operator").replaceChildren(...Object.keys(OPERATORS[field.kind]).map((name) => el("option", {}, name)));
  const choices = field.kind === "flag" ? ["true", "false", "missing"] : field.kind === "choice" ? [...field.choices].filter(Boolean) : null;
  byId("filter-choice").replaceChildren(...(choices ?? []).map((name) => el("option", {}, name)));
  byId("filter-choice").hidden = !choices;
  byId("filter-value").hidden = Boolean(choices);
  byId("filter-value").value = "";
  byId("filter-value").inputMode = field.kind === "number" ? "decimal" : "text";
}

function addFilter() {
  const field = chosenField();
  const operator = byId("filter-operator").value;
  const value = byId("filter-choice").hidden ? byId("filter-value").value.trim() : byId("filter-choice").value;
  const needed = operator !== "is missing";
  if (needed && (value === "" || (field.kind === "number" && Number.isNaN(Number(value))))) {
    byId("found").textContent = field.kind === "number" ? `Type a number to compare ${field.label} with.` : "Type what to look for.";
    return;
  }
  filters.push({ field, operator, value });
  drawFilters();
  look();
}

function drawQuick() {
  const failures = C.runs.map((_, at) => [`failures${C.runs.length > 1 ? ` ${letter(at)}` : ""}`, `failed-${at}`, "true"]);
  const changed = C.change.map((_, at) => [`changed${C.change.length > 1 ? ` ${letter(at + 1)}` : ""}`, `change-${at + 1}`, null]);
  byId("quick").replaceChildren(...[...failures, ...changed].map(([words, key, value]) => el("button", { type: "button", click: () => {
    if (value) only(key, "is", value);
    else only(key, "is not", "");
  } }, `Only ${words}`)), el("button", { type: "button", click: () => {
    filters = [];
    byId("search").value = query = "";
    drawFilters();
    look();
  } }, "Show all"));
}

function listen() {
  byId("filter-column").replaceChildren(...fields.flatMap((field, at) => (field.kind === "snippet" ? [] : [el("option", { value: at }, field.label)])));
  byId("filter-column").addEventListener("change", offerOperators);
  offerOperators();
  byId("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    if (document.activeElement !== byId("search")) addFilter();
  });
  byId("search").addEventListener("input", () => {
    query = byId("search").value;
    look();
  });
  byId("scroller").addEventListener("scroll", render, { passive: true });
  byId("table").addEventListener("keydown", tableKeys);
  addEventListener("resize", render);
  addEventListener("hashchange", follow);
  addEventListener("keydown", anywhereKeys);
}

function tableKeys(event) {
  const page = Math.max(1, Math.floor(byId("scroller").clientHeight / rowHeight) - 2);
  const place = placeOf(current);
  const moves = { ArrowDown: place + 1, ArrowUp: Math.max(0, place - 1), PageDown: place + page, PageUp: place - page, Home: 0, End: view.length - 1 };
  if (event.target.closest("button")) return;
  if (event.key in moves) moveTo(moves[event.key]);
  else if (event.key === "Enter" && place >= 0) open(current);
  else return;
  event.preventDefault();
}

function anywhereKeys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const actions = { "/": () => byId("search").focus(), j: () => step(1), k: () => step(-1), n: () => nextFailure(1), p: () => nextFailure(-1), Escape: () => byId("dialogue").hidden || close() };
  if (!(event.key in actions)) return;
  actions[event.key]();
  event.preventDefault();
}

/** Opens the dialogue that the address names. */
function follow() {
  const found = /^#d=([^&]*)(?:&r=(\d+))?$/.exec(location.hash);
  if (!found) return;
  const id = decodeURIComponent(found[1]);
  const repeat = Number(found[2] ?? 0);
  const row = C.ids.findIndex((each, at) => each === id && (C.repeats?.[at] ?? 0) === repeat);
  byId("dialogues").scrollIntoView();
  if (row >= 0) open(row);
  else byId("found").textContent = `Dialogue ${id} is not in this file.`;
}

async function start() {
  const [one] = document.getElementsByClassName("facts-block");
  const [two] = document.getElementsByClassName("columns-block");
  textBlocks = [...document.getElementsByClassName("texts-block")];
  [F, C] = await Promise.all([unpacked(one), unpacked(two)]);
  makeFields();
  drawModes();
  drawAbout();
  drawComparison();
  drawMetrics();
  drawSpreads();
  drawTimelines();
  drawFailures();
  drawLeftOut();
  byId("dialogues").hidden = false;
  if (C.change.length) order = { field: fields.find((field) => field.key === "change-1"), down: false };
  drawSections();
  drawQuick();
  drawHead();
  listen();
  look();
  byId("waiting").hidden = true;
  follow();
  document.documentElement.dataset.ready = Math.round(performance.now());
  if (F.texts) await readTexts();
  document.documentElement.dataset.searchable = Math.round(performance.now());
}

start().catch((error) => {
  byId("waiting").textContent = `This file cannot be shown here: ${error.message}`;
  throw error;
});
