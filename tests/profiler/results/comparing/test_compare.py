from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import pytest
from scipy import stats

from profiler.core.errors import UsageError
from profiler.core.nouns import Reply
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.measured import Slo
from profiler.manifest.settings import Experiment
from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.results.comparing.asking import HIGHER, compared, flags, of, scored
from tests.profiler.results.comparing.folders import item, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.core.nouns import Request


# --- values and verdicts ----------------------------------------------------------------------------------------------


def test_a_true_false_score_is_better_when_it_is_shown(tmp_path: Path) -> None:
    found = of(compared(tmp_path, flags(100, 50), flags(100, 70)), "right")

    assert (found.verdict, found.base, found.new, found.n) == ("better", 0.5, 0.7, 100)
    assert found.difference == pytest.approx(0.2)
    assert found.p == stats.binomtest(0, 20).pvalue
    assert found.flips is not None
    assert (found.flips.to_true, found.flips.to_false) == (20, 0)
    assert found.flips.to_true_ids[:2] == ["d50", "d51"]


def test_the_other_way_round_it_is_worse(tmp_path: Path) -> None:
    assert of(compared(tmp_path, flags(100, 70), flags(100, 50)), "right").verdict == "worse"


def test_a_metric_without_a_better_side_is_different(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(true), scored(flags(100, true), "other")) for true in (30, 70)]

    assert of(compare(runs[0], runs[1:], Question()), "other").verdict == "different"


def test_numbers_are_compared_as_scipy_does(tmp_path: Path) -> None:
    source = random.Random(1)
    base = [source.gauss(1.0, 0.3) for _ in range(80)]
    new = [value + source.gauss(0.05, 0.2) for value in base]

    found = of(compared(tmp_path, base, new), "right")

    oracle = stats.ttest_rel(new, base)
    assert found.p == pytest.approx(oracle.pvalue, rel=1e-9)
    assert found.ci95 == pytest.approx(tuple(oracle.confidence_interval()), rel=1e-9)


def test_too_few_to_tell_says_what_could_have_been_seen(tmp_path: Path) -> None:
    found = of(compared(tmp_path, flags(40, 20), flags(40, 22)), "right")

    assert found.verdict == "no difference shown"
    assert found.smallest_seen is not None
    assert found.pairs_needed is not None
    assert found.smallest_seen > 0.05
    assert found.pairs_needed > 40


def test_what_could_have_been_seen_is_reckoned_with_every_comparison_that_is_made(tmp_path: Path) -> None:
    base, new = flags(40, 20), flags(40, 22)
    runs = [
        write_run(tmp_path / name, scored(values)) for name, values in (("base", base), ("new", new), ("more", new))
    ]
    alone, beside = (of(compare(runs[0], rest, Question(better=HIGHER)), "right") for rest in (runs[1:2], runs[1:]))

    assert alone.smallest_seen is not None
    assert beside.smallest_seen is not None
    assert beside.smallest_seen > alone.smallest_seen
    assert alone.pairs_needed is not None
    assert beside.pairs_needed is not None
    assert beside.pairs_needed > alone.pairs_needed


def test_equivalence_is_shown_only_within_a_margin_that_was_given(tmp_path: Path) -> None:
    base, new = flags(1000, 500), [*flags(1000, 500)[:-1], True]

    assert of(compared(tmp_path / "without", base, new), "right").verdict == "no difference shown"
    assert of(compared(tmp_path / "wide", base, new, margins={"right": 0.02}), "right").verdict == "equivalent"
    assert (
        of(compared(tmp_path / "narrow", base, new, margins={"right": 0.001}), "right").verdict == "no difference shown"
    )


def test_equal_runs_are_identical(tmp_path: Path) -> None:
    found = of(compared(tmp_path, flags(10, 4), flags(10, 4)), "right")

    assert (found.verdict, found.difference, found.p) == ("identical", 0.0, 1.0)


def test_p_is_corrected_over_all_metrics_and_all_runs(tmp_path: Path) -> None:
    lists = [flags(100, 50), flags(100, 58), flags(100, 50)]
    runs = [write_run(tmp_path / str(number), scored(values)) for number, values in enumerate(lists)]

    two = compare(runs[0], runs[1:2], Question(better=HIGHER))
    three = compare(runs[0], runs[1:], Question(better=HIGHER))

    assert (two.family, three.family) == (3, 6)  # right, errors, refusals
    assert of(two, "right").p == of(three, "right").p == pytest.approx(2 / 2**8)
    assert of(two, "right").p_corrected == pytest.approx(3 * 2 / 2**8)
    assert of(two, "right").verdict == "better"
    assert of(three, "right").p_corrected == pytest.approx(6 * 2 / 2**8)


