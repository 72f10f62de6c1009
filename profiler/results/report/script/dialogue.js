// One dialogue: the conversation in each run, and how two answers differ.

const SIDE_BY_SIDE = 1200; // as the style has it

async function open(row) {
  current = row;
  const place = placeOf(row);
  if (place >= 0) reveal(place);
  const address = `#d=${encodeURIComponent(C.ids[row])}${C.repeats?.[row] ? `&r=${C.repeats[row]}` : ""}`;
  rewriteAddress(address);
  const pairs = await pairsOf(row);
  if (current !== row) return;
  const panel = byId("dialogue");
  panel.replaceChildren(...dialogue(row, pairs, address));
  panel.hidden = false;
  byId("both").classList.add("open");
  if (innerWidth < SIDE_BY_SIDE) panel.scrollIntoView({ block: "start" }); // below the table, else out of sight
  render();
}

function rewriteAddress(address) {
  if (location.hash === address) return;
  try {
    history.replaceState(null, "", address);
  } catch {
    // some browsers refuse after a hundred in half a minute; the permalink in the panel is right all the same
  }
}

function close() {
  byId("dialogue").hidden = true;
  byId("both").classList.remove("open");
  rewriteAddress("#dialogues");
  byId("table").focus();
  render();
}

function dialogue(row, pairs, address) {
  const present = pairs.map((pair, run) => ({ pair, run })).filter(({ pair }) => pair);
  const questions = new Set(present.map(({ pair }) => JSON.stringify(askedOf(pair[0], {}))));
  const name = C.repeats ? `${C.ids[row]}, repeat ${C.repeats[row]}` : C.ids[row];
  const bar = el(
    "div",
    { class: "bar" },
    el("button", { type: "button", click: () => step(-1) }, "Previous"),
    el("button", { type: "button", click: () => step(1) }, "Next"),
    el("button", { type: "button", click: () => nextFailure(1) }, "Next failure"),
    el("a", { href: address }, "Permalink"),
    el("button", { type: "button", click: close }, "Close"),
  );
  const parts = [bar, el("h3", {}, name)];
  if (questions.size === 1 && present.length > 1) parts.push(conversation(askedOf(present[0].pair[0], {}), []));
  const base = present[0]?.run === 0 ? answerOf(present[0].pair[1]) : null;
  parts.push(
    el(
      "div",
      { class: "runs" },
      present.map(({ pair, run }) => side(row, run, pair, { alone: questions.size > 1 || present.length === 1, base })),
    ),
  );
  return parts;
}

function side(row, run, [request, record], { alone, base }) {
  const wanted = Array.isArray(request.required_facts) ? request.required_facts : [];
  const answers = repliesOf(record);
  const scores = Object.entries(C.runs[run].scores).map(([name, column]) => [name, column[row]]);
  const said = alone ? askedOf(request, record) : [];
  const parts = C.runs.length > 1 ? [el("h3", {}, marked(run), F.runs[run].name)] : [];
  parts.push(conversation(said, wanted));
  const answer = answerOf(record);
  if (answer !== null)
    parts.push(turn(`${record.type}${record.stop_reason ? ` (${record.stop_reason})` : ""}`, highlighted(answer, wanted), true));
  else if (record.error)
    parts.push(
      turn(
        "error",
        document.createTextNode([record.error.type, record.error.status, record.error.message].filter(Boolean).join(" · ")),
        true,
      ),
    );
  if (run > 0 && typeof base === "string" && typeof answer === "string") parts.push(difference(base, answer));
  if (wanted.length)
    parts.push(
      el("h3", {}, "Facts"),
      el(
        "ul",
        { class: "plain" },
        wanted.map((fact) => factLine(fact, answers)),
      ),
    );
  if (request.expected !== undefined)
    parts.push(facts([["expected", typeof request.expected === "string" ? request.expected : JSON.stringify(request.expected)]]));
  const measures = Object.entries(C.runs[run].measures).map(([name, column]) => [
    name,
    column[row] === null ? null : shown(column[row], name),
  ]);
  parts.push(
    facts([
      ...scores.map(([name, score]) => [name, shown(score)]),
      ...measures,
      ["request id", record.request_id],
      ["tags", (request.tags ?? []).join(", ")],
    ]),
  );
  parts.push(raw({ request, response: record, scores: Object.fromEntries(scores) }));
  return el("div", {}, parts);
}

function conversation(said, wanted) {
  return el(
    "div",
    {},
    said.map(([who, text]) => turn(who, who === "assistant" ? highlighted(text, wanted) : highlighted(text, []), false)),
  );
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
  const copy = el(
    "button",
    {
      type: "button",
      click: async () => {
        try {
          await navigator.clipboard.writeText(text);
          copy.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren(content);
          copy.textContent = "Selected: copy it with the keyboard";
        }
      },
    },
    "Copy JSON",
  );
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
  byId("found").textContent =
    by > 0 ? "No failure after this one among the dialogues listed." : "No failure before this one among the dialogues listed.";
}

const MOST_WORDS = 1500;

function difference(before, after) {
  if (before === after) return el("p", { class: "soft" }, "The answer is the same as that of A.");
  const parts = changes(before.split(/(\s+)/), after.split(/(\s+)/));
  if (!parts) return el("p", { class: "soft" }, "The answers are too long to show word by word how they differ.");
  const names = { "-": "del", "+": "ins" };
  return el(
    "details",
    { open: true },
    el("summary", {}, "Changes from A's answer"),
    el(
      "div",
      { class: "said turn" },
      parts.map(([kind, text]) => (names[kind] ? el(names[kind], {}, text) : text)),
    ),
  );
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
  for (let a = left.length - 1; a >= 0; a--)
    for (let b = right.length - 1; b >= 0; b--)
      longest[a * width + b] =
        left[a] === right[b] ? longest[(a + 1) * width + b + 1] + 1 : Math.max(longest[(a + 1) * width + b], longest[a * width + b + 1]);
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
