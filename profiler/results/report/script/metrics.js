// Metrics with their intervals, by tag too.

function intervalPicture(found, ends) {
  const x = (value) => 4 + ((value - ends[0]) / (ends[1] - ends[0] || 1)) * 152;
  const drawn = found.flatMap((each, run) => {
    if (!each || each.value === null) return [];
    const y = 8 + run * 10;
    const line = each.ci95
      ? [
          svg("line", {
            class: `run-${run % 5}`,
            x1: x(each.ci95[0]),
            x2: x(each.ci95[1]),
            y1: y,
            y2: y,
            "stroke-width": 2,
          }),
        ]
      : [];
    return [...line, svg("circle", { class: `run-${run % 5}`, cx: x(each.value), cy: y, r: 3.5 })];
  });
  return svg(
    "svg",
    { class: "interval", viewBox: `0 0 160 ${6 + found.length * 10}`, "aria-hidden": "true" },
    svg("line", { class: "axis", x1: 4, x2: 156, y1: 4 + found.length * 10, y2: 4 + found.length * 10 }),
    ...drawn,
  );
}

function drawMetrics() {
  const rows = metricRows(F.runs.map((run) => run.summary.metrics ?? {}));
  const repeated = rows.some(([, found]) => found.some((each) => each?.n_effective !== undefined));
  const effective = (number) => (repeated ? [{ number }] : []);
  const head = [
    "metric",
    ...F.runs.flatMap((_, at) => [{ number: F.runs.length > 1 ? `${letter(at)} value` : "value" }, "95 % interval", { number: "n" }, ...effective("effective n")]),
    "drawn",
  ];
  const body = rows.map(([name, found]) => {
    const bounds = found.filter((each) => each && each.value !== null).flatMap((each) => [each.value, ...(each.ci95 ?? [])]);
    const ends = [Math.min(0, ...bounds), Math.max(1, ...bounds)];
    return [
      name,
      ...found.flatMap((each) => [{ number: shown(each?.value) }, each?.error ?? interval(each?.ci95), { number: shown(each?.n) }, ...effective(shown(each?.n_effective))]),
      intervalPicture(found, ends),
    ];
  });
  show(
    "metrics",
    table(head, body),
    el("p", { class: "soft" }, "Intervals are of each run alone. n: how many dialogues the value is of, or answers where each was asked several times."),
    repeated
      ? el("p", { class: "soft" }, "effective n: the answers to one dialogue are alike, so they tell as much as so many answers to different dialogues would. The interval follows it.")
      : "",
    byTag(),
  );
}

/** Metrics and their parts (such as over-refusal), with what each run says of them. */
function metricRows(all) {
  const rows = [];
  for (const name of new Set(all.flatMap((metrics) => Object.keys(metrics)))) {
    const found = all.map((metrics) => metrics[name] ?? null);
    rows.push([name, found]);
    const parts = new Set(
      found.flatMap((each) =>
        Object.keys(each ?? {}).filter((key) => each[key] !== null && typeof each[key] === "object" && "value" in each[key]),
      ),
    );
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
  const head = [
    "tag",
    { number: "n" },
    ...names.flatMap((name) => F.runs.map((_, at) => ({ number: several ? `${name} ${letter(at)}` : name }))),
  ];
  const line = (tag) => [
    tag,
    { number: shown(F.runs.find((run) => run.summary.by_tag?.[tag])?.summary.by_tag[tag].n) },
    ...names.flatMap((name) => F.runs.map((run) => tagCell(run.summary.by_tag?.[tag]?.[name]))),
  ];
  const holder = el("div", {}, table(head, tags.slice(0, MOST_TAGS).map(line)));
  if (tags.length > MOST_TAGS)
    holder.append(
      el(
        "button",
        { type: "button", click: () => holder.replaceChildren(table(head, tags.map(line))) },
        `Show all ${grouped.format(tags.length)} tags`,
      ),
    );
  return el("details", { open: tags.length <= 12 }, el("summary", {}, `By tag (${grouped.format(tags.length)})`), holder);
}

const tagCell = (found) => ({
  number:
    found && found.value !== null
      ? `${shown(found.value)} (${found.ci95 ? interval(found.ci95) : "no interval"}; n ${shown(found.n)})`
      : "–",
});
