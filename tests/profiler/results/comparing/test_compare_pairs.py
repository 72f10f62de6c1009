"""Which answers of two runs are compared with each other, and which are left out or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from profiler.core.errors import LogError, UsageError
from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.storage.names import RESPONSES, SCORES
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.results.comparing.asking import HIGHER, of
from tests.profiler.results.comparing.folders import item, write_run
from tests.profiler.storage import directories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_pairs_are_found_by_id_whatever_the_order_and_the_others_are_told(tmp_path: Path) -> None:
    base = [item(number, scores={"right": number % 2 == 0}) for number in range(10)]
    new = [item(number, scores={"right": number % 2 == 0}) for number in (12, 9, 3, 4, 1, 0, 2, 11)]
    findings = compare(write_run(tmp_path / "base", base), [write_run(tmp_path / "new", new)], Question(better=HIGHER))

    pairing = findings.against[0].pairing
    assert (pairing.paired, pairing.only_in_base, pairing.only_in_new) == (6, 4, 2)
    assert pairing.only_in_base_ids == ["d5", "d6", "d7", "d8"]
    assert pairing.only_in_new_ids == ["d12", "d11"]
    assert (of(findings, "right").verdict, of(findings, "right").n) == ("identical", 6)


def test_runs_without_a_dialogue_in_common_are_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(first), [item(first)]) for first in (0, 1)]

    with pytest.raises(UsageError, match="no dialogue in common"):
        compare(runs[0], runs[1:], Question())


def test_different_questions_are_refused_by_id_unless_they_are_what_is_compared(tmp_path: Path) -> None:
    base = [item(number) for number in range(4)]
    new = [item(number, prompt={"user": f"{'other' if number > 1 else 'question'} d{number}"}) for number in range(4)]
    new[0] |= {"prompt": {"system": None, "user": "question d0"}}
    new[1] |= {"prompt": {"system": None, "user": "question d1"}}
    runs = write_run(tmp_path / "base", base), write_run(tmp_path / "new", new)

    with pytest.raises(UsageError, match=r"2 of 4 pairs were asked different questions.*'d2', 'd3'") as refused:
        compare(runs[0], [runs[1]], Question())
    assert "--allow-different-prompts" in (refused.value.hint or "")
    findings = compare(runs[0], [runs[1]], Question(allow_different_prompts=True))
    assert findings.against[0].pairing.different_questions == 2
    assert any("2 pairs were asked different questions" in line for line in findings.against[0].warnings)


def test_pairs_that_are_judged_by_other_facts_are_told(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / fact, [item(0, required_facts=[fact]), item(1)]) for fact in ("a", "b")]

    assert compare(runs[0], runs[1:], Question()).against[0].pairing.differently_judged == 1


@pytest.mark.parametrize("shuffled", [False, True])
def test_answers_to_the_same_dialogue_become_their_mean(tmp_path: Path, shuffled: bool) -> None:
    def repeated(rights: Sequence[Sequence[bool | None]]) -> list[dict[str, Any]]:
        return [
            item(number, scores={"right": right}, repeat=repeat)
            for number, several in enumerate(rights)
            for repeat, right in enumerate(several)
        ]

    base = repeated([[True, False], [False, False], [True, True], [True, None]])
    new = repeated([[True, True], [True, False], [True, True], [False, True]])
    if shuffled:
        new = new[4:] + new[:4]
    findings = compare(write_run(tmp_path / "base", base), [write_run(tmp_path / "new", new)], Question(better=HIGHER))

    found = of(findings, "right")
    assert findings.against[0].pairing.paired == 4
    assert (found.base, found.new, found.n) == (0.625, 0.75, 4)
    assert found.method == "paired t"
    assert found.flips is None
    assert found.p == pytest.approx(stats.ttest_rel([1, 0.5, 1, 0.5], [0.5, 0, 1, 1]).pvalue, rel=1e-9)


def test_many_dialogues_are_paired_across_the_blocks_in_which_they_are_read(tmp_path: Path) -> None:
    base = [item(number, scores={"right": True}) for number in range(9_000)]
    runs = [
        write_run(tmp_path / "base", base),
        write_run(tmp_path / "same", base),
        write_run(tmp_path / "less", base[1:]),
        write_run(tmp_path / "twice", [each for each in base for _ in range(2)]),
    ]
    findings = compare(runs[0], runs[1:], Question(better=HIGHER))

    assert [each.pairing.paired for each in findings.against] == [9_000, 8_999, 9_000]
    assert findings.against[1].pairing.only_in_base_ids == ["d0"]
    assert [of(findings, "right", at).n for at in range(3)] == [9_000, 8_999, 9_000]


def test_a_run_of_an_older_format_and_an_unfinished_one_are_compared_too(tmp_path: Path) -> None:
    directories.run(tmp_path / "going", asked=range(6), answered=[0, 1, 3])
    going = SavedRun(tmp_path / "going")
    items = [item(number, prompt={"user": f"question {number}"}, type="answer") for number in range(6)]
    old = write_run(tmp_path / "old", items, scores=False, metrics=["completion_rate", "refusal_rate"])

    findings = compare(old, [going], Question())

    assert findings.against[0].pairing.paired == 3
    assert not findings.against[0].new.complete
    assert any("going is UNFINISHED: 3 of 8 dialogues are kept" in line for line in findings.against[0].warnings)
    assert of(findings, "error_rate").n == 3


def test_damaged_logs_are_named_with_their_line(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, [item(0), item(1)]) for name in ("base", "new")]
    (runs[1].folder / RESPONSES).write_bytes(b'{"dialogue_id":"d0","type":"answer"}\n{"dialogue_id"\n')
    with pytest.raises(LogError, match=r"responses\.jsonl:2"):
        compare(runs[0], runs[1:], Question())

    (runs[0].folder / SCORES).write_bytes(b'{"dialogue_id":"d0","scores":{}}\n{"dialogue_id":"d9","scores":{}}\n')
    with pytest.raises(LogError, match=r"scores\.jsonl:2: is of another dialogue"):
        compare(runs[0], runs[1:], Question())
