// What a person types and presses, and the start.

function only(key, operator, value) {
  filters = [{ field: fields.find((field) => field.key === key), operator, value }];
  drawFilters();
  look();
  byId("dialogues").scrollIntoView();
}

function drawFilters() {
  byId("filters").replaceChildren(
    ...filters.map((filter, at) =>
      el(
        "li",
        {},
        el(
          "button",
          {
            type: "button",
            click: () => {
              filters.splice(at, 1);
              drawFilters();
              look();
            },
          },
          `${filter.field.label} ${filter.operator} ${filter.operator === "is missing" ? "" : filter.value} ✕`,
        ),
      ),
    ),
  );
}

function chosenField() {
  return fields[Number(byId("filter-column").value)];
}

function offerOperators() {
  const field = chosenField();
  byId("filter-operator").replaceChildren(...Object.keys(OPERATORS[field.kind]).map((name) => el("option", {}, name)));
  const choices =
    field.kind === "flag" ? ["true", "false", "missing"] : field.kind === "choice" ? [...field.choices].filter(Boolean) : null;
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
  byId("quick").replaceChildren(
    ...[...failures, ...changed].map(([words, key, value]) =>
      el(
        "button",
        {
          type: "button",
          click: () => {
            if (value) only(key, "is", value);
            else only(key, "is not", "");
          },
        },
        `Only ${words}`,
      ),
    ),
    el(
      "button",
      {
        type: "button",
        click: () => {
          filters = [];
          byId("search").value = query = "";
          drawFilters();
          look();
        },
      },
      "Show all",
    ),
  );
}

function listen() {
  byId("filter-column").replaceChildren(
    ...fields.flatMap((field, at) => (field.kind === "snippet" ? [] : [el("option", { value: at }, field.label)])),
  );
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
  const moves = {
    ArrowDown: place + 1,
    ArrowUp: Math.max(0, place - 1),
    PageDown: place + page,
    PageUp: place - page,
    Home: 0,
    End: view.length - 1,
  };
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
  const actions = {
    "/": () => byId("search").focus(),
    j: () => step(1),
    k: () => step(-1),
    n: () => nextFailure(1),
    p: () => nextFailure(-1),
    Escape: () => byId("dialogue").hidden || close(),
  };
  if (!(event.key in actions)) return;
  actions[event.key]();
  event.preventDefault();
}

/** What an address says, as it stands where somebody wrote a bare % into it. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Opens the dialogue that the address names. */
function follow() {
  const found = /^#d=(.*?)(?:&r=(\d+))?$/s.exec(location.hash);
  if (!found) return;
  const id = decoded(found[1]);
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
