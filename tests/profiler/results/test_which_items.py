from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import UsageError
from profiler.results.which_items import Choice, chosen
from tests.profiler.results.runs import finished

if TYPE_CHECKING:
    from profiler.storage.reading.saved_run import SavedRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return finished(tmp_path_factory.mktemp("run"))


def ids(run: SavedRun, **choice: Any) -> list[str]:
    better = {metric.name: metric.better for metric in run.metrics()}
    scores = [metric.name for metric in run.metrics() if metric.score]
    return [item.dialogue_id for item in chosen(run.items(), Choice(**choice), scores=scores, better=better.get)]


def test_without_a_choice_all_are_shown_in_order(run: SavedRun) -> None:
    assert ids(run) == [f"d{n}" for n in range(12)]
    assert ids(run, limit=2) == ["d0", "d1"]


def test_kinds_tags_ids_and_texts_choose(run: SavedRun) -> None:
    kinds = {item.dialogue_id: item.type for item in run.items()}
    assert set(kinds.values()) == {"answer", "refusal", "truncated", "error"}
    for kind in ("refusal", "truncated", "error"):
        assert ids(run, types=(kind,)) == [name for name, found in kinds.items() if found == kind]
    assert ids(run, types=("refusal", "truncated")) == ["d1", "d2"]
    assert ids(run, tags=("odd",)) == ["d1", "d3", "d5", "d7", "d9", "d11"]
    assert ids(run, tags=("odd", "even")) == []
    assert ids(run, ids=("d7", "d3")) == ["d3", "d7"]
    assert ids(run, grep="WHAT IS 1 +") == ["d1"]
    assert ids(run, grep="cannot HELP") == ["d1"]


def test_all_that_is_told_must_hold(run: SavedRun) -> None:
    assert ids(run, where="numeric == false and type == 'answer'", tags=("odd",)) == [
        item.dialogue_id
        for item in run.items()
        if item.scores["numeric"] is False and item.type == "answer" and "odd" in item.request["tags"]
    ]


def test_the_worst_by_a_time_are_the_longest_and_by_a_score_the_lowest(run: SavedRun) -> None:
    assert ids(run, worst=("latency_s", 2)) == ["d5", "d6"]
    lowest = ids(run, worst=("fact_coverage", 100))
    scores = {item.dialogue_id: item.scores["fact_coverage"] for item in run.items()}
    assert lowest == sorted((name for name in scores if scores[name] is not None), key=lambda name: scores[name] or 0)
    assert ids(run, worst=("metadata.level", 1), limit=5) == ["d11"]


def test_the_worst_by_a_text_is_a_mistake(run: SavedRun) -> None:
    with pytest.raises(UsageError) as caught:
        ids(run, worst=("answer", 3))
    assert str(caught.value).startswith(
        "--worst answer: expected a number in every dialogue, found 'It is 1.' (a string)"
    )
    assert "--grep" in (caught.value.hint or "")


def test_an_id_that_is_not_there_is_a_mistake(run: SavedRun) -> None:
    with pytest.raises(UsageError) as caught:
        ids(run, ids=("d3", "d33"))
    assert str(caught.value) == "there is no dialogue 'd33' in this run"
    assert "did you mean" in (caught.value.hint or "")
    for wrong, hint in (("D3", "did you mean 'd3'?"), ("zzz", "its ids are like 'd0', 'd1', 'd2'")):
        with pytest.raises(UsageError) as caught:
            ids(run, ids=(wrong,))
        assert caught.value.hint == hint
