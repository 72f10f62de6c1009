// Charts.

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
  const drawn = [
    axis(SIZE.left, SIZE.middle),
    axis(SIZE.left, low),
    label(4, SIZE.top + 8, shown(highest)),
    label(4, high + 8, "100 %"),
    label(4, low, "0 %"),
  ];
  counts.forEach((column, run) => {
    column.forEach(
      (count, bar) =>
        count &&
        drawn.push(
          svg("rect", {
            class: `bar run-${run % 5}`,
            x: x(bar),
            y: up(count),
            width: Math.max(1, x(bar + 1) - x(bar) - 1),
            height: SIZE.middle - up(count),
            "stroke-width": 0,
          }),
        ),
    );
    const spread = spreads[run];
    if (spread) drawn.push(svg("path", { class: `curve run-${run % 5}`, d: cumulative(spread, column, x, share) }));
  });
  ticks(edge(0), edge(bars)).forEach(([value, place]) =>
    drawn.push(label(SIZE.left + place * (SIZE.width - SIZE.left - SIZE.right), SIZE.height - 8, shown(value, name), "middle")),
  );
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
  for (let power = Math.floor(Math.log10(from)); 10 ** power <= to; power++)
    for (const step of [1, 2, 5]) round.push(Number((step * 10 ** power).toPrecision(1)));
  const inside = round.filter((value) => value >= from && value <= to).map((value) => [value, place(value)]);
  if (inside.length < 2)
    return [
      [Number(from.toPrecision(2)), 0.02],
      [Number(to.toPrecision(2)), 0.97],
    ];
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
  const names = ["latency_s", "ttft_s", "gap_p95_s", "tokens_per_s", "output_tokens", "input_tokens", "cost_usd"];
  const figures = names.flatMap((name) => {
    const spreads = F.runs.map((run) => run.spreads[name] ?? null);
    if (!spreads.some((spread) => spread)) return [];
    const whole = name.endsWith("tokens");
    const lines = spreads
      .map(
        (spread, run) =>
          spread &&
          `${F.runs.length > 1 ? `${letter(run)}: ` : ""}${spread.most ? `half up to ${shown(quantile(spread, 0.5, whole), name)}, 95 % up to ${shown(quantile(spread, 0.95, whole), name)}, at most ${shown(spread.most, name)}` : "all are 0"} (n ${grouped.format(spread.n)}${spread.zeros && spread.most ? `, ${grouped.format(spread.zeros)} of them 0` : ""})`,
      )
      .filter(Boolean);
    const drawn = spreads.some((spread) => spread?.buckets.length)
      ? svg(
          "svg",
          {
            viewBox: `0 0 ${SIZE.width} ${SIZE.height}`,
            role: "img",
            "aria-label": `${name}, histogram and cumulative share: ${lines.join("; ")}`,
          },
          ...spreadChart(name, spreads),
        )
      : null;
    return [el("figure", {}, el("figcaption", {}, name, " ", el("span", {}, lines.join("; "))), drawn)];
  });
  if (figures.length) show("spread", ...figures);
}

function drawTimelines() {
  const series = [
    ["per_s", "answers a second"],
    ["in_flight", "in flight, at most"],
    ["retries", "retries"],
    ["errors", "errors"],
  ];
  const figures = F.runs.flatMap((run, at) =>
    run.timeline
      ? series.filter(([name]) => run.timeline[name].some(Boolean)).map(([name, words]) => timelineFigure(run, at, name, words))
      : [],
  );
  const bound = F.runs.flatMap((run, at) => boundBy(run).map((line) => el("p", {}, F.runs.length > 1 ? marked(at) : null, line)));
  const changed = F.runs.map(limitChanges);
  if (figures.length || bound.length) show("timeline", ...figures, ...bound, ...changed);
}

function timelineFigure(run, at, name, words) {
  const values = run.timeline[name];
  const highest = Math.max(...values);
  const height = 120;
  const x = (place) => SIZE.left + (place / values.length) * (SIZE.width - SIZE.left - SIZE.right);
  const y = (value) => height - 20 - (value / highest) * (height - 30);
  const path = values.map((value, place) => `${place ? "L" : "M"}${x(place)},${y(value)}L${x(place + 1)},${y(value)}`).join("");
  const end = run.timeline.width_s * values.length;
  const drawn = svg(
    "svg",
    {
      viewBox: `0 0 ${SIZE.width} ${height}`,
      role: "img",
      "aria-label": `${words} over ${shown(end)} seconds, at most ${shown(highest)}`,
    },
    axis(SIZE.left, height - 20),
    svg("path", { class: `curve run-${at % 5}`, d: path }),
    label(4, 18, shown(highest)),
    label(SIZE.left, height - 4, "0 s"),
    label(SIZE.width - SIZE.right, height - 4, `${shown(end)} s`, "end"),
  );
  return el("figure", {}, el("figcaption", {}, F.runs.length > 1 ? marked(at) : null, words), drawn);
}

/** For each session what kept it from going faster, how long calls waited for what, and how often it was pushed back. */
function boundBy(run) {
  const { sessions, bound_by: bound } = run.summary.run;
  if (!sessions?.length) return bound ? [`Bound by ${boundWords(bound)}.`] : [];
  return sessions.flatMap((session, at) =>
    session.bound_by ? [`Session ${at + 1} of ${sessions.length} was bound by ${boundWords(session.bound_by)}.`] : [],
  );
}

function boundWords(bound) {
  if (typeof bound === "string") return bound;
  const words = (name) => name.replaceAll("_", " ");
  const waited = Object.entries(bound.waited_s ?? {}).filter(([, seconds]) => seconds > 0);
  const pushed = Object.entries(bound.push_backs ?? {});
  const parts = [bound.most ?? "nothing that is known"];
  if (waited.length)
    parts.push(`all calls together waited ${waited.map(([name, seconds]) => `${shown(seconds)} s for ${words(name)}`).join(", ")}`);
  if (pushed.length) parts.push(`pushed back: ${pushed.map(([name, times]) => `${words(name)} × ${said(times)}`).join(", ")}`);
  return parts.join("; ");
}

/** When a limit became known, and when the number of calls at once was changed. */
function limitChanges(run, at) {
  const rows = (run.summary.run.sessions ?? [{ bound_by: run.summary.run.bound_by }]).flatMap((session, number) => {
    const changes = [
      ...(session.bound_by?.limits ?? []).map((each) => [
        each.at_s,
        `${each.limit.replaceAll("_", " ")} a minute`,
        each.per_minute,
        each.told_by,
      ]),
      ...(session.bound_by?.concurrency ?? []).map((each) => [each.at_s, "calls at once", each.limit, each.reason]),
    ];
    return changes
      .sort(([a], [b]) => a - b)
      .map(([second, what, limit, why]) => [{ number: shown(number + 1) }, { number: shown(second) }, what, { number: shown(limit) }, why]);
  });
  if (!rows.length) return null;
  const head = [{ number: "session" }, { number: "second" }, "limit", { number: "to" }, "because of"];
  const title = el("summary", {}, F.runs.length > 1 ? marked(at) : null, "Limits that changed");
  return el("details", {}, title, table(head, rows));
}

const said = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