def test_cost_and_times_are_those_of_the_answers(tmp_path: Path) -> None:
    usage = {"input_tokens": 10, "output_tokens": 20}
    base = [item(number, cost_usd=0.01, latency_s=1.0 + number / 10, usage=usage) for number in range(20)]
    new = [
        item(number, cost_usd=0.0, reused_cost_usd=0.02, reused_from="x", latency_s=9.0, usage=usage)
        for number in range(18)
    ]
    new += [item(18, type="error", completion=None, cost_usd=None), item(19, cost_usd=0.02, latency_s=2.0, usage=usage)]
    findings = compare(write_run(tmp_path / "base", base), [write_run(tmp_path / "new", new)], Question())

    assert (of(findings, "cost_usd").base, of(findings, "cost_usd").new) == (0.01, 0.02)
    assert of(findings, "cost_usd").n == 19
    assert of(findings, "cost_usd").verdict == "too few pairs to say"  # all differ by the same
    assert "all pairs differ by the same" in str(of(findings, "cost_usd").note)
    assert (of(findings, "latency_s").n, of(findings, "latency_s").new) == (1, 2.0)
    assert of(findings, "latency_s").verdict == "too few pairs to say"
    assert (of(findings, "error_rate").new, of(findings, "error_rate").n) == (0.05, 20)
    assert of(findings, "output_tokens").verdict == "identical"


def test_errors_bound_what_a_score_may_be(tmp_path: Path) -> None:
    base = scored([True] * 8 + [False] * 2)
    new = scored([True] * 6 + [None] * 2 + [False] * 2)
    new[6] |= {"type": "error"}
    new[7] |= {"type": "error"}
    findings = compare(write_run(tmp_path / "base", base), [write_run(tmp_path / "new", new)], Question(better=HIGHER))

    assert of(findings, "right").n == 8
    assert of(findings, "right").bounds == pytest.approx((-0.2, 0.0))


def test_coverage_of_a_dataset_that_requires_nothing_is_not_compared(tmp_path: Path) -> None:
    plain = scored([1.0] * 5, "fact_coverage")
    asked = scored([1.0] * 5, "fact_coverage", required_facts=["x"])
    runs = [write_run(tmp_path / str(at), items) for at, items in enumerate((plain, plain, asked, asked))]

    assert "fact_coverage" not in {
        each.metric for each in compare(runs[0], [runs[1]], Question()).against[0].comparisons
    }
    assert of(compare(runs[2], [runs[3]], Question()), "fact_coverage").n == 5


# --- clusters, tags ---------------------------------------------------------------------------------------------------


