// Which of several runs is better, as `profiler compare` says it.

function drawComparison() {
  if (F.not_compared) show("comparison", el("p", { class: "bad" }, F.not_compared));
  if (!F.comparison) return;
  const { base, against, family, cheapest, dominated, not_compared: notCompared } = F.comparison;
  show(
    "comparison",
    ...against.flatMap((each, at) => againstBase(each, base, at + 1)),
    el(
      "p",
      { class: "soft" },
      `p is corrected for ${grouped.format(family)} comparisons (Holm), and the verdict follows it; the intervals are not corrected.`,
    ),
    ...cheapest.map(cheapestOf),
    ...dominated.map((each) =>
      el(
        "p",
        {},
        `${each.run} need not be taken: ${each.by} is shown better in one of quality, cost and latency, and not worse in the mean of any.`,
      ),
    ),
    ...notCompared.map((line) => el("p", { class: "soft" }, `Not compared: ${line}.`)),
  );
}

function againstBase({ new: side, pairing, warnings, comparisons, slices }, base, at) {
  // the verdict stands where a narrow screen shows it too
  const head = ["metric", "verdict", { number: "A" }, { number: letter(at) }, { number: "difference" }, "95 % interval"];
  const more = [{ number: "p, corrected" }, { number: "could\u00a0have been\u00a0seen" }, { number: "pairs" }, "flips"];
  return [
    el("h3", {}, marked(at), `${side.name} against `, marked(0), base.name),
    el("p", {}, pairedWords(pairing, at)),
    ...warnings.map((warning) => el("p", { class: "bad" }, `Warning: ${warning}.`)),
    table([...head, ...more], comparisons.map(comparisonRow)),
    el("p", { class: "soft" }, "Could have been seen: the true difference that so many pairs show in four of five cases."),
    ...comparisons.flatMap(remarksOn),
    slicesOf(slices),
  ];
}

function pairedWords(pairing, at) {
  const alone = [
    [pairing.only_in_base, "A"],
    [pairing.only_in_new, letter(at)],
  ].filter(([count]) => count);
  return `${[`${grouped.format(pairing.paired)} dialogues are paired`, ...alone.map(([count, run]) => `${grouped.format(count)} only in ${run}`)].join(", ")}.`;
}

function comparisonRow(one) {
  const numbers = [one.base, one.new, one.difference].map((value) => ({ number: shown(value, one.metric) }));
  const verdict = el("strong", { class: one.verdict === "better" ? "good" : one.verdict === "worse" ? "bad" : undefined }, one.verdict);
  const seen = one.verdict === "no difference shown" ? shown(one.smallest_seen, one.metric) : "";
  return [
    one.metric,
    verdict,
    ...numbers,
    interval(one.ci95),
    { number: pValue(one.p_corrected) },
    { number: seen || " " },
    { number: shown(one.n) },
    flipWords(one),
  ];
}

function flipWords({ flips, better }) {
  if (!flips || !(flips.to_true + flips.to_false)) return "";
  const [yes, no] = better === "higher" ? ["right", "wrong"] : better === "lower" ? ["wrong", "right"] : ["true", "false"];
  return `${grouped.format(flips.to_false)} ${yes} → ${no}, ${grouped.format(flips.to_true)} ${no} → ${yes}`;
}

function remarksOn(one) {
  const lines = [];
  if (one.bounds) lines.push(`${one.metric}: ${interval(one.bounds)} if every error were wrong in one run and right in the other.`);
  if (one.equivalence && one.verdict !== "equivalent")
    lines.push(
      `${one.metric}: equivalent within ± ${shown(one.equivalence.margin)} is not shown (p ${pValue(one.equivalence.p_corrected)}).`,
    );
  if (one.note) lines.push(`${one.metric}: ${one.note}.`);
  return lines.map((line) => el("p", { class: "soft" }, line));
}

function slicesOf(slices) {
  if (!slices.length) return null;
  const head = ["tag", "metric", { number: "difference" }, "95 % interval", { number: "q" }, { number: "pairs" }, "direction"];
  const rows = slices.map((slice) => [
    slice.tag,
    slice.metric,
    { number: shown(slice.difference, slice.metric) },
    interval(slice.ci95),
    { number: pValue(slice.q) },
    { number: shown(slice.n) },
    slice.opposite ? "opposite to the whole" : "as the whole",
  ]);
  return el("details", { open: true }, el("summary", {}, "Tags in which a difference is shown"), table(head, rows));
}

function cheapestOf({ metric, margin, best, cheapest, candidates }) {
  const words = `The cheapest that is not worse in ${metric} than the best (${best}) by more than ${shown(margin)}: ${cheapest ?? "none is shown to be"}.`;
  const head = ["run", { number: metric }, { number: "cost" }, { number: "difference from the best" }, "95 % interval", "not worse"];
  const rows = candidates.map((each) => [
    each.run,
    { number: shown(each.quality) },
    { number: shown(each.cost_usd, "usd") },
    { number: shown(each.difference) },
    interval(each.ci95),
    each.run === best ? "the best" : each.not_worse ? "shown" : "not shown",
  ]);
  return el("div", {}, el("p", {}, words), table(head, rows));
}
