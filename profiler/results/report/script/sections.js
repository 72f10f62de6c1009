// The other sections: who answered, what was run, errors and refusals.

function drawModes() {
  byId("modes").replaceChildren(
    ...F.runs.map((run, at) => {
      const { mode, client } = run.summary.run;
      const own = String(client ?? "").startsWith("own client ");
      const words = own
        ? [client.toUpperCase().slice(0, 10), ` ${client.slice(11)}: whether a provider was asked and money spent, only it knows`]
        : mode === "mock"
          ? ["MOCK", " — answered by the deterministic mock; no model was called, nothing was spent"]
          : mode === "live"
            ? ["LIVE", " — asked of the provider; this spent money"]
            : ["UNKNOWN", " — the run does not say who answered"];
      return el(
        "p",
        { class: `mode ${own ? "own" : mode}` },
        F.runs.length > 1 ? marked(at) : null,
        el("strong", {}, words[0]),
        words[1],
        F.runs.length > 1 ? ` — ${run.name}` : "",
        run.complete ? "" : ` — UNFINISHED: ${run.kept}`,
      );
    }),
  );
}

function drawAbout() {
  const shownRuns = F.runs.map((run, at) => {
    const { run: about, counts, cost_usd: cost } = run.summary;
    const identity = about.identity ?? {};
    const settings = Object.entries(identity).filter(
      ([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length),
    );
    return el(
      "div",
      {},
      F.runs.length > 1 ? el("h3", {}, marked(at), run.name) : null,
      facts([
        ["model", identity.model],
        ["experiment", about.experiment_id],
        ["answered by", about.client],
        ["address", about.address],
        [
          "dialogues",
          `${shown(counts.total)}: ${shown(counts.answer)} answers, ${shown(counts.refusal)} refusals, ${shown(counts.truncated)} cut off, ${shown(counts.error)} errors`,
        ],
        ["cost", cost === null || cost === undefined ? "unknown" : shown(cost, "usd")],
        ["started", about.started],
        ["finished", about.finished],
        ["sessions", about.sessions?.length],
        [
          "versions",
          Object.entries(about.versions ?? {})
            .map((each) => each.join(" "))
            .join(", "),
        ],
      ]),
      el("details", {}, el("summary", {}, "Settings"), facts(settings.map(([name, value]) => [name, said(value)]))),
      about.rate_card
        ? el(
            "details",
            {},
            el("summary", {}, "Prices"),
            facts(Object.entries(about.rate_card).map(([name, value]) => [name, value === null ? null : said(value)])),
          )
        : null,
      about.sessions?.length
        ? el(
            "details",
            {},
            el("summary", {}, "Sessions"),
            ...about.sessions.map((session) =>
              facts(Object.entries(session).map(([name, value]) => [name, value === null ? null : said(value)])),
            ),
          )
        : null,
    );
  });
  show("about", el("div", { class: "runs" }, shownRuns));
}

function drawFailures() {
  const parts = F.runs.flatMap((run, at) => {
    const title = F.runs.length > 1 ? [el("h3", {}, marked(at), run.name)] : [];
    const errors = [...run.errors.entries()].sort(([, a], [, b]) => b.count - a.count);
    const errorTable = errors.length
      ? table(
          [{ number: "errors" }, "kind", "code", "message", "first"],
          errors.map(([, group]) => [
            {
              number: el(
                "button",
                { type: "button", click: () => only(`error-${at}`, "is", errorLabel(group)) },
                grouped.format(group.count),
              ),
            },
            group.kind,
            shown(group.status),
            { words: group.message || "–" },
            { words: link(group.first) },
          ]),
        )
      : el("p", {}, "No errors.");
    const refusals = run.refusals.length
      ? table(
          [{ number: "refusals" }, "category", "was it expected?"],
          run.refusals.map((each) => [
            {
              number: el("button", { type: "button", click: () => only(`type-${at}`, "is", "refusal") }, grouped.format(each.count)),
            },
            each.category,
            each.expected === null ? "the dataset does not say" : each.expected ? "yes" : "no",
          ]),
        )
      : el("p", {}, "No refusals.");
    return [...title, errorTable, refusals];
  });
  show("failures", ...parts);
}

const link = (id) => el("a", { href: `#d=${encodeURIComponent(id)}` }, id);

function drawLeftOut() {
  const lines = [];
  if (!F.texts) lines.push("Texts are not in this file (--no-texts).");
  if (F.dropped.length) lines.push(`Left out of this file: ${F.dropped.join(", ")}.`);
  if (F.shown < F.rows) {
    lines.push(`${grouped.format(F.shown)} of ${grouped.format(F.rows)} dialogues are in this file; everything above counts all of them.`);
    for (const { kind, total, shown: kept } of F.kinds)
      lines.push(
        kind.startsWith("worst ")
          ? `${kind}: ${grouped.format(kept)} are here.`
          : `${kind}: ${grouped.format(kept)} of ${grouped.format(total)} are here, ${grouped.format(total - kept)} left out.`,
      );
    lines.push("The others are a seeded sample of the rest.");
  }
  byId("left-out").textContent = lines.join(" ");
}

function drawSections() {
  const sections = [...document.querySelectorAll("main > section:not([hidden])")];
  byId("sections").replaceChildren(
    ...sections.map((section) => el("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)),
  );
  byId("made").textContent =
    `Made by experiment-profiler ${F.profiler}. ${F.texts ? "Questions and answers are in this file" : "Questions and answers are not in this file"}; nothing is sent anywhere.`;
}
