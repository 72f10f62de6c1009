// Which of several runs is better.

function drawComparison() {
  if (F.not_compared) show("comparison", el("p", { class: "bad" }, F.not_compared));
  if (!F.comparison) return;
  const { base, against, family, cheapest, dominated } = F.comparison;
  const parts = against.flatMap((each, at) => [
    el("h3", {}, marked(at + 1), `${each.new.name} against `, marked(0), base.name),
    el(
      "p",
      {},
      `${grouped.format(each.pairing.paired)} dialogues are paired; ${grouped.format(each.pairing.only_in_base)} only in A, ${grouped.format(each.pairing.only_in_new)} only in ${letter(at + 1)}.`,
    ),
    ...each.warnings.map((warning) => el("p", { class: "bad" }, `Warning: ${warning}.`)),
    table(
      [
        "metric",
        { number: "A" },
        { number: letter(at + 1) },
        { number: "difference" },
        "95 % interval (uncorrected)",
        { number: "p, corrected" },
        "verdict",
        { number: "n" },
        "changed",
      ],
      each.comparisons.map((one) => [
        one.metric,
        { number: shown(one.base, one.metric) },
        { number: shown(one.new, one.metric) },
        { number: shown(one.difference, one.metric) },
        interval(one.ci95),
        { number: pValue(one.p_corrected) },
        verdictOf(one),
        { number: shown(one.n) },
        one.flips ? `${shown(one.flips.to_true)} to true, ${shown(one.flips.to_false)} to false` : "",
      ]),
    ),
    slicesOf(each.slices.filter((slice) => slice.shown)),
  ]);
  parts.push(el("p", { class: "soft" }, `p is corrected for all ${family} comparisons (Holm); verdicts follow it.`));
  for (const each of [...(cheapest ?? []), ...(dominated ?? [])])
    parts.push(facts(Object.entries(each).map(([name, value]) => [name, said(value)])));
  show("comparison", ...parts);
}

function verdictOf(one) {
  return el("strong", { class: one.verdict === "better" ? "good" : one.verdict === "worse" ? "bad" : undefined }, one.verdict);
}

function slicesOf(slices) {
  if (!slices.length) return null;
  return el(
    "details",
    { open: true },
    el("summary", {}, "Tags in which a difference is shown"),
    table(
      ["tag", "metric", { number: "difference" }, "95 % interval", { number: "q" }, { number: "n" }, "direction"],
      slices.map((slice) => [
        slice.tag,
        slice.metric,
        { number: shown(slice.difference, slice.metric) },
        interval(slice.ci95),
        { number: pValue(slice.q) },
        { number: shown(slice.n) },
        slice.opposite ? "opposite to the whole" : "",
      ]),
    ),
  );
}