def test_clusters_widen_what_is_said_of_dialogues_that_go_together(tmp_path: Path) -> None:
    base = [item(number, scores={"right": False}, metadata={"doc": number // 10}) for number in range(100)]
    new = [item(number, scores={"right": number // 10 in (1, 2, 3, 4)}) for number in range(100)]
    runs = write_run(tmp_path / "base", base), write_run(tmp_path / "new", new)

    alone = of(compare(runs[0], [runs[1]], Question(better=HIGHER)), "right")
    together = of(compare(runs[0], [runs[1]], Question(better=HIGHER, cluster_by="doc")), "right")

    assert alone.ci95 is not None
    assert together.ci95 is not None
    assert together.method == "t over 10 clusters"
    assert together.ci95[1] - together.ci95[0] > 2 * (alone.ci95[1] - alone.ci95[0])


@pytest.mark.parametrize("metadata", [{}, {"doc": [1, 2]}])
def test_a_cluster_needs_one_value_in_each_dialogue(tmp_path: Path, metadata: dict[str, Any]) -> None:
    items = [item(0, metadata={"doc": "a"}), item(1, metadata=metadata)]
    runs = [write_run(tmp_path / name, items) for name in ("base", "new")]

    with pytest.raises(UsageError, match=r"--cluster-by doc: .* of dialogue 'd1'"):
        compare(runs[0], runs[1:], Question(cluster_by="doc"))


def test_tags_are_told_where_they_differ_and_where_they_contradict_the_whole(tmp_path: Path) -> None:
    tags = [["bad"] if number < 30 else ["good"] for number in range(200)]
    base = [item(number, scores={"right": number < 30}, tags=tags[number]) for number in range(200)]
    new = [item(number, scores={"right": number >= 30}, tags=tags[number]) for number in range(200)]
    findings = compare(write_run(tmp_path / "base", base), [write_run(tmp_path / "new", new)], Question(better=HIGHER))

    against = findings.against[0]
    parts = {each.tag: each for each in against.slices if each.metric == "right"}
    assert (parts["good"].difference, parts["bad"].difference) == (1.0, -1.0)
    assert (parts["good"].opposite, parts["bad"].opposite) == (False, True)
    assert of(findings, "right").verdict == "better"
    assert any("'bad' point in opposite directions" in line for line in against.warnings)


def test_every_tag_against_the_whole_is_told(tmp_path: Path) -> None:
    """Dialogues without a tag may turn the whole around."""
    rows = [("a", False, True)] * 12 + [("b", False, True)] * 12 + [("", True, False)] * 60
    sides = [
        [item(at, scores={"right": row[side]}, tags=[row[0]] if row[0] else []) for at, row in enumerate(rows)]
        for side in (1, 2)
    ]
    findings = compare(write_run(tmp_path / "base", sides[0]), [write_run(tmp_path / "new", sides[1])], Question())

    assert any("every tag points the other way" in line for line in findings.against[0].warnings)


def test_differences_by_chance_in_many_tags_are_not_shown(tmp_path: Path) -> None:
    source = random.Random(5)
    sides = [
        [item(at, scores={"right": source.random() < 0.5}, tags=[f"t{at % 40}"]) for at in range(2_000)]
        for _ in range(2)
    ]
    findings = compare(write_run(tmp_path / "base", sides[0]), [write_run(tmp_path / "new", sides[1])], Question())

    parts = [each for each in findings.against[0].slices if each.metric == "right"]
    assert len(parts) == 40
    assert any(each.p < 0.05 for each in parts)
    assert not any(each.shown for each in parts)


# --- what findings say of themselves ------------------------------------------------------------------------------------


def test_which_way_is_better_is_taken_from_metrics_and_from_what_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import profiler\nshort = profiler.mean('short', lambda o: 1.0, better='lower')\n"
    )
    runs = [
        write_run(
            tmp_path / name, scored([value + at / 100 for at in range(40)], "short"), metrics=["mine:short", "gone:x"]
        )
        for name, value in (("base", 1.0), ("new", 2.0))
    ]
    findings = compare(runs[0], runs[1:], Question(search_path=tmp_path))

    assert of(findings, "short").verdict == "worse"
    assert any("gone:x" in line for line in findings.not_compared)
    assert of(compare(runs[0], runs[1:], Question(better={"short": "higher"})), "short").verdict == "better"


def test_a_report_is_plain_values(tmp_path: Path) -> None:
    findings = compared(tmp_path, flags(10, 5), flags(10, 6), margins={"right": 0.1}, fail_if_worse={"right": 0.0})

    assert orjson.loads(orjson.dumps(msgspec.to_builtins(findings)))["family"] == 3


class Streaming:
    """Answers as fast as it is told."""

    def __init__(self, ttft_s: float) -> None:
        self._ttft_s = ttft_s

    async def complete(self, request: Request) -> Reply:
        return Reply(
            completion="fine",
            stop_reason="end_turn",
            model="m",
            usage={"input_tokens": 3, "output_tokens": 11},
            latency_s=self._ttft_s + 1,
            ttft_s=self._ttft_s * (1 + request.index % 3 / 10),
            gaps_s=(self._ttft_s,) * 10,
            writing_s=self._ttft_s * 10,
        )


async def test_what_was_measured_is_compared_like_other_metrics(tmp_path: Path) -> None:
    dataset = tmp_path / "d.jsonl"
    dataset.write_text("".join(f'{{"dialogue_id":"d{i}","user":"say {i}"}}\n' for i in range(60)))
    folders = []
    for name, ttft_s in (("slow", 1.0), ("quick", 0.5)):
        asked = Experiment(
            experiment_id=name,
            model="m",
            max_tokens=64,
            dataset_path=dataset,
            metrics=("ttft_s", "tokens_per_s"),
            slo=Slo(ttft_s=0.8),
        )
        found = await run(asked, options=Options(output_dir=tmp_path, mode="mock"), client=Streaming(ttft_s))
        folders.append(found.folder)
    findings = compare(SavedRun(folders[0]), [SavedRun(folders[1])], Question())

    verdicts = {name: of(findings, name).verdict for name in ("ttft_s", "gap_p95_s", "tokens_per_s", "goodput")}
    assert verdicts == dict.fromkeys(verdicts, "better")
    assert (of(findings, "goodput").base, of(findings, "goodput").new) == (0.0, 1.0)
    assert (of(findings, "tokens_per_s").base, of(findings, "tokens_per_s").new) == (1.0, 2.0)
