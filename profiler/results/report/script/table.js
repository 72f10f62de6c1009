// The table: only the rows that can be seen are drawn.

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
  const widths = el(
    "colgroup",
    {},
    shownFields.map((field) => {
      const col = el("col");
      col.style.width = `${field.width}px`;
      return col;
    }),
  );
  grid.querySelector("colgroup")?.remove();
  grid.prepend(widths);
  grid.style.width = `${shownFields.reduce((sum, field) => sum + field.width, 0)}px`;
  grid.tHead.replaceChildren(el("tr", { "aria-rowindex": "1" }, shownFields.map(headOf)));
}

function headOf(field) {
  if (field.kind === "snippet")
    return el(
      "th",
      { scope: "col" },
      el("button", { type: "button", disabled: true, title: "texts are searched, not sorted" }, field.label),
    );
  const sorted = order?.field === field ? (order.down ? "descending" : "ascending") : undefined;
  const press = () => {
    order =
      order?.field !== field
        ? { field, down: field.kind === "number" }
        : order.down === (field.kind === "number")
          ? { field, down: !order.down }
          : null;
    drawHead();
    look();
  };
  return el(
    "th",
    { scope: "col", "aria-sort": sorted },
    el("button", { type: "button", click: press, title: `sort by ${field.label}` }, field.label, sorted ? (order.down ? " ▾" : " ▴") : ""),
  );
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
    return el(
      "td",
      {
        class: field.kind === "number" ? "number" : wrong ? "bad" : undefined,
        title: field.kind === "text" ? value : undefined,
      },
      shown(value, field.key),
    );
  });
  if (F.texts) fillSnippets(row, shownFields, cells);
  return el(
    "tr",
    { id: `row-${row}`, "aria-rowindex": place + 2, "aria-selected": String(row === current), click: () => open(row) },
    cells,
  );
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
  else if (top + rowHeight > scroller.scrollTop + scroller.clientHeight - head)
    scroller.scrollTop = top + rowHeight - scroller.clientHeight + head;
  render();
}

function moveTo(place) {
  if (!view.length) return;
  const within = Math.max(0, Math.min(view.length - 1, place));
  current = view[within];
  reveal(within);
}

const placeOf = (row) => view.indexOf(row);
